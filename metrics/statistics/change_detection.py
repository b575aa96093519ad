"""Changes of a rate or a mean from window to window: a Shiryaev-Roberts e-detector that knows its baseline only from
some learning windows. `alarm_threshold` says where it alarms.

Every window starts a game "the signal has changed from here on", and the statistic adds up the games' likelihood
ratios (Shin, Ramdas and Rinaldo 2023, "E-detectors"). The baseline is not plugged in: both sides of each ratio average
over what the learning windows leave possible, so that the ratio is an e-value for an unknown baseline, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray
from metrics.errors import InputError

Kind = Literal["rate", "mean"]
Direction = Literal["up", "down"]

SHIFTS = np.geomspace(0.7, 3.0, 6)
"""Changes that are bet on, in standard errors of one window: from what takes weeks to see to what one window shows."""

_POINTS = 25
"""Baseline values on the grid; they reach over 1 - 2e-7 of what the learning windows leave possible."""

_MOST_POINTS = 101
_NEGLIGIBLE = 1e-7
_TAIL = 1e-7
_LEAST_RATE = 1e-12


@dataclass(frozen=True, slots=True)
class Observation:
    """What one window says about a signal.

    Attributes:
        value: the window's rate (0 to 1) or mean.
        n: samples behind it; an effective number where they are clustered or weighted.
        deviation: standard deviation of one sample of a mean; None for a rate.
    """

    value: float
    n: float
    deviation: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.n) and self.n > 0):
            raise InputError(f"a window has the value {self.value} at n = {self.n}; expected numbers, and n above 0")
        if self.deviation is None and not 0 <= self.value <= 1:
            raise InputError(f"a rate is {self.value}; expected 0 to 1, or a standard deviation if it is a mean")
        if self.deviation is not None and not (math.isfinite(self.deviation) and self.deviation > 0):
            raise InputError(f"the standard deviation of a mean is {self.deviation}; expected a number above 0")
        for name in ("value", "n", "deviation"):  # NumPy's numbers become plain ones, which JSON takes
            given = getattr(self, name)
            object.__setattr__(self, name, None if given is None else float(given))

    @property
    def kind(self) -> Kind:
        """Rate or mean."""
        return "rate" if self.deviation is None else "mean"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a signal is without a change.

    Attributes:
        kind: rate or mean.
        value: the level: a limit, or the mean of the learning windows.
        n: samples behind the level; infinite for a limit, which is known.
        window: typical samples of one window (the median).
        deviation: typical standard deviation of one sample.
        dispersion: variance between windows over what sampling alone explains, at least 1; every n is divided by it.
    """

    kind: Kind
    value: float
    n: float
    window: float
    deviation: float
    dispersion: float = 1.0

    @property
    def standard_error(self) -> float:
        """Of the level; 0 for a limit."""
        return self.deviation / math.sqrt(self.n / self.dispersion)

    @property
    def noise(self) -> float:
        """Standard error of one typical window."""
        return self.deviation / math.sqrt(self.window / self.dispersion)


def rate_deviation(successes: float, n: float) -> float:
    """Standard deviation of one sample, at the rate's posterior mean, which is never 0 or 1."""
    share = (successes + 0.5) / (n + 1)
    return math.sqrt(share * (1 - share))


def known_limit(limit: float, typical: Observation) -> Baseline:
    """The baseline of a signal that must not pass a limit; `typical` gives its kind and the size of a window."""
    if typical.deviation is None:
        if not 0 < limit < 1:
            raise InputError(f"the limit of a rate is {limit}; expected a number between 0 and 1")
        return Baseline("rate", limit, math.inf, typical.n, math.sqrt(limit * (1 - limit)))
    return Baseline("mean", limit, math.inf, typical.n, typical.deviation)


def learn_baseline(windows: Sequence[Observation]) -> Baseline:
    """Level, noise and dispersion from learning windows, at least two of one kind.

    Windows that vary more than sampling explains (chi-square, p < 0.05) make every later n count for less; where they
    do not, the dispersion is 1.
    """
    if len(windows) < 2 or len({w.kind for w in windows}) > 1:
        raise InputError(f"{len(windows)} learning windows; expected at least two, all rates or all means")
    n = np.array([w.n for w in windows])
    values = np.array([w.value for w in windows])
    if windows[0].kind == "rate":
        level, weights = float(n @ values / n.sum()), n
        deviation = rate_deviation(float(n @ values), float(n.sum()))
    else:
        deviations = np.array([w.deviation for w in windows], dtype=np.float64)
        weights = n / deviations**2
        level = float(weights @ values / weights.sum())
        deviation = float(np.median(deviations))
        n = weights * deviation**2  # samples of the typical deviation that would be as precise
    from scipy.special import chdtrc

    degrees = len(windows) - 1
    square = float(n @ (values - level) ** 2) / deviation**2
    dispersion = max(1.0, square / degrees) if chdtrc(degrees, square) < 0.05 else 1.0
    return Baseline(windows[0].kind, level, float(n.sum()), float(np.median(n)), deviation, dispersion)


