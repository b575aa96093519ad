"""``PUT /monitors/<name>`` and beside it: monitors made, changed, explained, cleared out and removed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Response

from evalkit.monitoring import api, scheduling, sent
from evalkit.monitoring.cadence import parse_moment
from evalkit.monitoring.contracts import from_baseline
from evalkit.monitoring.engine import prune_monitor
from evalkit.monitoring.records import signal_json
from evalkit.monitoring.rollup import Rolled
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody
from evalkit.server.api.monitors import Moment, Name, known, shown_monitor, shown_signal, shown_window, store_of
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Few, Limit, Page
from evalkit.server.api.schema.monitors import (
    AppliedOut,
    ContractOut,
    ExplainedOut,
    MonitorIn,
    MonitorOut,
    PrunedOut,
    PruneIn,
    RolledOut,
    RolledSignalOut,
    ScheduleOut,
)
from evalkit.server.identity import needs
from registry.actors import ADMIN, EVALUATOR, Actor

router = new_router("monitors")
Evaluates = Depends(needs(EVALUATOR))
Level = Annotated[str, Query(min_length=1, max_length=100, description="`day`, `week` or `month`.")]
Time = Annotated[str, Query(min_length=1, max_length=40, description="As `2026-05-01` or `2026-05-01T06:00Z`.")]


@router.put(
    "/monitors/{name}",
    status_code=200,
    responses={201: {"model": AppliedOut, "description": "There was no monitor of this name."}},
    summary="Make a monitor, or change the one of this name",
)
def put_monitor(
    project: InProject, name: Name, body: MonitorIn, response: Response, actor: Annotated[Actor, Evaluates]
) -> AppliedOut:
    """Windows so far stay as they are; a paused monitor stays paused.

    It names no file of the server, no Python function and no host of the server's own network, and of the server's
    variables for `sql` those that begin with `EVALKIT_SOURCE_`. An admin may send what asks the watched model, or asks
    judges at an address, or takes an alias away.
    """
    store = store_of(project)
    folder = store.sent_folder(name)
    given = sent.receive(folder, name, body.text, body.files, trusted=ADMIN in actor.roles)
    made = api.put(project.settings, store, given)
    if made.change == "new":
        response.status_code = 201
    return AppliedOut(
        monitor=shown_monitor(store, made.monitor), change=made.change, checks=list(made.checks),
        schedule=ScheduleOut.model_validate(made.schedule),
    )  # fmt: skip


@router.delete("/monitors/{name}", dependencies=[Depends(needs(ADMIN))], summary="Remove a monitor")
def delete_monitor(project: InProject, name: Name) -> MonitorOut:
    """With its schedule, rows, windows, signals and reports; the source stays as it is."""
    store = store_of(project)
    told = shown_monitor(store, known(store, name))
    scheduling.remove(project.settings, store, name)
    return told


@router.get("/monitors/{name}/contract", dependencies=[Evaluates], summary="Derive a data contract")
def get_contract(project: InProject, name: Name) -> ContractOut:
    """From the windows that the monitor has learnt from so far: their columns, ranges and values, so texts of users."""
    store = store_of(project)
    made = from_baseline(store, known(store, name).name)
    return ContractOut(text=made.text(), expectations=len(made.expectations))


@router.get("/monitors/{name}/explanation", dependencies=[Anybody], summary="What is behind the windows at a moment")
def explain_windows(
    project: InProject, name: Name, *, time: Time, cursor: Cursor = None, limit: Limit = 100
) -> Page[ExplainedOut]:
    """One item for each cadence of the monitor: the revisions of the window that holds the moment, and its signals."""
    store = store_of(project)
    parse_moment(time)
    found = api.explained(store, known(store, name).name, time)
    items, following = paging.cut(found, cursor, limit)
    shown = [
        ExplainedOut(
            revisions=[shown_window(one) for one in part.revisions], signals=[shown_signal(one) for one in part.signals]
        )
        for part in items
    ]
    return Page(items=shown, next=following)


@router.get("/monitors/{name}/rollups", dependencies=[Anybody], summary="A check over longer windows, oldest first")
def list_rollups(
    project: InProject, name: Name, *, level: Level, check: Annotated[str, Query(max_length=60)] = "operational",
    since: Moment = None, until: Moment = None, cursor: Cursor = None, limit: Few = 20,
) -> Page[RolledOut]:  # fmt: skip
    """From the states of the monitor's windows; no row is read, so also after raw rows are gone."""
    store = store_of(project)
    found = api.rolled(store, known(store, name).name, level, check, since=since, until=until)
    items, following = paging.cut(found, cursor, limit)
    return Page(items=[_rolled(check, one) for one in items], next=following)


@router.post("/monitors/{name}/prune", dependencies=[Evaluates], summary="Drop what is kept longer than it should be")
def prune(project: InProject, name: Name, body: PruneIn) -> PrunedOut:
    """Raw rows and states that are older than the monitor's retention; its signals stay. Runs do the same."""
    store = store_of(project)
    found = prune_monitor(project.settings, store, known(store, name).name, dry_run=body.dry_run)
    return PrunedOut(monitor=found.monitor, days=list(found.days), windows=found.windows, rolled=found.rolled)


def _rolled(check: str, one: Rolled) -> RolledOut:
    return RolledOut(
        start=one.start, end=one.end, rows=one.rows, parts=len(one.parts), missing=one.missing, stored=one.stored,
        signals=[RolledSignalOut.model_validate(signal_json(check, signal)) for signal in one.signals],
    )  # fmt: skip
