"""The contract of engines, the local one, and the choice between them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from metrics.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from evalkit.runner.shards import Rows
    from evalkit.runner.task import TaskWork

EngineName = Literal["local", "ray"]
NAMES: tuple[EngineName, ...] = ("local", "ray")
STOPPED = "the evaluation was stopped; the same command continues it"


class Engine(Protocol):
    """Makes shards ahead of the steps that read them.

    A step makes whatever is missing by itself, so an engine that makes nothing is the local one. What an engine makes
    lies in the same files under the same digests: an evaluation may be continued by any engine.
    """

    def start(self) -> None:
        """Get ready; called before anything is recorded, so that an engine that cannot run changes nothing.

        Raises:
            InputError: one line that says what is missing.
        """
        ...

    def ahead(self, task: TaskWork, stage: str, rows: Sequence[Rows]) -> None:
        """Have what `stage` (``generate`` or ``score``) reads of the first of `rows`; the others may be under way."""
        ...

    def stop(self) -> None:
        """Give up what is under way; may be called from any thread, and more than once."""
        ...


class LocalEngine:
    """Everything is made in this process and the generator's child, one shard after the other."""

    def start(self) -> None:
        """Nothing to get ready."""

    def ahead(self, task: TaskWork, stage: str, rows: Sequence[Rows]) -> None:
        """Nothing: the step makes what is missing."""

    def stop(self) -> None:
        """Nothing is under way."""


@contextmanager
def open_engine(name: str = "local", *, address: str | None = None, workers: int | None = None) -> Iterator[Engine]:
    """An engine by name, ended when the block is left.

    Args:
        name: ``local`` or ``ray``.
        address: of a Ray cluster, ``auto`` or ``host:port``; None starts a local one.
        workers: how many workers generate and extract at a time; None lets the engine choose.

    Raises:
        InputError: an unknown engine, options that do not go with it, or ray is not installed.
    """
    if name == "local":
        if address is not None or workers is not None:
            raise InputError("an address and a number of workers go with the engine 'ray' (`--engine ray`)")
        yield LocalEngine()
        return
    if name != "ray":
        raise InputError(f"unknown engine '{name}'{did_you_mean(name, NAMES)}; known are {', '.join(NAMES)}")
    if importlib.util.find_spec("ray") is None:
        raise InputError("the engine 'ray' needs ray; install it with: pip install 'evalkit[ray]'")
    from evalkit.engines.distributed import DistributedEngine
    from evalkit.engines.joining import connector

    engine = DistributedEngine(connector(address, workers))
    try:
        yield engine
    finally:
        engine.close()
