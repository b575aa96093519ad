from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from scipy.special import stdtrit

import metrics
from metrics.errors import InputError
from metrics.image import KernelInceptionDistance, kernel_distance, kernel_tiles, products
from metrics.image import kernel as kernel_module


def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """Pair by pair, as the definition reads."""
    total = 0.0
    for a, sign in ((x, 1), (y, 1)):
        matrix = kernel(a, a)
        total += (
            sign * sum(matrix[i, j] for i in range(len(a)) for j in range(len(a)) if i != j) / (len(a) * (len(a) - 1))
        )
    return total - 2 * kernel(x, y).mean()


def subset_values(x: np.ndarray, y: np.ndarray, subsets: int, size: int, seed: int) -> np.ndarray:
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        a = x[rng.choice(len(x), size, replace=False)]
        b = y[rng.choice(len(y), size, replace=False)]
        aa, bb = kernel(a, a), kernel(b, b)
        within = (aa.sum() - np.trace(aa) + bb.sum() - np.trace(bb)) / (size * (size - 1))
        values.append(within - 2 * kernel(a, b).mean())
    return np.array(values)


@pytest.mark.parity("kid", "unbiased statistic pair by pair", 1e-6)
@pytest.mark.parametrize(("n", "m", "d"), [(30, 40, 64), (120, 80, 6)])
def test_value_is_the_unbiased_statistic_pair_by_pair(features, n, m, d):
    x, y = features(1, n, d), features(2, m, d) * 1.3
    result = kernel_distance(x, y, subset_size=20, subsets=2)
    assert result["value"].value == pytest.approx(unbiased(x, y), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 90, 64), (400, 300, 8)])
def test_subsets_are_drawn_as_torch_fidelity_draws_them(features, n, m, d):
    x, y = features(1, n, d), features(2, m, d) * 1.2
    expected = subset_values(x, y, 30, 50, 2020)
    mean = kernel_distance(x, y, subsets=30, subset_size=50)["subset_mean"]
    assert mean.value == pytest.approx(expected.mean(), rel=1e-6)
    assert mean.spread == pytest.approx(expected.std(), rel=1e-6)
    assert not mean.has_interval
    other = kernel_distance(x, y, subsets=30, subset_size=50, seed=1)["subset_mean"]
    assert other.value == pytest.approx(subset_values(x, y, 30, 50, 1).mean(), rel=1e-6)


@pytest.mark.parametrize("kept", [0, 10**6])
def test_blocks_of_the_kernel_do_not_change_the_numbers(features, monkeypatch, kept):
    x, y = features(1, 150, 8), features(2, 110, 8)
    whole = kernel_distance(x, y, subset_size=50)
    monkeypatch.setattr(kernel_tiles, "_BLOCK_CELLS", 700)
    monkeypatch.setattr(kernel_tiles, "_KEPT_CELLS", kept)
    parts = kernel_distance(x, y, subset_size=50)
    for key in whole:
        assert parts[key].value == pytest.approx(whole[key].value, rel=1e-9)
    assert parts["value"].low == pytest.approx(whole["value"].low, rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e9])
def test_large_features_do_not_overflow_single_precision(features, scale):
    x, y = (features(seed, 90, 16).astype(np.float32) * np.float32(scale) for seed in (1, 2))
    y *= 2
    found = kernel_distance(x, y, subsets=20, subset_size=40, full=False)["subset_mean"]
    expected = subset_values(x.astype(np.float64), y.astype(np.float64), 20, 40, 2020)
    assert found.value == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("library", ["numpy", "onednn"])
def test_either_library_of_products_gives_the_same_numbers(features, monkeypatch, library, full):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(products, "_WORTH_COPYING", 0.0)
    used = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda a, b: (used.append(1), linear(a, b))[1])
    monkeypatch.setattr(products, "_torch_with_onednn", lambda: torch if library == "onednn" else None)
    monkeypatch.setattr(kernel_tiles, "_BLOCK_CELLS", 900)
    x, y = features(1, 120, 64).astype(np.float32), (features(2, 90, 64) * 1.2).astype(np.float32)
    found = kernel_distance(x, y, subsets=20, subset_size=60, full=full)["subset_mean"]
    expected = subset_values(x.astype(np.float64), y.astype(np.float64), 20, 60, 2020)
    assert found.value == pytest.approx(expected.mean(), rel=1e-6)
    assert found.spread == pytest.approx(expected.std(), rel=1e-6)
    assert bool(used) == (library == "onednn")


