from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metrics.errors import InputError
from metrics.statistics import Baseline, Observation, alarm_threshold, known_limit, learn_baseline
from metrics.statistics.change_detection import ChangeState, refined, replicate, start, update

LEARNED = learn_baseline([Observation(v, 40) for v in (0.05, 0.1, 0.075, 0.025, 0.1, 0.05)])


def one(state: ChangeState) -> float:
    return float(np.exp(state.log_statistic))


@pytest.mark.parametrize("baseline", [LEARNED, known_limit(0.06, Observation(0.05, 40))], ids=["learned", "limit"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_without_a_change_the_statistic_grows_by_one_a_window_on_average(baseline: Baseline, direction: Any) -> None:
    """What makes it an e-detector: the expectation over all outcomes of a window, from any state."""
    state = start(baseline, direction)
    for n, rate in ((40, 0.1), (17, 0.0), (90, 0.2)):
        before = one(state)
        k = np.arange(n + 1)
        chances = (np.exp(state.log_null)[:, None] * stats.binom.pmf(k, n, state.null[:, None])).sum(axis=0)
        after = update(replicate(state, n + 1), k / n, np.full(n + 1, float(n)))
        assert float(chances @ np.exp(after.log_statistic)) == pytest.approx(before + 1, rel=1e-9)
        state = update(state, rate, float(n))


def test_the_statistic_adds_up_the_likelihood_ratios_of_all_changes() -> None:
    rng = np.random.default_rng(1)
    state = first = start(LEARNED, "up")
    n, rates = np.array([40.0, 10.0, 100.0, 55.0]), rng.random(4) / 5
    for rate, size in zip(rates, n, strict=True):
        state = update(state, float(rate), float(size))

    def chance(p: Any, days: slice) -> Any:
        p = np.asarray(p)[..., None]
        return np.exp((n[days] * (rates[days] * np.log(p) + (1 - rates[days]) * np.log(1 - p))).sum(axis=-1))

    prior = np.exp(first.log_null)
    quiet = float(prior @ chance(first.null, slice(None)))
    ratios = [
        float(prior @ (chance(first.null, slice(0, j)) * chance(first.changed, slice(j, None)).mean(axis=1))) / quiet
        for j in range(4)
    ]
    assert one(state) == pytest.approx(sum(ratios), rel=1e-9)


def test_the_grid_is_the_beta_posterior_of_jeffreys() -> None:
    state = start(LEARNED, "up")
    hits = LEARNED.n * LEARNED.value
    posterior = stats.beta(hits + 0.5, LEARNED.n - hits + 0.5)
    weights = np.exp(state.log_null)
    assert weights @ state.null == pytest.approx(posterior.mean(), rel=1e-4)
    assert weights @ state.null**2 == pytest.approx(posterior.moment(2), rel=1e-3)


def test_a_finer_grid_changes_nothing_and_is_needed() -> None:
    """After 2,000 windows the learned grid is far too coarse."""
    rng = np.random.default_rng(5)
    values = rng.normal(0, 0.1, 2000)
    values[1900:] += 0.05
    windows = [Observation(float(v), 100, 1.0) for v in rng.normal(0, 0.1, 14)]
    plain = kept = start(learn_baseline(windows), "up")
    # without a grid: the level is normal, so that a game's ratio is one of normal densities
    for value in values:
        kept = refined(update(kept, float(value), 100.0, 1.0), "mean")
        plain = update(plain, float(value), 100.0, 1.0)
    everything = np.concatenate([[w.value for w in windows], values])
    shares = np.exp(kept.log_null)
    assert shares @ kept.null == pytest.approx(everything.mean(), abs=1e-3)
    spread = math.sqrt(shares @ (kept.null - shares @ kept.null) ** 2)
    assert spread == pytest.approx(0.1 / math.sqrt(len(everything)), rel=0.05)
    coarse = np.exp(plain.log_null)
    assert abs(coarse @ plain.null - everything.mean()) > 2e-3
    assert kept.log_statistic > 5


def test_refining_keeps_the_statistic() -> None:
    rng = np.random.default_rng(6)
    state = start(LEARNED, "up")
    narrowed = 0
    for k in rng.binomial(40, 0.07, 400):
        state = update(state, k / 40, 40.0)
        finer = refined(state, "rate")
        narrowed += finer is not state
        assert float(finer.log_statistic) == pytest.approx(float(state.log_statistic), abs=0.02)
        state = finer
    assert narrowed >= 1


def together(states: list[ChangeState]) -> ChangeState:
    """One state of many replays."""
    return ChangeState(
        *(np.stack([getattr(s, name) for s in states]) for name in ("null", "changed", "log_null", "log_games"))
    )


def quiet(state: ChangeState, rate: float, n: int, days: int, seed: int) -> np.ndarray:
    """Largest log statistic of each quiet replay."""
    rng = np.random.default_rng(seed)
    replays = len(state.null)
    best = np.full(replays, -math.inf)
    for _ in range(days):
        state = update(state, rng.binomial(n, rate, replays) / n, np.full(replays, float(n)))
        best = np.maximum(best, state.log_statistic)
    return best


@pytest.mark.parametrize(
    ("n", "budget", "smallest"), [(20, 0.05, 0.0), (300, 0.05, 0.0), (50, 0.2, 0.0), (500, 0.05, 0.04)]
)
def test_the_threshold_spends_the_budget_and_no_more(n: int, budget: float, smallest: float) -> None:
    limit = known_limit(0.06, Observation(0.06, n))
    found = alarm_threshold(limit, "up", budget=budget, smallest=smallest)
    best = quiet(replicate(start(limit, "up", smallest=smallest), 4000), 0.06, n, 90, 3)
    alarmed = float((best >= found.log_value).mean())
    error = math.sqrt(budget * (1 - budget) / 4000)
    assert 0.65 * budget - 3 * error < alarmed < 0.95 * budget + 3 * error
    assert found.chance <= budget < found.bound < 1
    assert float((best >= math.log(90 / budget)).mean()) < 0.6 * alarmed  # theory alone leaves most of it


def test_the_uncertainty_of_the_baseline_is_allowed_for() -> None:
    """A learned level that is taken for the truth alarms too often."""
    rng = np.random.default_rng(4)
    n, replays = 40, 400
    learned = [Baseline("rate", k / (4 * n), 4.0 * n, n, 0.25) for k in rng.binomial(4 * n, 0.06, replays)]
    allowed = alarm_threshold(replace(learned[0], value=0.06), "up", budget=0.05).log_value
    found = quiet(together([start(b, "up") for b in learned]), 0.06, n, 90, 5) >= allowed
    limits = [known_limit(max(b.value, 1e-3), Observation(b.value, n)) for b in learned]
    taken = alarm_threshold(known_limit(0.06, Observation(0.06, n)), "up", budget=0.05).log_value
    naive = quiet(together([start(b, "up") for b in limits]), 0.06, n, 90, 5) >= taken
    assert found.mean() < 0.09
    assert naive.mean() > 0.2


def test_a_long_horizon_shares_the_budget() -> None:
    limit = known_limit(0.06, Observation(0.06, 50))
    year, quarter = (alarm_threshold(limit, "up", budget=0.05, horizon=h) for h in (400, 90))
    assert year.log_value - quarter.log_value == pytest.approx(math.log(400 / 90), abs=0.15)
    assert float((quiet(replicate(start(limit, "up"), 1500), 0.06, 50, 400, 8) >= year.log_value).mean()) < 0.07


def test_means_are_the_same_in_any_unit() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(3, 0.2, 30)
    found = []
    for scale, shift in ((1.0, 0.0), (1000.0, -50.0)):
        baseline = learn_baseline([Observation(scale * v + shift, 25, scale) for v in values[:14]])
        state = start(baseline, "down")
        for v in values[14:]:
            state = update(state, scale * float(v) + shift, 25.0, scale)
        found.append([float(state.log_statistic), alarm_threshold(baseline, "down", budget=0.01).log_value])
    assert found[1] == pytest.approx(found[0], rel=1e-6)


def test_windows_that_vary_more_than_sampling_count_for_less() -> None:
    rng = np.random.default_rng(3)
    steady = learn_baseline([Observation(k / 1000, 1000) for k in rng.binomial(1000, 0.06, 14)])
    wild = learn_baseline([Observation(float(r), 1000) for r in rng.uniform(0.03, 0.09, 14)])
    assert steady.dispersion == 1
    assert wild.dispersion == pytest.approx(0.06**2 / 12 / (0.06 * 0.94 / 1000), rel=0.5)


def test_a_smallest_change_keeps_small_ones_quiet() -> None:
    """100,000 rows a day see changes that matter to nobody."""
    limit = known_limit(0.06, Observation(0.06, 100_000))
    for smallest, alarms in ((0.0, True), (0.01, False)):
        state = start(limit, "up", smallest=smallest)
        for _ in range(30):
            state = update(state, 0.063, 100_000.0)
        found = alarm_threshold(limit, "up", budget=0.05, smallest=smallest)
        assert bool(state.log_statistic >= found.log_value) is alarms
    state = start(limit, "up", smallest=0.01)
    state = update(state, 0.07, 100_000.0)
    assert state.log_statistic > 20


def test_the_smallest_change_is_meant_in_the_unit_of_the_rate() -> None:
    limit = known_limit(0.06, Observation(0.06, 500))
    assert start(limit, "up", smallest=0.04).changed.min() == pytest.approx(0.10)
    assert start(limit, "down", smallest=0.04).changed.max() == pytest.approx(0.02)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10**6)), max_size=30))
