"""``/alerts``: what monitors found, the rows that caused it, and what people make of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import Field

from evalkit.errors import NotFoundError
from evalkit.monitoring.alert_samples import samples_of
from evalkit.monitoring.store import MonitorStore
from evalkit.project import Project
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import PREFIX, new_router
from evalkit.server.api.schema import Cursor, In, Key, Limit, Out, Page
from evalkit.server.api.schema.audit import AuditEntry
from evalkit.server.identity import needs
from registry.actors import APPROVER, EVALUATOR, LABELER, Actor
from registry.alerts import Alert, Alerts, model_name

router = new_router("alerts")
Handles = Depends(needs(EVALUATOR, APPROVER))
Reads = Depends(needs(LABELER, EVALUATOR, APPROVER))
_REASON = 1000


class AlertOut(Out):
    """One episode of one rule; `closed_at` is null while it lasts, `announced_at` while nobody was told."""

    id: str
    monitor: str
    model: str | None = Field(description="As the monitor names it: `models:/name@alias`.")
    name: str | None = Field(description="Of the registered model.")
    cadence: str
    check: str
    key: str
    slice: str = Field(description="Empty for all rows.")
    rule: str = Field(description="`max`, `min`, `baseline`, `contract` or `no data`.")
    state: str = Field(description="`open`, `acknowledged`, `silenced` or `closed`.")
    opened_at: int = Field(description="Start of the window that opened it.")
    opened_until: int
    closed_at: int | None = Field(description="Start of the window that ended it.")
    statistic: float | None
    threshold: float | None
    value: float | None
    reason: str
    samples: list[str] = Field(description="Ids of rows that show it best.")
    announced_at: int | None
    acknowledged_at: int | None
    acknowledged_by: str | None
    silenced_until: int | None
    comment: str
    action: str = Field(description="What an alert that demotes did.")
    links: dict[str, str] = Field(description="`samples`: the rows; `signals`: the number over time; `windows`.")


class AlertReadingOut(Out):
    """What the rule said after one window: `statistic` is what was compared with `threshold`, and what charts draw."""

    window_id: str
    start: int
    status: str
    alerting: bool
    statistic: float | None
    threshold: float | None
    warning: float | None
    level: float | None = Field(description="The baseline or the limit.")
    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str


class AlertFullOut(AlertOut):
    """An alert with its timeline."""

    readings: list[AlertReadingOut] = Field(description="The newest windows of its rule, oldest first.")
    history: list[AuditEntry] = Field(description="What people and workers did about it, oldest first.")


class AlertSamplesOut(Out):
    """Rows that caused an alert, redacted as the monitor says; `missing` are ids that are no longer kept."""

    items: list[dict[str, Any]]
    missing: list[str]


class ReasonIn(In):
    """Why; it is kept with the alert."""

    reason: str = Field(min_length=1, max_length=_REASON)


class SilenceIn(ReasonIn):
    """Until when nobody is told of the rule."""

    until: int = Field(ge=0, le=2**53, description="UTC milliseconds, in the future.")


@router.get("/alerts", dependencies=[Anybody], summary="Alerts, newest first")
def list_alerts(
    project: InProject, *,
    monitor: Annotated[str | None, Query(max_length=100)] = None,
    model: Annotated[str | None, Query(max_length=255, description="Name of a registered model.")] = None,
    state: Annotated[Literal["open", "acknowledged", "silenced", "closed"] | None, Query()] = None,
    lasting: Annotated[bool, Query(description="Those that last alone; `false` also those that ended.")] = True,
    cursor: Cursor = None, limit: Limit = 100,
) -> Page[AlertOut]:  # fmt: skip
    """Those that last; `state=closed` asks for those that ended."""
    after = None if cursor is None else paging.decode(cursor)
    found = _alerts(project).find(monitor, model=model, state=state, closed=not lasting, after=after, limit=limit + 1)
    shown = found[:limit]
    following = paging.encode(shown[-1].opened_at, shown[-1].id) if len(found) > limit else None
    return Page(items=[AlertOut(**_told(one)) for one in shown], next=following)


@router.get("/alerts/{key}", dependencies=[Anybody], summary="One alert with its timeline")
def get_alert(
    project: InProject, key: Key,
    windows: Annotated[int, Query(ge=1, le=1000, description="How many of the newest windows.")] = 90,
) -> AlertFullOut:  # fmt: skip
    """What its rule said window by window, and what people did about it."""
    alerts = _alerts(project)
    alert = _known(alerts, key)
    readings = [AlertReadingOut.model_validate(one) for one in alerts.readings(alert, limit=windows)]
    history = [AuditEntry.model_validate(entry) for entry in alerts.history(alert)]
    return AlertFullOut(**_told(alert), readings=readings, history=history)


@router.get("/alerts/{key}/samples", dependencies=[Reads], summary="The rows that caused an alert")
def get_samples(project: InProject, key: Key) -> AlertSamplesOut:
    """With their texts, as the monitor keeps them; those beyond its retention are `missing`."""
    alert = _known(_alerts(project), key)
    found = samples_of(MonitorStore(project.engine, project.settings.home), alert)
    return AlertSamplesOut(items=list(found.rows), missing=list(found.missing))


@router.post("/alerts/{key}/acknowledge", summary="Say that somebody looks into an alert")
def acknowledge(project: InProject, key: Key, body: ReasonIn, actor: Annotated[Actor, Handles]) -> AlertOut:
    """It stays open, and its end is still told."""
    del actor  # the audit has who acts
    alerts = _alerts(project)
    return AlertOut(**_told(alerts.acknowledge(_known(alerts, key).id, body.reason)))


@router.post("/alerts/{key}/silence", summary="Tell nobody of the rule of an alert for a while")
def silence(project: InProject, key: Key, body: SilenceIn, actor: Annotated[Actor, Handles]) -> AlertOut:
    """New episodes of the rule included; an alert that demotes does not while it is silenced."""
    del actor
    alerts = _alerts(project)
    return AlertOut(**_told(alerts.silence(_known(alerts, key).id, body.reason, body.until)))


@router.post("/alerts/{key}/unsilence", summary="End a silence")
def unsilence(project: InProject, key: Key, body: ReasonIn, actor: Annotated[Actor, Handles]) -> AlertOut:
    """What was not told within it is told with the next window."""
    del actor
    alerts = _alerts(project)
    return AlertOut(**_told(alerts.unsilence(_known(alerts, key).id, body.reason)))


def _alerts(project: Project) -> Alerts:
    return Alerts(project.engine)


def _known(alerts: Alerts, key: str) -> Alert:
    if (found := alerts.seek(key)) is None:
        raise NotFoundError(f"there is no alert {key}")
    return found


def _told(alert: Alert) -> dict[str, Any]:
    from urllib.parse import quote, urlencode

    from evalkit.monitoring.cadence import utc_text

    monitor = f"{PREFIX}/monitors/{quote(alert.monitor, safe='')}"
    span = {"since": utc_text(alert.opened_at), "until": utc_text(alert.opened_until)}
    signal = urlencode({"check": alert.check, "key": alert.key, "slice": alert.slice})
    links = {
        "samples": f"{PREFIX}/alerts/{alert.id}/samples",
        "signals": f"{monitor}/signals?{signal}",
        "windows": f"{monitor}/windows?{urlencode(span)}",
    }
    told = {name: value for name, value in asdict(alert).items() if name != "monitor_id"}
    return {**told, "name": model_name(alert.model), "links": links}