@pytest.mark.parametrize("n", [90, 900])
@pytest.mark.parametrize("offset", [0, 2.5, 30, 1000])
def test_subsets_alone_equal_those_beside_the_full_statistic(features, n, offset):
    """90 samples take the kernel of all pairs, 900 the subsets one by one; float32 loses nothing to an offset."""
    x = (features(1, n, 64) + offset).astype(np.float32)
    y = (features(2, n, 64) * 1.2 + offset).astype(np.float32)
    found = kernel_distance(x, y, subsets=20, subset_size=40, full=False)
    assert set(found) == {"subset_mean"}
    both = kernel_distance(x, y, subsets=20, subset_size=40)["subset_mean"]
    wide = [rows.astype(np.float64) for rows in (x, y)]
    double = kernel_distance(*wide, subsets=20, subset_size=40)["subset_mean"]
    for other in (both, double):
        assert found["subset_mean"].value == pytest.approx(other.value, rel=1e-6)
        assert found["subset_mean"].spread == pytest.approx(other.spread, rel=1e-6)
    assert found["subset_mean"].n == n


def test_the_interval_is_at_least_the_delete_one_jackknife(features):
    x, y = features(1, 70, 5), features(2, 60, 5) * 1.5
    left_out = np.array([unbiased(x, np.delete(y, i, axis=0)) for i in range(len(y))])
    error = np.sqrt((len(y) - 1) * left_out.var())
    half = stdtrit(len(y) - 1, 0.975) * error
    estimate = kernel_distance(x, y, subset_size=10, subsets=1)["value"]
    assert estimate.low <= estimate.value - half * (1 - 1e-9)
    assert estimate.high >= estimate.value + half * (1 - 1e-9)
    assert estimate.high - estimate.low < 6 * half


