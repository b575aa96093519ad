"""An engine whose workers make shards ahead of the steps that read them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from evalkit.engines.base import STOPPED
from evalkit.engines.pool import Handle, Pool, Round
from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.runner.shards import Rows
    from evalkit.runner.task import TaskWork


class Cluster(Protocol):
    """Where workers come from."""

    @property
    def workers(self) -> int:
        """How many there should be."""
        ...

    def hire(self) -> Handle:
        """Start a worker and wait for it; `WorkerLostError` where it died, `InputError` where none can be had."""
        ...

    def put(self, data: bytes) -> Any:
        """Keep bytes where workers can fetch them, as long as what is returned is kept."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


@dataclass
class _Stage:
    """A stage of a task under way, and what has to stay open for it."""

    task: TaskWork
    round: Round
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


class DistributedEngine:
    """Generation and feature extraction on workers; this process alone writes files, scores and asks judges."""

    def __init__(self, connect: Callable[[], Cluster]) -> None:
        self._connect = connect
        self._cluster: Cluster | None = None
        self._pool: Pool | None = None
        self._stages: dict[tuple[int, str], _Stage] = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Connect, unless that was done for an earlier evaluation."""
        if self._pool is None:
            self._cluster = self._connect()
            self._pool = Pool(self._cluster.hire, self._cluster.workers)

    def ahead(self, task: TaskWork, stage: str, rows: Sequence[Rows]) -> None:
        """Wait for what the first of `rows` needs; the others are made meanwhile."""
        if self._stopped.is_set():
            raise InputError(STOPPED)
        if stage not in {"generate", "score"} or not rows:
            return
        key = id(task), stage
        try:
            if key not in self._stages:
                self._stages[key] = self._begin(task, stage, rows)
            self._stages[key].round.wait(rows[0])
        except BaseException:
            self._end(key)
            raise
        if len(rows) == 1:
            self._end(key)

    def stop(self) -> None:
        """End all workers; whoever waits for a shard is told."""
        self._stopped.set()
        if self._pool is not None:
            self._pool.close()

    def close(self) -> None:
        """Stop, and give the cluster back."""
        self.stop()
        for key in list(self._stages):
            self._end(key)
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def _begin(self, task: TaskWork, stage: str, rows: Sequence[Rows]) -> _Stage:
        from evalkit.engines import jobs

        assert self._pool is not None and self._cluster is not None
        if stage == "generate":
            with contextlib.ExitStack() as stack:
                made = jobs.generation(task, rows, stack, self._cluster.put)
                return _Stage(task, self._pool.submit(made), stack.pop_all())
        load = jobs.extractor_loader(task, self._cluster.put)
        if load is None:
            return _Stage(task, self._pool.submit([]))
        references = jobs.references(task, load)
        self._pool.submit(references).wait(jobs.REFERENCES)
        return _Stage(task, self._pool.submit(jobs.features(task, rows, load)))

    def _end(self, key: tuple[int, str]) -> None:
        stage = self._stages.pop(key, None)
        if stage is not None:
            stage.held.close()
