"""Ray: the only module that imports it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from evalkit.engines.actor import ShardActor, own_version
from evalkit.engines.folders import own_folder
from evalkit.engines.pool import Reply, WorkerLostError
from metrics.errors import InputError

START_LIMIT = 900.0
"""Seconds to wait for a place for a worker: a cluster that grows may have to start a machine."""
CORES_PER_WORKER = 4
"""Processor cores for each worker where there is no GPU and no number was asked for."""
_STORE = (128 * 2**20, 2 * 2**30)
"""Least and most bytes of a local Ray's object store."""
_POLL = 1.0
_CREATION = "error raised in its creation task"
"""What Ray says where our own code failed in the worker, rather than the worker."""


class RayCluster:
    """A Ray that was joined, or started on this machine and ended with `close`.

    A Ray that this process is already connected to is used, and left as it is.
    """

    def __init__(self, address: str | None, workers: int | None) -> None:
        self._closed = threading.Event()
        self._folder: Path | None = None
        self._own = not ray.is_initialized()
        if self._own:
            self._join(address) if address is not None else self._start_local(workers)
        self._node = ray.get_runtime_context().get_node_id()
        resources = ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        self.workers = workers or gpus or max(1, cpus // CORES_PER_WORKER)
        self._gpus = 1 / math.ceil(self.workers / gpus) if gpus else 0
        self._cpus = _share(cpus, self.workers, _smallest_node())

    def hire(self) -> _RayHandle:
        """Start a worker and wait for its first word."""
        options: dict[str, Any] = {"num_cpus": self._cpus, "num_gpus": self._gpus}
        actor = _Actor.options(max_restarts=0, max_task_retries=0, **options).remote()  # type: ignore[attr-defined]
        handle = _RayHandle(actor)
        first = actor.introduce.remote(), actor.node.remote()
        deadline = time.monotonic() + START_LIMIT
        while not self._closed.is_set():
            try:
                said, node = ray.get(list(first), timeout=_POLL)
            except GetTimeoutError:
                if time.monotonic() > deadline:
                    handle.end()
                    raise InputError(
                        f"the cluster had no room for a worker ({self._cpus} CPU, {self._gpus:g} GPU) for "
                        f"{START_LIMIT / 60:.0f} minutes"
                    ) from None
            except RayError as error:
                if isinstance(error, RayTaskError) or _CREATION in str(error):
                    raise InputError(
                        f"a worker cannot run evalkit: {_last_line(error)}; is the same evalkit on all "
                        "machines of the cluster?"
                    ) from None
                raise WorkerLostError(_line(error)) from None
            else:
                _check_version(said["ok"])
                handle.near, handle.folder = node == self._node, said["ok"]["folder"]
                return handle
        handle.end()
        raise WorkerLostError("the engine was closed")

    def put(self, data: bytes) -> Any:
        """Keep bytes in the object store."""
        return ray.put(data)

    def close(self) -> None:
        """End what was started here, with its files."""
        self._closed.set()
        if self._own:
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _join(self, address: str) -> None:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (SystemExit, RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise InputError(f"the Ray cluster at {address} cannot be joined: {_line(error)}") from None

    def _start_local(self, workers: int | None) -> None:
        # Sockets lie below it, and the name of a socket may have about a hundred characters
        base = tempfile.gettempdir()
        self._folder = own_folder("ek-", Path(base if len(base) <= 20 else "/tmp"))  # noqa: S108
        memory = psutil.virtual_memory().available // 5
        try:
            ray.init(
                address="local",
                num_cpus=max(workers or 1, os.cpu_count() or 1),
                include_dashboard=False,
                object_store_memory=min(max(memory, _STORE[0]), _STORE[1]),
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(self._folder),
            )
        except (SystemExit, RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise InputError(f"Ray could not be started on this machine: {_line(error)}") from None


class _RayHandle:
    """An actor of Ray."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.near = False
        self.folder: str | None = None

    def call(self, method: str, *arguments: Any) -> Reply:
        """Call a method and wait for what it answers."""
        try:
            reply: Reply = ray.get(getattr(self._actor, method).remote(*arguments))
        except RayTaskError:
            raise  # a fault of ours, with the worker's traceback
        except RayError as error:
            raise WorkerLostError(_line(error)) from None
        return reply

    def end(self) -> None:
        """Kill the actor's process, and remove its folder where it lies here; elsewhere the next worker does that."""
        with contextlib.suppress(RayError, RuntimeError, ValueError):
            ray.kill(self._actor)
        if self.near and self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


@ray.remote
class _Actor(ShardActor):
    """A worker: one process, one call at a time."""

    def __init__(self) -> None:
        super().__init__(ray.get)

    def node(self) -> str:
        """The machine that it runs on."""
        return str(ray.get_runtime_context().get_node_id())


def _check_version(said: dict[str, Any]) -> None:
    if said["evalkit"] != own_version():
        raise InputError(
            f"evalkit is {said['evalkit']} on a worker and {own_version()} on this machine; install the same version"
        )


def _smallest_node() -> int:
    """Cores of the smallest machine that has any."""
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return min((count for count in cores if count), default=1)


def _share(cpus: int, workers: int, most: int) -> int:
    """Cores for each worker, such that all of them find room on machines of `most` cores."""
    return max(1, min(cpus // workers, most))


def _last_line(error: BaseException) -> str:
    """Where a traceback says what was raised."""
    return [line.strip() for line in str(error).splitlines() if line.strip()][-1][:300]


def _line(error: BaseException) -> str:
    """The first line of what Ray says that tells something."""
    error = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
