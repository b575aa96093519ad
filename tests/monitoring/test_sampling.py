"""The hash sample: the same rows each time, whatever their order; exact sizes, floors and weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.monitoring.sampling import MOST_STRATA, allocate, draw, hashes, share_of_day, strata_of

DAY = 86_400_000
KNOWN = [3894247722078605383, 13962509581945860539]


def test_hashes_are_those_of_every_machine():
    assert hashes(["a", "b", "ä"], "monitor").tolist() == [
        hashes(["a"], "monitor")[0], hashes(["b"], "monitor")[0], hashes(["ä"], "monitor")[0]
    ]  # fmt: skip
    assert hashes(["a", "b"], "monitor").tolist() == KNOWN
    assert hashes(["a"], "another")[0] != KNOWN[0]


def test_hashes_are_spread_evenly():
    found = hashes([f"row {row}" for row in range(20_000)], "m").astype(np.float64) / 2**64
    counts, _ = np.histogram(found, bins=20, range=(0, 1))
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=12), st.integers(0, 900), st.integers(0, 60))
def test_allocation_is_exact_and_keeps_its_floor(counts: list[int], size: int, floor: int):
    given_counts = np.array(counts)
    drawn = allocate(given_counts, size, floor)
    assert drawn.sum() == min(size, sum(counts))
    assert np.all((drawn >= 0) & (drawn <= given_counts))
    if np.minimum(given_counts, floor).sum() <= size:
        assert np.all(drawn >= np.minimum(given_counts, floor))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_the_sample_does_not_depend_on_the_order(n: int, size: int, floor: int, seed: int):
    random = np.random.default_rng(seed)
    ids = np.array([f"id-{row}" for row in range(n)], dtype=object)
    strata = random.integers(0, 4, n)
    first = draw(hashes(ids, "m"), strata, size, floor=floor)
    order = random.permutation(n)
    second = draw(hashes(ids[order], "m"), strata[order], size, floor=floor)
    assert set(ids[first.rows]) == set(ids[order][second.rows])
    assert len(first.rows) == min(n, size)
    present = np.bincount(strata, minlength=4)
    weights = np.bincount(strata[first.rows], first.weights, minlength=4)
    seen = np.bincount(strata[first.rows], minlength=4) > 0
    assert np.allclose(weights[seen], present[seen]), "the rows of a stratum stand for all of it"


@given(st.integers(2, 200), st.integers(0, 2**32 - 1))
def test_a_late_row_displaces_at_most_one(n: int, seed: int):
    random = np.random.default_rng(seed)
    ids = [f"id-{value}" for value in random.permutation(n)]
    before = draw(hashes(ids[:-1], "m"), np.zeros(n - 1, np.int64), n // 2)
    after = draw(hashes(ids, "m"), np.zeros(n, np.int64), n // 2)
    lost = {ids[row] for row in before.rows} - {ids[row] for row in after.rows}
    assert len(lost) <= 1


def test_a_smaller_sample_is_part_of_a_larger_one():
    hashed = hashes([str(row) for row in range(1000)], "m")
    none = np.zeros(1000, np.int64)
    assert set(draw(hashed, none, 50).rows) < set(draw(hashed, none, 200).rows)


@pytest.mark.parametrize("hours", [1, 2, 3, 6, 24])
@pytest.mark.parametrize("per_day", [1, 7, 200, 5000])
def test_shares_of_a_day_add_up(hours: int, per_day: int):
    step = hours * 3_600_000
    assert sum(share_of_day(per_day, start, step) for start in range(DAY, 2 * DAY, step)) == per_day
    assert share_of_day(per_day, 0, 7 * DAY) == 7 * per_day


def test_slices_with_endless_values_stay_few_strata():
    values = {"user": np.array([str(row) for row in range(5000)]), "language": np.array(["de", "en"] * 2500)}
    strata = strata_of(values, 5000)
    assert strata.max() < MOST_STRATA
    assert len(draw(hashes(values["user"], "m"), strata, 100).rows) == 100


def test_the_sample_estimates_the_whole_without_bias():
    """A rate that differs between slices, drawn with a floor: weights put it right."""
    random = np.random.default_rng(5)
    strata = (random.random(20_000) < 0.01).astype(np.int64)
    values = np.where(strata == 1, 0.9, 0.1) > random.random(20_000)
    found = []
    for salt in range(40):
        drawn = draw(hashes([str(row) for row in range(20_000)], str(salt)), strata, 300, floor=100)
        found.append(np.average(values[drawn.rows], weights=drawn.weights))
    assert abs(np.mean(found) - values.mean()) < 0.01
    plain = np.mean([values[strata == 1].mean() * 100 + values[strata == 0].mean() * 200]) / 300
    assert abs(plain - values.mean()) > 0.2, "without weights it would be far off"
