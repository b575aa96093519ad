"""What the gate asks of whoever stores the results: the `Evidence` protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from metrics.base import PRIMARY, Estimate
from registry.entities import ModelVersion


@dataclass(frozen=True, slots=True)
class Address:
    """Which number is meant: one key of one metric of one task, on all samples or on one slice.

    Attributes:
        task, metric: as the suite names them.
        key: key of the estimate within the metric; ``value`` is its main one.
        slice: ``name=value``, or empty for all samples.
    """

    task: str
    metric: str
    key: str = PRIMARY
    slice: str = ""

    @property
    def name(self) -> str:
        """``task/metric`` or ``task/metric.key``, as rules address it."""
        return f"{self.task}/{self.metric}" + ("" if self.key == PRIMARY else f".{self.key}")

    def __str__(self) -> str:
        return f"{self.name} [{self.slice}]" if self.slice else self.name


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no such number; `reason` is one sentence for people."""

    reason: str


class Evidence(Protocol):
    """Results of a candidate, and of the versions it is compared with, with bounds at any level.

    `confidence` is always that of a two-sided interval, so a one-sided bound at alpha is asked for with
    ``1 - 2 * alpha``. Levels from 0.0005 to 1 - 1e-9 are asked for (p-values come from inverting the interval), and
    intervals must be nested: a higher level never gives a narrower one. Where no interval is valid (at that level) the
    `Estimate` has ``low = high = None`` and its `method` says why. A number that was measured on other hardware than
    the candidate's is `Missing` from a difference of speeds.
    """

    def estimate(self, address: Address, *, confidence: float) -> Estimate | Missing:
        """Return the candidate's own estimate."""
        ...

    def difference(self, address: Address, against: ModelVersion, *, confidence: float) -> Estimate | Missing:
        """Return candidate minus `against`, paired where both answered the same samples.

        Its `coverage` is that of the comparison, and its `effective_n` the number of independent pairs.
        """
        ...

    def other(self, address: Address, against: ModelVersion, *, confidence: float) -> Estimate | Missing:
        """Return the estimate of `against` itself."""
        ...

    def slices(self, task: str, name: str) -> list[str]:
        """Return the values that slice `name` takes in the task, without ``name=``; empty if it does not exist."""
        ...

    def hardware(self, task: str) -> str | None:
        """Return the hardware class on which the task's outputs were generated; None if it was not recorded."""
        ...
