"""Signals by day, week and month: what a page over a long time reads, written with the signals themselves.

A level is the mean of a number over the windows of a period, weighted by their samples, with the lowest and the highest
window: a summary of what was said, made from signals alone. What a check says of a period as a whole comes from states
(`evalkit.monitoring.rollup`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import case, delete, func, insert, literal, select
from sqlalchemy.orm import Session

from evalkit.monitoring.cadence import Cadence
from evalkit.monitoring.records import ROLLED
from registry.tables_monitoring import LevelRow, SignalRow, WindowRow

LEVELS = ("day", "week", "month")
"""Longer windows: of these signals are summed up, and before states are dropped these are stored from them."""

_NAMES = (
    "workspace", "monitor_id", "cadence", "level", "check", "slice", "key", "start", "end", "position", "windows", "n",
    "weight", "total", "covered", "lowest", "highest",
)  # fmt: skip
_WEIGHT = case((SignalRow.n > 1, SignalRow.n), else_=1)


def levels_of(cadence: str) -> tuple[str, ...]:
    """The levels that are longer than windows of a cadence, the shortest first."""
    if cadence.startswith(ROLLED):
        return ()
    length = Cadence.parse(cadence).length()
    return tuple(level for level in LEVELS if Cadence.parse(level).length() > length)


def level_for(cadence: str, span: int, most: int) -> str:
    """The shortest level that covers `span` milliseconds with at most `most` periods, else the longest there is.

    Empty where no level is longer than the windows themselves.
    """
    found = levels_of(cadence)
    return next((level for level in found if span <= most * Cadence.parse(level).length()), found[-1] if found else "")


def restate(session: Session, monitor_id: str, cadence: str, start: int) -> None:
    """Bring the periods that hold the window at `start` up to date, in the transaction that stores its signals.

    The first time for a monitor's cadence, which may be older than the levels are, all its periods are made.
    """
    levels = levels_of(cadence)
    if not levels:
        return
    session.flush()
    known = select(LevelRow.start).where(LevelRow.monitor_id == monitor_id, LevelRow.cadence == cadence).limit(1)
    first, last = start, start
    if session.scalar(known) is None:
        mine = (WindowRow.monitor_id == monitor_id, WindowRow.cadence == cadence, WindowRow.newest)
        ends = select(func.min(WindowRow.start), func.max(WindowRow.start)).where(*mine)
        first, last = session.execute(ends).one()
    finest = levels[0]
    for level in levels:
        period = Cadence.parse(level)
        # Days lie within weeks and within months; weeks do not lie within months
        parts = finest if level != finest and finest == "day" else ""
        at, end = period.window(first)
        while at <= last:
            _write(session, (monitor_id, cadence, level), (at, end), parts)
            at, end = period.window(end)


def _write(session: Session, name: tuple[str, str, str], span: tuple[int, int], parts: str) -> None:
    monitor_id, cadence, level = name
    start, _ = span
    session.execute(
        delete(LevelRow).where(
            LevelRow.monitor_id == monitor_id, LevelRow.cadence == cadence, LevelRow.level == level,
            LevelRow.start == start,
        ).execution_options(synchronize_session=False)
    )  # fmt: skip
    chosen = _of_levels(name, span, parts) if parts else _of_signals(name, span)
    session.execute(insert(LevelRow).from_select(list(_NAMES), chosen))


def _of_signals(name: tuple[str, str, str], span: tuple[int, int]) -> Any:
    monitor_id, cadence, level = name
    return (
        select(
            func.min(SignalRow.workspace), SignalRow.monitor_id, literal(cadence), literal(level), SignalRow.check,
            SignalRow.slice, SignalRow.key, literal(span[0]), literal(span[1]), func.min(SignalRow.position),
            func.count(), func.sum(SignalRow.n), func.sum(_WEIGHT * 1.0), func.sum(_WEIGHT * SignalRow.value),
            func.sum(_WEIGHT * SignalRow.coverage), func.min(SignalRow.value), func.max(SignalRow.value),
        )
        .join(WindowRow, WindowRow.id == SignalRow.window_id)
        .where(
            WindowRow.monitor_id == monitor_id, WindowRow.cadence == cadence, WindowRow.newest,
            WindowRow.start >= span[0], WindowRow.start < span[1], SignalRow.value.is_not(None),
        )
        .group_by(SignalRow.monitor_id, SignalRow.check, SignalRow.slice, SignalRow.key)
    )  # fmt: skip


def _of_levels(name: tuple[str, str, str], span: tuple[int, int], parts: str) -> Any:
    monitor_id, cadence, level = name
    return (
        select(
            func.min(LevelRow.workspace), LevelRow.monitor_id, literal(cadence), literal(level), LevelRow.check,
            LevelRow.slice, LevelRow.key, literal(span[0]), literal(span[1]), func.min(LevelRow.position),
            func.sum(LevelRow.windows), func.sum(LevelRow.n), func.sum(LevelRow.weight), func.sum(LevelRow.total),
            func.sum(LevelRow.covered), func.min(LevelRow.lowest), func.max(LevelRow.highest),
        )
        .where(
            LevelRow.monitor_id == monitor_id, LevelRow.cadence == cadence, LevelRow.level == parts,
            LevelRow.start >= span[0], LevelRow.start < span[1],
        )
        .group_by(LevelRow.monitor_id, LevelRow.check, LevelRow.slice, LevelRow.key)
    )  # fmt: skip
