"""Toxicity and refusal rates by the embedded models, on a hash sample of the rows."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import BaseModel

from evalkit.monitoring.checks.base import SHOWN_SAMPLES, Beside, Check, Measured, Signal, Tools
from evalkit.monitoring.checks.scorers import SCORERS, can_score, score_rows
from evalkit.monitoring.rows import WindowRows
from evalkit.monitoring.spec import CheckSpec, MonitorSpec, PerDay, Strict
from evalkit.monitoring.states import StateKey, States, moments_in, scored
from metrics.base import State
from metrics.statistics.rows import estimate


class _Settings(Strict):
    """Settings.

    Attributes:
        sample: rows for each day at most, stratified by slice.
    """

    sample: PerDay = 5000


class Embedded(Check):
    """The rate of an embedded model's verdicts. Subclasses name the score."""

    score: ClassVar[str]
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        self._sample = _Settings.model_validate(spec.settings or {}).sample

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Verdicts on a sample, weighted to stand for all rows, for all rows and each slice."""
        if not can_score(self.score, rows):
            return Measured(notes=[f"{self.address}: no row has an output"])
        drawn = rows.sample(self._sample)
        verdicts = score_rows(self.score, rows, drawn.rows)
        place = np.full(len(rows), -1)
        place[drawn.rows] = np.arange(len(drawn.rows))
        states: dict[StateKey, State] = {}
        samples = {}
        for slice_, at in rows.groups(self.spec.slices).items():
            own = place[at]
            own = np.sort(own[own >= 0])
            clusters = None if rows.clusters is None else rows.clusters[drawn.rows[own]]
            states[self.score, slice_] = scored(
                verdicts[own], weights=drawn.weights[own], clusters=clusters, low=0.0, high=1.0
            )
            flagged = drawn.rows[own[verdicts[own] == 1]]
            samples[self.score, slice_] = rows.ids[flagged[:SHOWN_SAMPLES]].tolist()
        return Measured(states, samples)

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """The rate of each slice."""
        found = []
        for (_, slice_), state in states.items():
            made = estimate(moments_in(state), SCORERS[self.score].quantity, confidence=self.monitor.confidence)
            found.append(Signal(self.score, slice_, made, *self.enough(made, slice_)))
        return found


class Toxicity(Embedded):
    """Rate of outputs that the embedded model finds toxic."""

    kind = "toxicity"
    score = "toxicity"


class Refusal(Embedded):
    """Rate of outputs that match a refusal pattern."""

    kind = "refusal"
    score = "refusal"
