from __future__ import annotations

import numpy as np
import pytest

import metrics
from metrics.errors import InputError
from metrics.image import Coverage, Density, Precision, Recall, density_coverage, neighbours, precision_recall
from metrics.statistics.intervals import wilson_interval


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a.astype(np.float64) - b.astype(np.float64)) ** 2).sum())


def naive_radii(rows: np.ndarray, k: int) -> list[float]:
    return [sorted(distance(rows[i], rows[j]) for j in range(len(rows)) if j != i)[k - 1] for i in range(len(rows))]


def naive(x: np.ndarray, y: np.ndarray, k_manifold: int, k_density: int) -> dict[str, float]:
    own, other, near = naive_radii(x, k_manifold), naive_radii(y, k_manifold), naive_radii(x, k_density)
    m, n = len(x), len(y)
    return {
        "precision": np.mean([any(distance(y[j], x[i]) <= own[i] for i in range(m)) for j in range(n)]),
        "recall": np.mean([any(distance(x[i], y[j]) <= other[j] for j in range(n)) for i in range(m)]),
        "density": sum(distance(y[j], x[i]) < near[i] for i in range(m) for j in range(n)) / (k_density * n),
        "coverage": np.mean([any(distance(y[j], x[i]) < near[i] for j in range(n)) for i in range(m)]),
    }


def all_four(x, y, k_manifold=3, k_density=5):
    return precision_recall(x, y, k=k_manifold) | density_coverage(x, y, k=k_density)


@pytest.mark.parity("precision", "naive loops", 1e-6)
@pytest.mark.parity("recall", "naive loops", 1e-6)
@pytest.mark.parity("density", "naive loops", 1e-6)
@pytest.mark.parity("coverage", "naive loops", 1e-6)
@pytest.mark.parametrize(("m", "n", "d", "k", "kd"), [(40, 50, 3, 3, 5), (60, 30, 40, 1, 2), (25, 25, 2, 5, 7)])
def test_agrees_with_naive_loops(features, m, n, d, k, kd):
    x, y = features(1, m, d), features(2, n, d) * 1.15
    expected = naive(x, y, k, kd)
    for name, estimate in all_four(x, y, k, kd).items():
        assert estimate.value == pytest.approx(expected[name], rel=1e-6), name


def test_ties_on_the_sphere_and_duplicates_are_decided_exactly():
    """Small integers: many distances are exactly equal, so `<=` and `<` must not depend on rounding."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, y = rng.integers(0, 3, (40, 3)), rng.integers(0, 3, (35, 3))
        for offset in (0, 0.1, 1000.3):
            expected = naive(x + offset, y + offset, 3, 5)
            for name, estimate in all_four(x + offset, y + offset).items():
                assert estimate.value == pytest.approx(expected[name], abs=1e-12), (name, seed, offset)


@pytest.mark.trap("Exact duplicates are not at distance 0 in float32")
def test_exact_duplicates_are_at_distance_zero_in_float32(features):
    x = (features(1, 60, 64) + 1000).astype(np.float32)
    assert np.all(neighbours.neighbour_radii(np.repeat(x, 2, axis=0).astype(np.float64), 1) == 0.0)
    # radius 0 everywhere: a copied sample lies on its own sphere, its neighbour a rounding step away does not
    doubled = np.repeat(x, 4, axis=0)
    moved = x.copy()
    moved[:, 0] = np.nextafter(moved[:, 0], np.float32(np.inf))
    assert precision_recall(doubled, x)["precision"].value == 1.0
    assert precision_recall(doubled, moved)["precision"].value == 0.0


def test_blocked_distances_do_not_change_the_numbers(features, monkeypatch):
    x, y = features(1, 90, 8), features(2, 70, 8)
    whole = all_four(x, y)
    monkeypatch.setattr(neighbours, "_BLOCK_CELLS", 400)
    monkeypatch.setattr(neighbours, "_reference_radii", neighbours.ContentCache())
    assert {k: e.value for k, e in all_four(x, y).items()} == {k: e.value for k, e in whole.items()}


def test_identical_sets_are_perfect(features):
    x = features(1, 80, 6)
    result = all_four(x, x)
    assert result["precision"].value == result["recall"].value == result["coverage"].value == 1.0
    # each ball holds its centre and the k - 1 nearest: exactly k
    assert result["density"].value == pytest.approx(1.0)


@pytest.mark.trap("Constant fakes have a singular covariance")
def test_constant_sets(features):
    ones, x = np.ones((30, 4)), features(1, 40, 4)
    result = all_four(ones, ones)
    assert result["precision"].value == result["recall"].value == 1.0
    assert result["coverage"].value == 0.0  # Naeem's ball of radius 0 is empty
    assert all_four(x, ones)["recall"].value == 0.0


def modes(seed: int, n: int, kept: int) -> np.ndarray:
    """Ten classes as a classifier's features show them; a collapsed generator keeps the first few."""
    centres = 4 * np.random.default_rng(123).normal(size=(10, 16))
    rng = np.random.default_rng(seed)
    return centres[rng.integers(0, kept, n)] + rng.normal(size=(n, 16))


