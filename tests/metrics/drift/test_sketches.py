from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metrics
from metrics.base import Batch, State
from metrics.drift import (
    ColumnSketch,
    chi_square,
    distances,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein_distance,
)
from metrics.drift.distribution import numeric_column
from metrics.drift.sketch import CATEGORY_LIMIT, EXACT_VALUES, _library, _packed, centroids
from metrics.errors import InputError


def exact(sketch: ColumnSketch) -> list[float]:
    column = sketch.column()
    return np.repeat(column.values, 1 if column.counts is None else column.counts.astype(int)).tolist()


@settings(deadline=None, max_examples=60)
@given(parts=st.lists(st.lists(st.none() | st.integers(-9, 9).map(float), max_size=20), min_size=1, max_size=5))
def test_few_values_merge_exactly_in_any_grouping(parts: list[list[float | None]]) -> None:
    left = right = ColumnSketch()
    for part in parts:
        left = left.merge(ColumnSketch.of_numbers(part))
    for part in reversed(parts):
        right = ColumnSketch.of_numbers(part).merge(right)
    rows = sorted(v for part in parts for v in part if v is not None)
    assert exact(left) == exact(right) == rows
    assert left.offered == sum(map(len, parts))
    assert left.column().n == len(rows)


def test_many_values_become_a_digest_that_is_close_small_and_repeats() -> None:
    rng = np.random.default_rng(1)
    hours = [rng.lognormal(size=20_000) for _ in range(24)]

    def day() -> ColumnSketch:
        merged = ColumnSketch()
        for hour in hours:
            merged = merged.merge(ColumnSketch.of_numbers(hour))
        return merged

    sketch = day()
    assert sketch.digest == day().digest
    assert len(sketch.digest) < 64_000
    column, whole = sketch.column(), np.concatenate(hours)
    assert column.n == len(whole)
    assert not column.exact
    assert distances.ks_statistic(numeric_column(whole), column) < 0.0006
    assert column.mean() == pytest.approx(whole.mean(), rel=1e-4)
    assert column.values[0] == whole.min()
    assert column.values[-1] == whole.max()


def test_statistics_from_sketches_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.gamma(2, size=60_000), rng.gamma(2.1, size=50_000)
    sketches = ColumnSketch.of_numbers(a).column(), ColumnSketch.of_numbers(b).column()
    for compare, tolerance in (
        (kolmogorov_smirnov, 0.001), (wasserstein_distance, 0.001), (population_stability_index, 0.002),
    ):  # fmt: skip
        rows, sketched = compare(a, b)["value"], compare(*sketches)["value"]
        assert sketched.value == pytest.approx(rows.value, abs=tolerance)
        assert sketched.value > 0.01 or compare is population_stability_index
        assert "from sketches" in sketched.method
        assert "from sketches" not in rows.method


def test_a_value_that_many_rows_share_stays_one_value() -> None:
    rng = np.random.default_rng(6)
    hours = [np.where(rng.random(20_000) < 0.3, 0.0, rng.exponential(size=20_000)) for _ in range(6)]
    sketch = ColumnSketch()
    for hour in hours:
        sketch = sketch.merge(ColumnSketch.of_numbers(hour))
    assert distances.ks_statistic(numeric_column(np.concatenate(hours)), sketch.column()) < 0.003
    heavy = ColumnSketch.of_numbers(np.repeat([1.0, 2.0], 40_000)).merge(
        ColumnSketch.of_numbers(rng.normal(8, 1, 5000))
    )
    ranks = heavy.column()
    assert ranks.quantiles(np.array([0.2, 0.4, 0.6, 0.9])).tolist() == [1.0, 1.0, 2.0, 2.0]


def test_exact_values_join_a_digest_without_a_copy_per_row() -> None:
    few = ColumnSketch.of_numbers(np.array([1.0, 2.0]))
    for _ in range(33):
        few = few.merge(few)  # 17 billion rows
    many = ColumnSketch.of_numbers(np.random.default_rng(3).normal(size=5000))
    tracemalloc.start()
    both = few.merge(many)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    column = both.column()
    assert column.n == 2**34 + 5000
    assert 1.4 < column.mean() < 1.6
    assert column.values[0] < -2


def test_centroids_read_the_librarys_format() -> None:
    digest = _library().tdigest_double(1000)
    assert len(centroids(bytes(digest.serialize()))[0]) == 0
    digest.update(4.0)
    assert centroids(bytes(digest.serialize()))[0].tolist() == [4.0]
    one = ColumnSketch.of_numbers([7.0])
    assert _library().tdigest_double.deserialize(_packed(one)).get_quantile(0.5) == 7.0
    several = ColumnSketch.of_numbers([1.0, 1.0, 2.0, 9.0])
    read = _library().tdigest_double.deserialize(_packed(several))
    assert (read.get_total_weight(), read.get_min_value(), read.get_max_value()) == (4, 1.0, 9.0)
    for damaged in (b"", b"abc", b"\x02\x01\x15\xe8\x03\x00\x00\x00" + b"\0" * 24, bytes(digest.serialize())[:9]):
        with pytest.raises(InputError, match="not a t-digest"):
            centroids(damaged)


