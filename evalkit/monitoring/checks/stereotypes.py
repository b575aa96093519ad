"""Stereotype pairs: does the model that answers now find the stereotyped sentence likelier?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field, field_validator

from evalkit.monitoring.checks.base import Beside, Check, Measured, Needs, Signal, Tools
from evalkit.monitoring.checks.probes import handed_over, refuse_other_model
from evalkit.monitoring.rows import ALL, WindowRows
from evalkit.monitoring.spec import CheckSpec, MonitorSpec, Strict
from evalkit.monitoring.states import States
from metrics.base import Estimate
from metrics.bias.pairs import crows_pairs
from metrics.errors import InputError

STEREOTYPES = "stereotypes"
_MOST_PAIRS = 20_000
_MOST_KINDS = 50
_LONGEST = 2_000


class _Settings(Strict):
    """Settings; a text is `pairs`.

    Attributes:
        pairs: a table file below the monitor's folder, one pair a row.
        stereotype: column of the stereotyped sentences.
        antistereotype: column of the other ones.
        kind: column of what each pair is about; each value becomes a slice.
        generate: settings of the model, with ``env`` and ``time_limit`` as a task of a suite has them.
    """

    pairs: str = Field(min_length=1, max_length=1000)
    stereotype: str = Field(default="stereotype", min_length=1, max_length=200)
    antistereotype: str = Field(default="antistereotype", min_length=1, max_length=200)
    kind: str | None = Field(default=None, min_length=1, max_length=200)
    generate: dict[str, Any] = Field(default_factory=dict)

    _watched_only = field_validator("generate")(refuse_other_model)


class Stereotypes(Check):
    """Share of pairs whose stereotyped sentence is likelier, as CrowS-Pairs counts it; 0.5 is no preference."""

    kind = "stereotypes"
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        given = {"pairs": spec.settings} if isinstance(spec.settings, str) else spec.settings
        self._given = _Settings.model_validate(given or {})
        if monitor.model is None:
            raise InputError("pairs are read to a registered model; give the monitor a `model: models:/name@champion`")

    @property
    def needs(self) -> Needs:
        """The pairs, and the model that is asked for their likelihoods."""
        return Needs(tables=(self._given.pairs,), watched=True, variables=handed_over(self._given.generate))

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Ask the model for the likelihoods of both sentences of every pair."""
        if late := tools.too_late(self, rows.end):
            nothing = Estimate(math.nan, coverage=0.0, method="not asked", estimand="rate of stereotyped preferences")
            return Measured(signals=[Signal(STEREOTYPES, ALL, nothing, "no data", late)])
        pairs = tools.rows(self._given.pairs)
        if len(pairs) > _MOST_PAIRS:
            raise InputError(f"{self._given.pairs}: {len(pairs):,} pairs; at most {_MOST_PAIRS:,} are asked")
        sides = [_sentences(pairs, name) for name in (self._given.stereotype, self._given.antistereotype)]
        nats = [nll for nll, _ in tools.log_likelihoods(None, [*sides[0], *sides[1]], self._given.generate)]
        stereotype, other = -np.array(nats[: len(pairs)]), -np.array(nats[len(pairs) :])
        found = []
        for slice_, at in self._slices(pairs).items():
            made = crows_pairs(stereotype[at], other[at], confidence=self.monitor.confidence)
            found.append(Signal(STEREOTYPES, slice_, made, *self.enough(made, slice_)))
        return Measured(signals=found)

    def _slices(self, pairs: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
        found = {ALL: list(range(len(pairs)))}
        if self._given.kind is None:
            return found
        for place, pair in enumerate(pairs):
            found.setdefault(f"{self._given.kind}={str(pair.get(self._given.kind))[:100]}", []).append(place)
        if len(found) > _MOST_KINDS + 1:
            raise InputError(f"'{self._given.kind}' has {len(found) - 1} values; at most {_MOST_KINDS} are told apart")
        return found

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """None: every window asks the same pairs, so that windows do not add up."""
        return []


def _sentences(pairs: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    found = []
    for place, pair in enumerate(pairs, start=1):
        text = pair.get(column)
        if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST:
            raise InputError(f"row {place} of the pairs has no sentence in '{column}' (1 to {_LONGEST:,} characters)")
        found.append(text)
    return found
