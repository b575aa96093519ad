"""Rate of answers with an unsupported claim: the embedded model on many rows, a judge on some, people's labels on few.

Each stage corrects the one before it; the rate is what the best stage that has enough verdicts would find in every row.
People's labels are few, so that they are pooled over a trailing window (`metrics.statistics.two_stage_rate`); what the
judge finds (`metrics.statistics.two_phase_mean`) is of each window's own rows, and is what detectors read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field

from evalkit.monitoring.cadence import DAY_MS
from evalkit.monitoring.checks.base import SHOWN_SAMPLES, Beside, Check, Measured, Needs, Signal, Tools, Verdict
from evalkit.monitoring.fields import CHANCE
from evalkit.monitoring.rows import WindowRows
from evalkit.monitoring.sampling import Rows, draw, share_of_day, strata_of
from evalkit.monitoring.spec import CheckSpec, MonitorSpec, PerDay, Span, Strict
from evalkit.monitoring.states import StateKey, States, merge, scored, verdicts_state
from judges.base import Sample, Usage
from judges.desk import SPENT
from metrics.base import Estimate, FloatArray, State
from metrics.errors import InputError
from metrics.statistics.moments import moments_of
from metrics.statistics.post_stratified import two_stage_rate
from metrics.statistics.rows import Quantity, estimate
from metrics.statistics.two_phase import Drawn, two_phase_mean
from registry.digests import digest
from registry.judged import JUDGE_FILES

RATE, EMBEDDED, JUDGED, CLAIMS = "hallucination", "embedded", "judge", "claim_rate"
LABEL_CHANCE = "label_chance"
_ENOUGH_LABELS = 50
_WHOLE = 1 - 1e-9
"""An answer all of whose claims are supported."""
_AT_A_TIME = 64


class _Settings(Strict):
    """Settings.

    Attributes:
        judge: ``suite`` for the groundedness judge of the model's suite, a judge's file or shipped name; none without.
        model: the model that the judge asks, where it is not the suite's.
        sample: rows for each day that the judge is asked about.
        embedded: rows for each day that the embedded model reads.
        floor: rows of each slice that the judge is asked about at least.
        trailing: how long before a window people's labels count for it.
    """

    judge: str | None = Field(default=None, min_length=1, max_length=300)
    model: str | None = Field(default=None, min_length=1, max_length=300)
    sample: PerDay = 200
    embedded: PerDay = 5000
    floor: int = Field(default=5, ge=0, le=10_000)
    trailing: Span = 14 * DAY_MS


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the judge said ``[n]``, with the chance of each row to be asked about; NaN where it was not or did not."""

    values: FloatArray
    chances: FloatArray
    usage: Usage
    spent: int = 0
    notes: Sequence[str] = ()
    failure: str | None = None


