"""Candidate minus champion: paired where samples are shared, independent otherwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metrics import Estimate, InputError, Scores
from metrics.statistics import compare_paired, holm, independent_difference, welch_difference
from metrics.statistics.pairing import compare_rows
from metrics.statistics.rows import Quantity

UNIT = Quantity(low=0.0, high=1.0)


def scores(values: Any, *, ids: Any = None, clusters: Any = None, d: Any = None) -> Scores:
    x = np.asarray(values, dtype=float)
    ones = np.ones(len(x))
    names = [str(i) for i in (range(len(x)) if ids is None else ids)]
    return Scores(
        names,
        x,
        ones if d is None else np.asarray(d, dtype=float),
        ones,
        None if clusters is None else [str(c) for c in clusters],
        [None if math.isfinite(v) else "failed" for v in x],
    )


def test_paired_means_are_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, 40), rng.normal(0, 1, 40)
    found = compare_paired(a, b)
    expected = stats.ttest_rel(a, b)
    ends = expected.confidence_interval(0.95)
    assert found.p_two_sided == pytest.approx(expected.pvalue)
    assert (found.difference.low, found.difference.high) == pytest.approx((ends.low, ends.high))
    assert found.effect_size == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    shifted = stats.ttest_1samp(a - b, -0.1, alternative="greater").pvalue
    assert compare_paired(a, b, margin=0.1).p_value == pytest.approx(shifted)


def test_paired_rates_are_mcnemar_without_a_margin() -> None:
    a = np.array([1] * 12 + [0] * 4 + [1] * 30)
    b = np.array([0] * 12 + [1] * 4 + [1] * 30)
    found = compare_paired(a, b)
    assert found.p_two_sided == pytest.approx(2 * stats.norm.sf((12 - 4) / math.sqrt(16)))
    assert found.p_value == pytest.approx(stats.norm.sf(2))
    assert found.difference.low > 0  # type: ignore[operator]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 60), st.floats(0.01, 0.3))
def test_the_score_test_and_its_interval_agree(b: int, c: int, same: int, margin: float) -> None:
    left = np.array([1] * b + [0] * c + [1] * same)
    right = np.array([0] * b + [1] * c + [1] * same)
    found = compare_paired(left, right, margin=margin, confidence=0.9)
    if len(left) >= 2 and found.p_value is not None and abs(found.difference.low + margin) > 1e-9:  # type: ignore[operator]
        assert (found.p_value < 0.05) == (found.difference.low > -margin)  # type: ignore[operator]


def test_clusters_widen_a_paired_comparison() -> None:
    rng = np.random.default_rng(1)
    effect = np.repeat(rng.normal(size=12), 10)
    a, b = rng.normal(size=120) * 0.1 + effect, rng.normal(size=120) * 0.1
    plain = compare_paired(a, b)
    clustered = compare_paired(a, b, clusters=[str(i // 10) for i in range(120)])
    width = [c.difference.high - c.difference.low for c in (plain, clustered)]  # type: ignore[operator]
    assert width[1] > 2 * width[0]
    assert clustered.p_two_sided > plain.p_two_sided  # type: ignore[operator]
    # equal clusters: the t test of the cluster means
    means = (a - b).reshape(12, 10).mean(1)
    assert clustered.p_two_sided == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


@pytest.mark.parametrize(
    ("a", "b", "clusters", "status"),
    [
        ([], [], None, "too_few_pairs"),
        ([1.0], [2.0], None, "too_few_pairs"),
        ([1.0, math.nan], [2.0, 3.0], None, "too_few_pairs"),
        ([0.1, 0.2, 0.3], [0.2, 0.4, 0.1], ["a", "a", "a"], "too_few_pairs"),
        ([0.5, 0.5, 0.5], [0.25, 0.25, 0.25], None, "no_variation"),
    ],
)
def test_too_little_to_compare_is_a_status(a: Any, b: Any, clusters: Any, status: str) -> None:
    found = compare_paired(a, b, clusters=clusters)
    assert (found.status, found.p_value, found.difference.has_interval) == (status, None, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0, 2.0], {}), "one entry per pair"),
        (([1.0], [1.0], {"margin": -1}), "margin is -1"),
        (([[1.0]], [[1.0]], {}), "shape"),
        ((["x"], [1.0], {}), "not numbers"),
        (([1.0, 2.0], [1.0, 2.0], {"confidence": 2}), "confidence"),
        (([], [], {"confidence": 2}), "confidence"),
    ],
)
def test_bad_input_is_refused(arguments: Any, message: str) -> None:
    a, b, named = arguments
    with pytest.raises(InputError, match=message):
        compare_paired(a, b, **named)


def test_rows_are_matched_by_id_not_by_place() -> None:
    rng = np.random.default_rng(2)
    b = rng.normal(size=50)
    a = b + rng.normal(0.1, 0.01, 50)
    order = rng.permutation(50)
    shuffled = scores(b[order], ids=order)
    matched = compare_rows(scores(a), shuffled, Quantity())
    assert matched.method == "paired, t"
    assert matched.high - matched.low < 0.01  # type: ignore[operator]
    apart = compare_rows(scores(a), scores(b, ids=range(100, 150)), Quantity())
    assert apart.method == "independent, MOVER"
    assert apart.high - apart.low > 0.3  # type: ignore[operator]


def test_a_ratio_is_compared_through_influence_values() -> None:
    rng = np.random.default_rng(3)
    tokens = rng.integers(20, 200, 60)
    a, b = tokens * rng.normal(2, 0.1, 60), tokens * rng.normal(2.1, 0.1, 60)
    found = compare_rows(scores(a, d=tokens), scores(b, d=tokens), Quantity(scale="log"))
    value = math.exp(a.sum() / tokens.sum()) - math.exp(b.sum() / tokens.sum())
    assert found.value == pytest.approx(value)
    jackknife = []
    for i in range(60):
        keep = np.arange(60) != i
        total = tokens[keep].sum()
        jackknife.append(math.exp(a[keep].sum() / total) - math.exp(b[keep].sum() / total))
    error = math.sqrt(59 * np.var(jackknife))
    half = (found.high - found.low) / 2  # type: ignore[operator]
    assert half == pytest.approx(stats.t.ppf(0.975, 59) * error, rel=0.03)


def test_unscored_pairs_are_left_out_and_told() -> None:
    a, b = [1, 1, 0, math.nan, 1, 0], [1, 0, 0, 1, math.nan, 0]
    found = compare_rows(scores(a), scores(b), UNIT)
    assert (found.n, found.value) == (4, 0.25)
    assert found.coverage == pytest.approx(4 / 6)
    assert (found.worst_low, found.worst_high) == pytest.approx((0 / 6, 2 / 6))


@pytest.mark.parametrize("clusters", [None, np.arange(100) // 4])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.37])
def test_identical_versions_differ_by_zero_with_an_honest_width(clusters: Any, value: float) -> None:
    same = scores(np.full(100, value), clusters=clusters)
    found = compare_rows(same, same, UNIT)
    assert found.value == 0
    assert found.low is not None
    assert found.high is not None
    assert -0.25 < found.low < -0.01 < 0.01 < found.high < 0.25


def test_repeated_sample_ids_are_refused() -> None:
    with pytest.raises(InputError, match="1 sample ids occur more than once"):
        compare_rows(scores([1, 2], ids="aa"), scores([1, 2], ids="ab"), Quantity())


def test_mover_needs_both_intervals_at_one_confidence() -> None:
    a, b = Estimate(3.0, 2.0, 5.0, n=10), Estimate(1.0, 0.5, 2.0, n=20)
    found = independent_difference(a, b)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 - math.sqrt(2), 2 + math.sqrt(4.25)))
    assert not independent_difference(a, Estimate(1.0)).has_interval
    with pytest.raises(InputError, match="confidence"):
        independent_difference(a, Estimate(1.0, 0.5, 2.0, confidence=0.9))


def test_welch_agrees_with_scipy() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(0, 1, 12), rng.normal(1, 4, 30)
    ends = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    found = welch_difference(np.append(a, np.nan), b, confidence=0.9)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    assert found.coverage == pytest.approx(42 / 43)
    assert not welch_difference([1.0], [2.0, 3.0]).has_interval


@given(st.lists(st.floats(0, 1), max_size=20), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_rejects(p_values: list[float], alpha: float) -> None:
    adjusted = holm(p_values)
    rejected, m = set(), len(p_values)
    for step, place in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        if (m - step) * p_values[place] > alpha:
            break
        rejected.add(place)
    assert {i for i in range(m) if adjusted[i] <= alpha} == rejected


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(InputError, match="p-values"):
        holm([0.1, float("nan")])
