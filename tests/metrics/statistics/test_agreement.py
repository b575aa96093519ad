"""Agreement coefficients against scikit-learn, statsmodels, krippendorff and irrCAC, and their coverage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metrics import Estimate, InputError
from metrics.statistics import cohen_kappa, gwet_ac1, krippendorff_alpha

# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", example C.
_ = None
EXAMPLE = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]


def raters(rng: Any, count: int, items: int, good: float, shares: tuple[float, ...] = (0.5, 0.3, 0.2)) -> Any:
    truth = rng.choice(len(shares), items, p=shares)
    noise = rng.choice(len(shares), (count, items), p=shares)
    return np.where(rng.random((count, items)) < good, truth, noise)


@pytest.mark.parity("cohen_kappa", "scikit-learn `cohen_kappa_score`", 1e-6)
@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_agrees_with_scikit_learn(weights: Any) -> None:
    from sklearn.metrics import cohen_kappa_score

    a, b = raters(np.random.default_rng(0), 2, 80, 0.6)
    assert cohen_kappa(a, b, weights=weights).value == pytest.approx(cohen_kappa_score(a, b, weights=weights))
    names = np.array(["bad", "fair", "good"])
    assert cohen_kappa(names[a], names[b], weights=weights).value == cohen_kappa(a, b, weights=weights).value


def error_of(found: Estimate, items: int) -> float:
    """The standard error behind an interval on Fisher's scale."""
    half = (np.arctanh(found.high) - np.arctanh(found.low)) / 2
    return float(half * (1 - found.value**2) / stats.t.ppf(0.975, items - 1))


@pytest.mark.parity("cohen_kappa", "statsmodels (standard error)", 1e-9)
@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappas_standard_error_agrees_with_statsmodels(weights: Any, peer: Callable[[str], Any]) -> None:
    rater = peer("statsmodels.stats.inter_rater")
    a, b = raters(np.random.default_rng(1), 2, 200, 0.6)
    table = np.zeros((3, 3))
    np.add.at(table, (a, b), 1)
    theirs = rater.cohens_kappa(table, wt=weights)
    ours = cohen_kappa(a, b, weights=weights)
    assert error_of(ours, 200) == pytest.approx(theirs.std_kappa, rel=1e-9)


@pytest.mark.parity("krippendorff_alpha", "krippendorff, four levels", 1e-10)
@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_alpha_agrees_with_krippendorff(level: Any, peer: Callable[[str], Any]) -> None:
    package = peer("krippendorff")
    rng = np.random.default_rng(0)
    table = raters(rng, 4, 60, 0.7).astype(float) + 1
    table[rng.random(table.shape) < 0.2] = np.nan
    for data in (table, np.array(EXAMPLE, dtype=float)):
        expected = package.alpha(reliability_data=data, level_of_measurement=level)
        assert krippendorff_alpha(data, level=level).value == pytest.approx(expected, rel=1e-10)


def test_alpha_agrees_with_krippendorffs_own_example() -> None:
    found = {level: krippendorff_alpha(EXAMPLE, level=level) for level in ("nominal", "ordinal", "interval", "ratio")}  # type: ignore[arg-type]
    values = {level: round(estimate.value, 3) for level, estimate in found.items()}
    assert values == {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849, "ratio": 0.797}
    assert found["nominal"].coverage == pytest.approx(11 / 12)


@pytest.mark.parity("gwet_ac1", "irrCAC", 1e-9)
def test_ac1_agrees_with_irrcac(peer: Callable[[str], Any]) -> None:
    import pandas as pd

    raw = peer("irrCAC.raw")
    rng = np.random.default_rng(0)
    table = raters(rng, 3, 70, 0.7).astype(float)
    table[rng.random(table.shape) < 0.15] = np.nan
    table[:, :3] = [[0.0, 1, 2], [np.nan, 1, 2], [np.nan, 1, 1]]  # an item with one rating
    # without the categories named, the peer counts NaN as one of them
    theirs = raw.CAC(pd.DataFrame(table.T), categories=[0.0, 1.0, 2.0], digits=12).gwet()["est"]
    ours = gwet_ac1(table)
    assert ours.value == pytest.approx(theirs["coefficient_value"], abs=1e-10)
    assert error_of(ours, 70) == pytest.approx(theirs["se"], abs=1e-9)


