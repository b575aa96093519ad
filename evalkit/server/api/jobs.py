"""``/jobs``, ``/firings``, ``/workers`` and ``/work``: what runs by itself, when, and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Path, Query
from sqlalchemy import select

from evalkit.errors import ConflictError, NotFoundError
from evalkit.monitoring import scheduling
from evalkit.monitoring.store import PAUSED, MonitorStore
from evalkit.project import Project
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Key, Limit, Page
from evalkit.server.api.schema.jobs import (
    AttemptOut,
    ScheduleFiringOut,
    ScheduleOut,
    State,
    WaitingOut,
    WorkerOut,
    WorkItemOut,
)
from evalkit.server.api.schema.monitors import QueuedOut
from evalkit.server.identity import needs
from evalkit.views import jobs
from registry.actors import ADMIN, EVALUATOR, Actor
from registry.firings import FiringRecord
from registry.outbox import Item, Outbox, about
from registry.tables import DEFAULT_WORKSPACE, OutboxRow
from registry.workers import workers

router = new_router("jobs")
Acts = Depends(needs(EVALUATOR))
Name = Annotated[str, Path(max_length=200, description="A schedule, such as `monitor:support`.")]


@router.get("/jobs", dependencies=[Anybody], summary="Schedules, the most urgent first")
def list_jobs(
    project: InProject, state: Annotated[State | None, Query()] = None, cursor: Cursor = None, limit: Limit = 100
) -> Page[ScheduleOut]:
    """Each with its last firing, its cause where that failed, and when it fires next."""
    found = [one for one in jobs.lines(project) if state in {None, one.state}]
    found.sort(key=lambda one: jobs.STATES.index(one.state))
    items, following = paging.cut(found, cursor, limit)
    return Page(items=[_schedule(one) for one in items], next=following)


@router.get("/jobs/{name}", dependencies=[Anybody], summary="One schedule")
def get_job(project: InProject, name: Name) -> ScheduleOut:
    """Its firings are at ``/firings?schedule=``."""
    return _schedule(_known(project, name))


@router.post("/jobs/{name}/run", dependencies=[Acts], status_code=202, summary="Run a schedule's job now")
def run_job(project: InProject, name: Name) -> QueuedOut:
    """Queue it for whichever worker is free; ``/firings`` says what comes of it. What is paused is not run."""
    line, store = _known(project, name), _store(project)
    if store.monitor(line.target).status == PAUSED:
        raise ConflictError(f"'{name}' is paused; resume it first")
    key = scheduling.trigger(project.settings, store, line.target)
    return QueuedOut(key=key, workers=sum(one.alive for one in workers(project.engine)))


@router.post("/jobs/{name}/pause", dependencies=[Acts], summary="Stop a schedule")
def pause_job(project: InProject, name: Name) -> ScheduleOut:
    """Until it is resumed."""
    scheduling.pause(project.settings, _store(project), _known(project, name).target)
    return _schedule(_known(project, name))


@router.post("/jobs/{name}/resume", dependencies=[Acts], summary="Have a schedule run again")
def resume_job(project: InProject, name: Name) -> ScheduleOut:
    """What was missed is caught up with as the schedule says."""
    scheduling.resume(project.settings, _store(project), _known(project, name).target)
    return _schedule(_known(project, name))


@router.get("/firings", dependencies=[Anybody], summary="Firings of schedules, newest first")
def list_firings(
    project: InProject, *,
    schedule: Annotated[str | None, Query(max_length=200)] = None,
    outcome: Annotated[Literal["done", "failed"] | None, Query(description="Those that ended so alone.")] = None,
    cursor: Cursor = None, limit: Limit = 100,
) -> Page[ScheduleFiringOut]:  # fmt: skip
    """With durations, and why those failed that did."""
    start = paging.place(cursor)
    found = jobs.firings(project, schedule=schedule, outcome=outcome, start=start, size=limit + 1)
    return Page(items=[_firing(one) for one in found[:limit]], next=paging.beyond(start + limit, start + len(found)))


@router.get("/workers", dependencies=[Anybody], summary="Workers, the newest heartbeat first")
def list_workers(project: InProject, cursor: Cursor = None, limit: Limit = 100) -> Page[WorkerOut]:
    """Those that were heard of in the last days, and whether they live."""
    items, following = paging.cut(workers(project.engine), cursor, limit)
    return Page(items=[WorkerOut.model_validate(one) for one in items], next=following)


@router.get("/work", dependencies=[Anybody], summary="What waits for a worker, by kind")
def list_waiting(project: InProject, cursor: Cursor = None, limit: Limit = 100) -> Page[WaitingOut]:
    """Evaluations, deliveries, backfills: what is not done, and what failed lately."""
    items, following = paging.cut(jobs.waiting(project), cursor, limit)
    return Page(items=[WaitingOut.model_validate(one) for one in items], next=following)


@router.get("/work/items", summary="Work, newest first")
def list_work(
    project: InProject, actor: Annotated[Actor, Anybody], *,
    kind: Annotated[str | None, Query(max_length=60)] = None,
    bodies: Annotated[bool, Query(description="In full what it is about, which an admin alone is told.")] = False,
    cursor: Cursor = None, limit: Limit = 50,
) -> Page[WorkItemOut]:  # fmt: skip
    """What was done, and what is still to do, with every attempt."""
    query = select(OutboxRow).where(OutboxRow.workspace == DEFAULT_WORKSPACE)
    if kind is not None:
        query = query.where(OutboxRow.kind == kind)
    rows, following = paging.page(project.engine, query, OutboxRow, cursor, limit)
    return Page(items=[item_out(row, whole=bodies and actor.may(ADMIN)) for row in rows], next=following)


@router.post("/work/items/{key}/retry", dependencies=[Depends(needs(ADMIN))], summary="Do work again that is done")
def retry_work(project: InProject, key: Key) -> WorkItemOut:
    """With all its attempts; what is not done yet is tried again by itself, and refused here."""
    outbox = Outbox(project.engine)
    if not jobs.has_item(project, key):
        raise NotFoundError(f"there is no work {key}")
    return item_out(outbox.reopen(key), whole=True)


def _known(project: Project, name: str) -> jobs.JobLine:
    found = next((one for one in jobs.lines(project) if one.name == name), None)
    if found is None or found.kind != scheduling.KIND:
        raise NotFoundError(f"there is no schedule '{name}'")
    return found


def _store(project: Project) -> MonitorStore:
    return MonitorStore(project.engine, project.settings.home)


def _schedule(one: jobs.JobLine) -> ScheduleOut:
    return ScheduleOut.model_validate(
        {
            "name": one.name, "kind": one.kind, "target": one.target, "cron": one.cron, "timezone": one.timezone,
            "catch_up": one.catch_up, "state": one.state, "next": one.next,
            "latest": None if one.latest is None else _firing(one.latest),
        }
    )  # fmt: skip


def _firing(one: FiringRecord) -> ScheduleFiringOut:
    seconds = None if one.finished_at is None else (one.finished_at - one.started_at) / 1000
    return ScheduleFiringOut(
        key=one.key, schedule=one.schedule, due=one.due, attempts=one.attempts, executor=one.executor,
        started_at=one.started_at, finished_at=one.finished_at, outcome=one.outcome, error=one.error, seconds=seconds,
    )  # fmt: skip


def item_out(one: OutboxRow | Item, *, whole: bool) -> WorkItemOut:
    """An item as the API tells it, with its whole body or without."""
    log = [AttemptOut(at=step["at"], outcome=step["outcome"], detail=step["detail"]) for step in one.log or ()]
    return WorkItemOut(
        id=one.id, workspace=one.workspace, kind=one.kind, about=about(one.body),
        body=dict(one.body) if whole else None, created_at=one.created_at, due_at=one.due_at, attempts=one.attempts,
        running=one.token is not None, done_at=one.done_at, outcome=one.outcome, log=log,
    )  # fmt: skip
