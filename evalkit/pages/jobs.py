"""Jobs: schedules with their last and next firings, what failed and why, who works, and what waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from sqlalchemy import func, select

from evalkit.monitoring import scheduling
from evalkit.pages.rendering import new_router, page
from evalkit.server.api.project import InProject, Project
from evalkit.server.identity import needs
from registry.database import reading
from registry.digests import now_ms
from registry.firings import FAILED, FiringRecord, history
from registry.tables import DEFAULT_WORKSPACE, FiringRow, OutboxRow
from registry.workers import workers

router = new_router()
SHOWN = 75
OVERDUE = timedelta(minutes=10)
"""How late a firing may begin before somebody should look."""
_FAILURES = 30
_States = ("overdue", "failed", "running", "ok", "waiting", "paused")


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


@router.get("/jobs", dependencies=[Depends(needs())])
def list_jobs(
    request: Request, project: InProject, state: Annotated[str, Query(max_length=20)] = "",
    start: Annotated[int, Query(ge=0, le=10**6)] = 0,
) -> Response:  # fmt: skip
    """All schedules, the most urgent first."""
    found = lines(project)
    kept = sorted((one for one in found if state in {"", one.state}), key=lambda one: _States.index(one.state))
    return page(
        request, "jobs.html", jobs=kept[start : start + SHOWN], total=len(kept), start=start, size=SHOWN, state=state,
        states=[name for name in _States if any(one.state == name for one in found)], workers=workers(project.engine),
        failures=_failures(project), waiting=_waiting(project),
    )  # fmt: skip


@router.get("/jobs/{name}", dependencies=[Depends(needs())])
def job(request: Request, project: InProject, name: Annotated[str, Path(max_length=200)]) -> Response:
    """The firings of one schedule, newest first."""
    from evalkit.server.api.routes import NotFoundError

    found = next((one for one in lines(project) if one.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no schedule '{name}'")
    firings = history(project.engine, schedule=name, limit=SHOWN)
    return page(request, "job.html", job=found, firings=firings)


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
        return {row.schedule: _record(row) for row in session.scalars(query)}


def _failures(project: Project) -> list[FiringRecord]:
    """What failed in the last 30 days, newest first."""
    month = now_ms() - 30 * 86_400_000
    query = (
        select(FiringRow)
        .where(FiringRow.workspace == DEFAULT_WORKSPACE, FiringRow.outcome == FAILED, FiringRow.due >= month)
        .order_by(FiringRow.due.desc())
        .limit(_FAILURES)
    )
    with reading(project.engine) as session:
        return [_record(row) for row in session.scalars(query)]


def _record(row: FiringRow) -> FiringRecord:
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


def _waiting(project: Project) -> list[Waiting]:
    month = now_ms() - 30 * 86_400_000
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
    waiting = []
    for kind in sorted({*found, *ended}):
        count, oldest = found.get(kind, (0, None))
        waiting.append(Waiting(kind, count, oldest, ended.get(kind, 0)))
    return waiting