@settings(max_examples=30, deadline=None)
def test_states_are_finite_json_and_keep_to_the_cap(windows: list[tuple[int, int]]) -> None:
    state = start(LEARNED, "up")
    for hits, n in windows:
        state = update(state, min(1.0, hits / n), float(n), cap=7.0)
        kept = ChangeState.from_json(json.loads(json.dumps(state.to_json(), allow_nan=False)))
        assert float(kept.log_statistic) == float(state.log_statistic)
        assert state.log_statistic <= 7.0 + 1e-9
        assert np.exp(state.log_null).sum() == pytest.approx(1)
    empty = ChangeState.from_json(start(LEARNED, "up").to_json())
    assert empty.log_statistic == -math.inf


@pytest.mark.parametrize("rate", [0.0, 0.999, 1.0])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_rates_at_the_ends_of_their_range_have_numbers(rate: float, direction: Any) -> None:
    state = start(learn_baseline([Observation(rate, 5)] * 3), direction)
    for value in (0.0, 1.0, rate, 0.0, 1.0):
        state = update(state, value, 1e6)
        assert np.isfinite(state.log_games).all() and np.isfinite(state.log_statistic)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Observation(1.2, 10), "a rate is 1.2"),
        (lambda: Observation(0.2, 0), "n above 0"),
        (lambda: Observation(math.nan, 3), "expected numbers"),
        (lambda: Observation(0.2, 3, 0.0), "standard deviation"),
        (lambda: known_limit(1.0, Observation(0.2, 3)), "between 0 and 1"),
        (lambda: learn_baseline([Observation(0.2, 3)]), "at least two"),
        (lambda: learn_baseline([Observation(0.2, 3), Observation(0.2, 3, 1.0)]), "all rates or all means"),
        (lambda: start(LEARNED, "sideways"), "'up' or 'down'"),
        (lambda: alarm_threshold(LEARNED, "up", budget=0.0), "budget"),
        (lambda: alarm_threshold(LEARNED, "up", budget=0.05, horizon=0), "horizon|windows"),
        (lambda: ChangeState.from_json({"null": [1]}), "replay it"),
        (lambda: ChangeState.from_json({**start(LEARNED, "up").to_json(), "log_null": [0.0]}), "fit together"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
