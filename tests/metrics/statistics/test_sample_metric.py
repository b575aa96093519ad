"""`SampleMetric`: one estimator for streams, shards and stored rows; missing is not zero."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metrics import Batch, Estimate, InputError, MetricSpec, SampleMetric, Scores, State
from metrics.scoring import errors_of, number_column, rows
from metrics.statistics.rows import Quantity


class Plain(SampleMetric):
    """Mean of ``x``, or ratio of ``x`` to ``d``, in a range that the test chooses."""

    spec = MetricSpec("plain", "", None, None, "higher", "quality", ("x",), "mean", "t", "", "")
    quantiles: ClassVar[dict[str, float]] = {"p50": 0.5}

    def __init__(self, low: float | None = None, high: float | None = None, log: bool = False) -> None:
        super().__init__(low=low, high=high)
        self.quantity = Quantity(low, high, "log" if log else "identity", "mean")

    def quantities(self) -> dict[str, Quantity]:
        return {"value": self.quantity}

    def score(self, batch: Batch) -> Scores:
        reasons = errors_of(batch)
        values = number_column(batch, "x", "plain", reasons, least=-math.inf)
        return rows(batch, values, reasons, denominators=batch.columns.get("d"))


def batch(x: Any, *, clusters: Any = None, weights: Any = None, d: Any = None, start: int = 0) -> Batch:
    columns = {"x": x} | ({} if d is None else {"d": np.asarray(d, dtype=float)})
    ids = [str(i + start) for i in range(len(x))]
    names = None if clusters is None else [str(c) for c in clusters]
    return Batch(ids, columns, names, None if weights is None else np.asarray(weights, dtype=float))


def result(metric: Plain, given: Batch, confidence: float = 0.95) -> Estimate:
    return metric.summarise(metric.score(given), confidence=confidence)["value"]


def assert_same(a: dict[str, Estimate], b: dict[str, Estimate]) -> None:
    assert a.keys() == b.keys()
    for key, left in a.items():
        right = b[key]
        assert (left.n, left.method, left.coverage) == (right.n, right.method, right.coverage)
        for name in ("value", "low", "high", "effective_n", "worst_low", "worst_high"):
            x, y = getattr(left, name), getattr(right, name)
            if x is None or y is None or math.isnan(x):
                assert x is y or (math.isnan(x) and math.isnan(y)), name
            else:
                assert x == pytest.approx(y, rel=1e-7, abs=1e-9), name


numbers = st.one_of(st.sampled_from([0.0, 1.0, math.nan]), st.floats(-5, 5))
samples = st.lists(st.tuples(numbers, st.integers(0, 4), st.floats(0.1, 9), st.floats(0.5, 5)), max_size=40)


def of(table: list[tuple[float, int, float, float]], use: tuple[bool, bool, bool], start: int = 0) -> Batch:
    x, c, w, d = ([row[i] for row in table] for i in range(4))
    return batch(x, clusters=c if use[0] else None, weights=w if use[1] else None, d=d if use[2] else None, start=start)


@settings(max_examples=80, deadline=None)
@given(samples, samples, samples, st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_shards_equal_the_whole_in_any_grouping(a: Any, b: Any, c: Any, use: tuple[bool, bool, bool]) -> None:
    metric = Plain(-5.0, 5.0)
    parts = [metric.update(metric.init(), of(t, use)) for t in (a, b, c)]
    left = metric.merge(metric.merge(parts[0], parts[1]), parts[2])
    right = metric.merge(parts[0], metric.merge(parts[1], parts[2]))
    whole = metric.update(metric.init(), of(a + b + c, use))
    assert_same(metric.compute(left), metric.compute(right))
    assert_same(metric.compute(left), metric.compute(whole))
    assert_same(metric.compute(State.from_bytes(left.to_bytes())), metric.compute(left))
    assert_same(metric.summarise(metric.score(of(a + b + c, use))), metric.compute(whole))


@settings(max_examples=60, deadline=None)
@given(samples, st.tuples(st.booleans(), st.booleans(), st.booleans()), st.randoms())
def test_order_does_not_matter(table: Any, use: tuple[bool, bool, bool], random: Any) -> None:
    shuffled = list(table)
    random.shuffle(shuffled)
    metric = Plain()
    assert_same(metric.summarise(metric.score(of(table, use))), metric.summarise(metric.score(of(shuffled, use))))


@settings(max_examples=60, deadline=None)
@given(samples, st.tuples(st.booleans(), st.booleans(), st.booleans()), st.sampled_from([0.8, 0.95]))
def test_an_interval_holds_its_value_and_widens_with_confidence(
    table: Any, use: tuple[bool, bool, bool], confidence: float
) -> None:
    narrow = result(Plain(-5.0, 5.0), of(table, use), confidence)
    wide = result(Plain(-5.0, 5.0), of(table, use), 0.99)
    if narrow.low is not None and narrow.high is not None:
        assert narrow.low <= narrow.value + 1e-9
        assert narrow.value <= narrow.high + 1e-9
        assert wide.low is not None
        assert wide.high is not None
        assert wide.low <= narrow.low + 1e-9
        assert narrow.high <= wide.high + 1e-9


def test_a_mean_is_the_t_interval_of_the_textbook() -> None:
    x = np.random.default_rng(0).normal(1e6, 1e-3, 40)  # the offset would eat a naive sum of squares
    found = result(Plain(), batch(x))
    half = 2.0226909 * x.std(ddof=1) / math.sqrt(40)
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=1e-9)
    assert found.high - found.low == pytest.approx(2 * half, rel=1e-3)
    assert found.method == "t"


def test_a_rate_is_wilson() -> None:
    found = result(Plain(0.0, 1.0), batch([1] * 9 + [0]))
    assert (found.low, found.high) == pytest.approx((0.5958499732, 0.9821237869))
    assert found.method == "Wilson"


def test_clusters_agree_with_the_sandwich_computed_from_matrices() -> None:
    rng = np.random.default_rng(3)
    clusters = rng.integers(0, 9, 60)
    x = rng.normal(size=60) + clusters
    found = result(Plain(), batch(x, clusters=clusters))
    residual, n = x - x.mean(), len(x)
    meat = 0.0
    for g in range(9):  # Bell and McCaffrey's (I - H)^(-1/2), with H = 11'/n
        own = clusters == g
        size = int(own.sum())
        values, vectors = np.linalg.eigh(np.eye(size) - np.ones((size, size)) / n)
        meat += float((vectors @ np.diag(values**-0.5) @ vectors.T @ residual[own]).sum()) ** 2
    half = 2.306004135 * math.sqrt(meat) / n
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), rel=1e-8)
    assert found.effective_n is not None
    assert found.effective_n < 20  # 60 rows that share 9 clusters


def test_singleton_clusters_change_nothing() -> None:
    x = np.random.default_rng(1).normal(size=30)
    plain, clustered = result(Plain(), batch(x)), result(Plain(), batch(x, clusters=range(30)))
    assert (plain.low, plain.high) == pytest.approx((clustered.low, clustered.high))


def test_repeating_every_sample_in_a_cluster_does_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(2)
    for x, metric in ((rng.normal(size=40), Plain()), ((rng.random(40) < 0.8) * 1.0, Plain(0.0, 1.0))):
        once = result(metric, batch(x))
        thrice = result(metric, batch(np.repeat(x, 3), clusters=np.repeat(np.arange(40), 3)))
        naive = result(metric, batch(np.repeat(x, 3)))
        assert thrice.high - thrice.low >= 0.98 * (once.high - once.low)  # type: ignore[operator]
        assert naive.high - naive.low < 0.65 * (once.high - once.low)  # type: ignore[operator]


def test_a_ratio_is_the_delta_method() -> None:
    rng = np.random.default_rng(4)
    d = rng.uniform(1, 9, 50)
    x = 2 * d + rng.normal(size=50)
    found = result(Plain(), batch(x, d=d))
    ratio = x.sum() / d.sum()
    error = math.sqrt(50 / 49 * ((x - ratio * d) ** 2).sum()) / d.sum()
    assert found.value == pytest.approx(ratio)
    assert (found.low, found.high) == pytest.approx((ratio - 2.0095752 * error, ratio + 2.0095752 * error))
    logged = result(Plain(log=True), batch(x, d=d))
    assert (logged.value, logged.low, logged.high) == pytest.approx(
        (math.exp(found.value), math.exp(found.low), math.exp(found.high))  # type: ignore[arg-type]
    )


def test_unscored_samples_lower_coverage_and_widen_the_worst_case() -> None:
    found = result(Plain(0.0, 1.0), batch([1, 1, 1, 0, math.nan, None, 1, 1]))
    assert (found.value, found.n, found.coverage) == (pytest.approx(5 / 6), 6, 0.75)
    assert (found.worst_low, found.worst_high) == pytest.approx((5 / 8, 7 / 8))
    assert result(Plain(), batch([1, math.nan])).worst_low is None


def test_a_denominator_of_zero_is_not_taken_for_equal_scores() -> None:
    found = result(Plain(), batch([4.0, 6.0, 5.0, 1.0], d=[2.0, 3.0, 2.0, 0.0]))
    assert (found.value, found.method) == (16 / 7, "t, delta method")
    assert found.has_interval


def test_weights_move_the_value_and_the_effective_n() -> None:
    found = result(Plain(0.0, 1.0), batch([1, 0, 1, 0], weights=[3, 1, 3, 1]))
    assert found.value == pytest.approx(0.75)
    assert found.effective_n == pytest.approx(64 / 20)
    assert "weighted" in found.method


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "no sample was scored"),
        ([math.nan], "no sample was scored"),
        ([0.3], "1 scored, 2 needed"),
        ([0.3, 0.3, 0.3], "all scores are equal and their range is unbounded"),
    ],
)
def test_where_no_interval_is_valid_there_is_none(given: list[float], reason: str) -> None:
    found = result(Plain(), batch(given))
    assert not found.has_interval
    assert reason in found.method


def test_one_cluster_has_no_interval() -> None:
    assert "one cluster" in result(Plain(), batch([1.0, 2.0, 3.0], clusters="aaa")).method


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_scores_in_a_range_do_not_make_a_point(value: float) -> None:
    found = result(Plain(0.0, 1.0), batch([value] * 50))
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= value <= found.high <= 1
    assert found.high - found.low > 0.05


def test_clusters_of_equal_means_do_not_make_a_point() -> None:
    found = result(Plain(), batch([0.0, 1.0] * 5, clusters=np.repeat(np.arange(5), 2)))
    assert found.high - found.low > 0.3  # type: ignore[operator]


def test_quantiles_come_with_order_statistics() -> None:
    metric = Plain()
    found = metric.compute(metric.update(metric.init(), batch(np.arange(101.0))))["p50"]
    assert (found.value, found.low, found.high) == (50, 40, 60)
    assert metric.compute(metric.init())["p50"].method.startswith("no interval")


def test_infinite_scores_are_unscored() -> None:
    assert result(Plain(), batch([1.0, 2.0, math.inf])).coverage == pytest.approx(2 / 3)


@pytest.mark.parametrize("weights", [[1, 0], [1, -1], [1, math.nan]])
def test_bad_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(InputError, match=r"sample '1' has weight .*positive"):
        result(Plain(), batch([1.0, 2.0], weights=weights))


def test_states_that_do_not_belong_together_are_refused() -> None:
    metric = Plain()
    clustered = metric.update(metric.init(), batch([1.0, 2.0], clusters="ab"))
    with pytest.raises(InputError, match="name a cluster and others do not"):
        metric.update(clustered, batch([1.0]))
    with pytest.raises(InputError, match="a state of 'other'"):
        metric.compute(State("other", 1, {"keys": []}, {}))
    with pytest.raises(InputError, match="has cluster None"):
        metric.score(Batch(["0"], {"x": [1.0]}, [None])) and result(metric, Batch(["0"], {"x": [1.0]}, [None]))  # type: ignore[list-item]


def test_update_leaves_the_given_state_alone() -> None:
    metric = Plain()
    state = metric.update(metric.init(), batch([1.0, 2.0]))
    before = state.to_bytes()
    metric.update(state, batch([5.0]))
    assert state.to_bytes() == before


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, st.integers(2, 60), elements=st.floats(0, 1)))
def test_a_bounded_mean_stays_in_its_range(x: Any) -> None:
    found = result(Plain(0.0, 1.0), batch(x))
    assert found.low is not None
    assert found.high is not None
    assert -1e-12 <= found.low < found.high <= 1 + 1e-12