def compute(name: str, state_of, x: np.ndarray, y: np.ndarray, confidence: float = 0.95, **settings):
    metric = metrics.get(name, reference=state_of(metrics.get(name), x), **settings)
    return metric.compute(state_of(metric, y), confidence=confidence)


def test_a_collapsed_generator_lowers_recall_and_coverage_but_not_precision(state_of):
    x, good, collapsed = modes(1, 400, 10), modes(2, 1000, 10), modes(3, 1000, 3)
    for name in ("recall", "coverage"):
        high, low = (compute(name, state_of, x, y)["value"] for y in (good, collapsed))
        assert low.high < high.low - 0.2
        assert high.high - high.low < 0.08  # enough power for a gate on 1,000 samples
    kept, lost = (compute("precision", state_of, x, y)["value"] for y in (good, collapsed))
    assert lost.value > kept.low


def test_noise_lowers_precision_but_not_recall(state_of):
    x, good = modes(1, 400, 10), modes(2, 1000, 10)
    noisy = good + 2 * np.random.default_rng(0).normal(size=good.shape)
    assert compute("precision", state_of, x, noisy)["value"].high < compute("precision", state_of, x, good)["value"].low
    assert compute("recall", state_of, x, noisy)["value"].value > 0.8


def test_precision_has_wilson_s_interval_and_worst_case_bounds(batch, state_of):
    x, y = modes(1, 200, 10), modes(2, 100, 10)
    y[:10] = np.nan
    metric = Precision(reference=state_of(Precision(), x))
    errors = ["timeout"] * 10 + [None] * 90
    result = metric.compute(metric.update(metric.init(), batch(y, errors=errors)))["value"]
    inside = round(result.value * 90)
    assert result.value == pytest.approx(precision_recall(x, y[10:])["precision"].value)
    assert (result.n, result.coverage) == (90, 0.9)
    assert (result.low, result.high) == pytest.approx(wilson_interval(result.value, 90))
    assert (result.worst_low, result.worst_high) == pytest.approx((inside / 100, (inside + 10) / 100))


def test_density_has_a_t_interval_and_worst_case_bounds(batch, state_of):
    x, y = modes(1, 200, 10), modes(2, 100, 10)
    metric = Density(reference=state_of(Density(), x))
    result = metric.compute(metric.update(metric.init(), batch(y, errors=[None] * 99 + ["empty"])))["value"]
    assert result.low < result.value < result.high
    assert result.worst_low == pytest.approx(result.value * 0.99)
    assert result.worst_high == pytest.approx(result.value * 0.99 + 40 * 0.01)


def test_block_values_are_the_mean_over_blocks_and_full_is_everything(state_of):
    x, y = modes(1, 200, 10), modes(2, 850, 10)
    order = np.random.default_rng(0).permutation(850)
    for name, function, k in (("recall", precision_recall, 3), ("coverage", density_coverage, 5)):
        result = compute(name, state_of, x, y)
        blocks = [function(x, y[order[i * 100 : (i + 1) * 100]], k=k)[name].value for i in range(8)]
        assert result["value"].value == pytest.approx(np.mean(blocks))
        assert result["value"].spread == pytest.approx(np.std(blocks, ddof=1))
        assert result["full"].value == function(x, y, k=k)[name].value
        assert not result["full"].has_interval
        assert "of 100 generated samples" in result["value"].estimand
        assert "8 blocks of 100" in result["value"].method


def test_more_samples_do_not_move_what_recall_and_coverage_estimate(state_of):
    x = modes(1, 300, 10)
    for name in ("recall", "coverage"):
        few, many = (compute(name, state_of, x, modes(5, n, 10))["value"] for n in (1000, 6000))
        assert many.high - many.low < few.high - few.low
        assert few.low < many.value < few.high


@pytest.mark.parametrize("name", ["recall", "coverage"])
def test_too_few_blocks_give_no_interval_and_say_what_to_do(state_of, name):
    result = compute(name, state_of, modes(1, 100, 10), modes(2, 799, 10))["value"]
    assert not result.has_interval
    assert "7 blocks of 100" in result.method
    assert "generate 800 samples" in result.method
    small = compute(name, state_of, modes(1, 100, 10), modes(2, 60, 10))["value"]
    assert not small.has_interval
    assert "of 60 generated samples" in small.estimand
    assert compute(name, state_of, modes(1, 100, 10), modes(2, 799, 10), block=50)["value"].has_interval


