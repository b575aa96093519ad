"""One monitor: how it stands, its checks over time, and what one may do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import Depends, Form, Path, Query, Request, Response

from evalkit.errors import ConflictError
from evalkit.monitoring import scheduling
from evalkit.monitoring.cadence import Cadence, parse_moment, utc_text
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.records import MonitorRecord
from evalkit.monitoring.store import PAUSED
from evalkit.pages import forms, monitor_sections
from evalkit.pages.monitor_sections import Addresses, Broken, Forest, Heat, Numbers, Periods, Plot, Table, Worst
from evalkit.pages.rendering import new_router, page
from evalkit.project import Project
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views import monitor_data
from evalkit.views.monitor_data import Point, Range, Window
from evalkit.views.standing import standing
from registry.actors import EVALUATOR, intent
from registry.workers import workers

if TYPE_CHECKING:
    from evalkit.pages.charts import Chart

router = new_router()
Name = Annotated[str, Path(max_length=100)]
Moment = Annotated[str, Query(max_length=40)]
WINDOWS = "windows"
_CHARTS = 6
_NOW = 50
"""Numbers of the newest window on the overview; the window's own page has all."""
Acts = Depends(needs(EVALUATOR))
Back = Annotated[str, Form(max_length=300)]


@dataclass(frozen=True, slots=True)
class Looked:
    """A check of the monitor: its name, kind, windows, and main number."""

    address: str
    kind: str
    cadence: str
    alert: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for: a check, one number of it, a slice, a range."""

    check: str = ""
    slice: str = ""
    key: str = ""
    since: str = ""
    until: str = ""
    start: int = 0

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The range in UTC milliseconds."""
        return (
            parse_moment(self.since) if self.since else None,
            parse_moment(self.until) if self.until else None,
        )


@dataclass(frozen=True, slots=True)
class View:
    """A part of the page on one check."""

    check: Looked
    shown: Range
    numbers: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    table: Table | None = None
    forests: Sequence[Forest] = ()
    at: Window | None = None
    heat: Heat | None = None
    level: str = ""

    @property
    def earlier(self) -> str:
        """Query of as many windows before these; empty where there are none."""
        windows = self.shown.windows
        if not windows or self.shown.total <= len(windows):
            return ""
        first = windows[0].start
        return urlencode({"since": utc_text(2 * first - windows[-1].end), "until": utc_text(first)})


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows themselves, and what they cost."""

    shown: Range
    rows: Chart | None = None
    spent: Chart | None = None
    checked: int = 0
    met: int = 0
    broken: Sequence[Broken] = ()
    requests: int = 0
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that the page shows below its head."""

    views: Sequence[View] = ()
    now: Sequence[Point] = ()
    worst: Sequence[Worst] = ()
    windows: Windows | None = None


@router.get("/monitors/{name}", dependencies=[Depends(needs())])
def monitor(
    request: Request, project: InProject, name: Name, *, check: Annotated[str, Query(max_length=60)] = "",
    slice_: Annotated[str, Query(alias="slice", max_length=500)] = "",
    key: Annotated[str, Query(max_length=200)] = "", since: Moment = "", until: Moment = "",
    start: Annotated[int, Query(ge=0, le=10_000)] = 0, queued: Annotated[int | None, Query(ge=0, le=10_000)] = None,
) -> Response:  # fmt: skip
    """One monitor: an overview, or one of its checks."""
    store, found = monitor_data.known(project, name)
    definition = monitor_data.definition_of(store, found)
    ask = Ask(check, slice_, key, since, until, start)
    looker = _Looker(project, found, definition, ask)
    chosen = check if check in {WINDOWS, *(one.address for one in looker.checks)} else ""
    gathered = looker.gather(chosen)
    return page(
        request, "monitor.html", standing=standing(project, store, found, definition), checks=looker.checks, ask=ask,
        chosen=chosen, gathered=gathered, slices=looker.slices(), where=looker.where,
        size=monitor_sections.FEATURES, may_act=intent().actor.may(EVALUATOR), queued=queued,
    )  # fmt: skip


@router.post("/monitors/{name}/pause", dependencies=[Acts, Depends(forms.checked)])
def pause(project: InProject, name: Name, back: Back = "") -> Response:
    """Stop running a monitor by itself."""
    store, found = monitor_data.known(project, name)
    scheduling.pause(project.settings, store, found.name)
    return forms.back_to(back or Addresses(name).monitor)


@router.post("/monitors/{name}/resume", dependencies=[Acts, Depends(forms.checked)])
def resume(project: InProject, name: Name, back: Back = "") -> Response:
    """Run a monitor by itself again."""
    store, found = monitor_data.known(project, name)
    scheduling.resume(project.settings, store, found.name)
    return forms.back_to(back or Addresses(name).monitor)