class Hallucination(Check):
    """Rate of answers with at least one claim that their context does not support."""

    kind = "hallucination"
    Settings: ClassVar[type[BaseModel]] = _Settings

    def __init__(self, spec: CheckSpec, monitor: MonitorSpec) -> None:
        super().__init__(spec, monitor)
        self._given = _Settings.model_validate(spec.settings or {})
        columns = monitor.source.columns
        self._drawn_unequally = columns.label_probability is not None or (
            monitor.source.stream is not None and columns.label is not None
        )

    @property
    def trailing(self) -> int:
        """People's labels are pooled over it."""
        return self._given.trailing

    @property
    def identity(self) -> str:
        """Labels with a chance of their own make states of another kind."""
        return digest({"check": super().identity, "labels": CHANCE}) if self._drawn_unequally else super().identity

    @property
    def needs(self) -> Needs:
        """The judge, where there is one, and the model that it asks."""
        judge, models = self._given.judge, (self._given.model,) if self._given.model else ()
        if judge is None:
            return Needs()
        return Needs((judge,) if judge.endswith(JUDGE_FILES) else (), models=models, watched=judge == "suite")

    def measure(self, rows: WindowRows, tools: Tools) -> Measured:
        """Verdicts of every stage on a sample of the rows."""
        if not rows.has("output") or not rows.has("context"):
            return Measured(notes=[f"{self.address}: no row has both an output and a context"])
        at = rows.sample(self._given.embedded, floor=0).rows
        wrong, claims = _embedded(rows, at)
        asked = self._ask(rows, at, tools)
        labels = rows.numbers("label")[at]
        columns = {"embedded": wrong, "claims": claims, "judge": asked.values, "chance": asked.chances, "label": labels}
        notes = list(asked.notes)
        if self._drawn_unequally:
            columns[LABEL_CHANCE] = rows.numbers(CHANCE)[at]
            unknown = int((~np.isnan(labels) & np.isnan(columns[LABEL_CHANCE])).sum())
            notes += [f"{self.address}: {unknown} labels have no {CHANCE} and count in no rate"] if unknown else []
        place = np.full(len(rows), -1)
        place[at] = np.arange(len(at))
        states: dict[StateKey, State] = {}
        samples: dict[StateKey, list[str]] = {}
        best = np.where(np.isnan(labels), np.where(np.isnan(asked.values), wrong > 0, asked.values), labels)
        for slice_, positions in rows.groups(self.spec.slices).items():
            own = place[positions]
            own = np.sort(own[own >= 0])
            states[RATE, slice_] = verdicts_state({k: v[own] for k, v in columns.items()}, len(positions))
            bad = own[(best[own] == 1) & ~np.isnan(wrong[own])]
            samples[RATE, slice_] = rows.ids[at[bad[:SHOWN_SAMPLES]]].tolist()
        limits: dict[str, tuple[Verdict, str]] = {}
        if asked.spent:
            limits[JUDGED] = "budget spent", f"{asked.spent} rows were not judged: the day's budget is spent"
        if asked.failure is not None:
            limits[JUDGED] = "failed", asked.failure
        return Measured(states, samples, notes, asked.usage, limits)

    def _ask(self, rows: WindowRows, at: Rows, tools: Tools) -> _Asked:
        nothing = np.full(len(at), np.nan)
        if self._given.judge is None:
            return _Asked(nothing, nothing, Usage())
        strata = rows.once("strata", lambda: strata_of(rows.slice_values, len(rows)))
        size = share_of_day(self._given.sample, rows.start, rows.end - rows.start)
        drawn = draw(rows.hashes[at], strata[at], size, floor=self._given.floor)
        values, chances = nothing.copy(), nothing.copy()
        chances[drawn.rows] = drawn.probabilities
        try:
            judge = tools.judge(self._given.judge, self._given.model)
        except InputError as error:  # no key, no model: what the embedded model says is not lost for that
            return _Asked(values, chances, Usage(), failure=str(error))
        asked = _samples(rows, at[drawn.rows])
        usage, spent, reasons = Usage(), 0, set()
        for start in range(0, len(asked), _AT_A_TIME):
            for offset, verdict in enumerate(judge.judge(asked[start : start + _AT_A_TIME])):
                usage += verdict.usage
                if verdict.value is not None:
                    values[drawn.rows[start + offset]] = float(verdict.value < _WHOLE)
                elif (verdict.reason or "").startswith(SPENT):
                    spent += 1
                else:
                    reasons.add(verdict.reason)
        notes = (
            [f"{self.address}: the judge gave no verdict on some rows: {sorted(map(str, reasons))[0]}"]
            if reasons
            else []
        )
        return _Asked(values, chances, usage, spent, notes)

    def signals(self, states: States, beside: Beside) -> list[Signal]:
        """The rate by the best stage, and what each stage says by itself."""
        found = []
        for (_, slice_), state in states.items():
            stages = self._stages(state.arrays)
            before = (beside.trailing or {}).get((RATE, slice_))
            pooled = state if before is None else merge(before, state)
            stages[RATE] = labelled_rate(pooled.arrays, self.monitor.confidence) or stages[RATE]
            for key, made in stages.items():
                found.append(Signal(key, slice_, made, *self.enough(made, slice_)))
        return found

    def _stages(self, columns: Mapping[str, Any]) -> dict[str, Estimate]:
        confidence = self.monitor.confidence
        wrong, claims = columns["embedded"], columns["claims"]
        verdict = np.where(np.isnan(wrong), np.nan, wrong > 0)
        made = {
            EMBEDDED: _plain(
                verdict, "rate of answers in which the embedded model finds an unsupported claim", confidence
            )
        }
        made[CLAIMS] = _ratio(wrong, claims, confidence)
        asked = np.flatnonzero(~np.isnan(columns["chance"]))
        judged = int((~np.isnan(columns["judge"])).sum())
        made[RATE] = made[EMBEDDED]
        if len(asked):
            drawn = Drawn(asked, columns["judge"][asked], columns["chance"][asked])
            made[JUDGED] = two_phase_mean(
                verdict, drawn, bounds=(0.0, 1.0), confidence=confidence,
                estimand="rate of answers in which the judge finds an unsupported claim",
            ).estimate  # fmt: skip
        if judged:
            made[RATE] = made[JUDGED]
        return made


