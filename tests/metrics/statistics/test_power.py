"""Power against brute enumeration and simulation; shares of alpha over looks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from metrics import InputError
from metrics.base import Scores
from metrics.statistics import (
    alpha_at,
    alpha_shares,
    bounded_difference_power,
    bounded_mean_power,
    clopper_pearson_interval,
    mean_power,
    one_sided,
    rate_power,
    samples_needed,
)
from metrics.statistics.moments import moments_of
from metrics.statistics.pairing import compare_rows
from metrics.statistics.rows import Quantity, estimate
from registry.spec import Gate

UNIT = Quantity(low=0.0, high=1.0)


def rows(values: np.ndarray) -> Scores:
    n = len(values)
    return Scores([str(i) for i in range(n)], values, np.ones(n), np.ones(n), None, [None] * n)


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize(("rate", "limit", "n"), [(0.9, 0.85, 60), (0.02, 0.05, 200), (0.5, 0.5, 37), (1.0, 0.9, 20)])
def test_the_power_of_a_rate_is_exact(rate: float, limit: float, n: int, side: str) -> None:
    total = 0.0
    for k in range(n + 1):
        low, high = clopper_pearson_interval(k, n, confidence=0.9)
        if (low >= limit) if side == "min" else (high <= limit):
            total += float(stats.binom.pmf(k, n, rate))
    assert rate_power(rate, n, limit=limit, side=side) == pytest.approx(total, abs=1e-12)  # type: ignore[arg-type]


def test_the_power_of_a_mean_agrees_with_simulation_and_across_the_switch() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0.87, 0.2, (20_000, 15))
    bound = x.mean(1) - stats.t.ppf(0.95, 14) * x.std(1, ddof=1) / np.sqrt(15)
    assert mean_power(0.87, 0.2, 15, limit=0.8) == pytest.approx((bound >= 0.8).mean(), abs=0.01)
    assert mean_power(-0.87, 0.2, 15, limit=-0.8, side="max") == mean_power(0.87, 0.2, 15, limit=0.8)
    assert mean_power(0.87, 0.2, 2000, limit=0.86) == pytest.approx(mean_power(0.87, 0.2, 2001, limit=0.86), abs=2e-3)
    assert mean_power(0.8, 0.2, 1, limit=0.0) == 0


def test_at_the_limit_power_is_alpha() -> None:
    assert mean_power(0.5, 1.0, 40, limit=0.5) == pytest.approx(0.05)
    worst = [max(rate_power(p, n, limit=p) for n in range(20, 800, 13)) for p in (0.01, 0.06, 0.5, 0.9, 0.98)]
    assert all(0.03 < found <= 0.05 for found in worst)


def test_the_power_of_a_rate_at_the_ends() -> None:
    assert rate_power(0.3, 10, limit=0.0) == 1
    assert rate_power(1.0, 10, limit=1.0) == 0  # no number of samples shows certainty
    assert rate_power(1.0, 59, limit=0.95) == pytest.approx(1)
    assert rate_power(1.0, 58, limit=0.95) == 0


SKEWED = stats.beta(16, 4)  # mean 0.8, deviation 0.087


@pytest.mark.parametrize(("limit", "side"), [(0.62, "min"), (0.6, "min"), (0.93, "max"), (0.5, "min")])
@pytest.mark.parametrize("n", [12, 29, 30])
def test_the_power_of_few_bounded_scores_is_that_of_the_interval_in_use(n: int, limit: float, side: str) -> None:
    rng = np.random.default_rng(5)
    passed = 0
    for _ in range(400):
        found = estimate(moments_of(rows(SKEWED.rvs(n, random_state=rng)), low=0, high=1), UNIT, confidence=0.9)
        passed += found.low >= limit if side == "min" else found.high <= limit
    power = bounded_mean_power(SKEWED.mean(), SKEWED.std(), n, limit=limit, side=side)  # type: ignore[arg-type]
    assert power == pytest.approx(passed / 400, abs=0.05 + 3 * (power * (1 - power) / 400) ** 0.5)


@pytest.mark.parametrize(("margin", "side"), [(0.2, "min"), (0.15, "max"), (0.12, "min"), (0.05, "min")])
@pytest.mark.parametrize("n", [15, 29, 30])
def test_the_power_of_few_pairs_is_that_of_the_interval_in_use(n: int, margin: float, side: str) -> None:
    rng = np.random.default_rng(6)
    passed, a = 0, SKEWED.rvs((400, n), random_state=rng)
    b = SKEWED.rvs((400, n), random_state=rng)
    for own, other in zip(a, b, strict=True):
        found = compare_rows(rows(own), rows(other), UNIT, confidence=0.9)
        passed += found.low >= -margin if side == "min" else found.high <= margin
    limit = -margin if side == "min" else margin
    power = bounded_difference_power(0.0, SKEWED.std() * 2**0.5, n, limit=limit, side=side)  # type: ignore[arg-type]
    assert power == pytest.approx(passed / 400, abs=0.05 + 3 * (power * (1 - power) / 400) ** 0.5)


def test_the_needed_samples_are_the_fewest() -> None:
    n = samples_needed(lambda n: mean_power(0.87, 0.2, n, limit=0.85))
    assert n is not None
    assert mean_power(0.87, 0.2, n, limit=0.85) >= 0.8 > mean_power(0.87, 0.2, n - 1, limit=0.85)
    assert samples_needed(lambda n: 0.1, most=1000) is None
    assert samples_needed(lambda n: 1.0) == 1
    with pytest.raises(InputError, match="power is 1"):
        samples_needed(lambda n: 1.0, power=1)


@pytest.mark.parametrize(("looks", "spending"), [(1, None), (5, None), (2, (0.2, 0.8))])
def test_the_shares_of_alpha_are_the_gates(looks: int, spending: tuple[float, ...] | None) -> None:
    gate = Gate(alpha=0.05, looks=looks, spending=spending)
    assert [gate.alpha_at(k + 1) for k in range(looks)] == list(alpha_shares(0.05, looks, spending))
    assert sum(alpha_shares(0.05, looks, spending)) == pytest.approx(0.05)


def test_bad_designs_are_refused() -> None:
    with pytest.raises(InputError, match="look 2 was not declared"):
        alpha_at(0.05, 2, 1)
    with pytest.raises(InputError, match="spending"):
        alpha_shares(0.05, 2, (0.9, 0.9))
    with pytest.raises(InputError, match="alpha"):
        one_sided(0.5)
    with pytest.raises(InputError, match=r"rate is 1\.2"):
        rate_power(1.2, 10, limit=0.5)
    with pytest.raises(InputError, match="n is 0"):
        rate_power(0.5, 0, limit=0.5)
    with pytest.raises(InputError, match="deviation > 0"):
        mean_power(0.5, 0.0, 10, limit=0.4)
