"""The threshold at which an e-detector spends its false-alarm budget, and no more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from metrics.base import FloatArray
from metrics.errors import InputError
from metrics.statistics.change_detection import Baseline, Direction, rate_deviation, replicate, start, update

_PATHS = 720
"""Simulated signals of a learned baseline."""

_LIMIT_PATHS = 6000
"""Simulated signals of a known limit, which costs a fraction of a learned baseline's whole grid of levels."""

_SPENT = 0.95
"""Share of the budget that typical windows may spend; the rest is for windows of other sizes."""

_SIMULATED = 180
"""Windows of one simulation; a longer horizon is divided into such blocks, each with its share of the budget."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where a detector alarms.

    Attributes:
        log_value: log of the statistic's threshold.
        bound: largest chance of a false alarm within the horizon that theory leaves (Ville), whatever the windows'
            sizes, averaged over the baselines that the learning windows leave possible.
        chance: the chance by simulation at typical windows, its Monte Carlo error included; 95 % of the budget.
    """

    log_value: float
    bound: float
    chance: float


def alarm_threshold(
    baseline: Baseline, direction: Direction, *, budget: float, horizon: int = 90, smallest: float = 0.0
) -> Threshold:
    """The threshold at which a quiet signal alarms within `horizon` windows with probability `budget`.

    Theory gives ``horizon / budget``, at which windows overshoot by so much that most of the budget is left. Here the
    chance is simulated at typical windows, by importance sampling: under the mixture of all changes that the statistic
    stands for, alarms are common, and each counts for what it weighs without a change. The threshold is the lowest at
    which the chance plus two standard errors keeps to 95 % of the budget.

    `InputError` on a budget outside 0 to 1 or a horizon below 1.
    """
    if not 0 < budget < 1 or horizon < 1:
        raise InputError(f"a budget of {budget} for {horizon} windows; expected a chance between 0 and 1, 1 or more")
    blocks = math.ceil(horizon / _SIMULATED)
    windows = math.ceil(horizon / blocks)
    typical, smallest = _typical(baseline, smallest)
    log_value, chance = _lowest(typical, direction, windows, smallest, _SPENT * budget / blocks)
    return Threshold(log_value, min(1.0, horizon * math.exp(-log_value)), chance * blocks)


def _typical(baseline: Baseline, smallest: float) -> tuple[Baseline, float]:
    """A baseline in few digits, so that signals alike share one simulation: the threshold hardly depends on them."""

    def rounded(x: float) -> float:
        return math.exp(round(5 * math.log(x)) / 5) if 0 < x < math.inf else x

    n, window = rounded(baseline.n / baseline.dispersion), baseline.window / baseline.dispersion
    if math.isfinite(n) or baseline.kind == "mean":
        window = rounded(window)  # the counts of a known rate come in steps, which a rounded window would move
    window = max(1.0, window)
    if baseline.kind == "mean":
        return Baseline("mean", 0.0, n, window, 1.0), rounded(smallest / baseline.deviation)
    value, deviation = baseline.value, baseline.deviation
    if math.isfinite(n):
        hits = min(max(n * value, 0.5), n - 0.5)
        value = 1 / (1 + math.exp(-round(5 * math.log(hits / (n - hits))) / 5))
        deviation = rate_deviation(n * value, n)
    return Baseline("rate", value, n, window, deviation), smallest


@lru_cache(maxsize=16)
def _change_paths(
    baseline: Baseline, direction: Direction, horizon: int, smallest: float
) -> tuple[FloatArray, FloatArray]:
    """Log statistics of changed signals ``[paths, horizon]``, and their running maximum.

    The change comes after 0 to horizon - 1 windows, its baseline and size are drawn from the detector's own grid.
    """
    rng = np.random.default_rng(20231)
    first = start(baseline, direction, smallest=smallest)
    paths = _PATHS if math.isfinite(baseline.n) else _LIMIT_PATHS
    g = rng.choice(len(first.null), paths, p=np.exp(first.log_null))
    d = rng.integers(0, first.changed.shape[1], paths)
    begins = np.arange(paths) % horizon
    n = baseline.window
    state = replicate(first, paths)
    logs = np.empty((paths, horizon))
    for day in range(horizon):
        level = np.where(day < begins, first.null[g], first.changed[g, d])
        if baseline.kind == "rate":
            size = max(1, round(n))
            value = rng.binomial(size, level) / size
            state = update(state, value, np.full(paths, float(size)))
        else:
            value = rng.normal(level, baseline.noise)
            state = update(state, value, np.full(paths, n), np.full(paths, baseline.deviation))
        logs[:, day] = state.log_statistic
    return logs, np.maximum.accumulate(logs, axis=1)


@lru_cache(maxsize=1024)
def _lowest(
    baseline: Baseline, direction: Direction, horizon: int, smallest: float, budget: float
) -> tuple[float, float]:
    """The lowest log threshold within the budget, and the chance there with two standard errors."""
    logs, running = _change_paths(baseline, direction, horizon, smallest)

    def chance(threshold: float) -> float:
        alarmed = running[:, -1] >= threshold
        at = (running >= threshold).argmax(axis=1)
        statistic = np.exp(np.minimum(logs[np.arange(len(logs)), at], 600.0))
        # the likelihood ratio of "changed somewhere within the horizon" against no change, at the alarm
        weights = np.where(alarmed, horizon / (statistic + horizon - 1 - at), 0.0)
        return float(weights.mean() + 2 * weights.std(ddof=1) / math.sqrt(len(weights)))

    low, high = 0.0, math.log(horizon / budget)
    if chance(high) > budget:
        return high, budget
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) <= budget else (middle, high)
    return high, chance(high)
