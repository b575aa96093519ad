"""Verdicts as a metric: the mean over samples, and the share on the right side of a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np

from judges.base import SUSPECTED_INJECTION
from metrics.base import PRIMARY, Batch, Direction, Metric, MetricSpec, SampleMetric, Score, Scores, State
from metrics.catalogue import get as catalogued
from metrics.errors import InputError
from metrics.scoring import errors_of, rows
from metrics.statistics.rows import Quantity

RATE = "rate"
SUSPECTED = "suspected"
VERDICT = "verdict."
"""How columns of verdicts are named."""
_SETTING = "judged"


@dataclass(frozen=True, slots=True)
class Judging:
    """What a judged metric is, JSON-ready: enough to read its stored scores without the judge.

    Attributes:
        name: in addresses.
        measures: one line for people.
        low, high: range of a verdict; None is unbounded.
        direction: which way is better.
        threshold: from where on a sample counts in ``rate``; None where there is no such rate.
        safety: whether it belongs to the safety part of a scorecard.
        judge: identity of the judge: what its verdicts depend on.
        complement: whether the score is one minus the verdict; ``rate`` is then the share of scores above 0.
        probed: whether good verdicts are probed with another question; ``suspected`` is then the share of outputs that
            the detector or the probe took for addressing the judge.
    """

    name: str
    measures: str
    low: float | None = None
    high: float | None = None
    direction: Direction = "higher"
    threshold: float | None = None
    safety: bool = False
    judge: Mapping[str, Any] | None = None
    complement: bool = False
    probed: bool = False

    def settings(self) -> dict[str, Any]:
        """The settings from which `get_metric` makes the metric again."""
        return {_SETTING: {k: v for k, v in asdict(self).items() if v is not None and v is not False}}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Read what `settings` wrote."""
        given = settings[_SETTING]
        unknown = set(given) - {field.name for field in fields(cls)}
        if unknown:
            raise InputError(f"a judged metric has no field '{sorted(unknown)[0]}'")
        return cls(**given)

    @property
    def column(self) -> str:
        """Column of `Batch` with one `Score` per sample."""
        return VERDICT + self.name


class JudgedMetric(SampleMetric):
    """Mean verdict of a judge over samples. Subclasses made by `judged_metric` carry the judge's name and scale."""

    judging: Judging

    def __init__(self) -> None:
        super().__init__()
        self.settings = self.judging.settings()

    def score(self, batch: Batch) -> Scores:
        """The verdicts' values; unscored ones keep their reason."""
        verdicts: list[Score] = batch.column(self.judging.column, self.spec.name)
        reasons = [error or verdict.reason for error, verdict in zip(errors_of(batch), verdicts, strict=True)]
        values = np.array([np.nan if verdict.value is None else verdict.value for verdict in verdicts])
        return rows(batch, 1 - values if self.judging.complement else values, reasons)

    def quantities(self) -> dict[str, Quantity]:
        """The mean, and the rate where there is a threshold."""
        spec = self.spec
        found = {PRIMARY: Quantity(low=spec.low, high=spec.high, estimand=spec.estimand)}
        if self.judging.threshold is not None:
            found[RATE] = Quantity(
                low=0.0, high=1.0, estimand=f"rate of samples of at least {self.judging.threshold:g}"
            )
        if self.judging.probed:
            found[SUSPECTED] = Quantity(low=0.0, high=1.0, estimand="rate of outputs suspected of addressing it")
        return found

    def components(self, scores: Scores) -> dict[str, Scores]:
        """The verdicts themselves, and which of them reach the threshold."""
        found = {PRIMARY: scores}
        if self.judging.threshold is not None:
            reached = np.where(np.isnan(scores.values), np.nan, scores.values >= self.judging.threshold)
            found[RATE] = replace(scores, values=reached)
        if self.judging.probed:
            found[SUSPECTED] = _suspected(scores)
        return found


def _suspected(scores: Scores) -> Scores:
    """1 for a suspected output, 0 for a scored one; any other without a verdict says nothing."""
    suspected = np.array([reason == SUSPECTED_INJECTION for reason in scores.reasons], dtype=bool)
    values = np.where(suspected, 1.0, np.where(np.isnan(scores.values), np.nan, 0.0))
    left = [None if hit else reason for hit, reason in zip(suspected, scores.reasons, strict=True)]
    return replace(scores, values=values, reasons=left)


def judged_metric(judging: Judging) -> JudgedMetric:
    """The metric of one judge in one task."""
    bounded = (judging.low, judging.high) == (0.0, 1.0)
    rate = {} if judging.threshold is None else {RATE: f"share of samples judged {judging.threshold:g} or more"}
    if judging.probed:
        rate[SUSPECTED] = "share of outputs suspected of addressing the judge"
    spec = MetricSpec(
        name=judging.name,
        measures=judging.measures,
        low=judging.low,
        high=judging.high,
        direction=judging.direction,
        quadrant="safety" if judging.safety else "quality",
        needs=(judging.column,),
        estimand="mean verdict of this judge in the population of prompts; what people would say is another number",
        interval=("Wilson for verdicts of 0 and 1, else t" if bounded else "t") + "; clustered where samples share one",
        validity="independent samples or clusters; about this judge's verdicts, not about the truth behind them",
        source="the judge's verdicts",
        keys=rate,
        key_directions={SUSPECTED: "lower"},  # also where only the suite's text tells of the judge
    )
    made = type("JudgedMetric", (JudgedMetric,), {"spec": spec, "judging": judging, "__doc__": JudgedMetric.__doc__})
    metric: JudgedMetric = made()
    return metric


def get_metric(name: str, *, reference: State | None = None, **settings: Any) -> Metric:
    """A metric by name: that of a judge where the settings carry one, else the catalogue's."""
    if _SETTING in settings:
        return judged_metric(Judging.from_settings(settings))
    return catalogued(name, **({"reference": reference} if reference is not None else {}), **settings)


def spec_of(name: str, settings: Mapping[str, Any] | None) -> MetricSpec:
    """The specification behind a stored metric, from its recorded settings."""
    if settings and _SETTING in settings:
        return judged_metric(Judging.from_settings(settings)).spec
    return _catalogued_spec(name)


@lru_cache
def _catalogued_spec(name: str) -> MetricSpec:
    from metrics.catalogue import metric_class

    return metric_class(name).spec
