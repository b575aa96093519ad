"""Monitors in the database: versions, watermarks, windows with their states and signals."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Engine, Select, delete, select, update
from sqlalchemy.orm import Session

from evalkit.monitoring.checks.base import Signal
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.levels import restate
from evalkit.monitoring.records import ROLLED, MonitorRecord, StoredSignal, WindowRecord
from evalkit.monitoring.states import States, pack, unpack
from evalkit.monitoring.stored import monitor_record, signal_record, window_record
from judges.base import Usage
from metrics.errors import InputError, did_you_mean
from registry import audit
from registry.actors import intent
from registry.alerts import ask_for_tags
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.leases import check_token
from registry.tables import DEFAULT_WORKSPACE, LeaseRow
from registry.tables_monitoring import MonitorRow, MonitorVersionRow, SignalRow, WindowRow, WindowStateRow

ACTIVE, PAUSED = "active", "paused"
"""States of a monitor."""
INLINE = 64_000
"""Bytes of a window's states that the database keeps itself; larger ones are files."""
_COMPUTED = WindowRow.cadence.not_like(f"{ROLLED}%")
_CHUNK = 400


class MonitorStore:
    """The monitors of one workspace.

    Args:
        engine: the database of our tables.
        home: the project's folder; states too large for the database lie below it.
    """

    def __init__(self, engine: Engine, home: Path, workspace: str = DEFAULT_WORKSPACE) -> None:
        self.engine = engine
        self._home = home
        self._workspace = workspace

    def folder(self, monitor: MonitorRecord) -> Path:
        """Where a monitor's files lie."""
        return self._home / "monitors" / monitor.id

    def sent_folder(self, name: str) -> Path:
        """Where files lie that clients have sent with a monitor."""
        return self._home / "monitors" / "sent" / name

    def save(self, definition: Definition, actor: str) -> tuple[MonitorRecord, str]:
        """Make or change a monitor; returns it and ``new``, ``changed`` or ``unchanged``."""
        with writing(self.engine) as session:
            audit.lock(session, self._workspace)
            row = session.scalar(self._named(definition.name))
            what = "new" if row is None else "unchanged" if row.digest == definition.digest else "changed"
            if row is None:
                row = MonitorRow(
                    id=new_id(), workspace=self._workspace, created_at=now_ms(), name=definition.name, status=ACTIVE,
                    watermark={}, reads=0, first_event=None, last_event=None, refused={}, digest="", source_digest="",
                )  # fmt: skip
                session.add(row)
            if row.source_digest != definition.source_digest:
                row.watermark = {}
            row.digest, row.source_digest = definition.digest, definition.source_digest
            if what != "new" and row.model != definition.spec.model:
                ask_for_tags(session, row)  # those on versions of the former model go
                row.model = definition.spec.model
                ask_for_tags(session, row)
            row.model = definition.spec.model
            session.flush()
            known = session.scalar(
                select(MonitorVersionRow).where(
                    MonitorVersionRow.monitor_id == row.id, MonitorVersionRow.digest == definition.digest
                )
            )
            if known is None:
                known = MonitorVersionRow(
                    id=new_id(), workspace=self._workspace, created_at=now_ms(), monitor_id=row.id,
                    digest=definition.digest, actor=actor, text="", folder="", origin="",
                )  # fmt: skip
                session.add(known)
            elif what == "unchanged" and known.folder != str(definition.folder):
                what = "changed"  # its files are others
            known.text, known.folder, known.origin = definition.text, str(definition.folder), definition.origin
            if what != "unchanged":
                facts = {"monitor": definition.name, "change": what, "digest": definition.digest}
                self._tell(session, "monitor.applied", actor, facts)
            return monitor_record(row), what

    def set_status(self, name: str, status: str) -> MonitorRecord:
        """Pause or resume a monitor; `InputError` where there is none of that name."""
        self.monitor(name)
        with writing(self.engine) as session:
            audit.lock(session, self._workspace)
            row = session.scalars(self._named(name)).one()
            if row.status != status:
                row.status = status
                kind, who = "monitor.paused" if status == PAUSED else "monitor.resumed", intent().actor.name
                self._tell(session, kind, who, {"monitor": name})
            return monitor_record(row)

    def remove(self, name: str) -> None:
        """Delete a monitor with all that was found and kept of it; a run that is under way fails at its next write."""
        monitor = self.monitor(name)
        with writing(self.engine) as session:
            audit.lock(session, self._workspace)
            session.execute(delete(LeaseRow).where(LeaseRow.key == monitor.lease_key))
            ask_for_tags(session, session.get_one(MonitorRow, monitor.id))
            session.execute(delete(MonitorRow).where(MonitorRow.id == monitor.id))
            self._tell(session, "monitor.removed", intent().actor.name, {"monitor": name, "digest": monitor.digest})
        shutil.rmtree(self.folder(monitor), ignore_errors=True)
        shutil.rmtree(self.sent_folder(name), ignore_errors=True)

    def _tell(self, session: Session, kind: str, actor: str, facts: Mapping[str, Any]) -> None:
        audit.append(session, kind, actor=actor, name=facts["monitor"], facts=dict(facts), workspace=self._workspace)

    def monitors(self) -> list[MonitorRecord]:
        """All monitors, by name."""
        with reading(self.engine) as session:
            found = session.scalars(
                select(MonitorRow).where(MonitorRow.workspace == self._workspace).order_by(MonitorRow.name)
            )
            return [monitor_record(row) for row in found]

    def monitor(self, name: str) -> MonitorRecord:
        """A monitor by name; `InputError` with the closest known one."""
        with reading(self.engine) as session:
            row = session.scalar(self._named(name))
            if row is None:
                known = [item.name for item in self.monitors()]
                raise InputError(f"there is no monitor '{name}'{did_you_mean(name, known)}; see `evalkit monitor list`")
            return monitor_record(row)

    def definition(self, monitor: MonitorRecord) -> Definition:
        """The monitor as it was last applied."""
        with reading(self.engine) as session:
            row = session.scalars(
                select(MonitorVersionRow).where(
                    MonitorVersionRow.monitor_id == monitor.id, MonitorVersionRow.digest == monitor.digest
                )
            ).one()
            return Definition.from_text(row.text, Path(row.folder), origin=row.origin)

    def advance(
        self, monitor: MonitorRecord, watermark: Mapping[str, Any], moments: NDArray[np.int64],
        refused: Mapping[str, int], *, token: str, settled: int | None,
    ) -> MonitorRecord:  # fmt: skip
        """Write down that rows with these event times are stored; windows that they come too late for are marked.

        `settled` is the number of the read that wrote them; None where nothing was written.
        """
        with writing(self.engine) as session:
            check_token(session, token)
            row = session.get_one(MonitorRow, monitor.id)
            row.watermark = dict(watermark)
            row.reads += settled is not None
            row.refused = {
                reason: row.refused.get(reason, 0) + refused.get(reason, 0) for reason in {**row.refused, **refused}
            }
            if len(moments):
                first, last = int(moments.min()), int(moments.max())
                row.first_event = first if row.first_event is None else min(row.first_event, first)
                row.last_event = last if row.last_event is None else max(row.last_event, last)
                self._mark_late(session, monitor.id, np.sort(moments))
            return monitor_record(row)

    def _mark_late(self, session: Session, monitor_id: str, moments: NDArray[np.int64]) -> None:
        touched = session.scalars(
            select(WindowRow).where(
                WindowRow.monitor_id == monitor_id, WindowRow.newest, _COMPUTED,
                WindowRow.start <= int(moments[-1]), WindowRow.end > int(moments[0]),
            )
        )  # fmt: skip
        for window in touched:
            first, last = np.searchsorted(moments, [window.start, window.end])
            window.late += int(last - first)

    def windows(
        self, monitor: MonitorRecord, *, cadence: str | None = None, since: int | None = None, until: int | None = None,
        revisions: bool = False,
    ) -> list[WindowRecord]:  # fmt: skip
        """Windows that begin in ``[since, until)``, oldest first; their newest revisions only unless asked."""
        wanted = self._windows(monitor, cadence, since, until)
        if not revisions:
            wanted = wanted.where(WindowRow.newest)
        with reading(self.engine) as session:
            return [window_record(row) for row in session.scalars(wanted.order_by(WindowRow.start, WindowRow.revision))]

    def _windows(
        self, monitor: MonitorRecord, cadence: str | None, since: int | None, until: int | None
    ) -> Select[WindowRow]:
        conditions: list[ColumnElement[bool]] = [WindowRow.monitor_id == monitor.id]
        conditions.append(_COMPUTED if cadence is None else WindowRow.cadence == cadence)
        if since is not None:
            conditions.append(WindowRow.start >= since)
        if until is not None:
            conditions.append(WindowRow.start < until)
        return select(WindowRow).where(*conditions)

    def add_window(
        self, monitor: MonitorRecord, window: WindowRecord, states: Mapping[str, tuple[str, States]],
        signals: Mapping[str, Sequence[Signal]], *, token: str,
    ) -> WindowRecord:  # fmt: skip
        """Store a window's next revision with its states and signals, all or nothing.

        Args:
            states: address of a check to its identity and states.
            signals: address of a check to its signals.
            token: of the lease; results of a worker that was taken for dead are refused.
        """
        packed = {check: (identity, pack(found)) for check, (identity, found) in states.items() if found}
        made = new_id()
        rows = [self._state_row(monitor, made, check, *item) for check, item in packed.items()]
        with writing(self.engine) as session:
            check_token(session, token)
            mine = (
                WindowRow.monitor_id == monitor.id,
                WindowRow.cadence == window.cadence,
                WindowRow.start == window.start,
            )
            revisions = session.scalars(select(WindowRow.revision).where(*mine)).all()
            session.execute(update(WindowRow).where(*mine).values(newest=False))
            row = WindowRow(
                id=made, workspace=self._workspace, created_at=now_ms(), monitor_id=monitor.id,
                version_digest=window.version_digest, cadence=window.cadence, start=window.start, end=window.end,
                revision=max(revisions, default=0) + 1, newest=True, status=window.status, rows=window.rows, late=0,
                watermark=dict(monitor.watermark), contract=None if window.contract is None else dict(window.contract),
                notes=list(window.notes), usage=dict(window.usage), finished_at=now_ms(),
            )  # fmt: skip
            session.add(row)
            session.flush()
            session.add_all(rows)
            place = 0
            for check, found in signals.items():
                for signal in found:
                    session.add(self._signal_row(monitor, row, check, signal, place))
                    place += 1
            restate(session, monitor.id, window.cadence, window.start)
            return window_record(row)

    def settle(self, window: WindowRecord, *, token: str) -> None:
        """The late rows of a window changed nothing."""
        with writing(self.engine) as session:
            check_token(session, token)
            session.execute(update(WindowRow).where(WindowRow.id == window.id).values(late=0))

    def _state_row(
        self, monitor: MonitorRecord, window_id: str, check: str, identity: str, content: bytes
    ) -> WindowStateRow:
        location = None
        if len(content) > INLINE:
            place = self.folder(monitor) / "states"
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = place / f"{window_id}.{check}.zip"
            file.write_bytes(content)
            location = str(file.relative_to(self._home))
        return WindowStateRow(
            id=new_id(), workspace=self._workspace, created_at=now_ms(), window_id=window_id, check=check,
            identity=identity, content=None if location else content, location=location, size=len(content),
            digest=_content_digest(content),
        )  # fmt: skip

    def _signal_row(
        self, monitor: MonitorRecord, window: WindowRow, check: str, signal: Signal, place: int
    ) -> SignalRow:
        record = signal.estimate.to_json()
        return SignalRow(
            id=new_id(), workspace=self._workspace, created_at=now_ms(), monitor_id=monitor.id, window_id=window.id,
            start=window.start, position=place, check=check, key=signal.key, slice=signal.slice[:500],
            value=record["value"], low=record["low"], high=record["high"], n=signal.estimate.n,
            coverage=signal.estimate.coverage, verdict=signal.verdict, reason=signal.reason, record=record,
            p_value=signal.p_value, samples=list(signal.samples),
        )  # fmt: skip

    def states(self, windows: Sequence[WindowRecord], check: str, identity: str) -> Iterator[States]:
        """States of one check in windows, in their order; windows without such states give none."""
        ids = [window.id for window in windows]
        with reading(self.engine) as session:
            rows = {
                row.window_id: row
                for row in session.scalars(
                    select(WindowStateRow).where(
                        WindowStateRow.window_id.in_(ids), WindowStateRow.check == check,
                        WindowStateRow.identity == identity,
                    )
                )
            }  # fmt: skip
        for key in ids:
            if key in rows:
                yield unpack(self._content(rows[key]))

    def state_digests(self, window: WindowRecord) -> dict[str, str]:
        """Check to the digest of its states in a window."""
        with reading(self.engine) as session:
            rows = session.scalars(select(WindowStateRow).where(WindowStateRow.window_id == window.id))
            return {row.check: row.digest for row in rows}

    def _content(self, row: WindowStateRow) -> bytes:
        if row.content is not None:
            return row.content
        try:
            return (self._home / str(row.location)).read_bytes()
        except OSError as error:
            raise InputError(f"states of a window are gone from {row.location} ({error.strerror})") from None

    def signals(
        self, monitor: MonitorRecord, *, cadence: str | None = None, since: int | None = None, until: int | None = None,
        check: str | None = None, key: str | None = None, slice_: str | None = None,
    ) -> list[StoredSignal]:  # fmt: skip
        """Signals of the newest revisions of windows, oldest first, in the order of their checks."""
        named = ((SignalRow.check, check), (SignalRow.key, key), (SignalRow.slice, slice_))
        windows = {window.id: window for window in self.windows(monitor, cadence=cadence, since=since, until=until)}
        wanted = (
            select(SignalRow)
            .join(WindowRow, WindowRow.id == SignalRow.window_id)
            .where(SignalRow.monitor_id == monitor.id, WindowRow.newest, *(c == v for c, v in named if v is not None))
            .order_by(SignalRow.start, SignalRow.position)
        )
        if since is not None:
            wanted = wanted.where(SignalRow.start >= since)
        if until is not None:
            wanted = wanted.where(SignalRow.start < until)
        with reading(self.engine) as session:
            rows = [row for row in session.scalars(wanted) if row.window_id in windows]
        return [StoredSignal(row.check, windows[row.window_id], signal_record(row)) for row in rows]

    def spent_since(self, monitor: MonitorRecord, moment: int) -> Usage:
        """What the monitor's judges have cost in windows that were computed since a moment."""
        with reading(self.engine) as session:
            found = session.scalars(
                select(WindowRow.usage).where(WindowRow.monitor_id == monitor.id, WindowRow.created_at >= moment)
            ).all()
        return sum((Usage(**usage) for usage in found if usage), Usage())

    def with_states(self, windows: Sequence[WindowRecord], check: str, identity: str) -> set[str]:
        """Ids of the windows that have states of a check."""
        found: set[str] = set()
        with reading(self.engine) as session:
            for at in range(0, len(windows), _CHUNK):
                ids = [window.id for window in windows[at : at + _CHUNK]]
                wanted = select(WindowStateRow.window_id).where(
                    WindowStateRow.window_id.in_(ids), WindowStateRow.check == check,
                    WindowStateRow.identity == identity,
                )  # fmt: skip
                found.update(session.scalars(wanted))
        return found

    def windows_with_states(self, monitor: MonitorRecord, *, ended: int) -> list[WindowRecord]:
        """Revisions of windows that ended at `ended` or before and have states, oldest first."""
        having = select(WindowStateRow.window_id).where(WindowStateRow.window_id == WindowRow.id).exists()
        wanted = self._windows(monitor, None, None, None).where(WindowRow.end <= ended, having)
        with reading(self.engine) as session:
            return [window_record(row) for row in session.scalars(wanted.order_by(WindowRow.start, WindowRow.revision))]

    def forget_states(self, windows: Sequence[WindowRecord], *, token: str) -> None:
        """Remove the states of windows; their signals stay."""
        for at in range(0, len(windows), _CHUNK):
            ids = [window.id for window in windows[at : at + _CHUNK]]
            with writing(self.engine) as session:
                check_token(session, token)
                for row in session.scalars(select(WindowStateRow).where(WindowStateRow.window_id.in_(ids))).all():
                    self.drop(session, row)

    def drop(self, session: Session, row: WindowStateRow) -> None:
        """Remove states within the caller's transaction."""
        if row.location is not None:
            (self._home / row.location).unlink(missing_ok=True)
        session.delete(row)

    def _named(self, name: str) -> Select[MonitorRow]:
        return select(MonitorRow).where(MonitorRow.workspace == self._workspace, MonitorRow.name == name)


def states_digest(states: States) -> str:
    """Digest of packed states: equal ones need no new revision."""
    return _content_digest(pack(states))


def _content_digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
