"""A person's rows in a monitor: raw Parquet, the windows that held them, and what their signals show of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from evalkit.monitoring.announcing import cut
from evalkit.monitoring.records import MonitorRecord, WindowRecord
from evalkit.monitoring.rows import LONGEST_VALUE
from evalkit.monitoring.spec import Columns
from evalkit.monitoring.store import MonitorStore
from registry.alerts import ask_for_tags
from registry.database import reading, writing
from registry.leases import check_token
from registry.outbox import ALERT, DELIVERY
from registry.tables import DEFAULT_WORKSPACE, Base, OutboxRow
from registry.tables_monitoring import AlertRow, MonitorRow, SignalRow, WindowRow, WindowStateRow

if TYPE_CHECKING:
    import pyarrow as pa

GONE = "states dropped: they held rows of a person who was erased, and the raw rows are gone"


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Raw rows of a person: their ids, the times at which they happened, and whether any row names anybody."""

    ids: frozenset[str]
    moments: Sequence[int]
    named: bool


def find_rows(raw: Path, user: str) -> FoundRows:
    """Rows that name the person, by the folder of a monitor's raw rows."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = stored_name(user)
    ids: set[str] = set()
    moments: set[int] = set()
    named = False
    for file in sorted(raw.glob("*/*.parquet")):
        if "user" in pq.read_schema(file).names:
            table = pq.read_table(file, columns=["id", "event_time", "user"], partitioning=None)
            named = named or table["user"].null_count < table.num_rows
            table = table.filter(pc.equal(table["user"], wanted))
            ids.update(table["id"].to_pylist())
            moments.update(table["event_time"].to_pylist())
    return FoundRows(frozenset(ids), sorted(moments), named)


def stored_name(user: str) -> str:
    """A person's id as raw rows hold it."""
    from evalkit.monitoring.fields import text_column

    return str(text_column([user], 1)[0].as_py())


def erase_rows(raw: Path, user: str, ids: Collection[str], *, dry_run: bool = False) -> int:
    """Write the files anew without a person's rows, and without what came later for the same ids; how many rows."""
    import pyarrow.parquet as pq

    erased = 0
    for leftover in () if dry_run else raw.glob("*/.*.part"):
        leftover.unlink()  # of a process that was killed: the caller holds the lease
    for file in sorted(raw.glob("*/*.parquet")):
        keys = pq.read_table(file, columns=["id", *_user_column(file)], partitioning=None)
        theirs = _theirs(keys, user, ids)
        number = sum(theirs)
        erased += number
        if dry_run or not number:
            continue
        if number == len(theirs):
            file.unlink()
            continue
        table = pq.read_table(file, partitioning=None)
        part = file.with_name(f".{file.stem}.{os.getpid()}.part")
        part.touch(mode=0o600)
        pq.write_table(table.filter([not one for one in theirs]), part, compression="zstd")
        part.replace(file)
    return erased


def _user_column(file: Path) -> list[str]:
    import pyarrow.parquet as pq

    return [name for name in pq.read_schema(file).names if name == "user"]


def _theirs(keys: pa.Table, user: str, ids: Collection[str]) -> list[bool]:
    users = keys["user"].to_pylist() if "user" in keys.column_names else [None] * keys.num_rows
    wanted = stored_name(user)
    return [name == wanted or key in ids for name, key in zip(users, keys["id"].to_pylist(), strict=True)]


def held_by(store: MonitorStore, monitor: MonitorRecord, moments: Sequence[int]) -> list[WindowRecord]:
    """The newest revisions of the windows that hold any of the moments."""
    if not moments:
        return []
    import numpy as np

    times = np.array(sorted(moments))
    found = []
    for window in store.windows(monitor, until=int(times[-1]) + 1):
        first, last = np.searchsorted(times, [window.start, window.end])
        if last > first:
            found.append(window)
    return found


def mark(store: MonitorStore, windows: Sequence[WindowRecord], *, token: str) -> None:
    """Say that windows have to be computed again, so that the next run does it should this one be killed."""
    with writing(store.engine) as session:
        check_token(session, token)
        for window in windows:
            session.execute(update(WindowRow).where(WindowRow.id == window.id, WindowRow.late == 0).values(late=1))


def drop_states(store: MonitorStore, windows: Sequence[WindowRecord], *, token: str) -> int:
    """Remove the states of windows that cannot be computed again, and say so in them; how many had any."""
    dropped = 0
    with writing(store.engine) as session:
        check_token(session, token)
        for window in windows:
            states = session.scalars(select(WindowStateRow).where(WindowStateRow.window_id == window.id)).all()
            if not states:
                continue
            dropped += 1
            row = session.get_one(WindowRow, window.id)
            row.notes = [*row.notes, GONE]
            for state in states:
                store.drop(session, state)
    return dropped


