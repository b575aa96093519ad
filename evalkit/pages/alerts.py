"""Alerts: the list, and one alert with what its rule compared, the rows that caused it, and what people make of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Form, Path, Query, Request, Response
from sqlalchemy import func, select

from evalkit.errors import NotFoundError
from evalkit.monitoring.cadence import parse_span
from evalkit.pages import forms
from evalkit.pages.charts import Chart, Link, keep
from evalkit.pages.generations import Generation, generation
from evalkit.pages.monitor_sections import Addresses
from evalkit.pages.rendering import new_router, page
from evalkit.project import Project
from evalkit.reports.numbers import number
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views import monitor_data
from evalkit.views.generations import rows_by_id
from evalkit.views.monitor_data import short
from metrics.errors import InputError
from registry.actors import APPROVER, EVALUATOR, LABELER, intent
from registry.alerts import Alert, Alerts, Reading
from registry.database import reading
from registry.digests import now_ms
from registry.tables import DEFAULT_WORKSPACE, AuditRow
from registry.tables_monitoring import AlertRow, MonitorRow

router = new_router()
SHOWN = 50
STATES = {"lasting": "that last", "open": "open", "acknowledged": "acknowledged", "silenced": "silenced",
          "ended": "that ended", "all": "all"}  # fmt: skip
SPANS = {"2h": "2 hours", "1d": "a day", "3d": "3 days", "1w": "a week", "4w": "4 weeks"}
_SAMPLES = 5
_WINDOWS, _STEPS = 90, 100
Handles = Depends(needs(EVALUATOR, APPROVER))
Key = Annotated[str, Path(max_length=60)]
Reason = Annotated[str, Form(max_length=2000)]


@dataclass(frozen=True, slots=True)
class Line:
    """An alert in the list; times are UTC milliseconds."""

    id: str
    monitor: str
    check: str
    key: str
    slice: str
    rule: str
    opened_at: int
    closed_at: int | None
    acknowledged_at: int | None
    silenced_until: int | None
    value: float | None
    reason: str

    @property
    def state(self) -> str:
        """``open``, ``acknowledged``, ``silenced`` or ``ended``."""
        if self.closed_at is not None:
            return "ended"
        if (self.silenced_until or 0) > now_ms():
            return "silenced"
        return "open" if self.acknowledged_at is None else "acknowledged"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to an alert; `real` where it is a time of people, not of what was said."""

    at: int
    text: str
    real: bool


@router.get("/alerts", dependencies=[Depends(needs())])
def list_alerts(
    request: Request, project: InProject, *, monitor: Annotated[str, Query(max_length=100)] = "",
    state: Annotated[str, Query(max_length=20)] = "lasting", start: Annotated[int, Query(ge=0, le=10**7)] = 0,
) -> Response:  # fmt: skip
    """Alerts, the newest first."""
    chosen = state if state in STATES else "lasting"
    now = now_ms()
    lasts, silent = AlertRow.closed_at.is_(None), func.coalesce(AlertRow.silenced_until, 0) > now
    conditions = {
        "lasting": (lasts,), "ended": (AlertRow.closed_at.is_not(None),), "all": (), "silenced": (lasts, silent),
        "open": (lasts, ~silent, AlertRow.acknowledged_at.is_(None)),
        "acknowledged": (lasts, ~silent, AlertRow.acknowledged_at.is_not(None)),
    }[chosen]  # fmt: skip
    wanted: Any = (
        select(
            AlertRow.id, MonitorRow.name, AlertRow.check, AlertRow.key, AlertRow.slice, AlertRow.rule,
            AlertRow.opened_at, AlertRow.closed_at, AlertRow.acknowledged_at, AlertRow.silenced_until, AlertRow.value,
            AlertRow.reason,
        )
        .join(MonitorRow, MonitorRow.id == AlertRow.monitor_id)
        .where(AlertRow.workspace == DEFAULT_WORKSPACE, *conditions)
    )  # fmt: skip
    if monitor:
        wanted = wanted.where(MonitorRow.name == monitor)
    newest = wanted.order_by(AlertRow.opened_at.desc(), AlertRow.id.desc()).offset(start).limit(SHOWN)
    with reading(project.engine) as session:
        total = session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        lines = [Line(*row) for row in session.execute(newest)]
        names = list(session.scalars(select(MonitorRow.name).where(MonitorRow.workspace == DEFAULT_WORKSPACE)))
    return page(
        request, "alerts.html", alerts=lines, total=total, start=start, size=SHOWN, monitor=monitor, state=chosen,
        states=STATES, monitors=sorted(names),
    )  # fmt: skip


@router.get("/alerts/{key}", dependencies=[Depends(needs())])
def alert(request: Request, project: InProject, key: Key) -> Response:
    """One alert."""
    found = _known(project, key)
    readings = Alerts(project.engine).readings(found, limit=_WINDOWS)
    where = Addresses(found.monitor)
    actor = intent().actor
    reads = any(actor.may(role) for role in (LABELER, EVALUATOR, APPROVER))
    return page(
        request, "alert.html", alert=found, where=where, chart=_chart(project, found, where, readings),
        steps=_steps(project, found), samples=_samples(project, found) if reads else (), reads=reads,
        handles=actor.may(EVALUATOR) or actor.may(APPROVER), spans=SPANS, now=now_ms(),
    )  # fmt: skip


