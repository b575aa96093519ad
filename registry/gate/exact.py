"""Exact one-sided bounds of plain rates, and the power that they have.

Wilson's interval is right on average over its two ends, not at either: with the true rate on a limit near 0 or
1, a nominal 5 % bound is wrong up to 10 % of the time on one side. A gate looks at one side, so it takes the
bound of Clopper and Pearson (1934), which is never wrong more often than it says.
"""

from __future__ import annotations

from dataclasses import replace

from scipy import special

from metrics.base import Estimate
from metrics.statistics.intervals import clopper_pearson_interval
from registry.gate.rules import Side

_WILSON = "Wilson"
_INEXACT = "effective n"


def exact_bounds(estimate: Estimate) -> Estimate:
    """Return the estimate of a plain rate with Clopper and Pearson's interval; any other estimate as it is.

    A plain rate is one whose method is Wilson's on the n samples themselves: a whole number of successes, without
    clusters or weights.
    """
    successes = estimate.value * estimate.n
    plain = estimate.method.startswith(_WILSON) and _INEXACT not in estimate.method
    if not plain or not estimate.has_interval or abs(successes - round(successes)) > 1e-6:
        return estimate
    low, high = clopper_pearson_interval(round(successes), estimate.n, confidence=estimate.confidence)
    return replace(estimate, low=low, high=high, method=estimate.method.replace(_WILSON, "Clopper-Pearson", 1))


def rate_power(rate: float, n: int, *, limit: float, alpha: float, side: Side) -> float:
    """Probability that the exact one-sided bound of a rate clears its limit, from the binomial distribution.

    Args:
        rate: the true rate, 0 to 1.
        n: samples, at least 1.
        limit: the rule's limit, 0 to 1.
        alpha: one-sided level.
        side: ``min`` asks for a lower bound of at least `limit`, ``max`` for an upper bound of at most it.
    """
    if side == "max":  # failures of a `max` rule are successes of a `min` rule
        rate, limit = 1 - rate, 1 - limit
    if limit <= 0:
        return 1.0
    low, high = 0, n + 1  # the fewest successes that at most alpha of all samples reach with the rate at its limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if special.bdtrc(middle - 1, n, limit) <= alpha else (middle, high)
    return 0.0 if high > n else float(special.bdtrc(high - 1, n, rate))
