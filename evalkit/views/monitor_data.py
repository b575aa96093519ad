"""What monitors found, as pages need it: a range of windows, and the numbers of one check in them.

A page never loads all signals: it first picks windows, then asks for the signals of those windows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, or_, select

from evalkit.errors import NotFoundError
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.levels import level_for
from evalkit.monitoring.records import ROLLED, MonitorRecord
from evalkit.monitoring.store import MonitorStore
from evalkit.project import Project
from evalkit.reports.numbers import number
from metrics.errors import InputError
from registry.database import reading
from registry.mlflow_link import parse_reference
from registry.tables import DEFAULT_WORKSPACE, ModelVersionRow, PromotionRow
from registry.tables_monitoring import AlertRow, LevelRow, ReadingRow, SignalRow, WindowRow

SHOWN = 60
"""Windows that a page shows unless a range is asked for."""
MOST = 120
"""Windows that a page shows at most: the newest ones of a range."""
_MARKS = 40


@dataclass(frozen=True, slots=True)
class Window:
    """The newest revision of a window ``[start, end)``; `contract` is None where none was checked."""

    id: str
    cadence: str
    start: int
    end: int
    revision: int
    status: str
    rows: int
    late: int
    usage: Mapping[str, Any]
    contract: Mapping[str, Any] | None
    finished_at: int

    @property
    def day(self) -> str:
        """When it begins, in words."""
        return short(self.start)

    @property
    def requests(self) -> int:
        """Requests to judges that were paid for."""
        return int(self.usage.get("requests") or 0)

    @property
    def cost(self) -> float | None:
        """US dollars for judges; None where nothing has a price."""
        found = self.usage.get("cost")
        return None if found is None else float(found)

    @property
    def breaches(self) -> int | None:
        """Expectations of the contract that did not hold; None where none was checked."""
        return None if self.contract is None else len(self.contract.get("breaches", ()))


@dataclass(frozen=True, slots=True)
class Range:
    """Windows that are shown, oldest first; `total` there are in the range."""

    windows: Sequence[Window]
    total: int

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        return [one.id for one in self.windows]

    @property
    def since(self) -> int | None:
        """Start of the first one."""
        return self.windows[0].start if self.windows else None

    @property
    def newest(self) -> Window | None:
        """The last one."""
        return self.windows[-1] if self.windows else None


@dataclass(frozen=True, slots=True)
class Point:
    """One number of a check in one window, of one slice."""

    window_id: str
    start: int
    check: str
    key: str
    slice: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    coverage: float
    verdict: str
    reason: str

    @property
    def told(self) -> str:
        """``0.063 [0.051, 0.077]``."""
        told = number(self.value)
        return (
            told if None in {self.value, self.low, self.high} else f"{told} [{number(self.low)}, {number(self.high)}]"
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What one rule said after one window; `rule` is ``max``, ``min`` or ``baseline``."""

    start: int
    key: str
    slice: str
    rule: str
    status: str
    alerting: bool
    statistic: float | None
    threshold: float | None
    warning: float | None
    level: float | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something to mark in a chart; `kind` is ``alert`` or ``deployment``."""

    at: int
    label: str
    kind: str
    key: str = ""
    slice: str = ""
    alert_id: str = ""


def short(start: int) -> str:
    """The start of a window in UTC; the time of day only where it is not midnight."""
    at = datetime.fromtimestamp(start / 1000, UTC)
    return at.strftime("%Y-%m-%d" if at.hour == at.minute == 0 else "%Y-%m-%d %H:%M")


def known(project: Project, name: str) -> tuple[MonitorStore, MonitorRecord]:
    """A monitor by name; raises `NotFoundError`."""
    store = MonitorStore(project.engine, project.settings.home)
    try:
        return store, store.monitor(name)
    except InputError as error:
        raise NotFoundError(str(error).partition(";")[0]) from None


def definition_of(store: MonitorStore, monitor: MonitorRecord) -> Definition | None:
    """What the monitor's file says; None where an older evalkit wrote what this one cannot read."""
    try:
        return store.definition(monitor)
    except InputError:
        return None


def in_range(
    engine: Engine, monitor_id: str, cadence: str | None, *, since: int | None = None, until: int | None = None
) -> Range:
    """The newest windows that begin in ``[since, until)``: `SHOWN` of them, or up to `MOST` of a given range."""
    mine = _windows(monitor_id, cadence, since, until)
    newest = mine.order_by(WindowRow.start.desc()).limit(SHOWN if since is None else MOST)
    with reading(engine) as session:
        total = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
        rows = list(session.execute(newest))
    return Range([Window(*row) for row in reversed(rows)], total)


