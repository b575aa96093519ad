"""Latency, cost, length, empty, repeated and failed outputs of all rows; every monitor has this check."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, Field

from evalkit.monitoring.checks.base import Beside, Check, Measured, Signal, Tools
from evalkit.monitoring.checks.scorers import SCORERS, can_score, score_rows, telling
from evalkit.monitoring.rows import ALL, WindowRows
from evalkit.monitoring.spec import CheckSpec, MonitorSpec, Strict
from evalkit.monitoring.states import MOMENTS, StateKey, States, moments_in, scored, sketch_in, sketch_state
from metrics.base import Estimate, State
from metrics.drift.distribution import Distribution
from metrics.drift.sketch import ColumnSketch
from metrics.errors import InputError, did_you_mean
from metrics.statistics.intervals import quantile_ranks
from metrics.statistics.rows import estimate

_DEFAULT = ("latency", "cost", "prompt_tokens", "output_tokens", "length", "empty", "repeated", "error")
_QUANTILES: Mapping[str, Mapping[str, float]] = {
    "latency": {"p50": 0.5, "p95": 0.95, "p99": 0.99},
    "length": {"p50": 0.5},
}
_ROWS = "rows"


class _Settings(Strict):
    """Settings.

    Attributes:
        only: which numbers; all that the rows have by default.
    """

    only: tuple[str, ...] = Field(default=_DEFAULT, min_length=1)


class Operational(Check):
    """Means of counted scores, quantiles of latency, and how many rows there were."""

    kind = "operational"
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        given = spec.settings
        found = _Settings.model_validate({"only": given} if isinstance(given, list) else given or {})
        for name in found.only:
            if name not in SCORERS or SCORERS[name].sampled:
                counted = [known for known, scorer in SCORERS.items() if not scorer.sampled]
                raise InputError(f"no number '{name}'{did_you_mean(name, counted)}; known are {', '.join(counted)}")
        self._names = found.only

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """States of each number that the rows have, for all rows and each slice."""
        states: dict[StateKey, State] = {}
        samples: dict[StateKey, list[str]] = {}
        every = np.arange(len(rows))
        for name in self._names:
            if not can_score(name, rows):
                continue
            values = score_rows(name, rows, every)
            quantity = SCORERS[name].quantity
            for slice_, at in rows.groups(self.spec.slices).items():
                clusters = None if rows.clusters is None else rows.clusters[at]
                own = values[at]
                states[name, slice_] = scored(own, clusters=clusters, low=quantity.low, high=quantity.high)
                shown = rows.ids[at[telling(own, name)]].tolist()
                samples[name, slice_] = shown
                if name in _QUANTILES:
                    states[f"{name}.quantiles", slice_] = sketch_state(ColumnSketch.of_numbers(own, name))
                    samples |= {(f"{name}.{key}", slice_): shown for key in _QUANTILES[name]}
        for slice_, at in rows.groups(self.spec.slices).items():
            states[_ROWS, slice_] = scored(np.ones(len(at)))
        return Measured(states, samples)

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """Means with intervals, quantiles, and the number of rows."""
        found = []
        for (name, slice_), state in states.items():
            if state.metric != MOMENTS:
                found += self._quantiles(name.removesuffix(".quantiles"), slice_, state)
            elif name == _ROWS:
                count = moments_in(state).numbers.n
                counted = Estimate(count, n=int(count), method="no interval: a count", estimand="rows of the window")
                found.append(Signal(_ROWS, slice_, counted))
            else:
                made = estimate(moments_in(state), SCORERS[name].quantity, confidence=self.monitor.confidence)
                if name == "repeated":
                    made = replace(
                        made, low=None, high=None, method="no interval: outputs are compared with each other"
                    )
                found.append(Signal(name, slice_, made, *self.enough(made, slice_)))
        return found

    def _quantiles(self, name: str, slice_: str, state: State) -> list[Signal]:
        sketch = sketch_in(state)
        column = sketch.column()
        found = []
        for key, level in _QUANTILES[name].items():
            made = _quantile(column, level, self.monitor.confidence) if isinstance(column, Distribution) else None
            if made is not None:
                found.append(Signal(f"{name}.{key}", slice_, made, *self.enough(made, slice_)))
        return found


def _quantile(column: Distribution, level: float, confidence: float) -> Estimate:
    """A quantile with the interval between order statistics; both from the sketch, where the column is one."""
    n = column.n
    if n == 0:
        return Estimate(math.nan, method="no interval: no value", estimand=f"quantile {level:g}", coverage=0.0)
    lower, upper = quantile_ranks(n, level, confidence=confidence)
    ends = [None if rank is None else float(column.quantiles(np.array([rank / n]))[0]) for rank in (lower, upper)]
    known = None not in ends
    return Estimate(
        float(column.quantiles(np.array([level]))[0]),
        ends[0] if known else None,
        ends[1] if known else None,
        n=n,
        effective_n=float(n),
        coverage=column.coverage,
        method=("order statistics" if known else "no interval: too few rows for this quantile")
        + ("" if column.exact else ", from a sketch"),
        estimand=f"quantile {level:g}",
        confidence=confidence,
    )


__all__ = ["ALL", "Operational"]
