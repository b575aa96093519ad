from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.monitoring.detectors import (
    AlertRule,
    DetectorState,
    FalseAlarmBudget,
    SignalDetector,
    alert_rules,
    detectors,
    drift_observation,
    observation,
)
from metrics.base import Estimate
from metrics.drift import two_sample
from metrics.errors import InputError
from metrics.statistics import Observation


def rates(rng: np.random.Generator, days: int, rate: float, n: int = 200) -> list[Observation | None]:
    return [Observation(k / n, n) for k in rng.binomial(n, rate, days)]


def statuses(detector: SignalDetector, windows: list[Observation | None]) -> list[str]:
    return [reading.status for reading in detector.replay(windows)[1]]


def test_a_signal_learns_stays_quiet_alerts_soon_after_a_change_and_recovers() -> None:
    rng = np.random.default_rng(1)
    windows = rates(rng, 44, 0.06) + rates(rng, 30, 0.12) + rates(rng, 20, 0.06)
    found = statuses(SignalDetector(AlertRule()), windows)
    assert found[:14] == ["learning"] * 14
    assert set(found[14:44]) <= {"ok", "warn"}
    first = found.index("alert")
    assert 44 <= first <= 47
    assert found[first:74] == ["alert"] * (74 - first)
    assert found[74:].index("ok") <= 8
    assert "alert" not in found[90:]


def test_no_data_is_a_status_and_leaves_evidence_and_alert_as_they_were() -> None:
    rng = np.random.default_rng(2)
    windows = rates(rng, 20, 0.06) + rates(rng, 6, 0.2)
    detector = SignalDetector(AlertRule())
    gaps = [*windows[:5], None, *windows[5:24], None, None, *windows[24:], None]
    state, readings = detector.replay(gaps)
    assert [r.status for r in readings if r.status != "no data"] == statuses(detector, windows)
    assert readings[5].status == "no data" and readings[5].statistic is None
    assert state.alerting and readings[-1].alerting and "stays open" in readings[-1].reason


@pytest.mark.parametrize(
    ("rule", "quiet", "changed"),
    [
        (AlertRule(max=0.08), 0.05, 0.14),
        (AlertRule(min=0.9), 0.95, 0.8),
        (AlertRule(direction="down"), 0.5, 0.2),
        (AlertRule(direction="both"), 0.5, 0.8),
        (AlertRule(direction="both"), 0.5, 0.2),
        (AlertRule(method="3-sigma"), 0.06, 0.15),
        (AlertRule(method="3-sigma", max=0.09), 0.06, 0.2),
        (AlertRule(method="3-sigma", direction="down"), 0.5, 0.3),
        (AlertRule(method="threshold", max=0.12), 0.04, 0.25),
        (AlertRule(method="threshold", min=0.8), 0.95, 0.6),
    ],
)
def test_every_rule_finds_its_change_and_not_the_opposite(rule: AlertRule, quiet: float, changed: float) -> None:
    rng = np.random.default_rng(3)
    calm, after = rates(rng, 30, quiet), rates(rng, 10, changed)
    found = statuses(SignalDetector(rule), calm + after)
    assert "alert" not in found[:30]
    assert "alert" in found[30:35]
    other = 1 - changed if rule.direction == "both" else (0.01 if changed > quiet else 0.99)
    opposite = statuses(SignalDetector(rule), calm + rates(rng, 10, other))
    assert ("alert" in opposite) is (rule.direction == "both" and rule.limit is None)


def test_a_limit_that_is_broken_from_the_start_alerts_when_learning_ends() -> None:
    windows = rates(np.random.default_rng(4), 16, 0.2)
    assert statuses(SignalDetector(AlertRule(max=0.08)), windows) == ["learning"] * 13 + ["alert"] * 3


