"""Intervals against scipy's, published values and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from metrics import InputError
from metrics.statistics import (
    clopper_pearson_interval,
    constant_interval,
    quantile_interval,
    t_interval,
    tango_interval,
    wilson_interval,
)
from metrics.statistics.intervals import quantile_ranks


@pytest.mark.parametrize(("k", "n"), [(0, 5), (1, 10), (9, 10), (50, 100), (333, 1000), (7, 7)])
@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.99])
def test_rates_agree_with_scipy(k: int, n: int, confidence: float) -> None:
    test = stats.binomtest(k, n)
    wilson = test.proportion_ci(confidence, method="wilson")
    exact = test.proportion_ci(confidence, method="exact")
    assert wilson_interval(k / n, n, confidence=confidence) == pytest.approx((wilson.low, wilson.high), abs=1e-12)
    assert clopper_pearson_interval(k, n, confidence=confidence) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_t_interval_agrees_with_scipy() -> None:
    expected = stats.t.interval(0.9, 7, loc=2.5, scale=0.3)
    assert t_interval(2.5, 0.3, 7, confidence=0.9) == pytest.approx(expected, abs=1e-10)


def test_tango_agrees_with_the_published_example() -> None:
    # Airway hyper-responsiveness before and after transplantation: Fagerland, Lydersen and Laake 2014, table 3.
    assert tango_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 60))
def test_tango_is_antisymmetric_and_never_degenerate(b: int, c: int, rest: int) -> None:
    n = b + c + rest + 1
    low, high = tango_interval(b, c, n)
    assert low < high
    assert low - 1e-9 <= (b - c) / n <= high + 1e-9
    assert tango_interval(c, b, n) == pytest.approx((-high, -low), abs=1e-9)


@given(st.integers(1, 400), st.sampled_from([0.05, 0.5, 0.9, 0.95]), st.sampled_from([0.8, 0.95]))
def test_quantile_ranks_are_the_tightest_that_cover(n: int, quantile: float, confidence: float) -> None:
    lower, upper = quantile_ranks(n, quantile, confidence=confidence)
    alpha = (1 - confidence) / 2
    below = stats.binom(n, quantile)
    if lower is None:
        assert below.pmf(0) > alpha
    else:
        assert below.cdf(lower - 1) <= alpha + 1e-12 < below.cdf(lower) + 2e-12
    if upper is None:
        assert below.pmf(n) > alpha
    else:
        assert below.sf(upper - 1) <= alpha + 1e-12 < below.sf(upper - 2) + 2e-12


def test_the_95th_percentile_needs_72_values() -> None:
    assert quantile_interval(np.arange(71.0), 0.95) is None
    assert quantile_interval(np.arange(72.0), 0.95) is not None
    assert quantile_interval(np.empty(0), 0.5) is None


def test_constant_scores_get_an_interval_that_shrinks_with_n() -> None:
    widths = []
    for n in (2, 10, 100, 1000):
        low, high = constant_interval(0.25, n, 0.0, 1.0)
        assert 0 <= low < 0.25 < high <= 1
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    # three times the chance per 1,000: the rule of three for 97.5 %
    assert constant_interval(1.0, 1001, 0.0, 1.0)[0] == pytest.approx(1 - 3.69 / 1000, abs=1e-4)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, float("nan")])
def test_a_confidence_outside_0_and_1_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match="confidence"):
        wilson_interval(0.5, 10, confidence=confidence)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(InputError, match="3 successes in 2 trials"):
        clopper_pearson_interval(3, 2)
    with pytest.raises(InputError, match=r"quantile is 1\.5"):
        quantile_ranks(10, 1.5)
