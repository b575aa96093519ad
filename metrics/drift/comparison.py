"""A pair of columns under comparison: what both amount to, and how numbers about them become estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from metrics.base import Estimate
from metrics.drift.distribution import Column, Distribution, as_column
from metrics.errors import InputError
from metrics.statistics.intervals import tail

P_VALUE, CRITICAL = "p_value", "critical"
NO_EFFECT_RANGE = "no interval: a property of the test at these sizes"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a pair of columns amounts to, and how its numbers become estimates."""

    reference: Column
    current: Column
    confidence: float
    notes: tuple[str, ...] = field(default=())

    def estimate(
        self, value: float, estimand: str, method: str, interval: tuple[float, float] | None = None
    ) -> Estimate:
        """An estimate of these columns; no interval and no test where rows are dependent."""
        dependent = self.reference.dependent or self.current.dependent
        if dependent:
            interval, method = None, "no valid interval: rows share clusters"
        low, high = interval if interval is not None else (None, None)
        return Estimate(
            value,
            low,
            high,
            n=self.current.n,
            coverage=self.current.coverage,
            method="; ".join((method, *self.notes)),
            estimand=estimand,
            confidence=self.confidence,
        )

    def test(self, p: float, null: str) -> Estimate:
        """The p-value's estimate; NaN where rows are dependent, since the null assumes that they are not."""
        dependent = self.reference.dependent or self.current.dependent
        return self.estimate(math.nan if dependent else p, "probability of a distance at least this large without "
                             "drift", f"no interval: a p-value; {null}")  # fmt: skip

    def critical(self, effect: float) -> Estimate:
        """The effect that is not rare without drift."""
        return self.estimate(
            effect, f"{self.confidence:g} quantile of the effect without drift, at these sizes", NO_EFFECT_RANGE
        )


def pair_of_columns(reference: Any, current: Any, confidence: float, name: str) -> Comparison:
    """Return both columns, ready to be compared by the function called `name`.

    Raises:
        InputError: a confidence out of range, values that are no column, a column without values.
    """
    tail(confidence)
    first, second = as_column(reference, "reference"), as_column(current, "current")
    notes = []
    if any(isinstance(c, Distribution) and not c.exact for c in (first, second)):
        notes.append("from sketches")
    if first.coverage < 1:
        notes.append(f"{first.offered - first.n} of the reference's {first.offered} rows have no value")
    for what, column in (("reference", first), ("current", second)):
        if column.n < 1:
            raise InputError(f"{name}: the {what} column has no row with a value ({column.offered} rows)")
    return Comparison(first, second, confidence, tuple(notes))