def _windows(monitor_id: str, cadence: str | None, since: int | None, until: int | None) -> Any:
    conditions: list[ColumnElement[bool]] = [WindowRow.monitor_id == monitor_id, WindowRow.newest.is_(True)]
    conditions.append(WindowRow.cadence.not_like(f"{ROLLED}%") if cadence is None else WindowRow.cadence == cadence)
    if since is not None:
        conditions.append(WindowRow.start >= since)
    if until is not None:
        conditions.append(WindowRow.start < until)
    return select(
        WindowRow.id, WindowRow.cadence, WindowRow.start, WindowRow.end, WindowRow.revision, WindowRow.status,
        WindowRow.rows, WindowRow.late, WindowRow.usage, WindowRow.contract, WindowRow.finished_at,
    ).where(*conditions)  # fmt: skip


_POINT: tuple[Any, ...] = (
    SignalRow.window_id, SignalRow.start, SignalRow.check, SignalRow.key, SignalRow.slice, SignalRow.value,
    SignalRow.low, SignalRow.high, SignalRow.n, SignalRow.coverage, SignalRow.verdict, SignalRow.reason,
)  # fmt: skip


_SAID: tuple[Any, ...] = (
    ReadingRow.start, ReadingRow.key, ReadingRow.slice, ReadingRow.rule, ReadingRow.status, ReadingRow.alerting,
    ReadingRow.statistic, ReadingRow.threshold, ReadingRow.warning, ReadingRow.level,
)  # fmt: skip


def points(
    engine: Engine, window_ids: Sequence[str], check: str, *, slice_: str | None = "", keys: Sequence[str] | None = None
) -> list[Point]:
    """Numbers of one check in windows, oldest first; of all slices where `slice_` is None."""
    wanted = select(*_POINT).where(SignalRow.window_id.in_(window_ids), SignalRow.check == check)
    if slice_ is not None:
        wanted = wanted.where(SignalRow.slice == slice_)
    if keys is not None:
        wanted = wanted.where(SignalRow.key.in_(keys))
    with reading(engine) as session:
        return [Point(*row) for row in session.execute(wanted.order_by(SignalRow.start, SignalRow.position))]


def of_window(
    engine: Engine, window_id: str, *, check: str | None = None, slice_: str | None = None, skip: int = 0,
    limit: int | None = None,
) -> list[Point]:  # fmt: skip
    """Numbers of one window, in the order of its checks."""
    wanted = select(*_POINT).where(SignalRow.window_id == window_id).order_by(SignalRow.position)
    if check is not None:
        wanted = wanted.where(SignalRow.check == check)
    if slice_ is not None:
        wanted = wanted.where(SignalRow.slice == slice_)
    with reading(engine) as session:
        return [Point(*row) for row in session.execute(wanted.offset(skip).limit(limit))]


def long_range(shown: Range, cadence: str, since: int | None) -> str:
    """The level at which a range is shown that has more windows than a page takes; empty where it has not."""
    newest = shown.newest
    if since is None or newest is None or shown.total <= len(shown.windows):
        return ""
    return level_for(cadence, newest.end - since, MOST)


def level_points(
    engine: Engine, at: tuple[str, str, str], check: str, *, slice_: str, keys: Sequence[str], span: tuple[int, int]
) -> list[Point]:
    """Means over periods that begin in ``[start, end)``, oldest first; low and high are single windows.

    Args:
        engine: of our tables.
        at: the monitor's key, the cadence of the windows, and the level.
        check: of which check.
        slice_: of which slice.
        keys: which numbers.
        span: event time, UTC milliseconds.
    """
    wanted = (
        select(
            LevelRow.start, LevelRow.key, LevelRow.total, LevelRow.weight, LevelRow.lowest, LevelRow.highest,
            LevelRow.n, LevelRow.covered, LevelRow.windows,
        )
        .where(
            LevelRow.monitor_id == at[0], LevelRow.cadence == at[1], LevelRow.level == at[2], LevelRow.check == check,
            LevelRow.slice == slice_, LevelRow.key.in_(keys), LevelRow.start >= span[0], LevelRow.start < span[1],
        )
        .order_by(LevelRow.start.desc(), LevelRow.position)
        .limit(MOST * len(keys))
    )  # fmt: skip
    with reading(engine) as session:
        found = [
            Point("", start, check, key, slice_, total / weight, lowest, highest, n, covered / weight, "measured",
                  f"{windows} windows")
            for start, key, total, weight, lowest, highest, n, covered, windows in session.execute(wanted)
        ]  # fmt: skip
    return found[::-1]