def test_equal_blocks_do_not_claim_certainty(state_of):
    far = 100 + modes(2, 1000, 10)
    for name in ("recall", "coverage"):
        result = compute(name, state_of, modes(1, 100, 10), far)["value"]
        assert result.value == result.low == 0.0
        assert 0.2 < result.high < 0.45
    nothing = compute("density", state_of, modes(1, 100, 10), far)["value"]
    assert nothing.value == 0.0
    assert nothing.high > 0


def test_clustered_samples_have_no_interval(batch, state_of):
    x, y = modes(1, 100, 10), modes(2, 1000, 10)
    for name in ("precision", "recall", "density", "coverage"):
        metric = metrics.get(name, reference=state_of(metrics.get(name), x))
        state = metric.update(metric.init(), batch(y, clusters=[str(i // 2) for i in range(1000)]))
        result = metric.compute(state)["value"]
        assert not result.has_interval
        assert "share clusters" in result.method


@pytest.mark.parametrize("name", ["recall", "coverage"])
def test_block_intervals_cover_the_value_at_block_size(name):
    metric = {"recall": Recall, "coverage": Coverage}[name]()
    for spread in (0.7, 1.0):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(200, 8))
        pool = np.array([metric.shares(x, spread * rng.normal(size=(50, 8)), 50)[1] for _ in range(600)])
        picks = np.random.default_rng(2).integers(0, 600, (1000, 10))
        bounds = np.array([metric._interval(pool[p], 100, False, 0.90)[:2] for p in picks], dtype=float)
        assert np.mean(pool.mean() > bounds[:, 1]) <= 0.07
        assert np.mean(pool.mean() < bounds[:, 0]) <= 0.07


def test_density_and_precision_intervals_cover(state_of):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 4))
    for name in ("precision", "density"):
        metric = metrics.get(name, reference=state_of(metrics.get(name), x))
        truth = metric.compute(state_of(metric, 1.2 * rng.normal(size=(60_000, 4))))["value"].value
        missed = 0
        for _ in range(300):
            e = metric.compute(state_of(metric, 1.2 * rng.normal(size=(150, 4))))["value"]
            missed += not e.low <= truth <= e.high
        assert missed / 300 <= 0.085  # 5 % and three standard errors of 300 rounds


def test_bad_settings_and_references(state_of, features):
    x = features(1, 4, 3)
    with pytest.raises(InputError, match="`k` is 0"):
        metrics.get("precision", k=0)
    with pytest.raises(InputError, match="`block` is 3"):
        metrics.get("recall", block=3)
    with pytest.raises(InputError, match="`k` is 3 with 3 generated"):
        precision_recall(features(1, 9, 3), features(1, 3, 3))
    with pytest.raises(InputError, match="`k` is 5 with 4 reference"):
        density_coverage(x, features(1, 9, 3))
    with pytest.raises(InputError, match="reference has 4 usable images, at least 6"):
        compute("coverage", state_of, x, features(1, 9, 3))
    with pytest.raises(InputError, match="give the task a `reference`"):
        metric = metrics.get("density")
        metric.compute(state_of(metric, x))


@pytest.mark.trap("One sample has no covariance")
def test_one_or_no_sample(state_of):
    x = modes(1, 50, 10)
    one = {name: compute(name, state_of, x, modes(2, 1, 10))["value"] for name in ("precision", "density", "coverage")}
    assert one["precision"].has_interval
    assert not one["density"].has_interval
    assert not one["coverage"].has_interval
    assert np.isnan(compute("recall", state_of, x, modes(2, 3, 10))["value"].value)
    assert np.isnan(compute("precision", state_of, x, np.empty((0, 16)))["value"].value)


def test_reference_radii_are_computed_once(state_of, monkeypatch):
    calls = []
    original = neighbours.neighbour_radii
    monkeypatch.setattr(neighbours, "neighbour_radii", lambda *a: calls.append(1) or original(*a))
    x, y = modes(41, 70, 10), modes(2, 200, 10)
    for name in ("density", "coverage", "density"):
        compute(name, state_of, x, y)
    assert len(calls) == 1


@pytest.mark.parametrize(("n", "m", "d", "k"), [(60, 90, 5, 3), (200, 50, 40, 5), (30, 30, 2, 1)])
def test_one_pass_gives_the_same_four(features, n, m, d, k):
    x, y = features(1, m, d), features(2, n, d)
    y[:5], y[5] = x[:5], y[6]  # on spheres, and copies
    both = metrics.image.precision_recall(x, y, k=k) | metrics.image.density_coverage(x, y, k=4)
    assert metrics.image.precision_recall_density_coverage(x, y, k=k, k_density=4) == both


@pytest.mark.parametrize("scale", [2.0**-100, 1.0, 2.0**100])
def test_radii_are_exact_whatever_the_unit_or_offset(features, scale):
    from metrics.image.neighbours import neighbour_radii

    x = features(1, 120, 6)
    x[50:60] = x[50] + 1e-9 * features(2, 10, 6)  # nearer to each other than single precision tells apart
    exact = np.sort(((x[:, None] - x[None]) ** 2).sum(-1), axis=1)
    for k in (1, 4, 30):
        np.testing.assert_allclose(neighbour_radii(x * scale, k) / scale**2, exact[:, k], rtol=1e-9)


def clumps(seed: int, n: int, d: int) -> np.ndarray:
    """Far apart, each of rows that single precision cannot tell from each other, and of copies."""
    rng = np.random.default_rng(seed)
    rows = 100 * rng.normal(size=(4, d))[rng.integers(0, 4, n)] + 1e-6 * rng.normal(size=(n, d))
    rows[rng.permutation(n)[: n // 3]] = rows[0]
    return rows


@pytest.mark.parametrize("cells", [400, 4_000_000])
def test_where_rounding_leaves_all_in_question_differences_decide(monkeypatch, cells):
    x = clumps(1, 230, 5)
    exact = np.sort(((x[:, None] - x[None]) ** 2).sum(-1), axis=1)
    monkeypatch.setattr(neighbours, "_BLOCK_CELLS", cells)
    for ks in ((3,), (5, 2), (229,), (100, 1)):
        found = np.atleast_2d(neighbours.neighbour_radii(x, *ks))
        np.testing.assert_allclose(found, exact[:, list(ks)].T, rtol=1e-9)


def test_pairs_held_are_bounded_where_rounding_leaves_all_in_question(monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK_CELLS", 10_000)
    held = []
    tighten = neighbours._Candidates._tighten
    monkeypatch.setattr(neighbours._Candidates, "_tighten", lambda self: (held.append(self._added), tighten(self)))
    x = 1e-7 * np.random.default_rng(0).normal(size=(700, 4))
    x[0] = 100.0
    radii = neighbours.neighbour_radii(x, 2)
    assert np.allclose(radii[1:], np.sort(((x[1:, None] - x[None]) ** 2).sum(-1), axis=1)[:, 2], rtol=1e-9)
    assert max(held) <= 4 * 2 * 700 + 10_000  # of 700^2


def test_many_copies_cost_no_differences_with_each_other(monkeypatch):
    pairs = []
    exact = neighbours._exact
    monkeypatch.setattr(neighbours, "_exact", lambda a, b, i, j: (pairs.append(len(i)), exact(a, b, i, j))[1])
    x = np.repeat(np.random.default_rng(0).normal(size=(3, 8)), 400, axis=0)
    assert np.all(neighbours.neighbour_radii(x, 5) == 0.0)
    assert sum(pairs) < 1000


@pytest.mark.parametrize("library", ["numpy", "onednn"])
def test_either_library_of_products_gives_the_same_numbers(features, monkeypatch, library):
    from metrics.image import products

    torch = pytest.importorskip("torch")
    monkeypatch.setattr(products, "_WORTH_COPYING", 0.0)
    used = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda a, b: (used.append(1), linear(a, b))[1])
    monkeypatch.setattr(products, "_torch_with_onednn", lambda: torch if library == "onednn" else None)
    monkeypatch.setattr(neighbours, "_reference_radii", neighbours.ContentCache())
    x, y = features(1, 90, 16), features(2, 70, 16) * 1.1
    x.flags.writeable = False
    expected = naive(x, y, 3, 5)
    for name, estimate in metrics.image.precision_recall_density_coverage(x, y).items():
        assert estimate.value == pytest.approx(expected[name], rel=1e-12), name
    assert bool(used) == (library == "onednn")


def test_sets_of_different_precision_share_a_middle(features):
    x = (features(1, 80, 6) + 1000.3).astype(np.float32)
    y = features(2, 60, 6) + 1000.3
    expected = naive(x.astype(np.float64), y, 3, 5)
    for name, estimate in all_four(x, y).items():
        assert estimate.value == pytest.approx(expected[name], rel=1e-12), name


def test_the_peer_agrees(features, peer):
    x, y = features(1, 300, 16), features(2, 200, 16) + 0.05
    theirs = peer("prdc").compute_prdc(x, y, 5)
    ours = metrics.image.precision_recall_density_coverage(x, y, k=5, k_density=5)
    for name, value in theirs.items():
        assert ours[name].value == pytest.approx(value, abs=1e-12), name