def test_a_mean_shifts() -> None:
    rng = np.random.default_rng(5)
    windows = [Observation(float(v), 400, 2.0) for v in rng.normal(10, 0.1, 40)]
    slower = [Observation(float(v), 400, 2.0) for v in rng.normal(10.4, 0.1, 4)]
    found = statuses(SignalDetector(AlertRule()), [*windows, *slower])
    assert "alert" not in found[:40] and found[-1] == "alert"


def test_the_baseline_does_not_learn_the_changed_level() -> None:
    """After 200 changed days the old level still counts as recovered, soon."""
    rng = np.random.default_rng(6)
    windows = rates(rng, 30, 0.06) + rates(rng, 200, 0.12)
    detector = SignalDetector(AlertRule())
    state, readings = detector.replay(windows)
    assert all(r.status == "alert" for r in readings[40:])
    level = np.exp(state.tracks[0].state.log_null) @ state.tracks[0].state.null
    assert level < 0.075
    for window in rates(rng, 8, 0.06):
        state, reading = detector.update(state, window)
    assert not reading.alerting


def test_one_calm_window_does_not_end_an_alert() -> None:
    detector = SignalDetector(AlertRule(method="threshold", max=0.1, recovery=3))
    windows: list[Observation | None] = [Observation(v, 100) for v in (0.05, 0.2, 0.05, 0.05, 0.2, 0.05, 0.05, 0.05)]
    assert statuses(detector, windows) == ["ok", "alert", "alert", "alert", "alert", "alert", "alert", "ok"]


def test_the_statistic_is_what_alerts_and_stops_at_the_threshold() -> None:
    rng = np.random.default_rng(7)
    windows = rates(rng, 30, 0.06) + rates(rng, 10, 0.3)
    for method in ("e-detector", "3-sigma"):
        _, readings = SignalDetector(AlertRule(method=method, recovery=1)).replay(windows)
        watched = [r for r in readings if r.statistic is not None and r.threshold is not None]
        assert len(watched) == 26
        for reading in watched:
            assert reading.statistic is not None and reading.threshold is not None
            assert (reading.statistic >= reading.threshold) is (reading.status == "alert")
        if method == "e-detector":
            assert max(r.statistic or 0 for r in watched) == 1.0


@given(
    st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 50), st.integers(50, 5000))), min_size=1, max_size=40),
    st.sampled_from(["e-detector", "3-sigma", "threshold"]),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_a_stored_state_goes_on_as_if_it_had_not_been_stored(given_windows: Any, method: Any, limit: bool) -> None:
    rule = AlertRule(method=method, max=0.1 if limit or method == "threshold" else None, learning=4)
    detector = SignalDetector(rule)
    windows = [None if w is None else Observation(w[0] / w[1], w[1]) for w in given_windows]
    whole, readings = detector.replay(windows)
    state = DetectorState()
    for window, expected in zip(windows, readings, strict=True):
        state = DetectorState.from_json(json.loads(json.dumps(state.to_json(), allow_nan=False)))
        state, reading = detector.update(state, window)
        assert reading == expected
    assert state.to_json() == whole.to_json()


def test_the_budget_is_shared_by_those_that_keep_to_one() -> None:
    rules = {f"s{i}": AlertRule() for i in range(10)} | {"plain": AlertRule(max=0.1, method="threshold")}
    found = detectors(rules, chance=0.1, horizon=30)
    assert {d.budget.per_signal for d in found.values()} == {0.01}
    windows = rates(np.random.default_rng(8), 14, 0.06)
    alone = SignalDetector(AlertRule(), FalseAlarmBudget(0.1, 30, 1)).replay(windows)[0].tracks[0].log_threshold
    shared = found["s0"].replay(windows)[0].tracks[0].log_threshold
    assert shared - alone == pytest.approx(math.log(10), abs=0.2)
    both = SignalDetector(AlertRule(direction="both"), FalseAlarmBudget(0.1, 30, 1)).replay(windows)[0]
    assert both.tracks[0].log_threshold - alone == pytest.approx(math.log(2), abs=0.2)


