"""Confidence sequences for bounded means: intervals that hold at every sample size at once, so that one may look
as often as one likes (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.base import Estimate, FloatArray
from metrics.errors import InputError
from metrics.statistics.intervals import tail

SequenceMethod = Literal["betting", "empirical-bernstein"]

GRID = 1000
"""Candidate means are this fraction of the range apart; the interval is rounded outwards to them."""

_TRUNCATION = 0.5
_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """Intervals of a mean after each sample.

    Attributes:
        low, high: running intersections ``[n]``, in the scores' units; they never widen.
        estimate: the mean of all samples with the last interval.
    """

    low: FloatArray
    high: FloatArray
    estimate: Estimate


def confidence_sequence(
    values: ArrayLike,
    *,
    low: float = 0.0,
    high: float = 1.0,
    method: SequenceMethod = "betting",
    confidence: float = 0.95,
) -> ConfidenceSequence:
    """Intervals of the mean of bounded scores that hold at all sample sizes together.

    Args:
        values: scores ``[n]`` in the order in which they came; NaNs are left out and lower the coverage.
        low, high: range of a score.
        high: see `low`.
        method: ``betting`` (hedged capital with predictable plug-in bets; tighter) or ``empirical-bernstein``
            (closed form; linear time).
        confidence: probability that no interval of the sequence misses the mean.

    Needs scores with one conditional mean (independent samples of one population); nothing about their shape.
    Conservative: coverage at any single n is above `confidence`. `InputError` on a score outside the range.
    ``betting`` agrees with ``betting_cs`` of the package confseq 0.0.11 at 1,000 breaks.
    """
    tail(confidence)
    if method not in {"betting", "empirical-bernstein"}:
        raise InputError(f"method {method!r}; expected 'betting' or 'empirical-bernstein'")
    x, offered = unit_scores(values, low, high)
    alpha = 1 - confidence
    width = high - low
    ends = (_betting if method == "betting" else _empirical_bernstein)(x, alpha)
    lower = low + width * np.maximum.accumulate(ends[0])
    upper = low + width * np.minimum.accumulate(ends[1])
    crossed = len(x) > 0 and lower[-1] > upper[-1]
    estimate = Estimate(
        value=low + width * float(x.mean()) if len(x) else math.nan,
        low=float(lower[-1]) if len(x) and not crossed else None,
        high=float(upper[-1]) if len(x) and not crossed else None,
        n=len(x),
        effective_n=float(len(x)),
        coverage=len(x) / offered if offered else 0.0,
        worst_low=low + width * float(x.sum()) / offered if offered else None,
        worst_high=low + width * float(x.sum() + offered - len(x)) / offered if offered else None,
        method=_method(method, len(x), crossed),
        estimand="mean",
        confidence=confidence,
    )
    return ConfidenceSequence(lower, upper, estimate)


def unit_scores(values: ArrayLike, low: float, high: float) -> tuple[FloatArray, int]:
    """Scores on a range of 0 to 1 without the NaNs, and how many were offered; `InputError` outside the range."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"the range of a score is {low} to {high}; expected two finite numbers, the smaller first")
    try:
        given = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("the scores have entries that are not numbers") from None
    if given.ndim != 1:
        raise InputError(f"the scores have shape {given.shape}; expected one number per sample")
    outside = (given < low) | (given > high)
    if outside.any():
        at = int(np.argmax(outside))
        raise InputError(f"score {at} is {given[at]}; a bounded mean needs every score from {low} to {high}")
    return (given[~np.isnan(given)] - low) / (high - low), len(given)


def _method(method: SequenceMethod, n: int, crossed: bool) -> str:
    if n == 0:
        return "no interval: no sample was scored"
    if crossed:
        return "no interval: no single mean fits the whole sequence; the scores drift"
    return f"confidence sequence, {'betting' if method == 'betting' else 'empirical Bernstein'}"


def _bets(x: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Predictable plug-in bets ``[n]`` and the regularised mean before each sample ``[n]``."""
    t = np.arange(1, len(x) + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    return np.sqrt(2 * math.log(2 / alpha) / (before * t * np.log1p(t))), np.concatenate([[0.5], means[:-1]])


def _empirical_bernstein(x: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    if not len(x):
        return x, x
    bets, before = _bets(x, alpha)
    bets = np.minimum(bets, _TRUNCATION)
    total = np.cumsum(bets)
    centre = np.cumsum(bets * x) / total
    half = (math.log(2 / alpha) + np.cumsum((x - before) ** 2 * (-np.log1p(-bets) - bets))) / total
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def _betting(x: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Candidate means whose hedged capital has never reached ``1 / alpha``.

    The capital of bets on "the mean is larger than m" falls in m and that of the opposite bets rises, so that the
    candidates left over are an interval, and the ends may be rounded outwards by one step of the grid.
    """
    lows, highs = np.zeros(len(x)), np.ones(len(x))
    if not len(x):
        return lows, highs
    bets, _ = _bets(x, alpha)
    grid = np.linspace(0.0, 1.0, GRID + 1)
    threshold = math.log(2 / alpha)
    with np.errstate(divide="ignore"):
        caps = _TRUNCATION / grid, _TRUNCATION / (1 - grid)
    wealth = np.zeros((2, len(grid)))
    first, last = 0, GRID
    start = 0
    while start < len(x):
        alive = slice(first, last + 1)
        rows = slice(start, min(len(x), start + max(1, _CELLS // (last + 1 - first))))
        gaps = x[rows, None] - grid[alive]
        refused: NDArray[np.bool_] = np.zeros(gaps.shape, dtype=bool)
        for side, sign in enumerate((1.0, -1.0)):
            bet = np.minimum(bets[rows, None], caps[side][alive])
            path = np.cumsum(np.log1p(sign * bet * gaps), axis=0) + wealth[side, alive]
            wealth[side, alive] = path[-1]
            refused |= path > threshold
        left = ~np.logical_or.accumulate(refused, axis=0)
        some: NDArray[np.bool_] = np.any(left, axis=1)
        lows[rows] = np.where(some, grid[first + left.argmax(axis=1)] - 1 / GRID, 1.0)
        highs[rows] = np.where(some, grid[last - left[:, ::-1].argmax(axis=1)] + 1 / GRID, 0.0)
        start = rows.stop
        if not some[-1]:
            lows[start:], highs[start:] = 1.0, 0.0
            break
        kept = np.flatnonzero(left[-1])
        first, last = first + int(kept[0]), first + int(kept[-1])
    return np.clip(lows, 0.0, 1.0), np.clip(highs, 0.0, 1.0)
