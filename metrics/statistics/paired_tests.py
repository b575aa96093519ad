"""Tests of two versions on the same samples without a normal mean: McNemar, Wilcoxon signed-rank, permutation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metrics.base import Estimate, FloatArray
from metrics.errors import InputError
from metrics.statistics.comparison import compare_paired
from metrics.statistics.intervals import tail
from metrics.statistics.moments import cluster_positions

Alternative = Literal["two-sided", "greater", "less"]

EXACT_UP_TO = 50
"""Differences up to which the signed-rank distribution is computed, not approximated."""

_CELLS = 4_000_000


@dataclass(frozen=True, slots=True)
class SignificanceTest:
    """The outcome of a test of a against b.

    Attributes:
        p_value: None where the test has nothing to go on; `method` then says why.
        statistic: the test's own statistic.
        n: samples that count (all pairs, or both sides together).
        method: the test, and how its p-value was found.
        alternative: ``greater`` means that a is larger.
        difference: a minus b with an interval, in the sense of the test.
    """

    p_value: float | None
    statistic: float
    n: int
    method: str
    alternative: Alternative
    difference: Estimate


def mcnemar(
    a: ArrayLike, b: ArrayLike, *, mid_p: bool = True, alternative: Alternative = "two-sided", confidence: float = 0.95
) -> SignificanceTest:
    """McNemar's test of two paired rates, from the exact binomial distribution of the discordant pairs.

    Args:
        a, b: 0 or 1 per sample ``[n]``; a pair with a NaN is left out.
        b: see `a`.
        mid_p: count half of the observed outcome's probability: close to the nominal level where the exact test is
            far below it (Fagerland, Lydersen and Laake 2013).
        alternative: ``greater``: the rate of a is higher.
        confidence: two-sided level of the difference's interval (Tango's).

    The statistic is the number of pairs in which only a scored 1. Without discordant pairs p is 1 (exact) or None
    (mid-p). `InputError` on other values than 0 and 1. Exact values agree with statsmodels.
    """
    _check_alternative(alternative)
    left, right = _pairs(a, b)
    if not np.all(np.isin(left, (0, 1)) & np.isin(right, (0, 1))):
        raise InputError("McNemar's test compares rates: every score must be 0 or 1; use wilcoxon_signed_rank instead")
    difference = compare_paired(a, b, confidence=confidence).difference
    wins, losses = int(np.sum(left > right)), int(np.sum(left < right))
    discordant = wins + losses
    method = "McNemar, mid-p" if mid_p else "McNemar, exact"
    if discordant == 0:
        p = None if mid_p else 1.0
        return SignificanceTest(p, 0.0, len(left), method + ": no discordant pairs", alternative, difference)
    own = _binomial(wins, discordant)
    upper = float(special.bdtrc(wins - 1, discordant, 0.5)) if wins else 1.0
    lower = float(special.bdtr(wins, discordant, 0.5))
    half = own / 2 if mid_p else 0.0
    p = {
        "greater": upper - half,
        "less": lower - half,
        "two-sided": min(1.0, 2 * min(upper, lower) - 2 * half),
    }[alternative]
    return SignificanceTest(p, float(wins), len(left), method, alternative, difference)


def wilcoxon_signed_rank(
    a: ArrayLike, b: ArrayLike, *, alternative: Alternative = "two-sided", confidence: float = 0.95
) -> SignificanceTest:
    """Wilcoxon's signed-rank test, with the Hodges-Lehmann estimate of the shift and its interval.

    Args:
        a, b: scores ``[n]``; a pair with a value that is not finite is left out and lowers the coverage.
        b: see `a`.
        alternative: ``greater``: a is larger.
        confidence: two-sided level of the interval of the pseudo-median.

    Zero differences are ranked and then dropped (Pratt 1959). p is exact up to 50 differences without ties or zeros,
    else normal with tie correction, as in `scipy.stats.wilcoxon`. The interval inverts the test over the Walsh
    averages: exact for continuous symmetric differences, conservative with ties.
    """
    _check_alternative(alternative)
    offered = len(np.asarray(a))
    left, right = _pairs(a, b)
    gaps = left - right
    difference = _pseudo_median(gaps, offered, confidence)
    moved = gaps[gaps != 0]
    n = len(moved)
    if n == 0:
        method = "signed-rank: no pair differs"
        return SignificanceTest(None, 0.0, len(gaps), method, alternative, difference)
    sizes = np.abs(gaps)
    ranks = _mid_ranks(sizes)
    used = ranks[gaps != 0]
    statistic = float(used[moved > 0].sum())
    exact = n == len(gaps) and n <= EXACT_UP_TO and len(np.unique(sizes)) == n
    if exact:
        masses = _signed_rank_masses(n)
        at = round(statistic)
        lower, upper = float(masses[: at + 1].sum()), float(masses[at:].sum())
    else:
        # Sum of independent signed ranks: its variance under the null is exact whatever the ties.
        centre, deviation = float(used.sum()) / 2, math.sqrt(float(used @ used)) / 2
        z = (statistic - centre) / deviation
        lower, upper = float(special.ndtr(z)), float(special.ndtr(-z))
    p = {"greater": upper, "less": lower, "two-sided": min(1.0, 2 * min(lower, upper))}[alternative]
    name = "signed-rank, exact" if exact else "signed-rank, normal, Pratt's zeros"
    return SignificanceTest(p, statistic, len(gaps), name, alternative, difference)


def permutation_paired(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: Sequence[str] | None = None,
    permutations: int = 9999,
    seed: int = 0,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> SignificanceTest:
    """Sign-flip permutation test of the mean paired difference; p = (1 + b) / (1 + P), never 0.

    Args:
        a, b: scores ``[n]``; a pair with a value that is not finite is left out.
        b: see `a`.
        clusters: one name per pair: the differences of a cluster flip together.
        permutations: random flips P; b of them are at least as extreme as what was seen.
        seed: of the flips.
        alternative: ``greater``: the mean of a is larger.
        confidence: two-sided level of the difference's interval (see `compare_paired`).

    Valid at any n and with any distribution that is symmetric about 0 under the null (Phipson and Smyth 2010 for p).
    """
    _check_permutations(permutations, alternative)
    difference = compare_paired(a, b, clusters=clusters, confidence=confidence).difference
    x, y = (np.asarray(side, dtype=np.float64) for side in (a, b))
    both = np.isfinite(x) & np.isfinite(y)
    gaps = (x - y)[both]
    n = len(gaps)
    if n == 0:
        return SignificanceTest(None, math.nan, 0, "sign flips: no scored pairs", alternative, difference)
    units: FloatArray = gaps
    if clusters is not None:
        positions, count = cluster_positions([str(c) for c, use in zip(clusters, both, strict=True) if use])
        units = np.bincount(positions, weights=gaps, minlength=count).astype(np.float64)
    rng = np.random.default_rng(seed)

    def flips(size: int) -> FloatArray:
        signs = 2.0 * rng.integers(0, 2, (size, len(units)), dtype=np.int8) - 1.0
        return np.asarray(signs @ units, dtype=np.float64)

    observed = float(units.sum())
    p = _permutation_p(flips, observed, permutations, len(units), float(np.abs(units).sum()), alternative=alternative)
    method = f"sign flips, {permutations} permutations" + (", clustered" if clusters is not None else "")
    return SignificanceTest(p, observed / n, n, method, alternative, difference)


def _permutation_p(
    draw: Callable[[int], FloatArray],
    observed: float,
    permutations: int,
    width: int,
    scale: float,
    *,
    alternative: Alternative,
) -> float:
    """P-value from `draw(count)`; values within rounding of the observed one count as equally extreme."""
    slack = 1e-12 * scale
    extreme = 0
    step = max(1, _CELLS // width)
    for start in range(0, permutations, step):
        values = draw(min(step, permutations - start))
        if alternative == "two-sided":
            hits = np.abs(values) >= abs(observed) - slack
        elif alternative == "greater":
            hits = values >= observed - slack
        else:
            hits = values <= observed + slack
        extreme += int(hits.sum())
    return (1 + extreme) / (1 + permutations)


def permutation_two_sample(
    a: ArrayLike,
    b: ArrayLike,
    *,
    permutations: int = 9999,
    seed: int = 0,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> SignificanceTest:
    """Permutation test of the difference of means of two independent samples; p = (1 + b) / (1 + P), never 0.

    Args:
        a, b: scores ``[n]`` and ``[m]``; values that are not finite are left out.
        b: see `a`.
        permutations: random relabellings P.
        seed: of the relabellings.
        alternative: ``greater``: the mean of a is larger.
        confidence: two-sided level of the difference's interval (Welch's).

    Exact at any size against "both samples have the same distribution"; with different variances and sizes it also
    answers to those, as any test of that hypothesis.
    """
    from metrics.statistics.comparison import welch_difference

    _check_permutations(permutations, alternative)
    difference = welch_difference(a, b, confidence=confidence)
    x, y = (side[np.isfinite(side)] for side in (np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)))
    n, m = len(x), len(y)
    if n == 0 or m == 0:
        return SignificanceTest(None, math.nan, n + m, "relabelling: a side is empty", alternative, difference)
    pooled = np.concatenate([x, y])
    centred = pooled - pooled.mean()  # the difference of means is then proportional to a's sum
    rng = np.random.default_rng(seed)
    small = min(n, m)
    sign = 1.0 if n <= m else -1.0

    def relabel(size: int) -> FloatArray:
        order = rng.permuted(np.broadcast_to(np.arange(n + m, dtype=np.int32), (size, n + m)), axis=1)
        sums: FloatArray = centred[order[:, :small]].sum(axis=1)
        return sign * sums

    observed = float(centred[:n].sum())
    p = _permutation_p(relabel, observed, permutations, n + m, float(np.abs(centred).sum()), alternative=alternative)
    return SignificanceTest(
        p, float(x.mean() - y.mean()), n + m, f"relabelling, {permutations} permutations", alternative, difference
    )


def _pairs(a: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray]:
    try:
        x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("the scores have entries that are not numbers; expected one number per pair") from None
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"a paired test needs one score per pair on either side, got shapes {x.shape} and {y.shape}")
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def _check_alternative(alternative: str) -> None:
    if alternative not in {"two-sided", "greater", "less"}:
        raise InputError(f"alternative {alternative!r}; expected 'two-sided', 'greater' or 'less'")


def _check_permutations(permutations: int, alternative: str) -> None:
    _check_alternative(alternative)
    if permutations < 1:
        raise InputError(f"{permutations} permutations; expected at least 1")


def _binomial(k: int, n: int) -> float:
    """Probability of k heads in n fair throws."""
    return math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))


def _mid_ranks(values: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: FloatArray = (ends - (counts - 1) / 2)[inverse]
    return ranks


def _signed_rank_masses(n: int) -> FloatArray:
    """Probabilities of the sums 0 .. n (n + 1) / 2 of positive ranks under the null."""
    masses = np.ones(1)
    for rank in range(1, n + 1):
        grown = np.zeros(len(masses) + rank)
        grown[: len(masses)] += masses / 2
        grown[rank:] += masses / 2
        masses = grown
    return masses


def _pseudo_median(gaps: FloatArray, offered: int, confidence: float) -> Estimate:
    """Hodges-Lehmann estimate: median of the Walsh averages, with the interval that inverts the test."""
    alpha = tail(confidence)
    n = len(gaps)
    walsh = n * (n + 1) // 2
    value = math.nan
    low: float | None = None
    high: float | None = None
    method = f"no interval: {n} pairs are too few for {confidence:g}"
    if n:
        ordered = np.sort(gaps)
        value = (_walsh_order(ordered, (walsh + 1) // 2) + _walsh_order(ordered, walsh // 2 + 1)) / 2
        if n <= EXACT_UP_TO:
            rank = int(np.sum(np.cumsum(_signed_rank_masses(n)) <= alpha))
        else:
            deviation = math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
            rank = max(0, math.floor(walsh / 2 + float(special.ndtri(alpha)) * deviation))
        if rank >= 1:
            low, high = _walsh_order(ordered, rank), _walsh_order(ordered, walsh + 1 - rank)
            method = "Hodges-Lehmann, Walsh averages"
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=n,
        coverage=n / offered if offered else 0.0,
        method=method,
        estimand="pseudo-median of the differences",
        confidence=confidence,
    )


def _walsh_order(ordered: FloatArray, rank: int) -> float:
    """The `rank`-th smallest of all averages of two values (each with itself too), without listing them."""
    low, high = float(ordered[0]), float(ordered[-1])
    scale = max(abs(low), abs(high))
    for _ in range(200):
        if high - low <= 1e-14 * scale:
            break
        middle = low + (high - low) / 2
        pairs = int(np.searchsorted(ordered, 2 * middle - ordered, side="right").sum())
        alone = int(np.searchsorted(ordered, middle, side="right"))
        if (pairs + alone) // 2 >= rank:
            high = middle
        else:
            low = middle
    return high