@dataclass(frozen=True, slots=True)
class ChangeState:
    """A detector's state, or those of many replays at once (the leading axes).

    Attributes:
        null: baseline values on a grid ``[..., g]``.
        changed: the level after each change bet on ``[..., g, shifts]``.
        log_null: log probability of each baseline value by now ``[..., g]``.
        log_games: log wealth of the games, before that of a coming window is added ``[..., g, shifts]``.
    """

    null: FloatArray
    changed: FloatArray
    log_null: FloatArray
    log_games: FloatArray

    @property
    def log_statistic(self) -> FloatArray:
        """Log of the statistic ``[...]``; minus infinity before the first window."""
        return _log_sum(self.log_games, 2)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready lists; minus infinity becomes None."""
        return {
            "null": self.null.tolist(),
            "changed": self.changed.tolist(),
            "log_null": self.log_null.tolist(),
            "log_games": None if np.isneginf(self.log_games).any() else self.log_games.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`; `InputError` on arrays that do not fit together."""
        try:
            null, changed, log_null = (np.asarray(data[k], dtype=np.float64) for k in ("null", "changed", "log_null"))
            games = data["log_games"]
            log_games = np.full(changed.shape, -math.inf) if games is None else np.asarray(games, dtype=np.float64)
        except (KeyError, TypeError, ValueError):
            raise InputError("a stored detector cannot be read; replay it from its windows") from None
        if null.ndim != 1 or log_null.shape != null.shape or log_games.shape != changed.shape:
            raise InputError("a stored detector's arrays do not fit together; replay it from its windows")
        return cls(null, changed, log_null, log_games)


def _log_sum(x: FloatArray, axes: int) -> FloatArray:
    """Log of the sum of exponentials over the last axes."""
    flat = x.reshape(*x.shape[: x.ndim - axes], -1)
    top = flat.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total: FloatArray = np.log(np.exp(flat - top).sum(axis=-1)) + top[..., 0]
    return total


def start(baseline: Baseline, direction: Direction, *, smallest: float = 0.0) -> ChangeState:
    """The state before the first window after learning.

    Args:
        baseline: what is known about the level.
        direction: the change to find.
        smallest: changes of less than this, in the signal's unit, are not looked for: half of it never alarms.
    """
    if direction not in {"up", "down"} or not smallest >= 0:
        raise InputError(f"direction {direction!r}, smallest change {smallest}; expected 'up' or 'down', and 0 or more")
    sign = 1.0 if direction == "up" else -1.0
    null = _grid(baseline)
    if baseline.kind == "mean":
        log_null = -0.5 * ((null - baseline.value) / baseline.standard_error) ** 2 if len(null) > 1 else np.zeros(1)
        steps = np.maximum(baseline.noise * SHIFTS, smallest)
        changed = null[:, None] + sign * steps
    else:
        if len(null) > 1:
            n = baseline.n / baseline.dispersion
            log_null = n * (baseline.value * np.log(null) + (1 - baseline.value) * np.log1p(-null))
        else:
            log_null = np.zeros(1)
        from scipy.special import expit, logit

        slope = baseline.deviation**2  # of the logistic function at the level
        shifted = expit(logit(null)[:, None] + sign * SHIFTS * baseline.noise / slope)
        least = null[:, None] + sign * smallest
        furthest = np.maximum(shifted, least) if sign > 0 else np.minimum(shifted, least)
        changed = np.clip(furthest, _LEAST_RATE, 1 - _LEAST_RATE)
    games = np.full(changed.shape, -math.inf)
    return ChangeState(null, changed, log_null - _log_sum(log_null, 1), games)


def _grid(baseline: Baseline) -> FloatArray:
    """Baseline values; even in the scale in which Jeffreys's prior is flat, so that the grid needs no weights."""
    if not math.isfinite(baseline.n):
        return np.array([baseline.value])
    from scipy.special import betaincinv, ndtri

    if baseline.kind == "mean":
        reach = -float(ndtri(_TAIL)) * baseline.standard_error
        return np.linspace(baseline.value - reach, baseline.value + reach, _POINTS)
    n = baseline.n / baseline.dispersion
    hits = n * baseline.value
    ends = betaincinv(hits + 0.5, n - hits + 0.5, [_TAIL, 1 - _TAIL])
    low, high = np.arcsin(np.sqrt(np.clip(ends, _LEAST_RATE, 1 - _LEAST_RATE)))
    values: FloatArray = np.sin(np.linspace(low, high, _POINTS)) ** 2
    return values


