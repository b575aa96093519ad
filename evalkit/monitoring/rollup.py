"""Longer windows from the states of shorter ones: a day from hours, a month from days, without reading a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.monitoring.cadence import Cadence
from evalkit.monitoring.checks.base import Beside, Check, Signal
from evalkit.monitoring.records import OK, MonitorRecord, WindowRecord
from evalkit.monitoring.states import States, merge_all
from evalkit.monitoring.store import MonitorStore
from metrics.errors import InputError


@dataclass(frozen=True, slots=True)
class Rolled:
    """A longer window.

    Attributes:
        start, end: event time ``[start, end)``.
        rows: of its parts.
        parts: the windows that it is made of.
        signals: of one check.
    """

    start: int
    end: int
    rows: int
    parts: Sequence[WindowRecord]
    signals: Sequence[Signal]


def roll_up(
    store: MonitorStore, monitor: MonitorRecord, check: Check, level: str,
    *, since: int | None = None, until: int | None = None,
) -> list[Rolled]:  # fmt: skip
    """Signals of a check over longer windows, oldest first; drift compares each with the one before it.

    Args:
        store: where monitors are kept.
        monitor: which one.
        check: one of its checks.
        level: ``day``, ``week``, ``month``, with a time and zone where wanted.
        since: event time from which on, UTC milliseconds.
        until: event time before which.

    Raises:
        InputError: a level that is not longer than the check's own windows.
    """
    try:
        longer = Cadence.parse(level)
    except ValueError as error:
        raise InputError(str(error)) from None
    if longer.length() < check.cadence.length():
        raise InputError(f"'{level}' is shorter than the windows of '{check.address}' ({check.cadence.text})")
    windows = [
        window
        for window in store.windows(monitor, cadence=check.cadence.text, since=since, until=until)
        if window.status == OK
    ]
    found = []
    previous: States | None = None
    for start, end, parts in _grouped(windows, longer):
        states = merge_all(list(store.states(parts, check.address, check.identity)))
        signals = check.signals(states, Beside(previous=previous)) if states else []
        found.append(Rolled(start, end, sum(part.rows for part in parts), parts, signals))
        previous = states or previous
    return found


def _grouped(windows: Sequence[WindowRecord], longer: Cadence) -> Iterator[tuple[int, int, list[WindowRecord]]]:
    """Windows by the longer one that their beginning lies in."""
    current: tuple[int, int] | None = None
    parts: list[WindowRecord] = []
    for window in windows:
        span = longer.window(window.start)
        if current is not None and span != current:
            yield *current, parts
            parts = []
        current = span
        parts.append(window)
    if current is not None:
        yield *current, parts