def keys_of(engine: Engine, window_ids: Sequence[str], check: str) -> list[str]:
    """The numbers that a check has in windows, in its order."""
    wanted = (
        select(SignalRow.key, func.min(SignalRow.position))
        .where(SignalRow.window_id.in_(window_ids), SignalRow.check == check)
        .group_by(SignalRow.key)
    )
    with reading(engine) as session:
        return [key for key, _ in sorted(session.execute(wanted), key=lambda row: (row[1], row[0]))]


def slices_of(engine: Engine, window_ids: Sequence[str], check: str | None = None) -> list[str]:
    """The slices that have numbers in windows, without that of all rows."""
    wanted = select(SignalRow.slice).distinct().where(SignalRow.window_id.in_(window_ids), SignalRow.slice != "")
    if check is not None:
        wanted = wanted.where(SignalRow.check == check)
    with reading(engine) as session:
        return sorted(session.scalars(wanted))


def said(
    engine: Engine, monitor_id: str, check: str, *, slice_: str | None = "", since: int | None, until: int | None = None
) -> list[Said]:
    """What the rules of a check said about windows that begin in ``[since, until]``, oldest first."""
    wanted = select(*_SAID).where(ReadingRow.monitor_id == monitor_id, ReadingRow.check == check)
    if slice_ is not None:
        wanted = wanted.where(ReadingRow.slice == slice_)
    if since is not None:
        wanted = wanted.where(ReadingRow.start >= since)
    if until is not None:
        wanted = wanted.where(ReadingRow.start <= until)
    with reading(engine) as session:
        return [Said(*row) for row in session.execute(wanted.order_by(ReadingRow.start))]


def alerting_now(engine: Engine, monitor_id: str) -> dict[tuple[str, str, str], tuple[str, str]]:
    """Check, key and slice to the rule and the id of their lasting alert."""
    wanted = select(AlertRow.check, AlertRow.key, AlertRow.slice, AlertRow.rule, AlertRow.id).where(
        AlertRow.workspace == DEFAULT_WORKSPACE, AlertRow.closed_at.is_(None), AlertRow.monitor_id == monitor_id
    )
    with reading(engine) as session:
        return {(check, key, slice_): (rule, found) for check, key, slice_, rule, found in session.execute(wanted)}


def alerts_in(engine: Engine, monitor_id: str, check: str, since: int | None, until: int) -> list[Event]:
    """Alerts of a check that lasted at some time in ``[since, until]``, by their beginning."""
    wanted = (
        select(AlertRow.opened_at, AlertRow.rule, AlertRow.key, AlertRow.slice, AlertRow.id)
        .where(
            AlertRow.monitor_id == monitor_id, AlertRow.check == check, AlertRow.opened_at <= until,
            or_(AlertRow.closed_at.is_(None), AlertRow.closed_at >= (since or 0)),
        )
        .order_by(AlertRow.opened_at.desc())
        .limit(_MARKS)
    )  # fmt: skip
    with reading(engine) as session:
        return [
            Event(at, f"alert ({rule})", "alert", key, slice_, found)
            for at, rule, key, slice_, found in session.execute(wanted)
        ]


def deployments(engine: Engine, model: str | None, since: int | None, until: int) -> list[Event]:
    """When another version came under the alias that a monitor watches, in ``[since, until]``."""
    if model is None or since is None:
        return []
    try:
        name, _, alias = parse_reference(model)
    except InputError:
        return []
    if alias is None:
        return []
    wanted = (
        select(PromotionRow.created_at, ModelVersionRow.version)
        .join(ModelVersionRow, ModelVersionRow.id == PromotionRow.version_id)
        .where(
            PromotionRow.workspace == DEFAULT_WORKSPACE, PromotionRow.name == name, PromotionRow.alias == alias,
            PromotionRow.created_at >= since, PromotionRow.created_at <= until,
        )
        .order_by(PromotionRow.created_at.desc())
        .limit(_MARKS)
    )  # fmt: skip
    with reading(engine) as session:
        return [Event(at, f"version {version}", "deployment") for at, version in session.execute(wanted)]
