from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metrics
from metrics.errors import InputError
from metrics.image import mode_collapse
from metrics.image import modes as modes_module
from metrics.image.modes import effective_number

CENTRES = 20 * np.eye(8)


def drawn(seed: int, n: int, weights: np.ndarray | None = None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return CENTRES[rng.choice(8, n, p=weights)] + rng.normal(size=(n, 8))


def test_the_modes_of_a_mixture_are_counted():
    found = mode_collapse(drawn(0, 2000), drawn(1, 2000), modes=8, seed=3)
    assert found["reference"].value == pytest.approx(8, abs=0.1)
    assert found["full"].value == pytest.approx(8, abs=0.1)
    assert found["found"].value == 8
    assert found["value"].low < found["value"].value < found["value"].high < 8


@pytest.mark.parity("mode_collapse", "closed form: exponential entropy of known shares", 0.02)
def test_a_collapsed_generator_loses_modes():
    weights = np.array([0.5, 0.25, 0.25, 0, 0, 0, 0, 0])
    found = mode_collapse(drawn(0, 2000), drawn(1, 4000, weights), modes=8, seed=3)
    assert found["found"].value == 3
    assert found["full"].value == pytest.approx(np.exp(1.5 * np.log(2)), rel=0.02)
    assert found["value"].high < mode_collapse(drawn(0, 2000), drawn(1, 2000), modes=8, seed=3)["value"].low


def test_the_interval_covers_the_value_of_a_block(monkeypatch):
    reference = drawn(0, 1000)
    known = modes_module.modes_of(reference, 8, 3)  # every round's reference and seed are the same
    monkeypatch.setattr(modes_module, "modes_of", lambda *_: known)
    monkeypatch.setattr(modes_module, "_duplicates", lambda *_: 0.0)  # no part of the interval, and all pairs' cost
    weights = np.array([0.4, 0.2, 0.2, 0.1, 0.1, 0, 0, 0])
    truth = mode_collapse(reference, drawn(1, 60_000, weights), modes=8, block=40, seed=3)["value"].value
    hits = 0
    for run in range(200):
        found = mode_collapse(reference, drawn(run + 2, 400, weights), modes=8, block=40, seed=3)["value"]
        hits += found.low <= truth <= found.high
    assert 0.91 <= hits / 200 <= 0.99


def test_duplicates_are_counted_by_pairs():
    y = drawn(1, 100)
    assert mode_collapse(drawn(0, 300), y, modes=8)["duplicates"].value == 0
    y[1], y[2], y[50] = y[0], y[0] + 1e-5, y[60]
    assert mode_collapse(drawn(0, 300), y, modes=8)["duplicates"].value == pytest.approx(0.05)
    assert mode_collapse(drawn(0, 300), y, modes=8, tolerance=0)["duplicates"].value == pytest.approx(0.04)


def test_no_interval_from_few_blocks_or_shared_clusters(state_of):
    reference, y = drawn(0, 300), drawn(1, 500)
    few = mode_collapse(reference, y, modes=8)["value"]
    assert not few.has_interval
    assert "generate 800 samples" in few.method
    metric = metrics.get("mode_collapse", modes=8, block=50)
    metric = metrics.get("mode_collapse", modes=8, block=50, reference=state_of(metric, reference))
    assert metric.compute(state_of(metric, y))["value"].has_interval
    assert not metric.compute(state_of(metric, y, clusters=["a"] * 500))["value"].has_interval


def test_the_metric_gives_the_function_s_numbers(state_of):
    reference, y = drawn(0, 300), drawn(1, 500)
    y[7] = y[3]  # so that no number is 0
    metric = metrics.get("mode_collapse", modes=8, reference=state_of(metrics.get("mode_collapse"), reference))
    assert str(metric.compute(state_of(metric, y))) == str(mode_collapse(reference, y, modes=8))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(sum))
def test_the_effective_number_is_between_one_and_the_modes_present(counts):
    value = effective_number(np.array(counts))
    assert 1 - 1e-12 <= value <= np.count_nonzero(counts) + 1e-9


def test_settings_out_of_range_are_named():
    x = drawn(0, 30)
    for settings_, said in (
        ({"modes": 1}, "`modes` is 1"),
        ({"block": 1}, "`block` 1"),
        ({"tolerance": -1}, "tolerance"),
    ):
        with pytest.raises(InputError, match=said):
            mode_collapse(x, x, **settings_)
    with pytest.raises(InputError, match="31 for 30 reference"):
        mode_collapse(x, x, modes=31)


def test_duplicates_do_not_depend_on_the_unit_of_the_features(features):
    """Near copies count as such by the reference's own spread: the same images in other units are as alike."""
    x, y = features(1, 100, 5), features(2, 60, 5)
    y[30:] = y[:30] + 1e-5 * features(3, 30, 5)
    for unit in (1e-6, 1.0, 1e6):
        found = mode_collapse(unit * x, unit * y, modes=3)
        assert found["duplicates"].value == 1.0
        apart = mode_collapse(unit * x, unit * features(2, 60, 5), modes=3)
        assert apart["duplicates"].value == 0.0
