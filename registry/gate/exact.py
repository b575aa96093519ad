"""Exact one-sided bounds of plain rates.

Wilson's interval is right on average over its two ends, not at either: with the true rate on a limit near 0 or
1, a nominal 5 % bound is wrong up to 10 % of the time on one side. A gate looks at one side, so it takes the
bound of Clopper and Pearson (1934), which is never wrong more often than it says.
"""

from __future__ import annotations

from dataclasses import replace

from metrics.base import Estimate
from metrics.statistics.intervals import clopper_pearson_interval

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
