"""``/monitors/<name>/windows/<start>`` and beside it: what stands behind a monitor's numbers, and how it stands."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Depends, Path, Query

from evalkit.errors import NotFoundError
from evalkit.monitoring.cadence import parse_moment
from evalkit.monitoring.fields import SLICE
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody
from evalkit.server.api.monitors import Moment, Name
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Few, Limit, Page, SliceQuery
from evalkit.server.api.schema.monitors import FiringOut
from evalkit.server.api.schema.windows import (
    DeploymentOut,
    GenerationOut,
    GenerationPage,
    KeptOut,
    LastingOut,
    NumberOut,
    RaisedOut,
    ReadingOut,
    RevisionOut,
    SpentOut,
    StandingOut,
    WindowFullOut,
)
from evalkit.server.identity import needs
from evalkit.views import generations, monitor_data, windows
from evalkit.views.standing import standing
from evalkit.views.windows import Revision
from registry.actors import APPROVER, EVALUATOR, LABELER
from registry.digests import now_ms

router = new_router("monitors")
Reads = Depends(needs(LABELER, EVALUATOR, APPROVER))
"""Who may read what users said."""
Start = Annotated[int, Path(ge=0, le=2**53, description="Start of the window, UTC milliseconds.")]
Cadence = Annotated[str, Query(max_length=100, description="The monitor's own without.")]
CheckQuery = Annotated[str | None, Query(max_length=60)]
_LONGEST = 20_000
_PASSAGES = 50


@router.get("/monitors/{name}/standing", dependencies=[Anybody], summary="How a monitor stands")
def get_standing(project: InProject, name: Name) -> StandingOut:
    """Its state, schedule, lasting alerts, what its judges have cost today, and how far its labels are behind."""
    store, found = monitor_data.known(project, name)
    now = standing(project, store, found, monitor_data.definition_of(store, found))
    return StandingOut(
        monitor=name, state=now.state, every=now.every, cron=now.cron, budget=now.budget,
        spent=SpentOut.model_validate(asdict(now.spent)),
        alerts=[
            LastingOut(id=alert, check=check, key=key, slice=slice_, rule=rule)
            for (check, key, slice_), (rule, alert) in now.alerting.items()
        ],
        last=None if now.last is None else FiringOut.model_validate(now.last), labels=now.labels,
        labels_behind=now.labels_behind,
    )  # fmt: skip


@router.get("/monitors/{name}/readings", dependencies=[Anybody], summary="What the rules of a check said, oldest first")
def list_readings(
    project: InProject, name: Name, *, check: Annotated[str, Query(max_length=60)],
    key: Annotated[str | None, Query(max_length=200)] = None,
    slice_: Annotated[str | None, Query(alias="slice", max_length=500, description="All slices without.")] = None,
    since: Moment = None, until: Moment = None, cursor: Cursor = None, limit: Limit = 200,
) -> Page[ReadingOut]:  # fmt: skip
    """The statistic that each compared with its threshold, window by window."""
    _, found = monitor_data.known(project, name)
    after = None if since is None else parse_moment(since)
    before = None if until is None else parse_moment(until) - 1
    said = monitor_data.said(project.engine, found.id, check, slice_=slice_, since=after, until=before)
    items, following = paging.cut([one for one in said if key in {None, one.key}], cursor, limit)
    return Page(items=[ReadingOut.model_validate(one) for one in items], next=following)


@router.get("/monitors/{name}/deployments", dependencies=[Anybody], summary="When another version was watched")
def list_deployments(
    project: InProject, name: Name, *, since: Moment = None, until: Moment = None, cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[DeploymentOut]:  # fmt: skip
    """Moves of the alias that the monitor watches, newest first, at most 40."""
    _, found = monitor_data.known(project, name)
    after = 0 if since is None else parse_moment(since)
    before = now_ms() if until is None else parse_moment(until)
    events = monitor_data.deployments(project.engine, found.model, after, before)
    items, following = paging.cut(events, cursor, limit)
    return Page(items=[DeploymentOut(at=one.at, label=one.label) for one in items], next=following)


@router.get("/monitors/{name}/windows/{start}", dependencies=[Anybody], summary="One window with its revisions")
def get_window(project: InProject, name: Name, start: Start, cadence: Cadence = "") -> WindowFullOut:
    """What came in, what it cost, what is kept of it, and the alerts that it opened."""
    store, found = monitor_data.known(project, name)
    others, revisions = windows.revisions_of(store, found, start, cadence)
    newest = revisions[0]
    checks, slices = windows.checks_and_slices(project.engine, newest.id)
    report = None
    if windows.report_of(project, found, newest) is not None:
        query = urlencode({"cadence": newest.cadence})
        report = f"/evalkit/monitors/{quote(name, safe='')}/windows/{start}/report?{query}"
    return WindowFullOut(
        monitor=name, revisions=[_revision(one) for one in revisions], cadences=list(others), checks=checks,
        slices=slices, report=report,
        kept=[KeptOut.model_validate(one) for one in windows.kept_states(project.engine, newest.id)],
        alerts=[RaisedOut.model_validate(one) for one in windows.raised_by(project.engine, found.id, newest)],
    )  # fmt: skip


@router.get("/monitors/{name}/windows/{start}/signals", dependencies=[Anybody], summary="Numbers of one window")
def list_numbers(
    project: InProject, name: Name, start: Start, *, cadence: Cadence = "",
    revision: Annotated[int | None, Query(ge=0, le=10**6, description="The newest one without.")] = None,
    check: CheckQuery = None,
    slice_: Annotated[str | None, Query(alias="slice", max_length=500, description="All slices without.")] = None,
    cursor: Cursor = None, limit: Limit = 200,
) -> Page[NumberOut]:  # fmt: skip
    """In the order of its checks; of an older revision, too."""
    store, found = monitor_data.known(project, name)
    _, revisions = windows.revisions_of(store, found, start, cadence)
    one = next((item for item in revisions if revision in {None, item.number}), None)
    if one is None:
        raise NotFoundError(f"the window that begins at {start} has no revision {revision}")
    begin = paging.place(cursor)
    points = monitor_data.of_window(
        project.engine, one.id, check=check, slice_=slice_, skip=begin, limit=limit + 1
    )  # fmt: skip
    shown_by = windows.samples_by_signal(project.engine, one.id, points[:limit])
    items = [_number(point, shown_by.get((point.check, point.key, point.slice), 0)) for point in points[:limit]]
    return Page(items=items, next=paging.beyond(begin + limit, begin + len(points)))


@router.get(
    "/monitors/{name}/windows/{start}/generations", dependencies=[Reads], summary="The generations behind a window"
)
def list_generations(
    project: InProject, name: Name, start: Start, *, cadence: Cadence = "", check: CheckQuery = None,
    key: Annotated[str, Query(max_length=200, description="One number of the check.")] = "",
    slice_: SliceQuery = None,
    row: Annotated[str | None, Query(max_length=500, description="One row by its id.")] = None,
    cursor: Cursor = None, limit: Few = 20,
) -> GenerationPage:  # fmt: skip
    """What was said, as it is stored; with `check` and `key` those rows first that show the number best.

    Rows that were erased, or whose retention has ended, are counted as `gone`.
    """
    store, found = monitor_data.known(project, name)
    _, revisions = windows.revisions_of(store, found, start, cadence)
    window = revisions[0]
    samples = generations.samples_of(project.engine, window.id, check, key, slice_ or "") if check else []
    begin = paging.place(cursor)
    asked = generations.Asked(samples, slice_ or "", begin, limit, row or "")
    shown = generations.behind(store, found, store.definition(found), (window.start, window.end), asked)
    return GenerationPage(
        items=[_generation(one) for one in shown.rows],
        next=None if row else paging.beyond(begin + limit, shown.total), total=shown.total, pointed=shown.pointed,
        gone=shown.gone, note=shown.note,
    )  # fmt: skip


def _revision(one: Revision) -> RevisionOut:
    return RevisionOut.model_validate({**asdict(one), "revision": one.number})


def _number(point: monitor_data.Point, shown_by: int) -> NumberOut:
    return NumberOut.model_validate({**asdict(point), "shown_by": shown_by})


def _generation(one: generations.Row) -> GenerationOut:
    told: dict[str, Any] = dict(one.told)
    slices = {name.removeprefix(SLICE): str(value) for name, value in told.items() if name.startswith(SLICE) and value}
    texts = {name: None if told[name] is None else told[name][:_LONGEST] for name in ("prompt", "output", "error")}
    return GenerationOut.model_validate(
        {
            **told, **texts, "event_time": int(told["event_time"]), "shows": one.shows, "slices": slices,
            "context": [str(passage)[:_LONGEST] for passage in (told["context"] or ())[:_PASSAGES]],
        }
    )  # fmt: skip
