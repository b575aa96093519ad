"""``/monitors``: what models say in production, window by window, and a run of a monitor for other schedulers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import Field
from sqlalchemy import select

from evalkit.errors import ConflictError, NotFoundError
from evalkit.monitoring import scheduling
from evalkit.monitoring.cadence import parse_moment
from evalkit.monitoring.records import MonitorRecord, StoredSignal, WindowRecord
from evalkit.monitoring.store import PAUSED, MonitorStore
from evalkit.project import Project
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, In, Limit, Out, Page
from evalkit.server.api.schema.monitors import JobOut, MonitorOut, QueuedOut, SignalOut, WindowOut
from evalkit.server.identity import needs
from metrics.errors import InputError
from registry import audit
from registry.actors import EVALUATOR, Actor
from registry.database import writing
from registry.firings import history
from registry.outbox import BACKFILL, put
from registry.spec import NAME
from registry.tables import DEFAULT_WORKSPACE, OutboxRow
from registry.workers import workers

router = new_router("monitors")


class BackfillIn(In):
    """A range of event time, ``[start, end)``, UTC milliseconds."""

    start: int = Field(ge=0, le=2**53)
    end: int = Field(ge=0, le=2**53)
    again: bool = Field(default=False, description="Windows that are there already, too.")


class BackfillOut(Out):
    """A backfill: `done`, `failed`, or null while it waits or is under way; `detail` is of its last attempt."""

    key: str
    start: int
    end: int
    again: bool
    requested_by: str
    created_at: int
    attempts: int
    done_at: int | None
    outcome: str | None
    detail: str


Name = Annotated[str, Path(max_length=100, pattern=NAME, description="A monitor.")]
Moment = Annotated[str | None, Query(max_length=40, description="As `2026-05-01` or `2026-05-01T06:00Z`.")]


@router.get("/monitors", dependencies=[Anybody], summary="Monitors, by name")
def list_monitors(project: InProject, cursor: Cursor = None, limit: Limit = 100) -> Page[MonitorOut]:
    """Each with its newest window."""
    store = store_of(project)
    items, following = paging.cut(store.monitors(), cursor, limit)
    return Page(items=[shown_monitor(store, one) for one in items], next=following)


@router.get("/monitors/{name}", dependencies=[Anybody], summary="One monitor")
def get_monitor(project: InProject, name: Name) -> MonitorOut:
    """With the text of its file."""
    store = store_of(project)
    monitor = known(store, name)
    return shown_monitor(store, monitor, text=store.definition(monitor).text)


@router.get("/monitors/{name}/windows", dependencies=[Anybody], summary="Windows of a monitor, oldest first")
def list_windows(
    project: InProject, name: Name, *, since: Moment = None, until: Moment = None, cursor: Cursor = None,
    limit: Limit = 200,
) -> Page[WindowOut]:  # fmt: skip
    """The newest revision of each; those that begin in ``[since, until)``."""
    store = store_of(project)
    items, following = paging.cut(store.windows(known(store, name), **_span(since, until)), cursor, limit)
    return Page(items=[shown_window(one) for one in items], next=following)


@router.get("/monitors/{name}/signals", dependencies=[Anybody], summary="Signals of a monitor, oldest first")
def list_signals(
    project: InProject, name: Name, *,
    check: Annotated[str | None, Query(max_length=60)] = None,
    key: Annotated[str | None, Query(max_length=200, description="One number of a check.")] = None,
    slice_: Annotated[str | None, Query(alias="slice", max_length=500, description="All slices without.")] = None,
    since: Moment = None, until: Moment = None, cursor: Cursor = None, limit: Limit = 200,
) -> Page[SignalOut]:  # fmt: skip
    """Of the newest revisions of windows; `slice=` with nothing behind it asks for all rows."""
    store = store_of(project)
    found = store.signals(known(store, name), check=check, key=key, slice_=slice_, **_span(since, until))
    items, following = paging.cut(found, cursor, limit)
    return Page(items=[shown_signal(one) for one in items], next=following)


@router.get("/monitors/{name}/jobs", dependencies=[Anybody], summary="Schedule of a monitor, and its latest firings")
def get_jobs(project: InProject, name: Name, limit: Limit = 20) -> JobOut:
    """Firings with the newest first; `outcome` is null while one is under way."""
    store = store_of(project)
    known(store, name)
    (job,) = scheduling.jobs(project.settings, store, name)
    latest = history(project.engine, schedule=scheduling.schedule_name(name), limit=limit)
    return JobOut.model_validate({**scheduling.job_json(job), "firings": latest})


@router.post("/monitors/{name}/run", status_code=202, summary="Run a monitor now")
def run_monitor(project: InProject, name: Name, actor: Annotated[Actor, Depends(needs(EVALUATOR))]) -> QueuedOut:
    """Queue a run for whichever worker is free; ``/jobs`` says what comes of it. A paused monitor is not run."""
    store = store_of(project)
    if known(store, name).status == PAUSED:
        raise ConflictError(f"the monitor '{name}' is paused; `evalkit monitor resume {name}` first")
    key = scheduling.trigger(project.settings, store, name)
    return QueuedOut(key=key, workers=sum(one.alive for one in workers(project.engine)))


@router.post("/monitors/{name}/pause", summary="Stop running a monitor by itself")
def pause_monitor(project: InProject, name: Name, actor: Annotated[Actor, Depends(needs(EVALUATOR))]) -> MonitorOut:
    """Until it is resumed; what it found stays."""
    del actor
    store = store_of(project)
    known(store, name)
    return shown_monitor(store, scheduling.pause(project.settings, store, name))


@router.post("/monitors/{name}/resume", summary="Run a monitor by itself again")
def resume_monitor(project: InProject, name: Name, actor: Annotated[Actor, Depends(needs(EVALUATOR))]) -> MonitorOut:
    """Windows of the pause are computed with the next run."""
    del actor
    store = store_of(project)
    known(store, name)
    return shown_monitor(store, scheduling.resume(project.settings, store, name))


@router.post("/monitors/{name}/backfills", status_code=202, summary="Compute the windows of a range")
def backfill_monitor(
    project: InProject, name: Name, body: BackfillIn, actor: Annotated[Actor, Depends(needs(EVALUATOR))]
) -> QueuedOut:
    """Queue those that are missing, or that an older version of the monitor computed, for whichever worker is free."""
    monitor = known(store_of(project), name)
    if body.end <= body.start:
        raise InputError(f"the range ends ({body.end}) before it begins ({body.start}); both are UTC milliseconds")
    facts = {"monitor": name, "start": body.start, "end": body.end, "again": body.again}
    with writing(project.engine) as session:
        audit.lock(session)
        key = put(session, BACKFILL, {**facts, "monitor_id": monitor.id, "requested_by": actor.name})
        audit.append(session, BACKFILL, actor=actor.name, name=name, facts={**facts, "request": key})
    return QueuedOut(key=key, workers=sum(one.alive for one in workers(project.engine)))


@router.get("/monitors/{name}/backfills", dependencies=[Anybody], summary="Backfills of a monitor, newest first")
def list_backfills(project: InProject, name: Name, cursor: Cursor = None, limit: Limit = 50) -> Page[BackfillOut]:
    """What came of those that were queued; `outcome` is null while one waits or is under way."""
    monitor = known(store_of(project), name)
    query = select(OutboxRow).where(
        OutboxRow.workspace == DEFAULT_WORKSPACE, OutboxRow.kind == BACKFILL,
        OutboxRow.body["monitor_id"].as_string() == monitor.id,
    )  # fmt: skip
    rows, following = paging.page(project.engine, query, OutboxRow, cursor, limit)
    return Page(items=[_backfill(row) for row in rows], next=following)


def _backfill(row: OutboxRow) -> BackfillOut:
    told = {name: row.body[name] for name in ("start", "end", "again", "requested_by")}
    return BackfillOut(
        key=row.id, **told, created_at=row.created_at, attempts=row.attempts, done_at=row.done_at, outcome=row.outcome,
        detail=row.log[-1]["detail"] if row.log else "",
    )  # fmt: skip


def store_of(project: Project) -> MonitorStore:
    """The monitors of the server."""
    return MonitorStore(project.engine, project.settings.home)


def known(store: MonitorStore, name: str) -> MonitorRecord:
    """A monitor by name; an unknown one raises `NotFoundError`."""
    for monitor in store.monitors():
        if monitor.name == name:
            return monitor
    raise NotFoundError(f"there is no monitor '{name}'")


def _span(since: str | None, until: str | None) -> dict[str, Any]:
    return {
        "since": None if since is None else parse_moment(since),
        "until": None if until is None else parse_moment(until),
    }


def shown_monitor(store: MonitorStore, monitor: MonitorRecord, text: str | None = None) -> MonitorOut:
    """A monitor as the API shows it."""
    newest = next(reversed(store.windows(monitor)), None)
    return MonitorOut(
        id=monitor.id, name=monitor.name, status=monitor.status, model=monitor.model, digest=monitor.digest,
        first_event=monitor.first_event, last_event=monitor.last_event, refused=dict(monitor.refused),
        window=None if newest is None else shown_window(newest), text=text,
    )  # fmt: skip


def shown_window(window: WindowRecord) -> WindowOut:
    """A window as the API shows it."""
    return WindowOut.model_validate(window)


def shown_signal(stored: StoredSignal) -> SignalOut:
    """A signal as the API shows it."""
    signal = stored.signal
    return SignalOut(
        window=stored.window.id, start=stored.window.start, end=stored.window.end, check=stored.check, key=signal.key,
        slice=signal.slice, estimate=signal.estimate.to_json(), verdict=signal.verdict, reason=signal.reason,
        samples=list(signal.samples),
    )  # fmt: skip
