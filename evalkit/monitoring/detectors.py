"""From the windows of one signal to ok, warn and alert: the detector behind each alert rule of a monitor.

A detector is a function of the windows it was given: `replay` gives the same answer as one `update` after the other,
so that a restated window is answered by replaying the stored windows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from scipy.special import ndtri

from evalkit.monitoring.alert_rules import AlertRule, FalseAlarmBudget, alert_rules
from metrics.base import Estimate
from metrics.errors import InputError
from metrics.statistics.alarm_thresholds import alarm_threshold
from metrics.statistics.change_detection import (
    Baseline,
    ChangeState,
    Direction,
    Observation,
    known_limit,
    learn_baseline,
    refined,
    start,
    update,
)
from metrics.statistics.intervals import normal_quantile

Status = Literal["learning", "ok", "warn", "alert", "no data"]

__all__ = [
    "AlertRule",
    "DetectorState",
    "FalseAlarmBudget",
    "Reading",
    "SignalDetector",
    "alert_rules",
    "detectors",
    "drift_observation",
    "observation",
]

WARN_SHARE = 0.1
"""An e-detector warns at this share of the evidence that alerts."""


def observation(estimate: Estimate | None, *, rate: bool) -> Observation | None:
    """What a detector reads of a window's estimate; None where the window has no value.

    A rate counts with its effective n. A mean needs an interval: its width gives the standard error.

    Windows must be independent: hand in the estimate of each window's own samples, not one that is pooled over a
    trailing window.
    """
    if estimate is None or not math.isfinite(estimate.value) or estimate.n == 0:
        return None
    n = estimate.effective_n or float(estimate.n)
    if rate:
        return Observation(min(1.0, max(0.0, estimate.value)), n)
    if estimate.low is None or estimate.high is None or not estimate.high > estimate.low:
        return None
    error = (estimate.high - estimate.low) / (2 * normal_quantile(estimate.confidence))
    return Observation(estimate.value, n, error * math.sqrt(n))


def drift_observation(p_value: float | None) -> Observation | None:
    """What a detector reads of a drift test: its normal score, 0 at p = 0.5 and upwards where drift is likelier.

    A verdict of drift keeps its false discovery rate in one window only; in ninety windows some would alarm. Against
    the learned baseline the scores of many windows keep to the monitor's budget, also where chance has put the
    reference, which all windows share, a little off.
    """
    if p_value is None or math.isnan(p_value):
        return None
    return Observation(float(-ndtri(min(max(p_value, 1e-6), 1 - 1e-6))), 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a signal says after one window.

    Attributes:
        status: ``learning``, ``ok``, ``warn``, ``alert`` or ``no data``.
        alerting: whether an alert is open; it stays open over windows without data.
        statistic: what is compared with `threshold`, and what a chart shows; None while learning and without data.
            e-detector: evidence as a share of the threshold; 3-sigma: standard errors beyond the level; threshold: the
            value.
        threshold: where the statistic alerts.
        warning: where it warns.
        level: the baseline or the limit; None while learning.
        reason: the numbers behind the status, in a line.
    """

    status: Status
    alerting: bool
    statistic: float | None
    threshold: float | None
    warning: float | None
    level: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Track:
    """The e-detector of one direction: its state and the log of its threshold."""

    direction: Direction
    log_threshold: float
    state: ChangeState


