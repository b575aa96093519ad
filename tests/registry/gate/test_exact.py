from __future__ import annotations

import pytest
from scipy import stats

from metrics.base import Estimate
from metrics.statistics import rate_power, wilson_interval
from registry.gate.exact import exact_bounds


def plain_rate(successes: int, n: int, confidence: float) -> Estimate:
    low, high = wilson_interval(successes / n, n, confidence=confidence)
    return Estimate(successes / n, low, high, n=n, method="Wilson", confidence=confidence)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (3, 40), (270, 300), (300, 300)])
def test_bounds_are_the_binomial_tail_inverted(successes, n):
    exact = exact_bounds(plain_rate(successes, n, 0.9))
    ends = stats.binomtest(successes, n).proportion_ci(confidence_level=0.9, method="exact")
    assert (exact.low, exact.high) == pytest.approx((ends.low, ends.high))
    assert exact.method == "Clopper-Pearson"


def test_other_estimates_stay_as_they_are():
    clustered = Estimate(0.9, 0.8, 0.95, n=100, method="Wilson on the effective n, clustered")
    assert exact_bounds(clustered) is clustered
    without = Estimate(0.9, n=1, method="Wilson")
    assert exact_bounds(without) is without
    fraction = Estimate(0.905, 0.8, 0.95, n=100, method="Wilson")
    assert exact_bounds(fraction) is fraction


def test_the_rest_of_the_method_is_kept():
    precision = Estimate(0.5, 0.4, 0.6, n=100, method="Wilson interval over generated samples, the reference fixed")
    assert exact_bounds(precision).method == "Clopper-Pearson interval over generated samples, the reference fixed"


def test_why_wilson_is_not_used():
    """On the limit of `rate >= 0.98` with 150 samples, Wilson's upper bound calls 8 % of good models broken."""
    n, limit = 150, 0.98
    broken = sum(
        stats.binom.pmf(k, n, limit) for k in range(n + 1) if wilson_interval(k / n, n, confidence=0.9)[1] < limit
    )
    exact = sum(stats.binom.pmf(k, n, limit) for k in range(n + 1) if exact_bounds(plain_rate(k, n, 0.9)).high < limit)
    assert broken > 0.06
    assert exact <= 0.05


@pytest.mark.parametrize(("truth", "limit", "side"), [(0.93, 0.9, "min"), (0.02, 0.05, "max"), (0.9, 0.93, "min")])
def test_power_adds_up_the_outcomes_that_pass(truth, limit, side):
    n = 240
    passing = 0.0
    for k in range(n + 1):
        bounds = exact_bounds(plain_rate(k, n, 0.9))
        if bounds.low >= limit if side == "min" else bounds.high <= limit:
            passing += stats.binom.pmf(k, n, truth)
    assert rate_power(truth, n, limit=limit, alpha=0.05, side=side) == pytest.approx(passing)
