"""Rates and means by group: the gap between the groups furthest apart, with intervals that hold together."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, Field

from evalkit.monitoring.checks.base import SHOWN_SAMPLES, Beside, Check, Measured, Signal, Tools
from evalkit.monitoring.checks.scorers import SCORERS, can_score, score_rows, telling
from evalkit.monitoring.rows import MISSING, OTHER, WindowRows
from evalkit.monitoring.sampling import Drawn
from evalkit.monitoring.spec import CheckSpec, MonitorSpec, PerDay, Strict
from evalkit.monitoring.states import StateKey, States, moments_in, scored
from metrics.base import Estimate, State
from metrics.bias.disparity import disparity_of
from metrics.errors import InputError, did_you_mean
from metrics.statistics.moments import Moments
from metrics.statistics.rows import estimate


class _Settings(Strict):
    """Settings.

    Attributes:
        by: slices whose values are the groups; all by default.
        of: scores that are compared.
        sample: rows for each day that the embedded models look at.
        minimum: rows below which a group is not compared; the monitor's by default.
    """

    by: tuple[str, ...] | None = Field(default=None, min_length=1)
    of: tuple[str, ...] = Field(default=("empty", "length", "latency"), min_length=1)
    sample: PerDay = 5000
    minimum: int | None = Field(default=None, ge=2)


class Groups(Check):
    """Largest gap and smallest ratio between the groups of a slice, for each score."""

    kind = "groups"
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        self._given = _Settings.model_validate(spec.settings or {})
        slices = monitor.source.columns.slices
        self._by = self._given.by if self._given.by is not None else slices
        if not self._by:
            raise InputError("groups are the values of slices; name some under `columns: slices:`")
        for name in self._by:
            if name not in slices:
                raise InputError(f"no slice '{name}'{did_you_mean(name, slices)}; known are {', '.join(slices)}")
        for name in self._given.of:
            if name not in SCORERS:
                raise InputError(f"no score '{name}'{did_you_mean(name, SCORERS)}; known are {', '.join(SCORERS)}")
        self._fewest = self._given.minimum or monitor.minimum

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Moments of each score in each group; rows without a value of the slice are in none."""
        states: dict[StateKey, State] = {}
        samples: dict[StateKey, list[str]] = {}
        everything = Drawn(np.arange(len(rows)), np.ones(len(rows)), len(rows))
        for name in self._given.of:
            if not can_score(name, rows):
                continue
            scorer = SCORERS[name]
            drawn = rows.sample(self._given.sample) if scorer.sampled else everything
            values = np.full(len(rows), np.nan)
            weights = np.zeros(len(rows))
            values[drawn.rows] = score_rows(name, rows, drawn.rows)
            weights[drawn.rows] = drawn.weights
            worst: dict[str, tuple[float, list[str]]] = {}
            for slice_, at in rows.groups(self._by).items():
                if not slice_ or slice_.endswith((f"={MISSING}", f"={OTHER}")):
                    continue
                own = at[weights[at] > 0]
                clusters = None if rows.clusters is None else rows.clusters[own]
                states[name, slice_] = scored(
                    values[own], weights=weights[own], clusters=clusters,
                    low=scorer.quantity.low, high=scorer.quantity.high,
                )  # fmt: skip
                if scorer.shows:
                    samples[name, slice_] = rows.ids[own[values[own] == 1][:SHOWN_SAMPLES]].tolist()
                scores, by = moments_in(states[name, slice_]), slice_.partition("=")[0]
                mean = estimate(scores, scorer.quantity).value
                if scores.numbers.n >= self._fewest and mean > worst.get(by, (-math.inf, []))[0]:
                    worst[by] = mean, rows.ids[own[telling(values[own], name)]].tolist()
            for by, (_, shown) in worst.items():
                samples |= {(f"{name}.{number}.{by}", ""): shown for number in ("gap", "ratio")}
        return Measured(states, samples)

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """Groups' means, and for each slice the largest gap and the ratio of the smallest to the largest mean."""
        found: list[Signal] = []
        for name in self._given.of:
            for by in self._by:
                parts = {
                    slice_: moments_in(state)
                    for (part, slice_), state in states.items()
                    if part == name and slice_.startswith(f"{by}=")
                }
                if parts:
                    found += self._compared(name, by, parts)
        return found

    def _compared(self, name: str, by: str, parts: dict[str, Moments]) -> list[Signal]:
        large = {slice_: part for slice_, part in parts.items() if part.numbers.n >= self._fewest}
        few = "; ".join(f"{s} has {p.numbers.n:g} rows" for s, p in parts.items() if s not in large)
        quantity, confidence = SCORERS[name].quantity, self.monitor.confidence
        compared = disparity_of(
            large, replace(quantity, estimand=f"{quantity.estimand}, by group"), confidence=confidence
        )
        found = [Signal(name, slice_, made) for slice_, made in compared.groups.items()]
        if compared.largest is None:
            nothing = Estimate(
                math.nan, coverage=0.0, method="not compared", estimand="largest gap", confidence=confidence
            )
            why = f"two groups of {self._fewest} rows are needed" + (f"; {few}" if few else "")
            return [*found, Signal(f"{name}.gap.{by}", "", nothing, "insufficient data", why)]
        means = {slice_: made.value for slice_, made in compared.groups.items()}
        ends = f"{max(means, key=means.__getitem__)} against {min(means, key=means.__getitem__)}"
        reason = "; ".join(part for part in (ends, few) if part)
        gap = replace(compared.largest, method=f"{compared.largest.method}, simultaneous over all gaps")
        ratio = Estimate(
            compared.ratio,
            n=gap.n,
            coverage=gap.coverage,
            method="no interval: of the groups furthest apart",
            estimand="smallest mean of a group / largest",
            confidence=confidence,
        )
        found.append(Signal(f"{name}.gap.{by}", "", gap, "measured", reason))
        found.append(Signal(f"{name}.ratio.{by}", "", ratio, "measured", reason))
        return found