def _population(kind: str, rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    mixing = np.random.default_rng(5).normal(size=(d, d)) * (np.arange(1, d + 1) ** -0.5)[:, None] * 0.5
    if kind == "collapsed":
        centres = np.random.default_rng(9).normal(size=(3, d))
        return np.maximum((centres[rng.integers(0, 3, n)] + 0.1 * rng.normal(size=(n, d))) @ mixing, 0)
    rows = np.maximum(rng.normal(size=(n, d)) @ mixing, 0)
    return rows * 0.9 + 0.025 if kind == "shifted" else rows


class _FeatureMap:
    """The cubic kernel as a plain inner product, so that simulations cost n and not n squared."""

    def __init__(self, d: int) -> None:
        chosen = list(itertools.combinations_with_replacement(range(d + 1), 3))
        repeats = [math.prod(math.factorial(c.count(i)) for i in set(c)) for c in chosen]
        self._chosen = np.array(chosen)
        self._weights = np.sqrt(6 / np.array(repeats))
        self._d = d

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        extended = np.c_[rows / np.sqrt(self._d), np.ones(len(rows))]
        first, second, third = (extended[:, column] for column in self._chosen.T)
        return first * second * third * self._weights

    def sums(self, mapped_x: np.ndarray, mapped_y: np.ndarray) -> kernel_module.KernelSums:
        total_x, total_y = mapped_x.sum(0), mapped_y.sum(0)
        own_x, own_y = (mapped_x**2).sum(1), (mapped_y**2).sum(1)
        return kernel_module.KernelSums(
            reference=float(total_x @ total_x - own_x.sum()),
            rows=mapped_y @ total_y - own_y,
            cross=mapped_y @ total_x,
            diagonal=own_y,
            squares=float(((mapped_y.T @ mapped_y) ** 2).sum()),
            reference_diagonal=float(own_x.sum()),
            subsets=np.zeros(0),
        )


def test_the_feature_map_of_the_simulation_is_the_kernel(features):
    x, y, mapped = features(1, 40, 8), features(2, 30, 8), _FeatureMap(8)
    direct = kernel_module._sum_pairs(x, y, (np.zeros((0, 9), int), np.zeros((0, 9), int)))
    fast = mapped.sums(mapped(x), mapped(y))
    for name in ("reference", "rows", "cross", "diagonal", "squares", "reference_diagonal"):
        np.testing.assert_allclose(getattr(fast, name), getattr(direct, name), rtol=1e-9)


_D = 5
"""Dimensions of the simulated features: 56 products of three, so that a thousand sets take about a second."""


@cache
def _mean_of(kind: str) -> np.ndarray:
    """Mean of the mapped population, on which the truth rests."""
    mapped, rng = _FeatureMap(_D), np.random.default_rng(77)
    mean: np.ndarray = np.mean([mapped(_population(kind, rng, 20_000, _D)).mean(0) for _ in range(15)], axis=0)
    return mean


def _simulate(kind: str, m: int, n: int, rounds: int = 200) -> tuple[float, float, float]:
    """Shares of 90 % intervals with the truth below, with it above, and above the jackknife's own upper end."""
    mapped, mean = _FeatureMap(_D), _mean_of(kind)
    below = above = jackknife = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = mapped(_population("equal", rng, m, _D))
        own = (x.sum(0) @ x.sum(0) - (x**2).sum()) / (m * (m - 1))
        truth = own - 2 * x.mean(0) @ mean + mean @ mean
        for _ in range(rounds):
            sums = mapped.sums(x, mapped(_population(kind, rng, n, _D)))
            low, high, _ = kernel_module.kernel_interval(sums, m, 0.90, False)
            below += truth < low
            above += truth > high
            error = np.sqrt(kernel_module._jackknife_variance(sums, m))
            jackknife += truth > kernel_module.unbiased_discrepancy(sums, m) + stdtrit(n - 1, 0.95) * error
    return below / (5 * rounds), above / (5 * rounds), jackknife / (5 * rounds)


@pytest.mark.parametrize("n", [100, 400])
@pytest.mark.parametrize("kind", ["equal", "shifted", "collapsed"])
def test_interval_covers_the_distance_to_the_fixed_reference(kind, n):
    below, above, _ = _simulate(kind, 360, n)
    # 5 % per tail; two standard errors of 1,000 rounds are 1.4 %
    assert above <= 0.064
    assert below <= 0.064


def test_a_plain_jackknife_would_miss_near_equality():
    """Why the interval is a union: the upper jackknife bound alone misses about twice its share."""
    _, above, jackknife = _simulate("equal", 360, 1000)
    assert jackknife > 0.085
    assert above <= 0.064


def test_wider_at_higher_confidence_and_narrower_with_more_samples(features, state_of):
    metric = KernelInceptionDistance(reference=state_of(KernelInceptionDistance(), features(0, 300, 8)), subset_size=50)
    widths = {}
    for n in (100, 400, 1600):
        for confidence in (0.9, 0.99):
            e = metric.compute(state_of(metric, features(1, n, 8) * 1.2), confidence=confidence)["value"]
            assert e.low < e.value < e.high
            widths[n, confidence] = e.high - e.low
    assert widths[100, 0.9] > widths[400, 0.9] > widths[1600, 0.9]
    assert all(widths[n, 0.99] > widths[n, 0.9] for n in (100, 400, 1600))


@pytest.mark.parametrize(
    ("rows", "rest", "reason"),
    [
        (lambda make: make(1, 49, 4), {}, "49 generated samples"),
        (lambda make: np.ones((80, 4)), {}, "do not vary"),
        (lambda make: make(1, 80, 4), {"clusters": ["a"] * 80}, "share clusters"),
    ],
)
def test_no_interval_where_none_is_valid(features, state_of, rows, rest, reason):
    metric = KernelInceptionDistance(reference=state_of(KernelInceptionDistance(), features(0, 90, 4)), subset_size=40)
    estimate = metric.compute(state_of(metric, rows(features), **rest))["value"]
    assert (estimate.low, estimate.high) == (None, None)
    assert reason in estimate.method
    assert np.isfinite(estimate.value)


def test_too_few_samples_for_the_subsets(features, state_of):
    x, y = features(1, 300, 8), features(2, 100, 8)
    with pytest.raises(InputError, match="set `subset_size` to at most 100"):
        kernel_distance(x, y)
    metric = metrics.get("kid", reference=state_of(metrics.get("kid"), x))
    result = metric.compute(state_of(metric, y))
    assert result["value"].has_interval  # the main value needs no subsets
    assert np.isnan(result["subset_mean"].value)
    assert "set `subset_size` to at most 100" in result["subset_mean"].method
    for bad in ({"subsets": 0}, {"subset_size": 1}):
        with pytest.raises(InputError, match="subset"):
            metrics.get("kid", **bad)


@pytest.mark.trap("One sample has no covariance")
def test_degenerate_sizes(features, state_of):
    metric = KernelInceptionDistance(reference=state_of(KernelInceptionDistance(), features(0, 90, 4)))
    assert np.isnan(metric.compute(state_of(metric, features(1, 1, 4)))["value"].value)
    two = metric.compute(state_of(metric, features(1, 2, 4)))["value"]
    assert np.isfinite(two.value)
    assert not two.has_interval


@pytest.mark.trap("Half-precision features lose digits when summed as they are")
def test_half_precision_is_computed_in_double(features):
    x, y = features(1, 80, 8).astype(np.float16), features(2, 80, 8).astype(np.float16)
    expected = unbiased(x.astype(np.float64), y.astype(np.float64))
    assert kernel_distance(x, y, subset_size=20)["value"].value == pytest.approx(expected, rel=1e-6)


def test_the_metric_gives_the_function_s_numbers(features, state_of):
    x, y = features(1, 200, 8), features(2, 150, 8) * 1.2
    settings = {"subsets": 20, "subset_size": 50, "seed": 3}
    metric = metrics.get("kid", reference=state_of(KernelInceptionDistance(**settings), x), **settings)
    found, direct = metric.compute(state_of(metric, y)), kernel_distance(x, y, **settings)
    assert set(found) == set(direct)
    for key, estimate in found.items():
        assert estimate.value == pytest.approx(direct[key].value, rel=1e-9), key
        assert str(estimate) == str(direct[key])
