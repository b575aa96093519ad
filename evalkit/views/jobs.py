"""Schedules with their last and next firings, what failed and why, and what waits for a worker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from evalkit.monitoring import scheduling
from evalkit.project import Project
from registry.database import reading
from registry.digests import now_ms
from registry.firings import FAILED, FiringRecord
from registry.tables import DEFAULT_WORKSPACE, FiringRow, OutboxRow

OVERDUE = timedelta(minutes=10)
"""How late a firing may begin before somebody should look."""
STATES = ("overdue", "failed", "running", "ok", "waiting", "paused")
"""Of schedules, the most urgent first."""
MONTH_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class JobLine:
    """A schedule with its state: ``overdue``, ``failed``, ``running``, ``ok``, ``waiting`` (never fired) or ``paused``.

    Times are UTC milliseconds.
    """

    name: str
    target: str
    kind: str
    cron: str
    timezone: str
    catch_up: str
    state: str
    next: int | None
    latest: FiringRecord | None

    @property
    def seconds(self) -> float | None:
        """How long the latest firing took; None while it runs."""
        if self.latest is None or self.latest.finished_at is None:
            return None
        return (self.latest.finished_at - self.latest.started_at) / 1000


def lines(project: Project) -> list[JobLine]:
    """All schedules with the state of each."""
    schedules = scheduling.schedules_of(project.settings).all()
    latest = _latest(project)
    now = datetime.now(UTC)
    return [_line(one, latest.get(one.name), now) for one in schedules]


def _line(schedule: Any, latest: FiringRecord | None, now: datetime) -> JobLine:
    from evalkit.jobs.schedules import due_after

    if schedule.paused:
        state = "paused"
    elif latest is None:
        state = "waiting"
    else:
        after = datetime.fromtimestamp(latest.due / 1000, UTC)
        following = due_after(schedule.cron, schedule.timezone, after)
        late = latest.finished_at is not None and now - following > OVERDUE
        running = latest.finished_at is None
        stuck = running and now - after > 6 * OVERDUE
        state = "overdue" if late or stuck else "running" if running else "failed" if latest.outcome == FAILED else "ok"
    return JobLine(
        schedule.name, schedule.target, schedule.kind, schedule.cron, schedule.timezone, schedule.catch_up, state,
        None if schedule.next is None else int(schedule.next.timestamp() * 1000), latest,
    )  # fmt: skip


def _latest(project: Project) -> dict[str, FiringRecord]:
    """The firing of each schedule that was due last."""
    newest = (
        select(FiringRow.schedule, func.max(FiringRow.due).label("due"))
        .where(FiringRow.workspace == DEFAULT_WORKSPACE)
        .group_by(FiringRow.schedule)
        .subquery()
    )
    query = select(FiringRow).join(
        newest, (newest.c.schedule == FiringRow.schedule) & (newest.c.due == FiringRow.due)
    ).where(FiringRow.workspace == DEFAULT_WORKSPACE)  # fmt: skip
    with reading(project.engine) as session:
        return {row.schedule: record(row) for row in session.scalars(query)}


def failures(project: Project, limit: int) -> list[FiringRecord]:
    """What failed in the last 30 days, newest first."""
    month = now_ms() - MONTH_MS
    query = (
        select(FiringRow)
        .where(FiringRow.workspace == DEFAULT_WORKSPACE, FiringRow.outcome == FAILED, FiringRow.due >= month)
        .order_by(FiringRow.due.desc())
        .limit(limit)
    )
    with reading(project.engine) as session:
        return [record(row) for row in session.scalars(query)]


def firings(
    project: Project, *, schedule: str | None = None, outcome: str | None = None, start: int = 0, size: int = 100
) -> list[FiringRecord]:
    """Firings by when they were due, newest first, of one schedule or with one outcome where these are given."""
    query = select(FiringRow).where(FiringRow.workspace == DEFAULT_WORKSPACE)
    if schedule is not None:
        query = query.where(FiringRow.schedule == schedule)
    if outcome is not None:
        query = query.where(FiringRow.outcome == outcome)
    with reading(project.engine) as session:
        rows = session.scalars(query.order_by(FiringRow.due.desc(), FiringRow.key).offset(start).limit(size))
        return [record(row) for row in rows]


def has_item(project: Project, key: str) -> bool:
    """Whether the outbox has an item."""
    query = select(OutboxRow.id).where(OutboxRow.workspace == DEFAULT_WORKSPACE, OutboxRow.id == key)
    with reading(project.engine) as session:
        return session.scalar(query) is not None


def record(row: FiringRow) -> FiringRecord:
    """A firing from its row."""
    return FiringRecord(
        row.key, row.schedule, row.due, row.attempts, row.executor, row.started_at, row.finished_at, row.outcome,
        row.error,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work of one kind in the outbox: what is not done, the oldest of it, and what failed in the last 30 days."""

    kind: str
    open: int
    oldest: int | None
    failed: int


def waiting(project: Project) -> list[Waiting]:
    """The work that is not done, or that failed lately, by kind."""
    month = now_ms() - MONTH_MS
    undone = (
        select(OutboxRow.kind, func.count(), func.min(OutboxRow.created_at))
        .where(OutboxRow.workspace == DEFAULT_WORKSPACE, OutboxRow.done_at.is_(None))
        .group_by(OutboxRow.kind)
    )
    failed = (
        select(OutboxRow.kind, func.count())
        .where(OutboxRow.workspace == DEFAULT_WORKSPACE, OutboxRow.done_at >= month, OutboxRow.outcome == "failed")
        .group_by(OutboxRow.kind)
    )
    with reading(project.engine) as session:
        ended = {kind: count for kind, count in session.execute(failed)}  # noqa: C416 - rows are no pairs to the type
        found = {kind: (count, oldest) for kind, count, oldest in session.execute(undone)}
    kinds = []
    for kind in sorted({*found, *ended}):
        count, oldest = found.get(kind, (0, None))
        kinds.append(Waiting(kind, count, oldest, ended.get(kind, 0)))
    return kinds
