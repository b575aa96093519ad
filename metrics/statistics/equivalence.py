"""Equivalence by two one-sided tests, and effect sizes with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metrics.base import Estimate, FloatArray
from metrics.errors import InputError
from metrics.statistics.comparison import compare_paired, welch_difference
from metrics.statistics.intervals import Interval, normal_quantile, tail


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Whether two versions differ by less than a margin.

    Attributes:
        p_value: the larger of the two one-sided p-values; small means that the difference lies inside the margin.
            None where the test has nothing to go on.
        p_lower: against "a is worse than b by the margin or more".
        p_upper: against "a is better than b by the margin or more".
        difference: a minus b; at level alpha the versions are equivalent exactly when the interval at confidence
            1 - 2 alpha lies inside the margin.
        margin: in the scores' units.
        method: the test.
    """

    p_value: float | None
    p_lower: float | None
    p_upper: float | None
    difference: Estimate
    margin: float
    method: str


def equivalence_test(
    a: ArrayLike,
    b: ArrayLike,
    *,
    margin: float,
    paired: bool = True,
    clusters: Sequence[str] | None = None,
    confidence: float = 0.9,
) -> Equivalence:
    """Two one-sided tests of equivalence (TOST; Schuirmann 1987).

    Args:
        a, b: scores ``[n]`` (and ``[m]`` when not paired); values that are not finite are left out.
        b: see `a`.
        margin: the largest difference that counts as none, above 0.
        paired: the tests of `compare_paired` (score test for rates, clustered errors); else Welch's.
        clusters: one name per pair; paired only.
        confidence: two-sided level of the difference's interval; 0.9 belongs to a test at 0.05.

    p-values agree with statsmodels' ``ttost_paired`` and ``ttost_ind(usevar="unequal")``.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise InputError(f"the margin is {margin}; an equivalence test needs one above 0, in the scores' units")
    if paired:
        forward = compare_paired(a, b, clusters=clusters, margin=margin, confidence=confidence)
        backward = compare_paired(b, a, clusters=clusters, margin=margin, confidence=confidence)
        lower, upper, difference = forward.p_value, backward.p_value, forward.difference
        method = forward.method if forward.status == "ok" else forward.status
    else:
        if clusters is not None:
            raise InputError("clusters are for paired scores; leave them out, or give paired=True")
        difference = welch_difference(a, b, confidence=confidence)
        lower, upper = _welch_tails(a, b, margin) if difference.has_interval else (None, None)
        method = "Welch" if difference.has_interval else difference.method
    p = None if lower is None or upper is None else max(lower, upper)
    return Equivalence(p, lower, upper, difference, margin, f"two one-sided tests: {method}")


def _welch_tails(a: ArrayLike, b: ArrayLike, margin: float) -> tuple[float, float]:
    x, y = _finite(a), _finite(b)
    errors = float(x.var(ddof=1)) / len(x), float(y.var(ddof=1)) / len(y)
    error = math.sqrt(sum(errors))
    degrees = sum(errors) ** 2 / (errors[0] ** 2 / (len(x) - 1) + errors[1] ** 2 / (len(y) - 1))
    gap = float(x.mean() - y.mean())
    lower, upper = special.stdtr(degrees, -(gap + margin) / error), special.stdtr(degrees, (gap - margin) / error)
    return float(lower), float(upper)


def cohen_d(
    a: ArrayLike, b: ArrayLike, *, paired: bool = False, unbiased: bool = True, confidence: float = 0.95
) -> Estimate:
    """Standardised mean difference of a and b; above 0 where a is larger.

    Args:
        a, b: scores ``[n]`` and ``[m]``; values that are not finite are left out.
        b: see `a`.
        paired: in standard deviations of the differences (d_z); else in pooled standard deviations.
        unbiased: Hedges' correction (g), exact gamma form.
        confidence: two-sided level.

    The interval inverts the noncentral t distribution: exact for normal scores, of equal variance when not paired
    (Hedges and Olkin 1985; Steiger and Fouladi 1997).
    """
    tail(confidence)
    if paired:
        x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
        if x.ndim != 1 or x.shape != y.shape:
            raise InputError(f"paired scores need one value per pair, got shapes {x.shape} and {y.shape}")
        gaps = x - y
        kept = gaps[np.isfinite(gaps)]
        offered, n, degrees, mean = len(gaps), len(kept), len(kept) - 1, float(kept.mean()) if len(kept) else math.nan
        spread = float(kept.std(ddof=1)) if n > 1 else 0.0
        root = math.sqrt(n)
    else:
        x, y = _finite(a), _finite(b)
        offered, n, degrees = np.size(a) + np.size(b), len(x) + len(y), len(x) + len(y) - 2
        both = len(x) > 0 and len(y) > 0
        mean = float(x.mean() - y.mean()) if both else math.nan
        squares = len(x) * float(x.var()) + len(y) * float(y.var()) if both else 0.0
        spread = math.sqrt(squares / degrees) if degrees > 0 else 0.0
        root = math.sqrt(len(x) * len(y) / n) if both else 0.0
    value = math.nan
    ends: Interval | None = None
    method = "no interval: too few samples or no variation"
    if degrees > 0 and spread > 1e-12 * abs(mean):
        factor = _hedges(degrees) if unbiased else 1.0
        value = factor * mean / spread
        low, high = _noncentrality(mean / spread * root, degrees, confidence)
        ends = factor * low / root, factor * high / root
        method = "noncentral t"
    return Estimate(
        value=value,
        low=None if ends is None else ends[0],
        high=None if ends is None else ends[1],
        n=n,
        coverage=n / offered if offered else 0.0,
        method=method,
        estimand="mean difference in standard deviations" + (" of the differences" if paired else ""),
        confidence=confidence,
    )


def _hedges(degrees: int) -> float:
    """Factor that makes the standardised difference unbiased."""
    log = math.lgamma(degrees / 2) - math.lgamma((degrees - 1) / 2) if degrees > 1 else -math.inf
    return math.exp(log) / math.sqrt(degrees / 2)


def _noncentrality(t: float, degrees: int, confidence: float) -> Interval:
    """Noncentrality parameters at which `t` is the upper and the lower quantile."""
    alpha = tail(confidence)
    reach = 12 + abs(t)

    def end(level: float) -> float:
        low, high = t - reach, t + reach  # the distribution function falls as the noncentrality grows
        for _ in range(80):
            middle = (low + high) / 2
            if float(special.nctdtr(degrees, middle, t)) > level:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    return end(1 - alpha), end(alpha)


def cliff_delta(a: ArrayLike, b: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Cliff's delta: P(a > b) - P(a < b) for independent samples, -1 to 1; no assumption on the scores' scale.

    Args:
        a, b: scores ``[n]`` and ``[m]``, at least 2 each; values that are not finite are left out.
        b: see `a`.
        confidence: two-sided level.

    The interval is the asymmetric one of Feng and Cliff 2004 on the unbiased variance; where the samples do not
    overlap it has no width and is left out. The value is ``2 U / (n m) - 1`` with Mann and Whitney's U.
    """
    tail(confidence)
    x, y = np.sort(_finite(a)), np.sort(_finite(b))
    n, m = len(x), len(y)
    offered = np.size(a) + np.size(b)
    value = math.nan
    ends: Interval | None = None
    method = "no interval: fewer than 2 samples on a side"
    if n and m:
        rows = (np.searchsorted(y, x, "left") + np.searchsorted(y, x, "right") - m) / m
        columns = (2 * n - np.searchsorted(x, y, "left") - np.searchsorted(x, y, "right") - n) / n
        value = float(rows.mean())
        if min(n, m) >= 2:
            ends, method = _feng_cliff(rows, columns, value, x, y, confidence=confidence)
    return Estimate(
        value=value,
        low=None if ends is None else ends[0],
        high=None if ends is None else ends[1],
        n=n + m,
        coverage=(n + m) / offered if offered else 0.0,
        method=method,
        estimand="P(a > b) - P(a < b)",
        confidence=confidence,
    )


