"""How far an evaluation is, as told to whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an evaluation is: `done` of `total` shards of a stage of a task, 0 when the stage begins."""

    task: str
    stage: str
    done: int
    total: int


Report = Callable[[Progress], None]
