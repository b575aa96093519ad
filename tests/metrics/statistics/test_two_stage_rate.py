from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metrics.errors import InputError
from metrics.statistics import Drawn, two_stage_rate, wilson_interval


def drawn(rng: np.random.Generator, rate: float, *, n: int = 4000, judged: int = 800, labelled: int = 140) -> Any:
    """A window: cheap scores, the model's verdicts on a sample, labels on a few of those."""
    truth = rng.random(n) < rate
    cheap = 1 / (1 + np.exp(-rng.normal(np.where(truth, 0.5, -1.5), 1.0)))
    model = np.where(rng.random(n) < np.where(truth, 0.9, 0.03), 1.0, 0.0)
    rows = rng.choice(n, judged, replace=False)
    return cheap, Drawn(rows, model[rows]), Drawn(rows[:labelled], truth[rows[:labelled]] * 1.0)


@pytest.mark.parametrize("rate", [0.03, 0.1])
def test_the_interval_covers_with_few_positive_labels_and_is_tighter(rate: float) -> None:
    """Seven days of 20 labels: 4 positive ones at 3 %."""
    rng = np.random.default_rng(1)
    hits, widths, plain = 0, 0.0, 0.0
    for _ in range(150):
        found = two_stage_rate(*drawn(rng, rate))
        low, high, alone = found.estimate.low, found.estimate.high, found.labels_alone
        assert low is not None and high is not None and alone.low is not None and alone.high is not None
        hits += low <= rate <= high
        widths, plain = widths + high - low, plain + alone.high - alone.low
    assert hits / 150 >= 0.93
    assert widths < 0.85 * plain


def test_counts_by_hand() -> None:
    """600 of 1,000 judged, 60 called positive: 27 of 30 labelled ones are, and 2 of 70 others."""
    cheap = np.full(1000, 0.5)  # tells nothing
    verdicts = np.repeat([1.0, 0.0], [60, 540])
    rows = np.arange(600)
    labelled = np.concatenate([np.arange(30), np.arange(60, 130)])
    labels = np.concatenate([np.repeat([1.0, 0.0], [27, 3]), np.repeat([1.0, 0.0], [2, 68])])
    found = two_stage_rate(cheap, Drawn(rows, verdicts), Drawn(labelled, labels))
    assert found.estimate.value == pytest.approx(0.1 * 27 / 30 + 0.9 * 2 / 70)
    assert {name: (s.rate, s.labels) for name, s in found.strata.items() if s.labels} == {
        "positive": (0.9, 30),
        "negative": (pytest.approx(2 / 70), 70),
    }
    assert found.strata["none"].share == 0 and math.isnan(found.strata["none"].rate)
    rng = np.random.default_rng(2)
    share = stats.beta(60.5, 540.5).rvs(200_000, random_state=rng)
    total = share * stats.beta(27.5, 3.5).rvs(200_000, random_state=rng) + (1 - share) * stats.beta(2.5, 68.5).rvs(
        200_000, random_state=rng
    )
    low, high = np.quantile(total, [0.025, 0.975])
    assert (found.estimate.low, found.estimate.high) == pytest.approx((low, high), abs=0.002)
    assert found.labels_alone.value == 0.29
    assert (found.labels_alone.low, found.labels_alone.high) == wilson_interval(0.29, 100)


def test_a_slice_that_is_drawn_more_often_does_not_count_for_more() -> None:
    """A rare slice with all the hallucinations gets a floor; without its weights the rate doubles."""
    rng = np.random.default_rng(3)
    n = 20_000
    rare = rng.random(n) < 0.05
    truth = rare & (rng.random(n) < 0.6)
    chances = np.where(rare, 0.2, 0.04)
    rows = np.flatnonzero(rng.random(n) < chances)
    labelled = rng.choice(rows, 500, replace=False)
    judged = Drawn(rows, truth[rows] * 1.0, chances[rows])
    labels = truth[labelled] * 1.0
    right = two_stage_rate(truth * 0.5, judged, Drawn(labelled, labels, chances[labelled]))
    naive = two_stage_rate(truth * 0.5, Drawn(rows, truth[rows] * 1.0), Drawn(labelled, labels))
    assert right.estimate.value == pytest.approx(0.03, abs=0.006)
    assert naive.estimate.value > 0.05
    assert right.labels_alone.effective_n is not None and right.labels_alone.effective_n < 450
    assert "weighted" in right.estimate.method and "weighted" not in naive.estimate.method