def test_the_rules_of_an_alert() -> None:
    found = alert_rules(maximum=0.1, minimum=0.01, versus="baseline", better="lower", smallest=0.02)
    assert found == {
        "max": AlertRule(max=0.1),
        "min": AlertRule(min=0.01),
        "baseline": AlertRule(direction="up", smallest=0.02),
    }
    assert alert_rules(versus="baseline", better="higher")["baseline"].direction == "down"
    assert alert_rules(versus="baseline", method="3-sigma")["baseline"] == AlertRule(direction="both", method="3-sigma")


def test_drift_scores_of_many_windows_keep_to_the_budget_and_find_drift() -> None:
    """Ten quiet columns over 40 windows against one reference: daily p < 0.05 alarms on nearly all of them."""
    rng = np.random.default_rng(11)
    found, naive, late = 0, 0, 0
    for _ in range(10):
        reference = rng.normal(size=1000)
        windows = [rng.normal(0.3 * (day >= 54), 1, 100) for day in range(62)]
        p = [two_sample(reference, window)["p_value"].value for window in windows]
        detector = SignalDetector(AlertRule(), FalseAlarmBudget(signals=10))
        days = [r.status for r in detector.replay([drift_observation(value) for value in p])[1]]
        found += "alert" in days[:54]
        naive += min(p[14:54]) < 0.05
        late += "alert" in days[54:]
    assert found == 0
    assert naive >= 7
    assert late >= 8
    assert drift_observation(math.nan) is None and drift_observation(None) is None
    assert drift_observation(0.0) is not None


def test_what_a_detector_reads_of_an_estimate() -> None:
    assert observation(None, rate=True) is None
    assert observation(Estimate(math.nan, n=0), rate=True) is None
    assert observation(Estimate(0.2, 0.1, 0.3, n=50, effective_n=30.0), rate=True) == Observation(0.2, 30.0)
    mean = observation(Estimate(3.0, 2.0, 4.0, n=25, confidence=0.95), rate=False)
    assert mean is not None and mean.deviation == pytest.approx(5 / 1.959964, rel=1e-6)
    assert observation(Estimate(3.0, n=25), rate=False) is None  # a mean of unknown precision is no evidence


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AlertRule(max=0.1, min=0.05), "two rules"),
        (lambda: AlertRule(method="cusum"), "'e-detector'"),  # type: ignore[arg-type]
        (lambda: AlertRule(method="threshold"), "needs `max` or `min`"),
        (lambda: AlertRule(direction="left"), "'up', 'down' or 'both'"),  # type: ignore[arg-type]
        (alert_rules, "no limit"),
        (lambda: alert_rules(versus="previous"), "expected 'baseline'"),  # type: ignore[arg-type]
        (lambda: AlertRule(learning=1), "learning windows"),
        (lambda: FalseAlarmBudget(0.0), "false-alarm budget"),
        (lambda: DetectorState.from_json({"learned": 3}), "replay it from its windows"),
        (lambda: DetectorState.from_json({**DetectorState().to_json(), "tracks": [1]}), "replay it"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_windows_of_numpy_numbers_can_be_stored() -> None:
    window = Observation(np.float32(0.25), np.int64(40))  # type: ignore[arg-type]
    state, _ = SignalDetector(AlertRule()).update(DetectorState(), window)
    assert json.loads(json.dumps(state.to_json()))["learned"] == [{"value": 0.25, "n": 40.0, "deviation": None}]


def test_a_mean_among_rates_is_refused_and_changes_nothing() -> None:
    detector = SignalDetector(AlertRule())
    state, _ = detector.replay(rates(np.random.default_rng(9), 20, 0.1))
    before = json.dumps(state.to_json())
    with pytest.raises(InputError, match="the window is a mean, the windows before it are rates"):
        detector.update(state, Observation(0.1, 20, 1.0))
    assert json.dumps(state.to_json()) == before
