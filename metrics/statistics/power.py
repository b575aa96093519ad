"""Power and sample size: how likely a one-sided bound clears a limit, given the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from scipy import special

from metrics.errors import InputError
from metrics.statistics.intervals import normal_quantile, t_quantile, wilson_interval
from metrics.statistics.looks import one_sided

Side = Literal["min", "max"]
MOST = 10**8


def rate_power(rate: float, n: int, *, limit: float, alpha: float = 0.05, side: Side = "min") -> float:
    """Probability that the Wilson bound of a rate clears its limit, exact over the binomial outcomes.

    Args:
        rate: the true rate.
        n: samples.
        limit: the rule's limit; a bound equal to it passes.
        alpha: one-sided level.
        side: ``min`` asks for a lower bound of at least `limit`, ``max`` for an upper bound of at most it.
    """
    _check_share(rate, "rate")
    _check_share(limit, "limit")
    _check_n(n)
    if side == "max":  # the bound is symmetric: failures of a `max` rule are successes of a `min` rule
        rate, limit = 1 - rate, 1 - limit
    needed = _successes_needed(n, limit, one_sided(alpha))
    if needed > n:
        return 0.0
    return 1.0 if needed == 0 else float(special.bdtrc(needed - 1, n, rate))


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


def paired_power(difference: float, deviation: float, n: int, *, margin: float = 0.0, alpha: float = 0.05) -> float:
    """Probability that candidate minus champion is shown to lie above ``-margin``; higher is better.

    `difference` and `deviation` are the true mean and standard deviation of one pair's difference.
    """
    return mean_power(difference, deviation, n, limit=-margin, alpha=alpha)


def paired_rate_deviation(rate_a: float, rate_b: float, correlation: float = 0.0) -> float:
    """Standard deviation of one pair's difference of two 0/1 scores with the given correlation."""
    _check_share(rate_a, "rate_a")
    _check_share(rate_b, "rate_b")
    a, b = rate_a * (1 - rate_a), rate_b * (1 - rate_b)
    return math.sqrt(max(0.0, a + b - 2 * correlation * math.sqrt(a * b)))


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


def rate_samples_needed(
    rate: float, *, limit: float, alpha: float = 0.05, power: float = 0.8, side: Side = "min", most: int = MOST
) -> int | None:
    """Samples from which `rate_power` reaches `power`, None where it never does.

    A rate's power is a saw tooth in n; the answer is raised past later teeth that dip below `power`.
    """
    if (rate <= limit) if side == "min" else (rate >= limit):
        return None

    def power_at(n: int) -> float:
        return rate_power(rate, n, limit=limit, alpha=alpha, side=side)

    found = samples_needed(power_at, power=power, most=most)
    if found is None:
        return None
    tooth = min(5000, math.ceil(1 / max(min(limit, 1 - limit), 2e-4)))
    n, reach = found, found + 2 * tooth
    while n < reach:
        if power_at(n) < power:
            found, reach = n + 1, n + 1 + 2 * tooth
        n += 1
        if n > most:
            return None
    return found


def mean_samples_needed(
    mean: float, deviation: float, *, limit: float, alpha: float = 0.05, power: float = 0.8, side: Side = "min"
) -> int | None:
    """Fewest samples at which `mean_power` reaches `power`; None where the mean does not clear the limit."""
    if (mean <= limit) if side == "min" else (mean >= limit):
        return None
    return samples_needed(lambda n: mean_power(mean, deviation, n, limit=limit, alpha=alpha, side=side), power=power)


def _successes_needed(n: int, limit: float, confidence: float) -> int:
    """Fewest successes whose Wilson lower bound reaches the limit; n + 1 where none does."""
    low, high = -1, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        clears = wilson_interval(middle / n, n, confidence=confidence)[0] >= limit
        low, high = (low, middle) if clears else (middle, high)
    return high


def _check_share(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise InputError(f"the {name} is {value}; expected a number from 0 to 1")


def _check_n(n: int) -> None:
    if n < 1:
        raise InputError(f"n is {n}; expected at least one sample")