@dataclass(frozen=True, slots=True)
class DetectorState:
    """All that a detector remembers of a signal.

    Attributes:
        learned: learning windows so far; emptied when the baseline is known.
        baseline: what the signal is compared with; None while learning.
        tracks: an e-detector for each direction.
        alerting: whether an alert is open.
        calm: windows in a row below the warning level since the alert opened.
    """

    learned: tuple[Observation, ...] = ()
    baseline: Baseline | None = None
    tracks: tuple[Track, ...] = ()
    alerting: bool = False
    calm: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        baseline = None if self.baseline is None else asdict(self.baseline)
        if baseline is not None and baseline["n"] == math.inf:
            baseline["n"] = None
        return {
            "learned": [asdict(window) for window in self.learned],
            "baseline": baseline,
            "tracks": [[t.direction, t.log_threshold, t.state.to_json()] for t in self.tracks],
            "alerting": self.alerting,
            "calm": self.calm,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`; `InputError` on anything else."""
        try:
            kept = data["baseline"]
            baseline = None if kept is None else Baseline(**{**kept, "n": math.inf if kept["n"] is None else kept["n"]})
            return cls(
                learned=tuple(Observation(**window) for window in data["learned"]),
                baseline=baseline,
                tracks=tuple(Track(d, float(at), ChangeState.from_json(state)) for d, at, state in data["tracks"]),
                alerting=bool(data["alerting"]),
                calm=int(data["calm"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("a stored detector cannot be read; replay it from its windows") from error


@dataclass(frozen=True, slots=True)
class SignalDetector:
    """Follows one signal by one rule, within its share of the monitor's false-alarm budget."""

    rule: AlertRule
    budget: FalseAlarmBudget = field(default_factory=FalseAlarmBudget)

    def replay(self, windows: Iterable[Observation | None]) -> tuple[DetectorState, list[Reading]]:
        """State and readings after all windows in order of time, None where a window has no data."""
        state, readings = DetectorState(), []
        for window in windows:
            state, reading = self.update(state, window)
            readings.append(reading)
        return state, readings

    def update(self, state: DetectorState, window: Observation | None) -> tuple[DetectorState, Reading]:
        """State and reading after one more window; None where it has no data.

        `InputError` on a mean where the windows before were rates, or the other way round; the state is then as it was.
        """
        if window is None:
            level = None if state.baseline is None else state.baseline.value
            open_alert = "; the alert stays open" if state.alerting else ""
            return state, Reading("no data", state.alerting, None, None, None, level, f"no data{open_alert}")
        before = state.learned[0].kind if state.learned else state.baseline and state.baseline.kind
        if before and before != window.kind:
            raise InputError(f"the window is a {window.kind}, the windows before it are {before}s")
        if self.rule.method == "threshold":
            return self._against_limit(state, window)
        if state.baseline is None:
            state = replace(state, learned=(*state.learned, window))
            if len(state.learned) < self.rule.learning:
                reason = f"learning, window {len(state.learned)} of {self.rule.learning}"
                return state, Reading("learning", False, None, None, None, None, reason)
            state = self._learned(state)
            if self.rule.limit is None or self.rule.method == "3-sigma":
                reason = f"learning is done: level {_baseline(state).value:.4g}"
                return state, Reading("learning", False, None, None, None, _baseline(state).value, reason)
        if self.rule.method == "3-sigma":
            return self._chart(state, window)
        return self._gathered(state, window)

    def _learned(self, state: DetectorState) -> DetectorState:
        """The state once the learning windows are complete.

        A limit is known beforehand; the learning windows give the size of a window, and their evidence counts.
        """
        windows = state.learned
        if self.rule.limit is None:
            baseline = learn_baseline(windows)
        else:
            sizes, spreads = sorted(w.n for w in windows), sorted(w.deviation or 0.0 for w in windows)
            middle = len(windows) // 2
            typical = replace(windows[0], n=sizes[middle], deviation=spreads[middle] or None)
            baseline = known_limit(self.rule.limit, typical)
        if self.rule.method == "3-sigma":
            return DetectorState(baseline=baseline)
        share = self.budget.per_signal / len(self.rule.directions)
        tracks = []
        for direction in self.rule.directions:
            found = alarm_threshold(
                baseline, direction, budget=share, horizon=self.budget.horizon, smallest=self.rule.smallest
            )
            track = Track(direction, found.log_value, start(baseline, direction, smallest=self.rule.smallest))
            for window in windows[:-1] if self.rule.limit is not None else ():
                track = _advanced(track, baseline, window, frozen=False)
            tracks.append(track)
        return DetectorState(baseline=baseline, tracks=tuple(tracks))

    def _gathered(self, state: DetectorState, window: Observation) -> tuple[DetectorState, Reading]:
        baseline = _baseline(state)
        # while an alert is open, the baseline must not learn the changed level
        tracks = tuple(_advanced(track, baseline, window, frozen=state.alerting) for track in state.tracks)
        shares = [math.exp(float(t.state.log_statistic) - t.log_threshold) for t in tracks]
        # the cap is reached up to rounding
        statistic = 1.0 if max(shares) > 1 - 1e-9 else max(shares)
        words = f"evidence at {100 * statistic:.3g} % of the alarm threshold"
        return self._decided(
            replace(state, tracks=tracks), window, statistic, threshold=1.0, warning=WARN_SHARE, words=words
        )

    def _chart(self, state: DetectorState, window: Observation) -> tuple[DetectorState, Reading]:
        baseline = _baseline(state)
        deviation = window.deviation or baseline.deviation
        gap = (window.value - baseline.value) / (deviation * math.sqrt(baseline.dispersion / window.n))
        statistic = max(gap if direction == "up" else -gap for direction in self.rule.directions)
        words = f"{statistic:.2f} standard errors beyond the level"
        return self._decided(state, window, statistic, threshold=3.0, warning=2.0, words=words)

    def _against_limit(self, state: DetectorState, window: Observation) -> tuple[DetectorState, Reading]:
        limit = self.rule.limit
        if limit is None:
            raise InputError("the detector 'threshold' needs `max` or `min`")
        sign = 1.0 if self.rule.max is not None else -1.0
        beyond = sign * (window.value - limit) > 0
        state, status = self._moved(state, alert=beyond, warn=beyond)
        words = f"{window.value:.4g}, limit {limit:.4g}"
        return state, Reading(status, state.alerting, window.value, limit, limit, limit, words)

    def _decided(
        self,
        state: DetectorState,
        window: Observation,
        statistic: float,
        *,
        threshold: float,
        warning: float,
        words: str,
    ) -> tuple[DetectorState, Reading]:
        level = _baseline(state).value
        state, status = self._moved(state, alert=statistic >= threshold, warn=statistic >= warning)
        against = "limit" if self.rule.limit is not None else "baseline"
        reason = f"{window.value:.4g} at n = {window.n:.4g}, {against} {level:.4g}: {words}"
        return state, Reading(status, state.alerting, statistic, threshold, warning, level, reason)

    def _moved(self, state: DetectorState, *, alert: bool, warn: bool) -> tuple[DetectorState, Status]:
        """Open, keep or close the alert; an open one closes after `recovery` windows in a row below the warning."""
        if alert:
            return replace(state, alerting=True, calm=0), "alert"
        if state.alerting:
            calm = 0 if warn else state.calm + 1
            if calm < self.rule.recovery:
                return replace(state, calm=calm), "alert"
            return replace(state, alerting=False, calm=0), "ok"
        return state, "warn" if warn else "ok"


def _baseline(state: DetectorState) -> Baseline:
    if state.baseline is None:
        raise InputError("a detector without a baseline is still learning")
    return state.baseline


def _advanced(track: Track, baseline: Baseline, window: Observation, *, frozen: bool) -> Track:
    state = update(
        track.state, window.value, window.n / baseline.dispersion, window.deviation,
        cap=track.log_threshold, frozen=frozen,
    )  # fmt: skip
    return replace(track, state=refined(state, baseline.kind))


def detectors(rules: Mapping[str, AlertRule], *, chance: float = 0.05, horizon: int = 90) -> dict[str, SignalDetector]:
    """A detector for each signal of a monitor, with the false-alarm budget shared over those that keep to one.

    Args:
        rules: signal to rule; a signal is one check, key and slice.
        chance: probability of any false alarm of the whole monitor within the horizon.
        horizon: in windows.
    """
    budgeted = sum(rule.method == "e-detector" for rule in rules.values())
    budget = FalseAlarmBudget(chance, horizon, max(1, budgeted))
    return {name: SignalDetector(rule, budget) for name, rule in rules.items()}