def test_ac1_agrees_with_gwets_own_example() -> None:
    # Gwet 2014, "Handbook of inter-rater reliability", table 2.10: 12 items, the same ratings as Krippendorff's.
    assert gwet_ac1(EXAMPLE).value == pytest.approx(0.77544, abs=5e-6)


def covers(coefficient: Callable[[Any], Any], truth: float, draw: Callable[[Any], Any], runs: int = 600) -> float:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(runs):
        found = coefficient(draw(rng))
        if found.value == 1:  # no interval: at most one run in a hundred here
            hits += 1
            continue
        assert found.low is not None
        hits += found.low <= truth <= found.high
    return hits / runs


CASES = [(50, 0.7, (0.5, 0.3, 0.2)), (50, 0.8, (0.85, 0.15)), (100, 0.9, (0.5, 0.5)), (100, 0.3, (0.7, 0.2, 0.1))]


@pytest.mark.parametrize(("items", "good", "shares"), CASES)
def test_kappa_covers(items: int, good: float, shares: tuple[float, ...]) -> None:
    found = covers(lambda t: cohen_kappa(t[0], t[1]), good**2, lambda rng: raters(rng, 2, items, good, shares))
    assert 0.92 <= found <= 0.98


def test_perfect_kappa_has_a_lower_end_that_holds() -> None:
    a = [0, 1] * 100
    found = cohen_kappa(a, a)
    assert found.high == 1
    assert 0.93 < found.low < 0.97
    assert cohen_kappa(a[:100], a[:100]).low < found.low
    uneven = [0] * 190 + [1] * 10
    assert cohen_kappa(uneven, uneven).low < 0.6
    assert cohen_kappa(["a", "b", "c", "c"] * 50, ["a", "b", "c", "c"] * 50).low > 0.9
    pairs = [str(i // 2) for i in range(200)]
    assert cohen_kappa(a, a, clusters=pairs).low == pytest.approx(cohen_kappa(a[:100], a[:100]).low)
    thin = [5.0] * 2 + [1.0] * 198
    assert cohen_kappa(a, a, item_weights=thin).low < cohen_kappa(a[:50], a[:50]).low


@pytest.mark.parametrize(("good", "shares"), [(0.99, (0.5, 0.5)), (0.98, (0.9, 0.1)), (0.985, (0.4, 0.3, 0.3))])
def test_the_lower_end_of_perfect_kappa_covers(good: float, shares: tuple[float, ...]) -> None:
    # The worst case by design: a kappa so high that a sample without any disagreement is common
    rng, perfect, missed = np.random.default_rng(4), 0, 0
    for _ in range(1500):
        a, b = raters(rng, 2, 60, good, shares)
        found = cohen_kappa(a, b)
        if found.value == 1 and found.has_interval:
            perfect += 1
            missed += found.low > good**2
    assert perfect > 150
    assert missed / 1500 <= 0.025


@pytest.mark.parametrize(("items", "good", "shares"), CASES)
def test_ac1_covers(items: int, good: float, shares: tuple[float, ...]) -> None:
    agree = good**2 + (1 - good**2) * sum(s * s for s in shares)
    chance = sum(s * (1 - s) for s in shares) / (len(shares) - 1)
    truth = (agree - chance) / (1 - chance)
    names = list(range(len(shares)))
    found = covers(lambda t: gwet_ac1(t, categories=names), truth, lambda rng: raters(rng, 3, items, good, shares))
    assert 0.92 <= found <= 0.985


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_alpha_covers(level: Any) -> None:
    rng = np.random.default_rng(7)
    truth = krippendorff_alpha(raters(rng, 3, 40_000, 0.7), level=level, resamples=100).value
    found = covers(
        lambda t: krippendorff_alpha(t, level=level, resamples=400), truth, lambda rng: raters(rng, 3, 80, 0.7), 400
    )
    assert 0.92 <= found <= 0.98


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.floats(0, 1))
def test_order_and_names_do_not_matter(seed: int, count: int, good: float) -> None:
    rng = np.random.default_rng(seed)
    table = raters(rng, count, 55, good)
    shuffled = table[rng.permutation(count)][:, rng.permutation(55)]
    renamed = np.array(["x", "a", "m"])[shuffled]
    for coefficient in (lambda t: krippendorff_alpha(t, resamples=100), gwet_ac1):
        one, other = coefficient(table), coefficient(renamed)
        assert other.value == pytest.approx(one.value, nan_ok=True)
        assert not one.value > 1
    assert cohen_kappa(table[0], table[1]).value == pytest.approx(cohen_kappa(table[1], table[0]).value, nan_ok=True)


def test_ac1_stays_where_kappa_collapses() -> None:
    a = [1] * 95 + [0] * 5
    b = [1] * 90 + [0] * 5 + [1] * 5
    assert cohen_kappa(a, b).value < 0
    assert gwet_ac1([a, b]).value > 0.85


def test_plain_t_intervals_would_miss() -> None:
    rng, hits, runs = np.random.default_rng(5), 0, 500
    for _ in range(runs):
        found = gwet_ac1(raters(rng, 2, 100, 0.9, (0.9, 0.1)), categories=[0, 1])
        half = error_of(found, 100) * 1.984 if found.has_interval else 0.0
        share = 0.81 + 0.19 * 0.82
        hits += abs(found.value - (share - 0.18) / 0.82) <= half
    assert hits / runs < 0.92


def test_missing_ratings_lower_the_coverage() -> None:
    a, b = raters(np.random.default_rng(0), 2, 60, 0.7).tolist()
    whole, holes = cohen_kappa(a, b), cohen_kappa([*a, None, 1], [*b, 1, float("nan")])
    assert (holes.low, holes.high, holes.n) == (whole.low, whole.high, 60)
    assert holes.coverage == pytest.approx(60 / 62)


def test_perfect_constant_and_few_ratings_have_no_interval() -> None:
    a, ranked = [0, 1] * 40, [0, 1, 2, 1] * 20
    for found in (cohen_kappa(ranked, ranked, weights="linear"), gwet_ac1([a, a]), krippendorff_alpha([a, a])):
        assert found.value == 1
        assert not found.has_interval
    for found in (cohen_kappa([1] * 40, [1] * 40), gwet_ac1([[1] * 40] * 2), krippendorff_alpha([[1] * 60] * 2)):
        assert np.isnan(found.value)
        assert "no interval" in found.method
    assert "10 items" in cohen_kappa([0, 1] * 5, [1, 1] * 5).method
    assert "no item has two" in gwet_ac1([[1, None], [None, 1]]).method
    assert np.isnan(krippendorff_alpha([[1, None], [None, 1]]).value)
    assert np.isnan(cohen_kappa([], []).value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cohen_kappa([1], [1, 2]), "1 and 2 ratings"),
        (lambda: cohen_kappa([1], ["a"]), "mix int, str"),
        (lambda: cohen_kappa([1], [1], weights="cubic"), "weights 'cubic'"),  # type: ignore[arg-type]
        (lambda: cohen_kappa(["a"], ["b"], categories=["a"]), "not among the categories"),
        (lambda: krippendorff_alpha([[1, 2]]), "two or more raters"),
        (lambda: krippendorff_alpha([[1, 2], [1]]), "2, 1 ratings"),
        (lambda: krippendorff_alpha([["a"], ["b"]], level="interval"), "not a finite number"),
        (lambda: krippendorff_alpha([[1], [-1]], level="ratio"), "at least 0"),
        (lambda: krippendorff_alpha([[1], [1]], level="metric"), "level 'metric'"),  # type: ignore[arg-type]
        (lambda: krippendorff_alpha([[1], [1]], clusters=["a", "b"]), "2 cluster names for 1 items"),
        (lambda: krippendorff_alpha([range(101)] * 2, level="ordinal"), "101 different"),  # type: ignore[list-item]
        (lambda: gwet_ac1([[[1]], [[1]]]), "a rating is a list"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
