"""False alarms in 90 quiet days and days to an alert, of a whole monitor: e-detector, 3-sigma chart, daily p < 0.05.

Each replay has 14 learning days of error-free labels at 6 %. Quiet: 90 days at 6 %, and whether any signal of the
monitor alarms; the upper 95 % bound is Clopper and Pearson's, one-sided. Delay: 30 quiet days, then 10 %, on one signal
of the monitor; the first changed day counts as 1. `known` is the rule `max: 0.06`, whose level needs no learning;
`smallest 0.04` learns the level and is told that smaller changes do not matter.

    PYTHONPATH=. python benchmarks/alert_delays.py [--replays 4000] [--quiet-signals 20000] [--signals 1 20]
                                                   [--labels 35 100 200 500]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from metrics.statistics import clopper_pearson_interval
from metrics.statistics.alarm_thresholds import alarm_threshold
from metrics.statistics.change_detection import (
    Baseline,
    ChangeState,
    Observation,
    known_limit,
    learn_baseline,
    start,
    update,
)

Numbers = NDArray[np.float64]
Stream = tuple[Numbers, Numbers]
"""Learning windows ``[signals, days]`` and watched windows ``[signals, days]``, as rates."""

BEFORE, AFTER, LEARNING, QUIET, HORIZON = 0.06, 0.10, 14, 30, 90
PATIENCE = 150
"""Days after the change at which a replay is given up; its delay counts as longer than that."""


def draw(rng: np.random.Generator, signals: int, days: int, labels: int, change: int | None) -> Stream:
    """Rates of daily labels, changed from the given day on."""
    rates = np.where(np.arange(days) < (days if change is None else change), BEFORE, AFTER)
    learned = rng.binomial(labels, BEFORE, (signals, LEARNING)) / labels
    return learned, rng.binomial(labels, rates, (signals, days)) / labels


def first_alarm(alarms: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Day of each signal's first alarm, from 0; the number of days where there is none."""
    return np.where(alarms.any(axis=1), alarms.argmax(axis=1), alarms.shape[1])


def e_detector(
    stream: Stream, labels: int, family: int, known: bool = False, smallest: float = 0.0
) -> NDArray[np.intp]:
    """The default detector, all signals at once."""
    learned, watched = stream
    limit = known_limit(BEFORE, Observation(BEFORE, labels))
    baselines: list[Baseline] = [
        limit if known else learn_baseline([Observation(float(v), labels) for v in row]) for row in learned
    ]
    budget = 0.05 / family
    thresholds = np.array(
        [alarm_threshold(b, "up", budget=budget, horizon=HORIZON, smallest=smallest).log_value for b in baselines]
    )
    sizes = np.array([labels / b.dispersion for b in baselines])
    starts = [start(b, "up", smallest=smallest) for b in baselines]
    state = ChangeState(
        *(np.stack([getattr(s, name) for s in starts]) for name in ("null", "changed", "log_null", "log_games"))
    )
    alarms = np.zeros(watched.shape, dtype=bool)
    for day in range(watched.shape[1]):
        state = update(state, watched[:, day], sizes)
        alarms[:, day] = state.log_statistic >= thresholds
    return first_alarm(alarms)


def known_level(stream: Stream, labels: int, family: int) -> NDArray[np.intp]:
    """The default detector against a limit at the level itself."""
    return e_detector(stream, labels, family, known=True)


def smallest_change(stream: Stream, labels: int, family: int) -> NDArray[np.intp]:
    """The default detector, told that smaller changes do not matter."""
    return e_detector(stream, labels, family, smallest=AFTER - BEFORE)


def three_sigma(stream: Stream, labels: int, family: int) -> NDArray[np.intp]:
    """One day three standard errors above the learned rate."""
    learned, watched = stream
    level = learned.mean(axis=1, keepdims=True)
    return first_alarm(watched > level + 3 * np.sqrt(level * (1 - level) / labels))


def daily_test(stream: Stream, labels: int, family: int) -> NDArray[np.intp]:
    """One day with p < 0.05 in the one-sided exact binomial test against the learned rate."""
    learned, watched = stream
    level = learned.mean(axis=1, keepdims=True)
    return first_alarm(stats.binom.sf(np.rint(watched * labels) - 1, labels, level) < 0.05)


WAYS: dict[str, Callable[[Stream, int, int], NDArray[np.intp]]] = {
    "e-detector": e_detector,
    "e-detector, known": known_level,
    "smallest 0.04": smallest_change,
    "3-sigma": three_sigma,
    "daily p < 0.05": daily_test,
}


def false_alarms(way: str, labels: int, family: int, replays: int) -> tuple[float, float]:
    """Share of monitors with any alarm in the quiet days, and its upper 95 % bound."""
    stream = draw(np.random.default_rng(labels), replays * family, HORIZON, labels, None)
    alarmed = int((WAYS[way](stream, labels, family).reshape(replays, family) < HORIZON).any(axis=1).sum())
    return alarmed / replays, clopper_pearson_interval(alarmed, replays, confidence=0.9)[1]


def delays(way: str, labels: int, family: int, replays: int) -> Numbers:
    """Days to the alarm of the changed signal ``[replays without an earlier alarm]``."""
    stream = draw(np.random.default_rng(labels + 1), replays, QUIET + PATIENCE, labels, QUIET)
    days = WAYS[way](stream, labels, family).astype(np.float64) - QUIET + 1
    return days[days > 0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--replays", type=int, default=4000)
    parser.add_argument("--quiet-signals", type=int, default=20_000, help="over 90 days; of 4,000 monitors at most")
    parser.add_argument("--signals", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--labels", type=int, nargs="+", default=[35, 100, 200, 500])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS), metavar="WAY")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"{'detector':20}{'signals':>8}{'n a day':>9}{'P(false)':>10}{'at most':>9}{'median':>8}{'90 %':>7}")
    rows = []
    for way in given.ways:
        for family in given.signals:
            for labels in given.labels:
                share, bound = false_alarms(way, labels, family, min(4000, given.quiet_signals // family))
                waited = delays(way, labels, family, given.replays)
                middle, late = np.quantile(waited, [0.5, 0.9], method="higher") if len(waited) else (np.nan, np.nan)
                rows.append([way, family, labels, share, bound, float(middle), float(late)])
                print(
                    f"{way:20}{family:8}{labels:9}{share:10.1%}{bound:9.1%}{middle:8.0f}{late:7.0f}",
                    flush=True,
                )
    if given.json:
        given.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
