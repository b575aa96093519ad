"""Power against brute enumeration and simulation; shares of alpha over looks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from metrics import InputError
from metrics.statistics import (
    alpha_at,
    alpha_shares,
    mean_power,
    mean_samples_needed,
    one_sided,
    paired_power,
    paired_rate_deviation,
    rate_power,
    rate_samples_needed,
    samples_needed,
    wilson_interval,
)
from registry.spec import Gate


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize(("rate", "limit", "n"), [(0.9, 0.85, 60), (0.02, 0.05, 200), (0.5, 0.5, 37), (1.0, 0.9, 20)])
def test_the_power_of_a_rate_is_exact(rate: float, limit: float, n: int, side: str) -> None:
    total = 0.0
    for k in range(n + 1):
        low, high = wilson_interval(k / n, n, confidence=0.9)
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
    assert paired_power(0.0, 0.3, 50, margin=0.1) == mean_power(0.0, 0.3, 50, limit=-0.1)


def test_at_the_limit_power_is_alpha() -> None:
    assert mean_power(0.5, 1.0, 40, limit=0.5) == pytest.approx(0.05)
    assert rate_power(0.5, 5000, limit=0.5) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("rate", "limit", "side"), [(0.87, 0.85, "min"), (0.005, 0.01, "max"), (0.6, 0.5, "min")])
def test_the_needed_samples_reach_the_power_and_keep_it(rate: float, limit: float, side: str) -> None:
    n = rate_samples_needed(rate, limit=limit, side=side)  # type: ignore[arg-type]
    assert n is not None
    assert rate_power(rate, n - 1, limit=limit, side=side) < 0.8  # type: ignore[arg-type]
    later = [rate_power(rate, m, limit=limit, side=side) for m in range(n, n + 200)]  # type: ignore[arg-type]
    assert min(later) >= 0.8


def test_needed_samples_of_a_mean() -> None:
    n = mean_samples_needed(0.87, 0.2, limit=0.85)
    assert n is not None
    assert mean_power(0.87, 0.2, n, limit=0.85) >= 0.8 > mean_power(0.87, 0.2, n - 1, limit=0.85)
    assert mean_samples_needed(0.85, 0.2, limit=0.85) is None
    assert rate_samples_needed(0.85, limit=0.85) is None
    assert samples_needed(lambda n: 0.1, most=1000) is None
    assert samples_needed(lambda n: 1.0) == 1


def test_the_deviation_of_paired_rates() -> None:
    assert paired_rate_deviation(0.5, 0.5) == pytest.approx(0.5**0.5)
    assert paired_rate_deviation(0.5, 0.5, 1.0) == 0


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