@router.post("/monitors/{name}/run", dependencies=[Acts, Depends(forms.checked)])
def run(project: InProject, name: Name, back: Back = "") -> Response:
    """Queue a run for whichever worker is free."""
    store, found = monitor_data.known(project, name)
    if found.status == PAUSED:
        raise ConflictError(f"the monitor '{found.name}' is paused; resume it first")
    scheduling.trigger(project.settings, store, found.name)
    alive = sum(one.alive for one in workers(project.engine))
    return forms.back_to(back or Addresses(name).monitor + f"?queued={alive}")


class _Looker:
    """Gathers what one request asks for."""

    def __init__(self, project: Project, found: MonitorRecord, definition: Definition | None, ask: Ask) -> None:
        self._project, self._monitor, self._ask = project, found, ask
        self._engine, self._home = project.engine, project.settings.home
        self._ranges: dict[str | None, Range] = {}
        self._every = definition.spec.cadence.text if definition is not None else None
        self.checks = _checks(definition) if definition is not None else self._found()
        odd = {one.address: one.cadence for one in self.checks if self._every and one.cadence != self._every}
        self.where = Addresses(found.name, odd)

    def _found(self) -> list[Looked]:
        """The checks that the newest window has, where the monitor's file cannot be read any more."""
        newest = self._range(None).newest
        rows = monitor_data.of_window(self._engine, newest.id) if newest is not None else []
        return [Looked(name, name, "", alert=False) for name in dict.fromkeys(one.check for one in rows)]

    def _range(self, cadence: str | None) -> Range:
        if cadence not in self._ranges:
            since, until = self._ask.bounds
            self._ranges[cadence] = monitor_data.in_range(
                self._engine, self._monitor.id, cadence or None, since=since, until=until
            )
        return self._ranges[cadence]

    def slices(self) -> list[str]:
        """The slices that may be chosen."""
        chosen = next((one for one in self.checks if one.address == self._ask.check), None)
        if chosen is None:
            return []
        newest = self._range(chosen.cadence).ids[-3:]
        return monitor_data.slices_of(self._engine, newest, chosen.address)

    def gather(self, chosen: str) -> Gathered:
        """What a part of the page shows; the overview without one."""
        if chosen == WINDOWS:
            return Gathered(windows=self.windows(whole=True))
        return self.check(chosen) if chosen else self.overview()

    def overview(self) -> Gathered:
        """What matters first: the rate of hallucinations, gaps, drift, the worst slices, all newest numbers."""
        views = []
        head = next((one for one in self.checks if one.kind == "hallucination"), None)
        head = head or next((one for one in self.checks if one.kind not in {"drift", "groups"}), None)
        if head is not None:
            views.append(self._numbers(head, most=2))
        groups = next((one for one in self.checks if one.kind == "groups"), None)
        if groups is not None:
            views.append(self._forest(groups))
        drift = next((one for one in self.checks if one.kind == "drift"), None)
        if drift is not None:
            views.append(self._heat(drift, "", against=".baseline"))
        now: list[Point] = []
        for cadence in dict.fromkeys(one.cadence for one in self.checks):
            newest = self._range(cadence).newest
            if newest is not None:
                now += monitor_data.of_window(self._engine, newest.id)
        return Gathered(
            [one for one in views if one.shown.windows], [one for one in now if not one.slice][:_NOW],
            monitor_sections.worst(now),
            self.windows(whole=False),
        )  # fmt: skip

    def check(self, address: str) -> Gathered:
        """One check, in the slice that is asked for."""
        chosen = next(one for one in self.checks if one.address == address)
        shown = self._range(chosen.cadence)
        numbers = self._numbers(chosen, most=_CHARTS)
        views = [numbers]
        if chosen.kind == "groups":
            views = [self._forest(chosen), numbers]
        elif chosen.kind == "drift":
            views = [numbers] if self._ask.key else [self._heat(chosen, self._ask.slice)]
        newest = shown.newest
        found = monitor_data.of_window(self._engine, newest.id, check=address) if newest is not None else []
        return Gathered(views, worst=monitor_sections.worst(found) if chosen.kind != "groups" else ())

    def _numbers(self, check: Looked, *, most: int) -> View:
        shown, slice_ = self._range(check.cadence), self._ask.slice if self._ask.check else ""
        known = _first(monitor_data.keys_of(self._engine, shown.ids[-3:], check.address), check.kind)
        if check.kind == "groups" and not slice_:
            known = [key for key in known if "." in key]  # the groups themselves are slices
        keys = [key for key in known if key == self._ask.key] if self._ask.check and self._ask.key else known
        keys = keys[:most]
        level = monitor_data.long_range(shown, check.cadence, self._ask.bounds[0])
        if level:
            return self._level(View(check, shown, known, level=level), slice_, keys)
        points = monitor_data.points(self._engine, shown.ids, check.address, slice_=slice_, keys=keys)
        until = shown.newest.end if shown.newest is not None else 0
        heard = monitor_data.said(
            self._engine, self._monitor.id, check.address, slice_=slice_, since=shown.since, until=until
        )
        events = [
            *(
                one
                for one in monitor_data.alerts_in(self._engine, self._monitor.id, check.address, shown.since, until)
                if one.slice == slice_
            ),
            *monitor_data.deployments(self._engine, self._monitor.model, shown.since, until),
        ]
        width = monitor_sections.HALF if most == 2 and len(keys) > 1 else None
        given = Numbers(check.address, slice_, keys, points, heard, events)
        drawn = monitor_sections.plots(self._home, self.where, given, width=width)
        return View(
            check, shown, known, drawn, monitor_sections.table(self.where, given, shown.windows) if points else None
        )

    def _level(self, view: View, slice_: str, keys: Sequence[str]) -> View:
        """A range with more windows than a page takes: its days, weeks or months."""
        since, newest, check = self._ask.bounds[0], view.shown.newest, view.check
        assert since is not None
        assert newest is not None
        period = Cadence.parse(view.level)
        span = period.window(since)[0], newest.end
        points = monitor_data.level_points(
            self._engine,
            (self._monitor.id, check.cadence, view.level),
            check.address,
            slice_=slice_,
            keys=keys,
            span=span,
        )
        where = Periods(self._monitor.name, period, check=check.address, key=self._ask.key, slice_=self._ask.slice)
        events = monitor_data.deployments(self._engine, self._monitor.model, since, newest.end)
        given = Numbers(check.address, slice_, keys, points, (), events, unit=view.level)
        table = monitor_sections.table(where, given, ()) if points else None
        return replace(view, plots=monitor_sections.plots(self._home, where, given), table=table)

    def _forest(self, check: Looked) -> View:
        shown = self._range(check.cadence)
        newest = next((one for one in reversed(shown.windows) if one.status == "ok"), None)
        found = monitor_data.of_window(self._engine, newest.id, check=check.address) if newest is not None else []
        return View(check, shown, forests=monitor_sections.forests(self._home, self.where, found), at=newest)

    def _heat(self, check: Looked, slice_: str, against: str = "") -> View:
        shown = self._range(check.cadence)
        points = monitor_data.points(self._engine, shown.ids, check.address, slice_=slice_)
        points = [one for one in points if one.key.endswith(against)] or points
        heard = monitor_data.said(
            self._engine, self._monitor.id, check.address, slice_=slice_, since=shown.since,
            until=shown.newest.start if shown.newest is not None else 0,
        )  # fmt: skip
        drawn = monitor_sections.heat(self.where, shown, points, heard, start=self._ask.start if self._ask.check else 0)
        return View(check, shown, heat=drawn if points else None)

    def windows(self, *, whole: bool) -> Windows:
        """The windows of the range, what they cost, and how they met the data contract."""
        shown = self._range(self._every)
        checked = [one for one in shown.windows if one.contract is not None]
        requests = sum(one.requests for one in shown.windows)
        costs = [one.cost for one in shown.windows if one.cost is not None]
        draw = partial(monitor_sections.by_window, self._home, self.where, shown.windows)
        rows = draw("rows", [float(one.rows) for one in shown.windows]) if whole and shown.windows else None
        spent = None
        if costs:
            spent = draw("judges' cost (USD)", [one.cost for one in shown.windows])
        elif requests:
            spent = draw("judges' requests", [float(one.requests) for one in shown.windows])
        return Windows(
            shown, rows, spent, len(checked), sum(not one.breaches for one in checked),
            monitor_sections.broken(shown.windows), requests, sum(costs) if costs else None,
        )  # fmt: skip


def _checks(definition: Definition) -> list[Looked]:
    return [
        Looked(one.address, one.kind, one.cadence.text, alert=one.spec.alert is not None) for one in definition.checks
    ]


def _first(keys: Sequence[str], kind: str) -> list[str]:
    """The numbers of a check, the main ones first."""
    order = {"hallucination": ("hallucination", "claim_rate")}.get(kind, ())
    return sorted(keys, key=lambda key: order.index(key) if key in order else len(order))
