"""Longer windows from the states of shorter ones: a day from hours, a month from days, without reading a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evalkit.monitoring.cadence import Cadence
from evalkit.monitoring.checks.base import Beside, Check, Signal
from evalkit.monitoring.records import OK, ROLLED, MonitorRecord, WindowRecord
from evalkit.monitoring.states import States, merge_all
from evalkit.monitoring.store import MonitorStore
from metrics.errors import InputError


@dataclass(frozen=True, slots=True)
class Rolled:
    """A longer window.

    Attributes:
        start, end: event time ``[start, end)``.
        rows: of the parts that were counted.
        parts: the windows that it is made of.
        signals: of one check.
        missing: parts with rows that could not be counted: their states are gone.
        stored: whether it was rolled up before states were dropped, and is answered from what was said then.
    """

    start: int
    end: int
    rows: int
    parts: Sequence[WindowRecord]
    signals: Sequence[Signal]
    missing: int = 0
    stored: bool = False


def rolled_name(level: str) -> str:
    """The cadence under which stored longer windows are kept."""
    return f"{ROLLED}{level}"


def roll_up(
    store: MonitorStore, monitor: MonitorRecord, check: Check, level: str,
    *, since: int | None = None, until: int | None = None,
) -> list[Rolled]:  # fmt: skip
    """Signals of a check over longer windows, oldest first; drift compares each with the one before it.

    Where states of parts are gone, the window is answered as it was stored before that; where it was not, from the
    parts that have states, and each signal's reason says how many have none.

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
    before = _Stored(store, monitor, check, longer.text)
    found = []
    previous: States | None = None
    for start, end, parts in _grouped(windows, longer):
        with_states = store.with_states(parts, check.address, check.identity)
        kept = before.window(start) if len(with_states) < len(parts) else None
        if kept is not None:
            found.append(Rolled(start, end, kept.rows, parts, before.signals(kept), stored=True))
            previous = None
            continue
        signals, counted, states = _merged(store, check, parts, with_states, Beside(previous=previous))
        found.append(Rolled(start, end, sum(p.rows for p in counted), parts, signals, len(parts) - len(counted)))
        previous = states or previous
    return found


def signals_of(
    store: MonitorStore, check: Check, parts: Sequence[WindowRecord]
) -> tuple[list[Signal], list[WindowRecord]]:
    """Signals of a check over all parts together, and the parts that had states."""
    with_states = store.with_states(parts, check.address, check.identity)
    signals, counted, _ = _merged(store, check, parts, with_states, Beside())
    return signals, counted


def _merged(
    store: MonitorStore, check: Check, parts: Sequence[WindowRecord], with_states: set[str], beside: Beside
) -> tuple[list[Signal], list[WindowRecord], States]:
    counted = [part for part in parts if part.id in with_states]
    states = merge_all(list(store.states(counted, check.address, check.identity)))
    signals = check.signals(states, beside) if states else []
    if len(counted) < len(parts):
        told = f"{len(parts) - len(counted)} of {len(parts)} windows are not counted: their states are gone"
        signals = [replace(s, reason=f"{s.reason}; {told}" if s.reason else told) for s in signals]
    return signals, counted, states


class _Stored:
    """Longer windows as they were stored, read when they are first needed."""

    def __init__(self, store: MonitorStore, monitor: MonitorRecord, check: Check, level: str) -> None:
        self._store, self._monitor, self._check, self._name = store, monitor, check, rolled_name(level)
        self._known: dict[int, WindowRecord] | None = None

    def window(self, start: int) -> WindowRecord | None:
        if self._known is None:
            self._known = {w.start: w for w in self._store.windows(self._monitor, cadence=self._name)}
        return self._known.get(start)

    def signals(self, window: WindowRecord) -> list[Signal]:
        found = self._store.signals(
            self._monitor, cadence=self._name, since=window.start, until=window.start + 1, check=self._check.address
        )
        return [one.signal for one in found]


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