def test_a_judge_that_fails_widens_instead_of_counting_as_clean() -> None:
    rng = np.random.default_rng(4)
    cheap, judged, labels = drawn(rng, 0.1)
    values = np.asarray(judged.values).copy()
    values[100:400] = math.nan
    lost = two_stage_rate(cheap, Drawn(judged.rows, values), labels)
    whole = two_stage_rate(cheap, judged, labels)
    assert lost.strata["none"].share == pytest.approx(300 / 800)
    assert lost.estimate.effective_n is not None and whole.estimate.effective_n is not None
    assert lost.estimate.effective_n < whole.estimate.effective_n
    silent = two_stage_rate(cheap, Drawn(judged.rows, np.full(800, math.nan)), labels)
    assert silent.estimate.value == pytest.approx(float(np.mean(labels.values)))
    assert math.isnan(silent.judged.value)


def test_missing_labels_lower_the_coverage() -> None:
    cheap, judged, labels = drawn(np.random.default_rng(5), 0.1)
    values = np.asarray(labels.values).copy()
    values[:35] = math.nan
    found = two_stage_rate(cheap, judged, Drawn(labels.rows, values)).estimate
    assert found.coverage == 0.75 and found.n == 105
    assert found.worst_low == pytest.approx(0.75 * found.value)
    assert found.worst_high == pytest.approx(0.75 * found.value + 0.25)
    none = two_stage_rate(cheap, judged, Drawn(np.zeros(0, dtype=int), np.zeros(0)))
    assert math.isnan(none.estimate.value) and not none.estimate.has_interval
    assert "no label" in none.estimate.method
    assert none.judged.has_interval


@given(st.integers(0, 2**32), st.floats(0, 1), st.integers(1, 30), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_value_and_interval_are_rates_and_repeat(seed: int, rate: float, labelled: int, lost: float) -> None:
    rng = np.random.default_rng(seed)
    cheap, judged, labels = drawn(rng, rate, n=200, judged=60, labelled=labelled)
    cheap[rng.random(200) < lost] = math.nan
    values = np.where(rng.random(60) < lost, math.nan, np.asarray(judged.values))
    chances = rng.uniform(0.01, 1, 200)
    rows, of_labels = np.asarray(judged.rows), np.asarray(labels.rows)
    given_sides = Drawn(rows, values, chances[rows]), Drawn(of_labels, labels.values, chances[of_labels])
    found = two_stage_rate(cheap, *given_sides).estimate
    assert found.low is not None and found.high is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert two_stage_rate(cheap, *given_sides).estimate == found


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c, j, ls: two_stage_rate([], j, ls), "one per sample"),
        (lambda c, j, ls: two_stage_rate(c, j, Drawn(ls.rows, np.full(140, 0.5))), "neither 0 nor 1"),
        (lambda c, j, ls: two_stage_rate(c, Drawn(j.rows, np.full(800, 3.0)), ls), "better judge is outside"),
        (lambda c, j, ls: two_stage_rate(c * 5, j, ls), "cheap judge is outside"),
        (lambda c, j, ls: two_stage_rate(c, Drawn([], []), ls), "no sample"),
        (lambda c, j, ls: two_stage_rate(c, Drawn([5000], [1.0]), ls), "row outside the 4000"),
        (lambda c, j, ls: two_stage_rate(c, j, Drawn([1, 2], [1.0])), "differ in length"),
        (lambda c, j, ls: two_stage_rate(c, j, Drawn(ls.rows, ls.values, np.zeros(140))), "positive probability"),
        (lambda c, j, ls: two_stage_rate(c, Drawn(j.rows[:10], j.values[:10]), ls), "130 labels are on samples"),
    ],
)
def test_bad_input_is_refused(call: Callable[[Any, Any, Any], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(*drawn(np.random.default_rng(6), 0.1))
