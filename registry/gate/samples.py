"""How many more samples would decide a rule that is inconclusive."""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()
POWER = 0.8
"""The chance with which the estimated number of samples decides."""
_UNREACHABLE = 10**9


def more_samples(*, n: int, gap: float, width: float, alpha: float, next_alpha: float) -> int | None:
    """Estimate how many further samples decide with 80 % power if the truth is where the estimate is.

    The standard error is read off the bound (``width / z(alpha)``) and shrinks with the square root of n.

    Args:
        n: samples that the estimate rests on.
        gap: distance between the estimate and the limit, at least 0.
        width: distance between the estimate and its bound towards the limit, above 0.
        alpha: one-sided level of that bound.
        next_alpha: one-sided level at which the next look decides.

    Returns:
        The number, at least 1; None where the estimate sits on its limit or a billion would not do.
    """
    if n <= 0 or gap <= 0 or not math.isfinite(width) or width <= 0:
        return None
    error = width / -_NORMAL.inv_cdf(alpha)
    ratio = (-_NORMAL.inv_cdf(next_alpha) + _NORMAL.inv_cdf(POWER)) * error / gap
    if ratio * math.sqrt(n) > math.sqrt(_UNREACHABLE):  # compared before it is squared: a tiny gap would overflow
        return None
    return max(1, math.ceil(n * ratio**2) - n)
