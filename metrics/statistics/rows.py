"""From the moments of scored rows to an `Estimate`: one estimator for streams, shards and stored rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from metrics.base import Estimate, FloatArray
from metrics.errors import InputError
from metrics.statistics.intervals import (
    Interval,
    constant_interval,
    quantile_interval,
    t_interval,
    tail,
    wilson_interval,
)
from metrics.statistics.moments import Clusters, Moments, Numbers

FEW_OFF_THE_EDGE = 30
"""Fewer effective scores than this off the end of their range, and a t interval would miss too often."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is estimated from rows.

    Attributes:
        low, high: range of one sample's score; None is unbounded.
        scale: ``log`` when the value is the exponential of the rows' ratio (perplexity).
        estimand: what the value estimates.
        fewest: no interval from fewer samples.
    """

    low: float | None = None
    high: float | None = None
    scale: Literal["identity", "log"] = "identity"
    estimand: str = ""
    fewest: int = 2

    @property
    def range(self) -> Interval | None:
        """Both ends of the score's range, where it has both."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class Variance(NamedTuple):
    """Variance of a ratio, its degrees of freedom and the number of independent samples it is worth."""

    value: float
    degrees: float
    effective_n: float
    units: float


def estimate(moments: Moments, quantity: Quantity, *, confidence: float = 0.95) -> Estimate:
    """Return the estimate of a mean, rate or ratio with the interval that suits it.

    Wilson for rates, Student's t elsewhere (the delta method for ratios), with CR2 clustered errors where
    samples share a cluster; the method names it. `InputError` for a confidence outside (0, 1).
    """
    tail(confidence)
    numbers = moments.numbers
    offered = numbers.n + numbers.missing
    worst_low, worst_high = _worst(numbers, quantity)
    defined = numbers.n > 0 and numbers.mean_v != 0
    ratio = numbers.mean_u / numbers.mean_v if defined else math.nan
    interval: Interval | None = None
    effective: float | None = None
    if not defined:
        method = "no interval: no sample was scored" if numbers.n == 0 else "no interval: the denominators are all 0"
    elif (reason := _too_few(moments, quantity)) is not None:
        method = reason
    else:
        variance = variance_of(moments, ratio)
        effective = variance.effective_n
        interval, method = _interval(moments, quantity, ratio, variance, confidence)
    if interval is not None and quantity.scale == "log":
        interval = (_exp(interval[0]), _exp(interval[1]))
    return Estimate(
        value=_exp(ratio) if quantity.scale == "log" else ratio,
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        n=int(numbers.n),
        effective_n=effective,
        coverage=numbers.n / offered if offered else 0.0,
        worst_low=worst_low,
        worst_high=worst_high,
        method=method,
        estimand=quantity.estimand,
        confidence=confidence,
    )


