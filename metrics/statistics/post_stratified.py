"""A rate from a cheap judge on everything, a better judge on a sample, and a person's labels on a few of those.

The labels are post-stratified by the better judge's verdict: the share of positive labels among what it calls positive,
negative and cannot tell, each weighted by how common that verdict is. Every count has a Beta posterior under Jeffreys's
prior, which stays right where a stratum has few labels or none of one kind, where normal intervals fail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import Estimate, FloatArray
from metrics.errors import InputError
from metrics.statistics.intervals import tail, wilson_interval
from metrics.statistics.two_phase import Drawn, two_phase_mean

Verdict = Literal["positive", "negative", "none"]

_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Stratum:
    """What one verdict of the better judge stands for.

    Attributes:
        share: how common the verdict is among everything.
        rate: positive labels among the labelled samples with this verdict, weighted; NaN without a label.
        labels: labelled samples with this verdict.
    """

    share: float
    rate: float
    labels: int


@dataclass(frozen=True, slots=True)
class TwoStageRate:
    """A rate of labels, helped by two judges.

    Attributes:
        estimate: with its interval; `n` counts labels, `effective_n` the plain labels that would be as tight.
        labels_alone: the rate of the same labels with Wilson's interval.
        judged: share that the better judge calls positive, helped by the cheap one; not corrected by labels.
        strata: by the better judge's verdict.
    """

    estimate: Estimate
    labels_alone: Estimate
    judged: Estimate
    strata: Mapping[Verdict, Stratum]


def two_stage_rate(
    cheap: ArrayLike,
    judged: Drawn,
    labels: Drawn,
    *,
    cut: float = 0.5,
    estimand: str = "rate of positive labels",
    confidence: float = 0.95,
) -> TwoStageRate:
    """Rate that a person would find over everything of a window, from few labels.

    Args:
        cheap: the cheap judge's verdicts on all samples ``[N]``, 0 to 1; NaN where it has none.
        judged: the better judge's verdicts, 0 to 1, on samples drawn from all; NaN where it has none.
        labels: a person's labels, 0 or 1, on samples drawn from the judged ones; NaN where there is none. Their
            `probabilities` are those of being drawn from everything, both draws together.
        cut: the better judge's verdict from which it counts as positive.
        estimand: what is estimated.
        confidence: two-sided level.

    All three come from one window: pool a trailing window by handing in all of its samples. Draws may have any known
    probabilities (strata, a floor per slice); a sample counts by 1 / probability, and unequal weights lower the
    effective counts (Kish). The value is the post-stratified mean (Cochran 1977, section 5A.9); the interval holds the
    central part of the posterior of ``sum(share * rate)``. `coverage` is the share of drawn labels that exist.

    No interval without a label. `InputError` on labels other than 0 and 1, verdicts outside 0 to 1, lengths that do
    not match, or labels on samples that the better judge was not given.
    """
    tail(confidence)
    everything, middle, drawn = _checked(cheap, judged, labels)
    verdicts = np.full(len(everything), math.nan)
    verdicts[middle.rows] = middle.values
    called = _called(middle.values, cut)
    shares, judged_rate = _shares(everything, middle, called, confidence)
    known = np.isfinite(drawn.values)
    last = _Draws(drawn.rows[known], drawn.values[known], drawn.weights[known])
    of_label = _called(verdicts[last.rows], cut)
    strata: dict[Verdict, Stratum] = {}
    rates: dict[Verdict, _Count] = {}
    for name in shares:
        inside = of_label == name
        counts = _weighted(last.values[inside], last.weights[inside])
        rates[name] = counts
        strata[name] = Stratum(shares[name].rate, counts.rate, int(inside.sum()))
    alone = _alone(last, drawn, estimand, confidence)
    estimate = _combined(
        shares, rates, alone, weighted=bool(np.ptp(drawn.weights) > 1e-12) if len(drawn.weights) else False
    )
    return TwoStageRate(estimate, alone, judged_rate, strata)


@dataclass(frozen=True, slots=True)
class _Draws:
    rows: np.ndarray[tuple[int], np.dtype[np.intp]]
    values: FloatArray
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class _Count:
    """A rate and the independent trials that it is worth."""

    rate: float
    n: float

    def posterior(self, rng: np.random.Generator) -> FloatArray:
        hits = 0.0 if self.n == 0 else self.rate * self.n
        return rng.beta(hits + 0.5, self.n - hits + 0.5, _DRAWS)


def _weighted(values: FloatArray, weights: FloatArray) -> _Count:
    if not len(values):
        return _Count(math.nan, 0.0)
    total = float(weights.sum())
    rate = min(1.0, float(weights @ values) / total)  # rounding must not take a rate past 1
    return _Count(rate, total**2 / float(weights @ weights))


def _called(verdicts: FloatArray, cut: float) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    return np.where(np.isnan(verdicts), "none", np.where(verdicts >= cut, "positive", "negative"))


def _checked(cheap: ArrayLike, judged: Drawn, labels: Drawn) -> tuple[FloatArray, _Draws, _Draws]:
    everything = np.asarray(cheap, dtype=np.float64)
    if everything.ndim != 1 or not len(everything):
        raise InputError(f"the cheap judge's verdicts have shape {everything.shape}; expected one per sample")
    sides = []
    for given, name in ((judged, "judged"), (labels, "labels")):
        rows, values = np.asarray(given.rows), np.asarray(given.values, dtype=np.float64)
        chances = np.ones(len(values)) if given.probabilities is None else np.asarray(given.probabilities, np.float64)
        if values.ndim != 1 or rows.shape != values.shape or chances.shape != values.shape:
            raise InputError(f"'{name}': rows, values and probabilities differ in length; expected one of each a draw")
        if len(rows) and not (
            np.issubdtype(rows.dtype, np.integer) and 0 <= rows.min() <= rows.max() < len(everything)
        ):
            raise InputError(f"'{name}' has a row outside the {len(everything)} samples of the window")
        if not np.all(np.isfinite(chances) & (chances > 0)):
            raise InputError(f"'{name}' needs one positive probability for each of its {len(values)} values")
        sides.append(_Draws(rows.astype(np.intp), values, 1 / chances))
    middle, drawn = sides
    if not np.all(np.isnan(drawn.values) | np.isin(drawn.values, (0, 1))):
        raise InputError("a label is neither 0 nor 1; expected 1 where a person finds what is counted")
    for values, name in ((everything, "the cheap judge"), (middle.values, "the better judge")):
        if np.any((values < 0) | (values > 1)):
            raise InputError(f"a verdict of {name} is outside 0 to 1")
    if len(middle.rows) == 0:
        raise InputError("the better judge has no sample; without it use a rate of the labels alone")
    if outside := int(np.sum(~np.isin(drawn.rows, middle.rows))):
        raise InputError(f"{outside} labels are on samples outside 'judged'; draw the labels from its samples")
    return everything, middle, drawn


def _shares(
    everything: FloatArray, middle: _Draws, called: np.ndarray[tuple[int], np.dtype[np.str_]], confidence: float
) -> tuple[dict[Verdict, _Count], Estimate]:
    """How common each verdict is, as nested counts: "no verdict", then "positive" among those with one."""
    lost = _weighted((called == "none") * 1.0, middle.weights)
    told = called != "none"
    positive = Drawn(middle.rows[told], (called[told] == "positive") * 1.0, 1 / middle.weights[told])
    found = two_phase_mean(
        everything, positive, bounds=(0.0, 1.0), estimand="share that the judge calls positive", confidence=confidence
    ).estimate
    count = _Count(found.value, max(1.0, found.effective_n or float(found.n))) if told.any() else _Count(math.nan, 0.0)
    rate = 0.0 if math.isnan(count.rate) else count.rate
    return {
        "none": lost,
        "positive": _Count((1 - lost.rate) * rate, count.n),
        "negative": _Count((1 - lost.rate) * (1 - rate), count.n),
    }, found


def _alone(last: _Draws, drawn: _Draws, estimand: str, confidence: float) -> Estimate:
    count = _weighted(last.values, last.weights)
    low, high = wilson_interval(count.rate, count.n, confidence=confidence) if count.n else (None, None)
    return Estimate(
        count.rate, low, high, n=len(last.values), effective_n=count.n or None, coverage=_coverage(last, drawn),
        method="Wilson on the effective n" if count.n else "no interval: no label", estimand=estimand,
        confidence=confidence,
    )  # fmt: skip


def _coverage(last: _Draws, drawn: _Draws) -> float:
    return float(last.weights.sum() / drawn.weights.sum()) if len(drawn.weights) else 0.0


def _combined(
    shares: Mapping[Verdict, _Count],
    rates: Mapping[Verdict, _Count],
    alone: Estimate,
    *,
    weighted: bool,
) -> Estimate:
    if alone.n == 0:
        return alone
    rng = np.random.default_rng(9)
    value, total = 0.0, np.zeros(_DRAWS)
    lost = shares["none"]
    none = lost.posterior(rng) if lost.rate > 0 else np.zeros(_DRAWS)
    told = shares["positive"]
    split = 1 - lost.rate
    positive = _Count(told.rate / split, told.n).posterior(rng) if split > 0 else np.zeros(_DRAWS)
    weights = {"none": none, "positive": (1 - none) * positive, "negative": (1 - none) * (1 - positive)}
    for name, share in shares.items():
        if share.rate > 0:
            value += share.rate * (alone.value if math.isnan(rates[name].rate) else rates[name].rate)
        total += weights[name] * rates[name].posterior(rng)
    miss = tail(alone.confidence)
    low, high = (float(end) for end in np.quantile(total, [miss, 1 - miss]))
    value = min(1.0, value)
    variance = float(total.var())
    covered = alone.coverage
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        n=alone.n,
        effective_n=float(total.mean()) * (1 - float(total.mean())) / variance,
        coverage=covered,
        worst_low=value * covered,
        worst_high=value * covered + 1 - covered,
        method="post-stratified by the judge's verdict, Jeffreys posteriors" + (", weighted" if weighted else ""),
        estimand=f"{alone.estimand} over the population of the window",
        confidence=alone.confidence,
    )
