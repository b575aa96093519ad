"""Confidence sequences, e-processes and the e-detector: values, and error rates however often one looks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import InputError
from metrics.statistics import ShiryaevRobertsDetector, confidence_sequence, e_process
from metrics.statistics.e_processes import STAKES

METHODS = ["betting", "empirical-bernstein"]
PATTERN = (np.arange(60) * 7 % 11) / 10


def naive_betting(x: Any, alpha: float) -> tuple[Any, Any]:
    """Waudby-Smith and Ramdas 2024, equations 26 to 28, candidate by candidate."""
    grid, n = np.linspace(0, 1, 1001), len(x)
    alive = np.ones((n, 1001), dtype=bool)
    for i, m in enumerate(grid):
        up = down = 1.0
        total, squares, variance = 0.0, 0.0, 0.25
        for t in range(1, n + 1):
            bet = math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(t + 1)))
            up *= 1 + min(bet, 0.5 / m if m else math.inf) * (x[t - 1] - m)
            down *= 1 - min(bet, 0.5 / (1 - m) if m < 1 else math.inf) * (x[t - 1] - m)
            total += x[t - 1]
            squares += (x[t - 1] - (0.5 + total) / (t + 1)) ** 2
            variance = (0.25 + squares) / (t + 1)
            alive[t - 1, i] = max(up, down) / 2 <= 1 / alpha
    alive = np.logical_and.accumulate(alive, axis=0)
    return grid[alive.argmax(axis=1)] - 1e-3, grid[1000 - alive[:, ::-1].argmax(axis=1)] + 1e-3


@pytest.mark.parametrize("cells", [10**7, 5000])
def test_betting_is_the_papers(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.statistics.confidence_sequences._CELLS", cells)
    low, high = naive_betting(PATTERN, 0.05)
    found = confidence_sequence(PATTERN)
    assert found.low == pytest.approx(np.maximum.accumulate(np.clip(low, 0, 1)), abs=1e-12)
    assert found.high == pytest.approx(np.minimum.accumulate(np.clip(high, 0, 1)), abs=1e-12)


def test_betting_agrees_with_confseq() -> None:
    # confseq 0.0.11 (it needs a compiler to install): betting_cs(PATTERN, breaks=1000, running_intersection=True)
    found = confidence_sequence(PATTERN)
    assert found.low[[9, 29, 59]] == pytest.approx([0.215, 0.336, 0.380], abs=1e-12)
    assert found.high[[9, 29, 59]] == pytest.approx([0.795, 0.665, 0.614], abs=1e-12)


def test_empirical_bernstein_is_the_papers() -> None:
    x, alpha = PATTERN, 0.05
    total = squares = bets = weighted = penalty = 0.0
    mean, variance = 0.5, 0.25
    lows, highs = [0.0], [1.0]
    for t, value in enumerate(x, start=1):
        bet = min(0.5, math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(1 + t))))
        penalty += 4 * (value - mean) ** 2 * (-math.log(1 - bet) - bet) / 4
        bets, weighted = bets + bet, weighted + bet * value
        lows.append(weighted / bets - (math.log(2 / alpha) + penalty) / bets)
        highs.append(weighted / bets + (math.log(2 / alpha) + penalty) / bets)
        total += value
        mean = (0.5 + total) / (t + 1)
        squares += (value - mean) ** 2
        variance = (0.25 + squares) / (t + 1)
    found = confidence_sequence(x, method="empirical-bernstein")
    assert (found.low[-1], found.high[-1]) == pytest.approx((max(lows), min(highs)))


def rare(rng: Any, n: int) -> Any:
    return (rng.random(n) < 0.05) * 1.0


def skewed(rng: Any, n: int) -> Any:
    return rng.beta(0.3, 1.2, n)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("draw", "truth"), [(rare, 0.05), (skewed, 0.2)])
def test_no_interval_of_the_whole_sequence_misses_too_often(
    method: Any, draw: Callable[..., Any], truth: float
) -> None:
    rng, misses, runs = np.random.default_rng(0), 0, 200
    for _ in range(runs):
        found = confidence_sequence(draw(rng, 400), method=method, confidence=0.9)
        misses += bool(np.any(found.low > truth) or np.any(found.high < truth))
    assert misses / runs <= 0.1


def test_peeking_with_plain_intervals_would_miss() -> None:
    rng, misses = np.random.default_rng(0), 0
    for _ in range(200):
        x = rng.random(400)
        t = np.arange(1, 401)
        mean = np.cumsum(x) / t
        misses += bool(np.any(np.abs(mean - 0.5)[20:] > 1.645 * math.sqrt(1 / 12) / np.sqrt(t[20:])))
    assert misses / 200 > 0.25


def test_betting_is_tighter_and_both_shrink() -> None:
    x = np.random.default_rng(0).beta(10, 30, 3000)
    widths = {m: confidence_sequence(x, method=m) for m in METHODS}
    sizes = {m: found.high - found.low for m, found in widths.items()}
    assert sizes["betting"][-1] < sizes["empirical-bernstein"][-1] < 0.03
    assert sizes["betting"][-1] < sizes["betting"][300] / 2
    hoeffding = 2 * math.sqrt(math.log(2 / 0.05) / (2 * 3000))
    assert sizes["betting"][-1] < hoeffding


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=60), st.floats(-5, 5), st.floats(0.5, 20), st.sampled_from(METHODS))
def test_other_ranges_scale_and_intervals_never_widen(x: list[float], low: float, width: float, method: Any) -> None:
    unit = confidence_sequence(x, method=method)
    scaled = confidence_sequence(
        np.clip(np.array(x) * width + low, low, low + width), low=low, high=low + width, method=method
    )
    # a rounding step may move an end by one candidate
    assert scaled.low == pytest.approx(low + width * unit.low, abs=2.1e-3 * width)
    assert np.all(np.diff(unit.low) >= 0)
    assert np.all(np.diff(unit.high) <= 0)
    assert np.all(unit.low >= 0)
    assert np.all(unit.high <= 1)


def test_missing_scores_lower_the_coverage() -> None:
    whole, holes = confidence_sequence([0.2, 0.9, 0.4]), confidence_sequence([0.2, np.nan, 0.9, 0.4])
    assert holes.estimate.low == whole.estimate.low
    assert holes.estimate.coverage == 0.75
    assert holes.estimate.worst_low == pytest.approx(1.5 / 4)
    assert holes.estimate.worst_high == pytest.approx(2.5 / 4)
    assert not confidence_sequence([]).estimate.has_interval


def test_a_drifting_mean_empties_the_interval_and_says_so() -> None:
    found = confidence_sequence(np.r_[np.zeros(300), np.ones(3000)]).estimate
    assert not found.has_interval
    assert "drift" in found.method


def test_an_e_value_is_the_average_wealth() -> None:
    x = np.array([0.9, 0.2, 0.7])
    wealth = np.mean([np.prod(1 + stake / 0.4 * (x - 0.4)) for stake in STAKES])
    assert e_process(x, 0.4).log_e[-1] == pytest.approx(math.log(wealth))
    mirrored = e_process(1 - x, 0.6, alternative="less")
    assert mirrored.log_e == pytest.approx(e_process(x, 0.4).log_e)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).random(50)
    whole, detector = e_process(x, 0.4).log_e, ShiryaevRobertsDetector(0.4, threshold=100)
    path = detector.update(x)
    monkeypatch.setattr("metrics.statistics.e_processes._CELLS", 100)
    assert e_process(x, 0.4).log_e == pytest.approx(whole)
    pieces = ShiryaevRobertsDetector(0.4, threshold=100)
    assert np.concatenate([pieces.update(x[:13]), pieces.update(x[13:])]) == pytest.approx(path)


def test_looking_at_every_sample_keeps_the_level_and_finds_effects() -> None:
    rng = np.random.default_rng(0)
    nulls = [e_process(rare(rng, 1000), 0.05).p_value for _ in range(300)]
    effects = [e_process((rng.random(1000) < 0.1) * 1.0, 0.05).p_value for _ in range(100)]
    assert np.mean(np.array(nulls) <= 0.1) <= 0.1
    assert np.mean(np.array(effects) <= 0.1) > 0.8


def test_the_detectors_recursion() -> None:
    x, null = np.array([0.3, 0.9, 0.1, 0.6]), 0.4
    stakes = STAKES / (1 - null)
    statistic = np.zeros(len(stakes))
    for value, log in zip(x, ShiryaevRobertsDetector(null, threshold=10).update(x), strict=True):
        statistic = (1 + statistic) * (1 + stakes * (null - value))
        assert log == pytest.approx(math.log(statistic.mean()))


def test_false_alarms_within_the_horizon_are_as_rare_as_promised_and_changes_are_found() -> None:
    rng, horizon, alpha, runs = np.random.default_rng(0), 500, 0.2, 300
    false, delays = 0, []
    for _ in range(runs):
        quiet = ShiryaevRobertsDetector(0.9, threshold=horizon / alpha)
        quiet.update((rng.random(horizon) < 0.9) * 1.0)
        false += quiet.alarm is not None
        assert quiet.false_alarm_bound() == pytest.approx(alpha)
    for _ in range(50):
        changed = ShiryaevRobertsDetector(0.9, threshold=horizon / alpha)
        changed.update(np.r_[rng.random(250) < 0.9, rng.random(250) < 0.6] * 1.0)
        assert changed.alarm is not None
        delays.append(changed.alarm - 250)
    assert false / runs <= alpha
    assert np.median(delays) < 60


def test_a_bad_score_leaves_the_detector_as_it_was() -> None:
    detector = ShiryaevRobertsDetector(0.5, threshold=10)
    detector.update([0.1, np.nan, 0.2])
    before = detector.log_statistic
    with pytest.raises(InputError, match=r"score 1 is 1\.5"):
        detector.update([0.1, 1.5])
    assert (detector.n, detector.log_statistic) == (2, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: confidence_sequence([2.0]), "score 0 is 2"),
        (lambda: confidence_sequence([np.inf]), "score 0 is inf"),
        (lambda: confidence_sequence(["x"]), "not numbers"),
        (lambda: confidence_sequence([[1.0]]), "shape"),
        (lambda: confidence_sequence([1.0], low=1, high=1), "range of a score"),
        (lambda: confidence_sequence([1.0], method="hoeffding"), "expected 'betting'"),  # type: ignore[arg-type]
        (lambda: e_process([0.5], 0.0), "null mean is 0"),
        (lambda: e_process([0.5], 0.5, alternative="both"), "alternative 'both'"),  # type: ignore[arg-type]
        (lambda: ShiryaevRobertsDetector(0.5, threshold=0.5), "threshold is 0.5"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
