"""One window of a monitor with all its revisions: what came in, what was found, what is kept, what it raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from evalkit.errors import NotFoundError
from evalkit.monitoring.records import ROLLED, MonitorRecord
from evalkit.monitoring.store import MonitorStore
from evalkit.monitoring.window_reports import report_path
from evalkit.project import Project
from evalkit.views import monitor_data
from evalkit.views.monitor_data import Point, short
from judges.base import Usage
from registry.database import reading
from registry.tables_monitoring import AlertRow, SignalRow, WindowRow, WindowStateRow


@dataclass(frozen=True, slots=True)
class Revision:
    """One time that a window was computed."""

    id: str
    cadence: str
    start: int
    end: int
    number: int
    newest: bool
    status: str
    rows: int
    late: int
    version_digest: str
    notes: Sequence[str]
    usage: Mapping[str, Any]
    contract: Mapping[str, Any] | None
    finished_at: int

    @property
    def day(self) -> str:
        """When it begins, in words."""
        return short(self.start)

    @property
    def cost(self) -> Usage | None:
        """What its judges cost; None where none was asked."""
        return Usage(**self.usage) if self.usage else None

    @property
    def breaches(self) -> Sequence[Mapping[str, Any]]:
        """Expectations of the data contract that did not hold."""
        found: Sequence[Mapping[str, Any]] = (self.contract or {}).get("breaches", ())
        return found


@dataclass(frozen=True, slots=True)
class Kept:
    """States of one check that are kept of a window, in bytes."""

    check: str
    size: int


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert that the window opened."""

    id: str
    name: str
    rule: str
    reason: str


_COLUMNS: tuple[Any, ...] = (
    WindowRow.id, WindowRow.cadence, WindowRow.start, WindowRow.end, WindowRow.revision, WindowRow.newest,
    WindowRow.status, WindowRow.rows, WindowRow.late, WindowRow.version_digest, WindowRow.notes, WindowRow.usage,
    WindowRow.contract, WindowRow.finished_at,
)  # fmt: skip


def revisions_of(
    store: MonitorStore, found: MonitorRecord, start: int, cadence: str
) -> tuple[Sequence[str], Sequence[Revision]]:
    """Other cadences with a window that begins then, and the revisions of the one of `cadence`, newest first.

    Without a `cadence` it is the monitor's own, where that has a window then.

    Raises:
        NotFoundError: no such window.
    """
    wanted = (
        select(*_COLUMNS)
        .where(
            WindowRow.monitor_id == found.id, WindowRow.start == start, WindowRow.cadence.not_like(f"{ROLLED}%")
        )
        .order_by(WindowRow.cadence, WindowRow.revision.desc())
        .limit(200)
    )  # fmt: skip
    with reading(store.engine) as session:
        rows = [Revision(*row) for row in session.execute(wanted)]
    cadences = list(dict.fromkeys(one.cadence for one in rows))
    chosen = cadence or next(iter(cadences), "")
    if not cadence and len(cadences) > 1:
        definition = monitor_data.definition_of(store, found)
        own = "" if definition is None else definition.spec.cadence.text
        chosen = own if own in cadences else chosen
    revisions = [one for one in rows if one.cadence == chosen]
    if not revisions:
        raise NotFoundError(f"'{found.name}' has no window that begins at {start} (UTC milliseconds)")
    return [one for one in cadences if one != chosen], revisions


def checks_and_slices(engine: Engine, window_id: str) -> tuple[list[str], list[str]]:
    """The checks and the slices that have numbers in a window."""
    wanted = (
        select(SignalRow.check, func.min(SignalRow.position))
        .where(SignalRow.window_id == window_id)
        .group_by(SignalRow.check)
    )
    with reading(engine) as session:
        checks = [name for name, _ in sorted(session.execute(wanted), key=lambda row: row[1])]
    return checks, monitor_data.slices_of(engine, [window_id])


def samples_by_signal(engine: Engine, window_id: str, signals: Sequence[Point]) -> Mapping[tuple[str, str, str], int]:
    """How many samples point to rows, by signal."""
    names = {(one.check, one.key, one.slice) for one in signals}
    wanted = select(SignalRow.check, SignalRow.key, SignalRow.slice, SignalRow.samples).where(
        SignalRow.window_id == window_id, SignalRow.check.in_({name[0] for name in names})
    )
    with reading(engine) as session:
        return {
            (check, key, slice_): len(samples)
            for check, key, slice_, samples in session.execute(wanted)
            if samples and (check, key, slice_) in names
        }


def kept_states(engine: Engine, window_id: str) -> list[Kept]:
    """States of checks that are kept of a window, by check."""
    wanted = select(WindowStateRow.check, WindowStateRow.size).where(WindowStateRow.window_id == window_id)
    with reading(engine) as session:
        return [Kept(*row) for row in session.execute(wanted.order_by(WindowStateRow.check))]


def raised_by(engine: Engine, monitor_id: str, one: Revision, most: int = 100) -> list[Raised]:
    """Alerts that a window opened."""
    wanted = (
        select(AlertRow.id, AlertRow.check, AlertRow.key, AlertRow.slice, AlertRow.rule, AlertRow.reason)
        .where(AlertRow.monitor_id == monitor_id, AlertRow.cadence == one.cadence, AlertRow.opened_at == one.start)
        .order_by(AlertRow.id)
        .limit(most)
    )
    with reading(engine) as session:
        return [
            Raised(key, f"{check} / {number}" + (f", {slice_}" if slice_ else ""), rule, reason)
            for key, check, number, slice_, rule, reason in session.execute(wanted)
        ]


def report_of(project: Project, found: MonitorRecord, one: Revision) -> Path | None:
    """The file of Evidently's report of a window; None where there is none."""
    place = report_path(project.settings.home / "monitors" / found.id, one.cadence, one.start)
    return place if one.newest and place.is_file() else None