def test_categories_merge_and_are_limited() -> None:
    a, b = ColumnSketch.of_categories(["x", "y", None, True]), ColumnSketch.of_categories(["y", 3, math.nan])
    both = a.merge(b).column()
    assert both.counts == {"3": 1, "True": 1, "x": 1, "y": 2}
    assert (both.n, both.offered) == (5, 7)
    with pytest.raises(InputError, match="more than 10,000 different categories"):
        ColumnSketch.of_categories([str(i) for i in range(CATEGORY_LIMIT + 1)])
    with pytest.raises(InputError, match="numbers with a column of categories"):
        a.merge(ColumnSketch.of_numbers([1.0]))
    with pytest.raises(InputError, match="row 1 is a dict"):
        ColumnSketch.of_categories(["x", {"a": 1}])


def batch(values: object, *, name: str = "value", start: int = 0, **rest: object) -> Batch:
    return Batch([f"s{start + i}" for i in range(len(values))], {name: values}, **rest)


@pytest.mark.parametrize("name", ["ks", "wasserstein", "psi", "jensen_shannon", "chi_square"])
def test_windows_roll_up_through_stored_states(name: str) -> None:
    rng = np.random.default_rng(4)
    categorical = name == "chi_square"
    draw = (lambda n: rng.choice(list("abcd"), n).tolist()) if categorical else (lambda n: rng.normal(size=n).tolist())
    plain = metrics.get(name, column="length")
    metric = metrics.get(name, column="length", reference=plain.update(plain.init(), batch(draw(300), name="length")))
    hours = [draw(80) for _ in range(4)]
    day, whole = metric.init(), metric.init()
    for at, hour in enumerate(hours):
        state = metric.update(metric.init(), batch(hour, name="length", start=80 * at))
        day = metric.merge(day, State.from_bytes(state.to_bytes()))
    whole = metric.update(whole, batch([v for hour in hours for v in hour], name="length"))
    assert metric.compute(day) == metric.compute(whole)
    assert len(day.to_bytes()) < 64_000
    assert metric.compute(day)["value"].n == 320


def test_a_state_of_a_million_rows_is_small() -> None:
    metric = metrics.get("ks")
    state = metric.init()
    for seed in range(4):
        rows = np.random.default_rng(seed).normal(size=25_000)
        state = metric.update(state, batch(rows))
    assert len(state.to_bytes()) < 64_000
    assert state.facts["offered"] == 100_000


def test_failed_and_dependent_samples() -> None:
    plain = metrics.get("ks")
    reference = plain.update(plain.init(), batch(list(range(100))))
    metric = metrics.get("ks", reference=reference)
    failed = metric.update(metric.init(), batch(list(range(60)), errors=["timeout"] + [None] * 59))
    assert metric.compute(failed)["value"].n == 59
    assert metric.compute(failed)["value"].coverage == pytest.approx(59 / 60)
    clustered = metric.update(metric.init(), batch(list(range(60)), clusters=["c"] * 60))
    found = metric.compute(metric.merge(failed, clustered))
    assert not found["value"].has_interval
    assert math.isnan(found["p_value"].value)
    with pytest.raises(InputError, match="sample 's1' is inf"):
        metric.update(metric.init(), batch([1.0, math.inf]))
    with pytest.raises(InputError, match="hand in its state"):
        plain.compute(failed)
    with pytest.raises(InputError, match="on 'value'; compute it again"):
        metrics.get("ks", column="length").merge(failed, failed)
    with pytest.raises(InputError, match="no value in column"):
        metrics.get("ks", reference=plain.init()).compute(failed)


def test_exactness_ends_where_it_says() -> None:
    assert ColumnSketch.of_numbers(np.arange(float(EXACT_VALUES))).digest is None
    assert ColumnSketch.of_numbers(np.arange(float(EXACT_VALUES + 1))).digest is not None
    merged = ColumnSketch.of_numbers(np.arange(1500.0)).merge(ColumnSketch.of_numbers(np.arange(1000.0, 2500.0)))
    assert merged.digest is not None
    assert merged.column().n == 3000


def test_chi_square_takes_no_sketch_of_numbers() -> None:
    many = ColumnSketch.of_numbers(np.random.default_rng(5).normal(size=5000)).column()
    with pytest.raises(InputError, match="sketch of numbers"):
        chi_square(many, many)
    numbers = chi_square(numeric_column([1.0, 1, 2]), [1, 2, 2])
    assert numbers["cramers_v"].value == pytest.approx(1 / 3)
