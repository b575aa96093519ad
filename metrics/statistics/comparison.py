"""Tests and intervals for two sets of plain numbers: paired comparison and Welch's difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metrics.base import Estimate, FloatArray, Scores
from metrics.errors import InputError
from metrics.statistics.intervals import t_interval, tail, tango_statistic
from metrics.statistics.pairing import compare_rows, influence_variance
from metrics.statistics.rows import Quantity


@dataclass(frozen=True, slots=True)
class Comparison:
    """A paired comparison of a with b, where higher scores are better.

    Attributes:
        difference: mean of a minus mean of b over the scored pairs, with its interval.
        p_value: against "a is worse than b by more than `margin`"; small means a is not inferior.
        p_two_sided: against "a and b are equal".
        n: scored pairs.
        effect_size: mean difference in standard deviations of the differences (Cohen's d_z); None where they
            do not vary.
        margin: the non-inferiority margin, in the scores' units.
        status: ``ok``; ``too_few_pairs`` or ``no_variation``: then the p-values are None.
        method: the test.
    """

    difference: Estimate
    p_value: float | None
    p_two_sided: float | None
    n: int
    effect_size: float | None
    margin: float
    status: Literal["ok", "too_few_pairs", "no_variation"]
    method: str


def compare_paired(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: Sequence[str] | None = None,
    margin: float = 0.0,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two scores of the same samples, pair by pair.

    Args:
        a, b: scores ``[n]``, higher is better; a pair with a NaN is left out and lowers the coverage.
        b: see `a`.
        clusters: one name per pair, where pairs are not independent.
        margin: how much worse a may be, at least 0.
        confidence: two-sided level of the interval of the difference.

    Rates (all scores 0 or 1, no clusters) use Tango's score test, McNemar's test without a margin; everything
    else a t test, clustered (CR2) where clusters are named. Too few pairs are a status, not an exception.
    `InputError` on different lengths, more than one dimension, or a negative margin.
    """
    left, right = _one_dimensional(a, "a"), _one_dimensional(b, "b")
    if len(left) != len(right) or (clusters is not None and len(clusters) != len(left)):
        sizes = f"{len(left)}, {len(right)}" + ("" if clusters is None else f" and {len(clusters)} clusters")
        raise InputError(f"a paired comparison needs one entry per pair on every side, got {sizes}")
    if not (math.isfinite(margin) and margin >= 0):
        raise InputError(f"the margin is {margin}; expected a number of at least 0 in the scores' units")
    names = None if clusters is None else [str(c) for c in clusters]
    rows = tuple(_rows(values, names) for values in (left, right))
    both = np.isfinite(left) & np.isfinite(right)
    differences = left[both] - right[both]
    n = len(differences)
    binary = n > 0 and bool(np.all(np.isin(left[both], (0, 1)) & np.isin(right[both], (0, 1))))
    quantity = Quantity(low=0.0, high=1.0, estimand="mean") if binary else Quantity(estimand="mean")
    if len(left):
        difference = compare_rows(rows[0], rows[1], quantity, confidence=confidence)
    else:
        tail(confidence)
        difference = Estimate(math.nan, coverage=0.0, method="no interval: no pairs", confidence=confidence)
    spread = float(np.std(differences, ddof=1)) if n > 1 else 0.0
    effect = (
        float(np.mean(differences)) / spread if spread > 1e-12 * float(np.abs(differences).max(initial=0)) else None
    )
    shown = [c for c, use in zip(names or (), both, strict=False) if use]
    if n < 2 or (names is not None and len(set(shown)) < 2):
        return Comparison(difference, None, None, n, effect, margin, "too_few_pairs", "none")
    if binary and names is None:
        wins, losses = int(np.sum(differences > 0)), int(np.sum(differences < 0))
        worse, equal = (tango_statistic(wins, losses, n, -margin), tango_statistic(wins, losses, n, 0.0))
        upper, two = float(special.ndtr(-worse)), float(2 * special.ndtr(-abs(equal)))
        return Comparison(difference, upper, two, n, effect, margin, "ok", "Tango's score test")
    scored = rows[0].select(np.flatnonzero(both))
    variance, degrees = influence_variance((differences - differences.mean()) / n, scored)
    if effect is None or not 0 < variance < math.inf:
        return Comparison(difference, None, None, n, effect, margin, "no_variation", "none")
    error = math.sqrt(variance)
    mean = float(differences.mean())
    upper = float(special.stdtr(degrees, -(mean + margin) / error))
    two = float(2 * special.stdtr(degrees, -abs(mean) / error))
    return Comparison(difference, upper, two, n, effect, margin, "ok", "clustered t test" if names else "paired t test")


def welch_difference(a: ArrayLike, b: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Mean of a minus mean of b for independent samples of unequal variance (Welch 1947); NaNs are left out."""
    offered = [_one_dimensional(a, "a"), _one_dimensional(b, "b")]
    x, y = (side[np.isfinite(side)] for side in offered)
    total = sum(len(side) for side in offered)
    value = float(x.mean() - y.mean()) if len(x) and len(y) else math.nan
    low: float | None = None
    high: float | None = None
    method = "no interval: too few samples or no variation"
    if min(len(x), len(y)) >= 2:
        errors = float(x.var(ddof=1)) / len(x), float(y.var(ddof=1)) / len(y)
        if sum(errors) > 0:
            degrees = sum(errors) ** 2 / (errors[0] ** 2 / (len(x) - 1) + errors[1] ** 2 / (len(y) - 1))
            low, high = t_interval(value, math.sqrt(sum(errors)), degrees, confidence=confidence)
            method = "Welch"
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=min(len(x), len(y)),
        coverage=(len(x) + len(y)) / total if total else 0.0,
        method=method,
        estimand="difference of means",
        confidence=confidence,
    )


def _one_dimensional(values: ArrayLike, name: str) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"'{name}' has entries that are not numbers; expected one score per pair") from None
    if array.ndim != 1:
        raise InputError(f"'{name}' has shape {array.shape}; expected one score per pair, shape (n,)")
    return array


def _rows(values: FloatArray, clusters: list[str] | None) -> Scores:
    ones = np.ones(len(values))
    reasons = [None if math.isfinite(v) else "not a number" for v in values]
    return Scores([str(i) for i in range(len(values))], values, ones, ones, clusters, reasons)