def update(
    state: ChangeState,
    value: float | FloatArray,
    n: float | FloatArray,
    deviation: float | FloatArray | None = None,
    *,
    cap: float = math.inf,
    frozen: bool | NDArray[np.bool_] = False,
) -> ChangeState:
    """The state after one more window, for one detector or for replays ``[...]`` at once.

    Args:
        state: the state before.
        value: the window's rate or mean.
        n: its samples, already divided by the dispersion.
        deviation: standard deviation of one sample; None for rates.
        cap: log of the largest value that the statistic keeps: what it had beyond that would delay its way back.
        frozen: leave the baseline as it is, and start no new game: what comes after an alarm is no baseline.
    """
    value, n = np.asarray(value, dtype=np.float64)[..., None], np.asarray(n, dtype=np.float64)[..., None]
    hold = np.asarray(frozen, dtype=bool)[..., None]
    if deviation is None:
        before = n * (value * np.log(state.null) + (1 - value) * np.log1p(-state.null))
        wide = value[..., None]
        after = n[..., None] * (wide * np.log(state.changed) + (1 - wide) * np.log1p(-state.changed))
    else:
        spread = np.asarray(deviation, dtype=np.float64)[..., None] / np.sqrt(n)
        before = -0.5 * ((value - state.null) / spread) ** 2
        after = -0.5 * ((value[..., None] - state.changed) / spread[..., None]) ** 2
    opened = state.log_null[..., None] - math.log(state.changed.shape[-1])
    games = np.where(hold[..., None], state.log_games, np.logaddexp(state.log_games, opened))
    log_null = state.log_null + before
    predicted = _log_sum(log_null, 1)[..., None]
    games = games + after - predicted[..., None]
    excess = np.maximum(_log_sum(games, 2) - cap, 0.0)
    log_null = np.where(hold, state.log_null, log_null - predicted)
    return replace(state, log_null=log_null, log_games=games - excess[..., None, None])


def refined(state: ChangeState, kind: Kind) -> ChangeState:
    """The same state on a finer grid once many quiet windows have narrowed the baseline down to a few grid points.

    For one detector (no leading axes). A grid finer than two standard deviations of what it describes sums a normal
    density to 1 %, so that this happens after some 200 windows, not before.
    """
    flat = np.arcsin(np.sqrt(state.null)) if kind == "rate" else state.null
    if len(flat) < 2:
        return state
    share = np.exp(state.log_null)
    mean = float(share @ flat)
    deviation = math.sqrt(max(0.0, float(share @ (flat - mean) ** 2)))
    spacing = float(flat[1] - flat[0])
    if deviation >= 0.6 * spacing or np.isneginf(state.log_games).any():
        return state
    from scipy.interpolate import CubicSpline
    from scipy.special import expit, logit

    # open games may believe in other baselines than the data without a change do
    games = state.log_games - state.log_statistic
    held = np.flatnonzero((share > _NEGLIGIBLE) | (np.exp(games).sum(axis=1) > _NEGLIGIBLE))
    low, high = max(0, int(held[0]) - 1), min(len(flat) - 1, int(held[-1]) + 1)
    count = min(_MOST_POINTS, max(_POINTS, math.ceil((high - low) * spacing / max(deviation, 0.3 * spacing)) + 1))
    points = np.linspace(flat[low], flat[high], count)

    def moved(values: FloatArray) -> FloatArray:
        taken: FloatArray = CubicSpline(flat, values)(points)
        return taken

    log_null = moved(state.log_null)
    total = float(_log_sum(log_null, 1))  # the finer grid's steps weigh less, for the games as well
    if kind == "rate":
        null, changed = np.sin(points) ** 2, expit(moved(logit(state.changed)))
    else:
        null, changed = points, moved(state.changed)
    return ChangeState(null, changed, log_null - total, moved(state.log_games) - total)


def replicate(state: ChangeState, copies: int) -> ChangeState:
    """The state of `copies` replays that start alike."""

    def repeated(x: FloatArray) -> FloatArray:
        return np.repeat(x[None], copies, axis=0)

    return ChangeState(*map(repeated, (state.null, state.changed, state.log_null, state.log_games)))