def quantile_estimate(
    values: FloatArray, quantile: float, *, missing: int = 0, estimand: str = "", confidence: float = 0.95
) -> Estimate:
    """Return a quantile (linear interpolation) with its order-statistic interval; samples count as independent."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    interval = quantile_interval(ordered, quantile, confidence=confidence)
    few = f"no interval: {n} samples are too few for this quantile at {confidence:g}"
    return Estimate(
        value=float(np.quantile(ordered, quantile)) if n else math.nan,
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        n=n,
        effective_n=float(n),
        coverage=n / (n + missing) if n + missing else 0.0,
        method=few if interval is None else "order statistics",
        estimand=estimand or f"quantile {quantile:g}",
        confidence=confidence,
    )


def variance_of(moments: Moments, ratio: float) -> Variance:
    """Linearised variance of ``sum(u) / sum(v)``: rows, or clusters with the CR2 correction.

    CR2 (Bell and McCaffrey 2002) divides each cluster's squared residual by one minus its share, which for
    equal clusters is the usual factor ``clusters / (clusters - 1)``. Degrees of freedom: clusters - 1.
    """
    numbers = moments.numbers
    total = numbers.n * numbers.mean_v
    squares = max(0.0, numbers.uu - 2 * ratio * numbers.uv + ratio * ratio * numbers.vv)
    rows = squares * numbers.n / (numbers.n - 1) / total**2
    kish = numbers.weight**2 / numbers.weight_squares
    if moments.clusters is None:
        return Variance(rows, numbers.n - 1, min(kish, numbers.n), kish)
    count = len(moments.clusters)
    clustered = cluster_variance(moments.clusters, ratio, total)
    if clustered <= _negligible(ratio) ** 2:  # every cluster has the same mean: by chance, not by design
        return Variance(rows, count - 1, float(count), float(count))
    effective = min(numbers.n, kish * rows / clustered) if rows > 0 else float(count)
    return Variance(clustered, count - 1, max(1.0, effective), float(count))


def cluster_variance(clusters: Clusters, ratio: float, total: float) -> float:
    """CR2 variance of a ratio from cluster sums."""
    residuals = clusters.sums[:, 0] - ratio * clusters.sums[:, 1]
    left = 1 - clusters.sums[:, 1] / total
    if np.any(left <= 0):
        return math.inf
    return float(np.sum(residuals**2 / left)) / total**2


def _too_few(moments: Moments, quantity: Quantity) -> str | None:
    if moments.numbers.n < max(2, quantity.fewest):
        return f"no interval: {moments.numbers.n:g} scored, {max(2, quantity.fewest)} needed"
    if moments.clusters is not None and len(moments.clusters) < 2:
        return "no interval: all samples share one cluster"
    return None


def _interval(
    moments: Moments, quantity: Quantity, ratio: float, variance: Variance, confidence: float
) -> tuple[Interval | None, str]:
    numbers, clustered = moments.numbers, moments.clusters is not None
    weighted = numbers.weight_squares * numbers.n > numbers.weight**2 * (1 + 1e-12)
    suffix = (", clustered" if clustered else "") + (", weighted" if weighted else "")
    bounds = quantity.range if numbers.non_unit == 0 else None
    if bounds == (0.0, 1.0) and numbers.non_binary == 0:
        rate = min(1.0, max(0.0, ratio))
        if not clustered and not weighted:
            return wilson_interval(rate, numbers.n, confidence=confidence), "Wilson"
        return _score_interval(rate, variance, numbers.n, confidence), "Wilson on the effective n" + suffix
    scale = max(abs(numbers.smallest), abs(numbers.largest), 0.0 if bounds is None else bounds[1] - bounds[0])
    constant = math.isfinite(scale) and numbers.largest - numbers.smallest <= _negligible(scale)
    if constant or variance.value == 0:
        if bounds is None:
            return None, "no interval: all scores are equal and their range is unbounded"
        interval = constant_interval(ratio, max(2.0, variance.units), *bounds, confidence=confidence)
        return interval, "bound on unseen scores (all scores are equal)" + suffix
    if not math.isfinite(variance.value):
        return None, "no interval: one cluster holds all the weight"
    off_the_edge = 1 - max(numbers.at_low, numbers.at_high) / numbers.n
    if bounds is not None and off_the_edge * variance.effective_n < FEW_OFF_THE_EDGE:
        # Nearly all scores sit at one end of the range: like a rate close to 0 or 1, the mean is skewed, its
        # variance is hardly known and a symmetric interval misses. No score in the range varies more than a rate
        # with the same mean, so that rate's interval is safe.
        low, width = bounds[0], bounds[1] - bounds[0]
        scaled = variance._replace(value=variance.value / width**2)
        ends = _score_interval((ratio - low) / width, scaled, variance.effective_n, confidence)
        return (low + width * ends[0], low + width * ends[1]), "Wilson, as wide as a rate's" + suffix
    name = "t" if numbers.non_unit == 0 else "t, delta method"
    if quantity.scale == "log":
        name += ", log scale"
    low, high = t_interval(ratio, math.sqrt(variance.value), variance.degrees, confidence=confidence)
    if quantity.low is not None:
        low = max(low, quantity.low)
    if quantity.high is not None:
        high = min(high, quantity.high)
    return (low, high), name + suffix


def _score_interval(rate: float, variance: Variance, most: float, confidence: float) -> Interval:
    own = rate * (1 - rate)
    effective = min(most, own / variance.value) if own > 0 and 0 < variance.value < math.inf else variance.units
    return wilson_interval(rate, effective, confidence=confidence, degrees=variance.degrees)


def _worst(numbers: Numbers, quantity: Quantity) -> tuple[float | None, float | None]:
    bounds = quantity.range
    everything = numbers.weight + numbers.missing_weight
    if bounds is None or quantity.scale == "log" or everything == 0 or numbers.non_unit:
        return None, None
    scored = numbers.n * numbers.mean_u
    return tuple((scored + numbers.missing_weight * end) / everything for end in bounds)  # type: ignore[return-value]


def _negligible(value: float) -> float:
    return 1e-12 * max(abs(value), 1e-300)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def mover(a: Estimate, b: Estimate) -> Interval | None:
    """Interval of ``a - b`` from the two intervals (MOVER; Zou and Donner 2008); None where either has none."""
    if a.confidence != b.confidence:
        raise InputError(f"the intervals have confidence {a.confidence} and {b.confidence}; they must agree")
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None
    gap = a.value - b.value
    low = gap - math.hypot(a.value - a.low, b.high - b.value)
    return low, gap + math.hypot(a.high - a.value, b.value - b.low)
