"""Simulated coverage of the intervals, two-sided 95 %, where each is declared valid (seeded)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from metrics import Estimate, Scores
from metrics.statistics.moments import moments_of
from metrics.statistics.pairing import compare_rows
from metrics.statistics.rows import Quantity, estimate, quantile_estimate

RUNS = 1000
UNIT, FREE = Quantity(low=0.0, high=1.0), Quantity()
Rng = np.random.Generator


def scores(values: Any, *, d: Any = None, w: Any = None, clusters: Any = None) -> Scores:
    n, ones = len(values), np.ones(len(values))
    names = None if clusters is None else [str(c) for c in clusters]
    x = np.asarray(values, dtype=float)
    return Scores([str(i) for i in range(n)], x, ones if d is None else d, ones if w is None else w, names, [None] * n)


def coverage(truth: float, draw: Callable[[Rng], Estimate], seed: int = 0) -> float:
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(RUNS):
        found = draw(rng)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    return hits / RUNS


def of(rows: Scores, quantity: Quantity) -> Estimate:
    return estimate(moments_of(rows, low=quantity.low, high=quantity.high), quantity)


def clustered(rng: Rng, count: int, *, threshold: float | None = None) -> Scores:
    """About 10 rows per cluster, sizes 1 to 19, correlation 0.3 within."""
    names = np.repeat(np.arange(count), rng.integers(1, 20, count))
    z = rng.normal(size=count)[names] * math.sqrt(0.3) + rng.normal(size=len(names)) * math.sqrt(0.7)
    return scores(z if threshold is None else z < threshold, clusters=names)


def ratio(rng: Rng) -> Scores:
    tokens = rng.integers(5, 200, 50).astype(float)
    return scores(tokens * rng.normal(2, 0.5, 50), d=tokens)


def weighted(rng: Rng) -> Scores:
    return scores(rng.random(200) < 0.95, w=rng.choice([1.0, 4.0], 200))


CASES: dict[str, tuple[float, Callable[[Rng], Estimate]]] = {
    "t": (1.0, lambda r: of(scores(r.normal(1, 2, 12)), FREE)),
    "wilson 0.5": (0.5, lambda r: of(scores(r.random(40) < 0.5), UNIT)),
    "wilson 0.97": (0.97, lambda r: of(scores(r.random(400) < 0.97), UNIT)),
    "bounded, few below 1": (0.99, lambda r: of(scores(np.where(r.random(300) < 0.02, r.random(300), 1)), UNIT)),
    "clustered mean": (0.0, lambda r: of(clustered(r, 20), FREE)),
    "clustered rate": (0.9, lambda r: of(clustered(r, 30, threshold=float(norm.ppf(0.9))), UNIT)),
    "weighted rate": (0.95, lambda r: of(weighted(r), UNIT)),
    "ratio": (2.0, lambda r: of(ratio(r), FREE)),
    "ratio, log": (math.exp(2), lambda r: of(ratio(r), Quantity(scale="log"))),
    "median": (math.log(2), lambda r: quantile_estimate(r.exponential(size=60), 0.5)),
    "p95": (math.log(20), lambda r: quantile_estimate(r.exponential(size=300), 0.95)),
}


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_what_they_say(case: str) -> None:
    truth, draw = CASES[case]
    assert 0.92 <= coverage(truth, draw) <= (1.0 if case.startswith("bounded") else 0.985)


def paired_rates(n: int, gain: float, loss: float, clusters: Any = None) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        u, base = rng.random(n), rng.random(n) < 0.5
        a = np.where(u < gain, 1, np.where(u < gain + loss, 0, base))
        b = np.where(u < gain, 0, np.where(u < gain + loss, 1, base))
        return compare_rows(scores(a, clusters=clusters), scores(b, clusters=clusters), UNIT)

    return draw


@pytest.mark.parametrize(("n", "gain", "loss"), [(100, 0.05, 0.01), (100, 0.2, 0.1), (300, 0.01, 0.005)])
def test_paired_rates_cover_even_with_few_discordant_pairs(n: int, gain: float, loss: float) -> None:
    assert coverage(gain - loss, paired_rates(n, gain, loss)) >= 0.92


@pytest.mark.parametrize("shape", [(1.0, 1.0), (0.5, 2.0)])
def test_few_and_skewed_losses_do_not_pass_a_gate_too_often(shape: tuple[float, float]) -> None:
    """One-sided 5 % at the limit; a t interval lets about 10 % pass here."""
    rng = np.random.default_rng(0)
    truth, passed = -0.02 * shape[0] / sum(shape), 0
    for _ in range(RUNS):
        u, size = rng.random(200), rng.beta(*shape, 200)
        change = np.where(u < 0.03, -size, np.where(u < 0.04, size, 0.0))
        b = np.where(change < 0, 1.0, np.where(change > 0, 0.0, 0.5))
        low = compare_rows(scores(b + change), scores(b), UNIT, confidence=0.9).low
        assert low is not None
        passed += low >= truth
    assert passed / RUNS <= 0.05


def test_paired_clustered_rates_cover() -> None:
    assert coverage(0.05, paired_rates(300, 0.1, 0.05, np.arange(300) // 5)) >= 0.925


def test_a_t_interval_on_few_discordant_pairs_would_miss() -> None:
    """Why rates are compared by score: the t interval that we do not use covers far less than it says."""

    def draw(rng: Rng) -> Estimate:
        d = (rng.random(100) < 0.02) * 1.0
        half = 1.984 * float(d.std(ddof=1)) / 10
        return Estimate(float(d.mean()), float(d.mean()) - half, float(d.mean()) + half)

    assert coverage(0.02, draw) < 0.9
    assert coverage(0.02, paired_rates(100, 0.02, 0.0)) >= 0.92


def test_a_naive_interval_on_clusters_would_miss() -> None:
    def naive(rng: Rng) -> Estimate:
        rows = clustered(rng, 20)
        return of(scores(rows.values), FREE)

    assert coverage(0.0, naive) < 0.8


def test_one_sided_rates_pass_at_the_limit_about_as_often_as_alpha() -> None:
    rng = np.random.default_rng(1)
    bounds = [estimate(moments_of(scores(rng.random(500) < 0.9)), UNIT, confidence=0.9).low for _ in range(2000)]
    assert np.mean([low >= 0.9 for low in bounds if low is not None]) <= 0.06
