"""The generations behind a window: those that show a number best, then the others, as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Engine, select

from evalkit.errors import NotFoundError
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import SLICE, schema
from evalkit.monitoring.raw import RawStore
from evalkit.monitoring.records import MonitorRecord
from evalkit.monitoring.rows import LONGEST_VALUE, MISSING, OTHER
from evalkit.monitoring.store import MonitorStore
from evalkit.runner.shards import UNREADABLE
from registry.database import reading
from registry.tables_monitoring import SignalRow

T = TypeVar("T")
SHOWN = 20
"""Rows on a page."""
_TRIES = 3


class ErasedError(NotFoundError):
    """Retention or an erasure took rows away while they were read."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it is stored, redacted, by column; `shows` where a number points to it."""

    told: Mapping[str, Any]
    shows: bool


@dataclass(frozen=True, slots=True)
class Behind:
    """A page of the generations of a window.

    Attributes:
        total: that there are in the window and the slice.
        pointed: how many of them a number points to.
        gone: rows that a number points to, or that the page was to show, and that are no longer kept.
        note: what somebody should know of the choice.
    """

    rows: Sequence[Row] = ()
    total: int = 0
    pointed: int = 0
    gone: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which generations are asked for: ids that come first, a slice, how many are skipped; or one row by its id."""

    samples: Sequence[str] = ()
    slice: str = ""
    skip: int = 0
    size: int = SHOWN
    row: str = ""


def samples_of(engine: Engine, window_id: str, check: str, key: str, slice_: str) -> list[str]:
    """Ids of the rows that show a number of a window best; of the check's other numbers where it has none itself."""
    wanted = (
        select(SignalRow.key, SignalRow.samples)
        .where(SignalRow.window_id == window_id, SignalRow.check == check, SignalRow.slice == slice_)
        .order_by(SignalRow.position)
    )
    with reading(engine) as session:
        by_key = {name: [str(one) for one in samples] for name, samples in session.execute(wanted)}
    return by_key.get(key) or next((found for found in by_key.values() if found), [])


def rows_by_id(
    store: MonitorStore, found: MonitorRecord, definition: Definition, span: tuple[int, int], ids: Sequence[str]
) -> list[Row]:
    """Rows of some ids that happened within a span, in the order of the ids; those that are gone are left out."""
    if not ids:
        return []
    table = still_there(lambda: _raw(store, found, definition).read(*span, ids=ids))
    by_id = {str(row["id"]): row for row in table.to_pylist()}
    return [Row(by_id[one], shows=True) for one in ids if one in by_id]


def behind(
    store: MonitorStore, found: MonitorRecord, definition: Definition, span: tuple[int, int], asked: Asked
) -> Behind:
    """Rows of the monitor with event time in ``[start, end)``.

    Raises:
        ErasedError: their files go while they are read, again and again.
    """
    raw = _raw(store, found, definition)
    return still_there(lambda: _behind(raw, definition.spec.source.columns.slices, span, asked))


def still_there(read: Callable[[], T]) -> T:
    """Read files of which retention or an erasure may take some away meanwhile: then what is left is read anew.

    Raises:
        ErasedError: what is left cannot be read, either.
    """
    for _ in range(_TRIES):
        try:
            return read()
        except UNREADABLE as error:
            last = error
    raise ErasedError("the rows were erased, or their retention has ended, while they were read") from last


def _raw(store: MonitorStore, found: MonitorRecord, definition: Definition) -> RawStore:
    return RawStore(store.folder(found) / "raw", schema(definition.spec.source.columns))


def _behind(raw: RawStore, slices: Sequence[str], span: tuple[int, int], asked: Asked) -> Behind:
    """Read the ids of all rows, and the texts of one page alone."""
    if asked.row:
        alone = raw.read(*span, ids=[asked.row]).to_pylist()
        return Behind([Row(one, shows=asked.row in asked.samples) for one in alone], len(alone))
    name, _, value = asked.slice.partition("=")
    sliced = name if name in slices and value != OTHER else ""
    index = raw.read(*span, columns=["id", "event_time", *([SLICE + sliced] if sliced else [])])
    ids = np.asarray(index["id"].to_numpy(), dtype=object)
    note = ""
    if sliced:
        kept = [(MISSING if one is None else one[:LONGEST_VALUE]) == value for one in index[SLICE + sliced].to_pylist()]
        ids = ids[np.array(kept, dtype=bool)]
    elif asked.slice:
        note = "The slice holds rare values together: those of all rows are shown."
    there = set(ids.tolist())
    pointed = [one for one in asked.samples if one in there]
    marked = set(pointed)
    order = [*pointed, *(one for one in ids.tolist() if one not in marked)]
    wanted = order[asked.skip : asked.skip + asked.size]
    table = raw.read(*span, ids=wanted) if wanted else None
    by_id = {} if table is None else {str(row["id"]): row for row in table.to_pylist()}
    rows = [Row(by_id[one], shows=one in marked) for one in wanted if one in by_id]
    gone = len(asked.samples) - len(pointed) + len(wanted) - len(rows)
    return Behind(rows, len(order), len(pointed), gone, note)