@dataclass(frozen=True, slots=True)
class Person:
    """Whom to forget: the id, the ids of their rows, and slices that are named after them (`slices_of`)."""

    user: str
    ids: Collection[str]
    slices: Collection[str] = ()


def slices_of(columns: Columns, user: str) -> frozenset[str]:
    """Slices that hold one person each, where the monitor splits its rows by whose they are."""
    field = columns.user or "user"
    return frozenset({f"{field}={stored_name(user)[:LONGEST_VALUE]}"} if field in columns.slices else ())


def moments_of_slices(store: MonitorStore, monitor: MonitorRecord, slices: Collection[str]) -> set[int]:
    """Beginnings of the windows that have signals of slices: they held rows of those."""
    if not slices:
        return set()
    with reading(store.engine) as session:
        wanted = select(SignalRow.start).where(SignalRow.monitor_id == monitor.id, SignalRow.slice.in_(slices))
        return set(session.scalars(wanted))


def scrub(
    store: MonitorStore, monitor: MonitorRecord, windows: Sequence[WindowRecord], person: Person, *, token: str
) -> None:
    """Remove what is left of a person in windows: superseded states, rows shown, slices that were theirs alone.

    Args:
        store: where monitors are kept.
        monitor: which one.
        windows: those that held the person's rows, as they were before they were computed again.
        person: whom to forget.
        token: of the lease.
    """
    known = {(window.cadence, window.start) for window in windows}
    theirs = set(person.slices)
    with writing(store.engine) as session:
        check_token(session, token)
        rows = session.scalars(select(WindowRow).where(WindowRow.monitor_id == monitor.id)).all()
        concerned = [row for row in rows if (row.cadence, row.start) in known]
        present = {(r.cadence, r.start): _slices(session, r) for r in concerned if r.newest}
        for row in concerned:
            for signal in session.scalars(select(SignalRow).where(SignalRow.window_id == row.id)):
                signal.samples = [key for key in signal.samples if key not in person.ids]
                if not row.newest:
                    signal.reason = ""  # it may cite words of the rows
            if row.newest:
                continue
            row.contract = None  # it may show values of the rows
            for state in session.scalars(select(WindowStateRow).where(WindowStateRow.window_id == row.id)):
                store.drop(session, state)
            # A slice that went with the person's rows was of nobody else
            vanished = _slices(session, row) - present.get((row.cadence, row.start), set())
            gone = (SignalRow.window_id == row.id, SignalRow.slice.in_(vanished))
            session.execute(delete(SignalRow).where(*gone))
            theirs |= {slice_ for slice_ in vanished if slice_.partition("=")[2] == stored_name(person.user)}
        # Whatever is kept by slice: signals of all windows where slices are by user, alerts and what goes with them
        for table in Base.metadata.sorted_tables[::-1]:
            if {"monitor_id", "slice"} <= set(table.c.keys()):
                named = person.slices if table is SignalRow.__table__ else theirs
                session.execute(delete(table).where(table.c.monitor_id == monitor.id, table.c.slice.in_(set(named))))
        _scrub_alerts(session, monitor, person, theirs)


def _scrub_alerts(session: Session, monitor: MonitorRecord, person: Person, slices: Collection[str]) -> None:
    """Remove the ids of a person's rows from alerts and from what was told of them; tags of their slices go too."""
    for alert in session.scalars(select(AlertRow).where(AlertRow.monitor_id == monitor.id)):
        alert.samples = [key for key in alert.samples if key not in person.ids]
    messages = select(OutboxRow).where(
        OutboxRow.kind.in_((ALERT, DELIVERY)), OutboxRow.workspace == DEFAULT_WORKSPACE,
        OutboxRow.body["message", "data", "monitor"].as_string() == monitor.name,
    )  # fmt: skip
    ids, names = {cut(key) for key in person.ids}, {cut(name) for name in slices}
    for row in session.scalars(messages):
        data = dict(row.body["message"]["data"])
        data["samples"] = [key for key in data["samples"] if key not in ids]
        if data["slice"] in names:
            data |= {"slice": "", "reason": "a person was erased"}
        row.body = {**row.body, "message": {**row.body["message"], "data": data}}
    ask_for_tags(session, session.get_one(MonitorRow, monitor.id))


def _slices(session: Session, row: WindowRow) -> set[str]:
    return set(session.scalars(select(SignalRow.slice).where(SignalRow.window_id == row.id)))
