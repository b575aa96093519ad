"""Confidence intervals from summary numbers: t, Wilson, Clopper-Pearson, constant scores, quantiles.

Every function returns a two-sided interval ``(low, high)`` whose two tails each miss with probability
``(1 - confidence) / 2``: a one-sided bound at level alpha is the matching end at confidence ``1 - 2 alpha``.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from metrics.base import FloatArray
from metrics.errors import InputError

Interval = tuple[float, float]


def tail(confidence: float) -> float:
    """Probability of one tail; `InputError` unless confidence lies strictly between 0 and 1."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; expected a number between 0 and 1, such as 0.95")
    return (1 - confidence) / 2


def normal_quantile(confidence: float) -> float:
    """Two-sided quantile of the normal distribution, 1.96 at 0.95."""
    return float(-special.ndtri(tail(confidence)))


def t_quantile(confidence: float, degrees: float) -> float:
    """Two-sided quantile of Student's t."""
    return float(-special.stdtrit(degrees, tail(confidence)))


def t_interval(mean: float, standard_error: float, degrees: float, *, confidence: float = 0.95) -> Interval:
    """Student's t interval. Valid for means of samples whose mean is close to normal."""
    half = t_quantile(confidence, degrees) * standard_error
    return mean - half, mean + half


def wilson_interval(rate: float, n: float, *, confidence: float = 0.95, degrees: float | None = None) -> Interval:
    """Wilson's score interval of a rate (Wilson 1927).

    Args:
        rate: observed share, 0 to 1.
        n: trials; an effective number (not an integer) after clustering or weighting.
        confidence: two-sided level.
        degrees: degrees of freedom of the variance when `n` was estimated from the data: t instead of z.
    """
    q = normal_quantile(confidence) if degrees is None else t_quantile(confidence, degrees)
    squared = q * q / n
    centre = (rate + squared / 2) / (1 + squared)
    half = math.sqrt(squared * rate * (1 - rate) + squared * squared / 4) / (1 + squared)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if rate <= 0 else low), (1.0 if rate >= 1 else high)


def clopper_pearson_interval(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Clopper and Pearson's exact interval of a rate; never covers less than it says."""
    if not 0 <= successes <= n or n == 0:
        raise InputError(f"{successes} successes in {n} trials; expected 0 <= successes <= trials and a trial")
    alpha = tail(confidence)
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, n - successes + 1, alpha))
    high = 1.0 if successes == n else float(special.betaincinv(successes + 1, n - successes, 1 - alpha))
    return low, high


def constant_interval(value: float, n: float, low: float, high: float, *, confidence: float = 0.95) -> Interval:
    """Interval of the mean of scores in ``[low, high]`` when all `n` >= 2 observed scores equal `value`.

    A zero sample variance says nothing about the width, but ``n`` equal scores do bound the share of other
    scores: with ``q_c`` the probability of score c, the chance that all scores are equal while ``q_c`` of that
    score is at most ``b`` is at most ``sum(q_c ** n) <= b ** (n - 1)``. Setting that to one tail's probability
    bounds the share of other scores, each of which lies no further than the ends of the range.
    """
    other = 1 - tail(confidence) ** (1 / (n - 1))
    return value - other * (value - low), value + other * (high - value)


def quantile_ranks(n: int, quantile: float, *, confidence: float = 0.95) -> tuple[int | None, int | None]:
    """Ranks (from 1) of the order statistics that enclose a quantile; None where n is too small for that end."""
    if not 0 < quantile < 1:
        raise InputError(f"quantile is {quantile}; expected a number between 0 and 1")
    alpha = tail(confidence)
    reach = 12 * math.sqrt(n * quantile * (1 - quantile)) + 12
    counts = np.arange(max(0, math.floor(n * quantile - reach)), min(n, math.ceil(n * quantile + reach)) + 1)
    below = special.bdtr(counts.astype(np.float64), n, quantile)  # P(at most `counts` samples lie below)
    lower = counts[below <= alpha]
    upper = counts[:-1][1 - below[:-1] <= alpha] + 1
    return (int(lower[-1]) + 1 if len(lower) else None), (int(upper[0]) if len(upper) else None)


def quantile_interval(ordered: FloatArray, quantile: float, *, confidence: float = 0.95) -> Interval | None:
    """Order-statistic interval of a quantile from ascending values; exact, whatever the distribution.

    None where n is too small for it: 72 values are the fewest for a 95 % interval of the 95th percentile.
    """
    lower, upper = quantile_ranks(len(ordered), quantile, confidence=confidence) if len(ordered) else (None, None)
    if lower is None or upper is None:
        return None
    return float(ordered[lower - 1]), float(ordered[upper - 1])


def tango_interval(only_a: int, only_b: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Tango's score interval of a difference of paired rates (Tango 1998, Statistics in Medicine 17).

    Args:
        only_a: pairs in which only a scored 1; `only_b`: pairs in which only b did.
        only_b: see `only_a`.
        n: all pairs.
        confidence: two-sided level.
    """
    q = normal_quantile(confidence)

    def end(sign: int) -> float:
        inside, outside = (only_a - only_b) / n, float(sign)
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(tango_statistic(only_a, only_b, n, middle)) <= q:
                inside = middle
            else:
                outside = middle
        return (inside + outside) / 2

    return end(-1), end(1)


def tango_statistic(only_a: int, only_b: int, n: int, difference: float) -> float:
    """Score statistic of the hypothesis that rate a minus rate b is `difference`; about standard normal."""
    d = difference
    linear = -only_a - only_b + (2 * n - only_a + only_b) * d
    constant = -only_b * d * (1 - d)
    share = (math.sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * share + d * (1 - d))
    gap = only_a - only_b - n * d
    if variance <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)