def labelled_rate(columns: Mapping[str, Any], confidence: float) -> Estimate | None:
    """The rate that people would find, by every stage; None where too few of the judged rows have a label.

    Without a judge the embedded model's verdict is the one that labels are split by.

    Args:
        columns: of rows ``[n]``, NaN where there is nothing: ``embedded`` (unsupported claims), ``judge`` and ``label``
            (0 or 1), ``chance`` of a row to be judged, and, where they differ, `LABEL_CHANCE` of it to be labelled.
        confidence: two-sided level.
    """
    labels, wrong = columns["label"], columns["embedded"]
    cheap = np.where(np.isnan(wrong), np.nan, (wrong > 0).astype(float))
    if np.isnan(columns["judge"]).all():
        asked, verdicts, chances = np.arange(len(labels)), cheap, np.ones(len(labels))
    else:
        asked, verdicts, chances = np.flatnonzero(~np.isnan(columns["chance"])), columns["judge"], columns["chance"]
    # Without chances of their own, people label some of what was judged, whatever it is: a common factor. With them,
    # neither draw knew of the other
    labelled = chances * columns.get(LABEL_CHANCE, 1.0)
    at = asked[~np.isnan(labels[asked]) & ~np.isnan(labelled[asked])]
    if len(at) < _ENOUGH_LABELS:
        return None
    judged, by_people = Drawn(asked, verdicts[asked], chances[asked]), Drawn(at, labels[at], labelled[at])
    estimand = "rate of answers in which people find an unsupported claim"
    return two_stage_rate(cheap, judged, by_people, confidence=confidence, estimand=estimand).estimate


def _plain(values: FloatArray, estimand: str, confidence: float) -> Estimate:
    from evalkit.monitoring.states import moments_in

    state = scored(values, low=0.0, high=1.0)
    return estimate(moments_in(state), Quantity(0.0, 1.0, estimand=estimand), confidence=confidence)


def _ratio(wrong: FloatArray, claims: FloatArray, confidence: float) -> Estimate:
    from metrics.base import Scores

    n = len(wrong)
    table = Scores(range(n), wrong, claims, np.ones(n), None, ())  # type: ignore[arg-type]
    quantity = Quantity(0.0, 1.0, estimand="rate of claims that the embedded model finds unsupported")
    return estimate(moments_of(table, low=0.0, high=1.0), quantity, confidence=confidence)


def _embedded(rows: WindowRows, at: Rows) -> tuple[FloatArray, FloatArray]:
    """Unsupported claims and all claims of each row ``[k]``; NaN where there is nothing to judge."""
    from judges.groundedness import groundedness_model

    outputs = [text or "" for text in rows.lists("output", at)]
    contexts = [context or [] for context in rows.lists("context", at)]
    found = groundedness_model().judge(outputs, contexts)
    known = np.array([each.reason is None for each in found], dtype=bool)
    wrong = np.array([float(sum(not claim.supported for claim in each.claims)) for each in found])
    claims = np.array([float(len(each.claims)) for each in found])
    return np.where(known, wrong, np.nan), np.where(known, claims, np.nan)


def _samples(rows: WindowRows, at: Rows) -> list[Sample]:
    columns = {name: rows.lists(name, at) for name in ("prompt", "output", "context", "error")}
    return [
        Sample(
            id=str(rows.ids[row]),
            output=columns["output"][place],
            prompt=columns["prompt"][place],
            context=tuple(columns["context"][place] or ()),
            error=columns["error"][place],
        )
        for place, row in enumerate(at.tolist())
    ]
