"""Power and sample size: how likely a one-sided bound clears a limit, given the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from scipy import special

from metrics.errors import InputError
from metrics.statistics.intervals import normal_quantile, t_quantile, wilson_interval
from metrics.statistics.looks import one_sided
from metrics.statistics.rows import FEW_OFF_THE_EDGE

Side = Literal["min", "max"]
MOST = 10**8


def rate_power(rate: float, n: int, *, limit: float, alpha: float = 0.05, side: Side = "min") -> float:
    """Probability that the exact one-sided bound of a rate clears its limit, from the binomial distribution.

    The bound is that of Clopper and Pearson (`clopper_pearson_interval`), as the gate takes it.

    Args:
        rate: the true rate, 0 to 1.
        n: samples, at least 1.
        limit: the rule's limit, 0 to 1; a bound equal to it passes.
        alpha: one-sided level.
        side: ``min`` asks for a lower bound of at least `limit`, ``max`` for an upper bound of at most it.
    """
    _check_share(rate, "rate")
    _check_share(limit, "limit")
    _check_n(n)
    one_sided(alpha)
    if side == "max":  # failures of a `max` rule are successes of a `min` rule
        rate, limit = 1 - rate, 1 - limit
    if limit <= 0:
        return 1.0
    low, high = 0, n + 1  # the fewest successes that at most alpha of all samples reach with the rate at its limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if special.bdtrc(middle - 1, n, limit) <= alpha else (middle, high)
    return 0.0 if high > n else float(special.bdtrc(high - 1, n, rate))


def mean_power(
    mean: float, deviation: float, n: int, *, limit: float, alpha: float = 0.05, side: Side = "min"
) -> float:
    """Probability that the one-sided t bound of a mean clears its limit (noncentral t).

    Args:
        mean, deviation: true mean and standard deviation of one sample's score.
        deviation: see `mean`; for a ratio, that of its influence values times n.
        n: samples (clusters, with the deviation of cluster means, for clustered errors).
        limit: the rule's limit.
        alpha: one-sided level.
        side: ``min`` or ``max``, as for `rate_power`.
    """
    if not (math.isfinite(mean) and math.isfinite(limit) and deviation > 0 and math.isfinite(deviation)):
        raise InputError(f"power of a mean {mean} with deviation {deviation}: expected finite numbers, deviation > 0")
    _check_n(n)
    if n < 2:
        return 0.0
    confidence = one_sided(alpha)
    shift = (mean - limit if side == "min" else limit - mean) * math.sqrt(n) / deviation
    if n > 2000:  # the noncentral t is normal to four digits here, and its series is slow and fragile
        return float(special.ndtr(shift - normal_quantile(confidence)))
    power = 1 - float(special.nctdtr(n - 1, shift, t_quantile(confidence, n - 1)))
    return min(1.0, max(0.0, power)) if math.isfinite(power) else float(shift > 0)


def bounded_mean_power(
    mean: float, deviation: float, n: int, *, limit: float, alpha: float = 0.05, side: Side = "min"
) -> float:
    """Probability that the one-sided bound of a mean of scores in [0, 1] clears its limit.

    As `mean_power`, but fewer than 30 samples have a bound as wide as a rate's (`metrics.statistics.rows`), of which
    a mean that varies little clears much less, or not at all.
    """
    if n >= FEW_OFF_THE_EDGE or n < 2:
        return mean_power(mean, deviation, n, limit=limit, alpha=alpha, side=side)
    if side == "max":
        mean, limit = 1 - mean, 1 - limit
    quantile = t_quantile(one_sided(alpha), n - 1)
    lowest = limit + quantile * math.sqrt(max(0.0, limit * (1 - limit)) / n)  # whose Wilson bound is the limit
    return 0.0 if lowest > 1 else float(special.ndtr((mean - lowest) * math.sqrt(n) / deviation))


def bounded_difference_power(
    difference: float, deviation: float, n: int, *, limit: float, alpha: float = 0.05, side: Side = "min"
) -> float:
    """Probability that the one-sided bound of a paired difference of scores in [0, 1] clears its limit.

    As `mean_power`, but with fewer than 30 pairs gains and losses have bounds of their own, each as wide as a rate's,
    that MOVER combines (`metrics.statistics.pairing`); the differences are taken to be normal.
    """
    if n >= FEW_OFF_THE_EDGE or n < 2:
        return mean_power(difference, deviation, n, limit=limit, alpha=alpha, side=side)
    if side == "max":
        difference, limit = -difference, -limit
    z = difference / deviation
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    gain = min(1.0, deviation * (density + z * float(special.ndtr(z))))
    loss = min(1.0, max(0.0, gain - difference))
    ends = {"confidence": one_sided(alpha), "degrees": n - 1}
    below, above = gain - wilson_interval(gain, n, **ends)[0], wilson_interval(loss, n, **ends)[1] - loss
    return float(special.ndtr((difference - math.hypot(below, above) - limit) * math.sqrt(n) / deviation))


def samples_needed(power_at: Callable[[int], float], *, power: float = 0.8, most: int = MOST) -> int | None:
    """Fewest samples at which `power_at` reaches `power`, by a monotone search; None above `most`."""
    if not 0 < power < 1:
        raise InputError(f"power is {power}; expected a number between 0 and 1, such as 0.8")
    high = 1
    while power_at(high) < power:
        if high >= most:
            return None
        high = min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= power else (middle, high)
    return high


def _check_share(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"the {name} is {value}; expected a number from 0 to 1")


def _check_n(n: int) -> None:
    if n < 1:
        raise InputError(f"n is {n}; expected at least one sample")