@router.post("/alerts/{key}/acknowledge", dependencies=[Handles, Depends(forms.checked)])
def acknowledge(project: InProject, key: Key, reason: Reason = "") -> Response:
    """Say that somebody looks into it."""
    found = _known(project, key)
    Alerts(project.engine).acknowledge(found.id, reason)
    return forms.back_to(f"/evalkit/alerts/{found.id}")


@router.post("/alerts/{key}/silence", dependencies=[Handles, Depends(forms.checked)])
def silence(
    project: InProject, key: Key, reason: Reason = "", span: Annotated[str, Form(max_length=20)] = "1d"
) -> Response:
    """Tell nobody of its rule for a while."""
    found = _known(project, key)
    try:
        length = parse_span(span)
    except ValueError as error:
        raise InputError(str(error)) from None
    Alerts(project.engine).silence(found.id, reason, now_ms() + length)
    return forms.back_to(f"/evalkit/alerts/{found.id}")


@router.post("/alerts/{key}/unsilence", dependencies=[Handles, Depends(forms.checked)])
def unsilence(project: InProject, key: Key, reason: Reason = "") -> Response:
    """End a silence."""
    found = _known(project, key)
    Alerts(project.engine).unsilence(found.id, reason)
    return forms.back_to(f"/evalkit/alerts/{found.id}")


def _known(project: Project, key: str) -> Alert:
    try:
        return Alerts(project.engine).get(key)
    except InputError as error:
        raise NotFoundError(str(error).partition(";")[0]) from None


def _chart(project: Project, found: Alert, where: Addresses, readings: Sequence[Reading]) -> Chart | None:
    """What the rule compared above the number it is about; None for rules on windows themselves."""
    shown = [one for one in readings if one.value is not None or one.statistic is not None]
    if not shown:
        return None
    points = [
        {
            "at": one.start, "value": one.value, "low": one.low, "high": one.high, "statistic": one.statistic,
            "threshold": one.threshold, "warning": one.warning, "state": "alert" if one.alerting else one.status,
            "href": where.window(one.start, check=found.check, slice=found.slice, cadence=found.cadence),
        }
        for one in shown
    ]  # fmt: skip
    levels = [{"at": one.start, "value": one.level, "rule": found.rule} for one in shown if one.level is not None]
    rows = [
        [
            Link(short(one.start), where.window(one.start, check=found.check, slice=found.slice)),
            "alert" if one.alerting else one.status, number(one.statistic), number(one.threshold), number(one.value),
            number(one.low), number(one.high), number(one.level), f"{one.n:,}",
        ]
        for one in reversed(readings)
    ]  # fmt: skip
    return keep(
        project.settings.home, "alert", {"points": points, "levels": levels, "title": found.key},
        title=f"{found.signal}: what the rule '{found.rule}' compares, above the value", rows=rows,
        header=("window", "status", "statistic", "threshold", "value", "low", "high", "level", "rows"), height=360,
    )  # fmt: skip


def _steps(project: Project, found: Alert) -> list[Step]:
    """What happened, by the clock that each is told in: windows in event time, people in theirs."""
    steps = [Step(found.opened_at, "the window that opened it began", real=False)]
    if found.closed_at is not None:
        steps.append(Step(found.closed_at, "the window that ended it began", real=False))
    if found.announced_at is not None:
        steps.append(Step(found.announced_at, "people were told", real=True))
    wanted = (
        select(AuditRow.at, AuditRow.kind, AuditRow.actor, AuditRow.entry)
        .where(
            AuditRow.workspace == DEFAULT_WORKSPACE, AuditRow.name == found.monitor, AuditRow.kind.like("alert.%"),
            AuditRow.entry.contains(found.id, autoescape=True),
        )
        .order_by(AuditRow.seq.desc())
        .limit(_STEPS)
    )  # fmt: skip
    with reading(project.engine) as session:
        for at, kind, actor, entry in session.execute(wanted):
            if json.loads(entry).get("facts", {}).get("alert") == found.id:
                steps.append(Step(at, f"{kind.removeprefix('alert.')} by {actor}", real=True))
    return sorted(steps, key=lambda step: (step.real, step.at))


def _samples(project: Project, found: Alert) -> Sequence[Generation]:
    """The rows that show it best, as far as they are kept."""
    store, monitor = monitor_data.known(project, found.monitor)
    definition = monitor_data.definition_of(store, monitor)
    if definition is None:
        return ()
    span = (found.opened_at, found.opened_until)
    rows = rows_by_id(store, monitor, definition, span, list(found.samples)[:_SAMPLES])
    return [generation(one) for one in rows]