def _feng_cliff(
    rows: FloatArray, columns: FloatArray, value: float, x: FloatArray, y: FloatArray, *, confidence: float
) -> tuple[Interval | None, str]:
    n, m = len(rows), len(columns)
    ties = np.searchsorted(y, x, "right") - np.searchsorted(y, x, "left")
    dominance = float(n * m - ties.sum())  # sum of squared dominances
    row_squares, column_squares = float(np.sum((rows - value) ** 2)), float(np.sum((columns - value) ** 2))
    cells = dominance - n * m * value**2
    variance = (m**2 * row_squares + n**2 * column_squares - cells) / (n * m * (n - 1) * (m - 1))
    variance = max(variance, (1 - value**2) / (n * m - 1))
    if abs(value) >= 1:
        return None, "no interval: the samples do not overlap"
    q = normal_quantile(confidence)
    square = value * value
    half = q * math.sqrt(variance) * math.sqrt((1 - square) ** 2 + q * q * variance)
    centre, width = value - value**3, 1 - square + q * q * variance
    return ((centre - half) / width, (centre + half) / width), "Feng and Cliff"


def _finite(values: ArrayLike) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("the scores have entries that are not numbers") from None
    if array.ndim != 1:
        raise InputError(f"the scores have shape {array.shape}; expected one number per sample")
    kept: FloatArray = array[np.isfinite(array)]
    return kept
