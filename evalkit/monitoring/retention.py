"""What is kept how long: raw rows, then windows' states; signals and the longer windows rolled up from states stay.

States are dropped a calendar month at a time, once all of the month is older than they are kept: before that, its days,
its weeks and itself are stored as signals, so that they answer afterwards as they did before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.monitoring.cadence import DAY_MS, Cadence
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.levels import LEVELS
from evalkit.monitoring.raw import RawStore
from evalkit.monitoring.records import OK, MonitorRecord, WindowRecord
from evalkit.monitoring.rollup import rolled_name, signals_of
from evalkit.monitoring.store import MonitorStore


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was dropped, or would be.

    Attributes:
        monitor: its name.
        days: UTC days whose raw rows go.
        windows: how many windows lose their states.
        rolled: longer windows that are stored in their place.
    """

    monitor: str
    days: Sequence[str]
    windows: int
    rolled: int


class Retention:
    """What a monitor's retention drops now.

    Args:
        store: where monitors are kept.
        monitor: which one.
        definition: what its file says.
        raw: its rows.
        now: what time it is, UTC milliseconds.
        waiting: beginnings of windows that are still to be computed: without their rows they would look empty.
        learnt: cadence to the end of the windows that drift is compared with for ever.
    """

    def __init__(
        self, store: MonitorStore, monitor: MonitorRecord, definition: Definition, raw: RawStore, *, now: int,
        waiting: Sequence[int] = (), learnt: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self._store, self._monitor, self._definition, self._raw, self._now = store, monitor, definition, raw, now
        kept = definition.spec.retention
        self._rows_before = min([now - kept.raw, *waiting])
        # While rows are there a window may be restated, and needs its states to tell whether it changed; the week
        # that the month ends in has to be over and computed
        whole = min([now - definition.spec.lateness, *waiting]) - 7 * DAY_MS
        self._states_before, _ = Cadence.parse("month").window(min(now - kept.states, self._rows_before, whole))
        self._learnt = {
            check.cadence.text: (learnt or {}).get(check.cadence.text, 0)
            for check in definition.checks
            if check.uses_others and "baseline" in check.against
        }

    def preview(self) -> Pruned:
        """What would be dropped; nothing changes."""
        expired = self._expired()
        spans = {(level, *Cadence.parse(level).window(w.start)) for w in expired for level in self._levels(w)}
        known = {(level, w.start) for level in LEVELS for w in self._stored(level)}
        missing = [span for span in spans if span[:2] not in known]
        return Pruned(self._monitor.name, self._raw.before(self._rows_before), len(expired), len(missing))

    def prune(self, *, token: str) -> Pruned:
        """Drop what is older than it is kept; killed at any point, the next one goes on."""
        days = self._raw.forget_before(self._rows_before)
        expired = self._expired()
        rolled = self._roll(expired, token)
        self._store.forget_states(expired, token=token)
        return Pruned(self._monitor.name, days, len(expired), rolled)

    def _expired(self) -> list[WindowRecord]:
        """Windows, superseded revisions too, that have states and are older than those are kept."""
        return [
            window
            for window in self._store.windows_with_states(self._monitor, ended=self._states_before)
            if window.start >= self._learnt.get(window.cadence, 0)
        ]

    def _levels(self, window: WindowRecord) -> list[str]:
        length = Cadence.parse(window.cadence).length()
        return [level for level in LEVELS if Cadence.parse(level).length() > length]

    def _stored(self, level: str) -> list[WindowRecord]:
        return self._store.windows(self._monitor, cadence=rolled_name(level))

    def _roll(self, expired: Sequence[WindowRecord], token: str) -> int:
        """Store the longer windows that the expired ones are part of, while all of their states are there."""
        made = 0
        for level in LEVELS:
            longer = Cadence.parse(level)
            known = {window.start for window in self._stored(level)}
            spans = {longer.window(window.start) for window in expired if level in self._levels(window)}
            for start, end in sorted(span for span in spans if span[0] not in known):
                made += self._store_rolled(level, start, end, token)
        return made

    def _store_rolled(self, level: str, start: int, end: int, token: str) -> bool:
        found, rows = {}, 0
        for check in self._definition.checks:
            if check.cadence.length() >= Cadence.parse(level).length():
                continue
            parts = self._store.windows(self._monitor, cadence=check.cadence.text, since=start, until=end)
            signals, counted = signals_of(self._store, check, [part for part in parts if part.status == OK])
            if signals:
                found[check.address] = signals
                rows = max(rows, sum(part.rows for part in counted))
        if found:
            window = WindowRecord(
                "", rolled_name(level), start, end, 0, OK, rows, 0, self._monitor.digest, [], {}, None, 0
            )
            self._store.add_window(self._monitor, window, {}, found, token=token)
        return bool(found)
