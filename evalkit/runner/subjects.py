"""What is evaluated: a registered version, or something at hand that no registry knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from evalkit.generators.base import Request
from registry.spec import Task

Product = Literal["generate", "likelihood"]


class ShardWriter(Protocol):
    """A running generator that writes shards of outputs, in a process of its own or in this one."""

    def write_shard(
        self, requests: Sequence[Request], settings: Mapping[str, Any], path: Path, task: Product = "generate"
    ) -> object:
        """Generate for the requests and write the shard whole to `path`."""
        ...


@runtime_checkable
class Described(Protocol):
    """A generator that can be asked to load its model, before anything is generated."""

    def describe(self) -> Mapping[str, Any]:
        """Load the model and say what it is."""
        ...


OpenWriter = Callable[[Task], AbstractContextManager[ShardWriter]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What generates the outputs.

    Attributes:
        name: for people, e.g. ``models:/digits-gan/2``.
        id: identity of the registered version; two versions of equal artifacts have evaluations of their own.
        digest: identity of the model's artifacts; equal digests share outputs.
        generator: description of the generator, without anything that differs between machines.
        training_data: digests or names of the data that the model was trained on.
        open: starts the generator for a task; called only when outputs are missing. None where there is nothing to
            run, so that every task needs stored `outputs`.
    """

    name: str
    id: str
    digest: str
    generator: Mapping[str, Any]
    training_data: tuple[str, ...]
    open: OpenWriter | None
