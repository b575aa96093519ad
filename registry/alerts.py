"""Alerts as people handle them: listed, looked into, acknowledged, silenced.

An alert is one episode of one rule: it opens with a window, closes with another, and is told once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, or_, select, tuple_
from sqlalchemy.orm import Session

from metrics.errors import InputError, did_you_mean
from registry import audit
from registry.actors import intent
from registry.database import reading, writing
from registry.digests import now_ms
from registry.mlflow_link import parse_reference
from registry.outbox import ALERT_TAGS, put
from registry.tables import DEFAULT_WORKSPACE, AuditRow
from registry.tables_monitoring import AlertRow, MonitorRow, ReadingRow

OPEN, ACKNOWLEDGED, SILENCED, CLOSED = "open", "acknowledged", "silenced", "closed"
STATES = (OPEN, ACKNOWLEDGED, SILENCED, CLOSED)
_LONGEST_REASON = 1000


def model_name(reference: str | None) -> str | None:
    """Name of the registered model that a monitor watches; None where it watches none."""
    if reference is None:
        return None
    try:
        return parse_reference(reference)[0]
    except InputError:
        return None


def ask_for_tags(session: Session, monitor: MonitorRow) -> None:
    """Have a worker bring the tags of the model's versions in line with a monitor's alerts after this transaction."""
    name = model_name(monitor.model)
    if name is not None:
        put(session, ALERT_TAGS, {"monitor": monitor.name, "model": name}, workspace=monitor.workspace)


@dataclass(frozen=True, slots=True)
class Alert:
    """One episode of one rule; times are UTC milliseconds.

    Attributes:
        rule: ``max``, ``min``, ``baseline``, ``contract`` or ``no data``.
        state: ``open``, ``acknowledged``, ``silenced`` or ``closed``.
        opened_at, opened_until: the window that opened it, in event time.
        closed_at: start of the window that ended it; None while it lasts.
        statistic, threshold, value: of the window that opened it.
        samples: ids of rows that show it best.
        announced_at: when people were told; None while nobody was, as within the first windows, which teach.
        action: what an alert that demotes did.
    """

    id: str
    monitor: str
    monitor_id: str
    model: str | None
    cadence: str
    check: str
    key: str
    slice: str
    rule: str
    state: str
    opened_at: int
    opened_until: int
    closed_at: int | None
    statistic: float | None
    threshold: float | None
    value: float | None
    reason: str
    samples: Sequence[str]
    announced_at: int | None
    acknowledged_at: int | None
    acknowledged_by: str | None
    silenced_until: int | None
    comment: str
    action: str

    @property
    def signal(self) -> str:
        """Check, number and slice in one text."""
        return f"{self.check}/{self.key}" + (f" [{self.slice}]" if self.slice else "")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rule said after one window: what is plotted is what was compared.

    Attributes:
        status: ``learning``, ``ok``, ``warn``, ``alert`` or ``no data``.
        alerting: whether an alert is open.
        statistic: what is compared with `threshold`, and with `warning`.
        level: the baseline or the limit.
        value, low, high, n: the window's estimate.
    """

    window_id: str
    start: int
    status: str
    alerting: bool
    statistic: float | None
    threshold: float | None
    warning: float | None
    level: float | None
    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str


class Alerts:
    """The alerts of one workspace.

    Args:
        engine: the database of our tables.
        workspace: alerts of others are invisible.
    """

    def __init__(self, engine: Engine, workspace: str = DEFAULT_WORKSPACE) -> None:
        self._engine, self._workspace = engine, workspace

    def find(
        self, monitor: str | None = None, *, model: str | None = None, state: str | None = None, closed: bool = False,
        after: tuple[int, str] | None = None, limit: int = 100,
    ) -> list[Alert]:  # fmt: skip
        """Alerts that last, newest first; with `closed` also those that ended.

        Args:
            monitor: of one monitor.
            model: of monitors of one registered model.
            state: in one state; ``closed`` asks for those that ended alone.
            closed: those that ended, too.
            after: `opened_at` and id of the last one of the page before.
            limit: how many at most.
        """
        if state is not None and state not in STATES:
            raise InputError(f"no state '{state[:40]}'{did_you_mean(state, STATES)}; known are {', '.join(STATES)}")
        query = select(AlertRow, MonitorRow).join(MonitorRow, MonitorRow.id == AlertRow.monitor_id)
        query = query.where(AlertRow.workspace == self._workspace)
        if monitor is not None:
            query = query.where(MonitorRow.name == monitor)
        if model is not None:
            query = query.where(_watches(model))
        if state is not None:
            query = query.where(*_in_state(state))
        elif not closed:
            query = query.where(AlertRow.closed_at.is_(None))
        if after is not None:
            query = query.where(tuple_(AlertRow.opened_at, AlertRow.id) < tuple_(*after))
        query = query.order_by(AlertRow.opened_at.desc(), AlertRow.id.desc()).limit(limit)
        with reading(self._engine) as session:
            return [_alert(row, owner) for row, owner in session.execute(query)]

    def get(self, alert_id: str) -> Alert:
        """One alert; an unknown one raises `InputError`."""
        with reading(self._engine) as session:
            return _alert(*self._row(session, alert_id))

    def seek(self, alert_id: str) -> Alert | None:
        """One alert; None where it is unknown."""
        with reading(self._engine) as session:
            row = session.get(AlertRow, alert_id)
            if row is None or row.workspace != self._workspace:
                return None
            return _alert(row, session.get_one(MonitorRow, row.monitor_id))

    def readings(self, alert: Alert, *, limit: int = 90) -> list[Reading]:
        """What the alert's rule said, oldest first: the newest `limit` windows; none for windows without rules."""
        query = (
            select(ReadingRow)
            .where(
                ReadingRow.monitor_id == alert.monitor_id, ReadingRow.check == alert.check,
                ReadingRow.key == alert.key, ReadingRow.slice == alert.slice, ReadingRow.rule == alert.rule,
            )
            .order_by(ReadingRow.start.desc())
            .limit(limit)
        )  # fmt: skip
        with reading(self._engine) as session:
            return [_reading(row) for row in reversed(session.scalars(query).all())]

    def opening(self, alert: Alert) -> Reading | None:
        """What the alert's rule said of the window that opened it; None for windows without rules."""
        query = select(ReadingRow).where(
            ReadingRow.monitor_id == alert.monitor_id, ReadingRow.check == alert.check, ReadingRow.key == alert.key,
            ReadingRow.slice == alert.slice, ReadingRow.rule == alert.rule, ReadingRow.start == alert.opened_at,
        )  # fmt: skip
        with reading(self._engine) as session:
            row = session.scalar(query)
            return None if row is None else _reading(row)

    def acknowledge(self, alert_id: str, reason: str) -> Alert:
        """Say, as the present actor, that somebody looks into it. It stays open, and its end is still told."""
        return self._change(alert_id, "alert.acknowledged", reason)

    def silence(self, alert_id: str, reason: str, until: int) -> Alert:
        """Tell nobody of this rule until a moment, new episodes of it included; an alert that demotes does not."""
        if until <= now_ms():
            raise InputError("a silence ends in the future; give a span such as 2d")
        return self._change(alert_id, "alert.silenced", reason, until)

    def unsilence(self, alert_id: str, reason: str) -> Alert:
        """End a silence now; what was not told within it is told with the next window."""
        return self._change(alert_id, "alert.unsilenced", reason)

    def history(self, alert: Alert) -> list[dict[str, Any]]:
        """What people and workers did about an alert, oldest first: entries of the audit, with their hashes."""
        query = select(AuditRow.entry, AuditRow.hash).where(
            AuditRow.workspace == self._workspace, AuditRow.kind.startswith("alert."),
            AuditRow.entry.contains(alert.id, autoescape=True),
        )  # fmt: skip
        with reading(self._engine) as session:
            rows = session.execute(query.order_by(AuditRow.seq)).all()
        found: list[dict[str, Any]] = [{**json.loads(entry), "hash": sealed} for entry, sealed in rows]
        return [entry for entry in found if entry["facts"].get("alert") == alert.id]

    def note(self, alert_id: str, action: str) -> None:
        """Write down what an alert that demotes did."""
        with writing(self._engine) as session:
            self._row(session, alert_id)[0].action = action

    def _change(self, alert_id: str, kind: str, reason: str, until: int | None = None) -> Alert:
        if not reason.strip() or len(reason) > _LONGEST_REASON:
            raise InputError(f"give a reason in 1 to {_LONGEST_REASON} characters; it is kept with the alert")
        actor = intent().actor.name
        with writing(self._engine) as session:
            audit.lock(session, self._workspace)
            row, owner = self._row(session, alert_id)
            if kind == "alert.acknowledged":
                if row.closed_at is not None:
                    raise InputError(f"alert {alert_id} has ended already; there is nothing to acknowledge")
                row.acknowledged_at, row.acknowledged_by = now_ms(), actor
            else:
                if kind == "alert.unsilenced" and (row.silenced_until or 0) <= now_ms():
                    raise InputError(f"alert {alert_id} is not silenced")
                row.silenced_until = until
            row.comment = f"{actor}: {reason.strip()}"
            ask_for_tags(session, owner)
            # The reason may name a person: the chain keeps what was done, the alert says why
            facts = {"alert": row.id, "monitor": owner.name, "check": row.check, "rule": row.rule, "until": until}
            audit.append(session, kind, actor=actor, name=owner.name, facts=facts, workspace=self._workspace)
            return _alert(row, owner)

    def _row(self, session: Session, alert_id: str) -> tuple[AlertRow, MonitorRow]:
        row = session.get(AlertRow, alert_id)
        if row is None or row.workspace != self._workspace:
            raise InputError(f"there is no alert '{alert_id[:60]}'; `evalkit alerts list --all` shows those there are")
        return row, session.get_one(MonitorRow, row.monitor_id)


def _watches(model: str) -> ColumnElement[bool]:
    """Whether a monitor's reference names a model, whichever version of it."""
    # Not LIKE, which on SQLite takes capital and small letters for the same
    starts = [f"{prefix}{model}{mark}" for prefix in ("", "models:/") for mark in "@/"]
    return or_(*(func.substr(MonitorRow.model, 1, len(start)) == start for start in starts))


def _in_state(state: str) -> list[ColumnElement[bool]]:
    if state == CLOSED:
        return [AlertRow.closed_at.is_not(None)]
    silenced = func.coalesce(AlertRow.silenced_until, 0) > now_ms()
    if state == SILENCED:
        return [AlertRow.closed_at.is_(None), silenced]
    seen = AlertRow.acknowledged_at.is_not(None)
    return [AlertRow.closed_at.is_(None), ~silenced, seen if state == ACKNOWLEDGED else ~seen]


def _alert(row: AlertRow, owner: MonitorRow) -> Alert:
    silenced = (row.silenced_until or 0) > now_ms()
    lasting = SILENCED if silenced else OPEN if row.acknowledged_at is None else ACKNOWLEDGED
    return Alert(
        row.id, owner.name, owner.id, owner.model, row.cadence, row.check, row.key, row.slice, row.rule,
        lasting if row.closed_at is None else CLOSED, row.opened_at, row.opened_until, row.closed_at, row.statistic,
        row.threshold, row.value, row.reason, list(row.samples), row.announced_at, row.acknowledged_at,
        row.acknowledged_by, row.silenced_until, row.comment, row.action,
    )  # fmt: skip


def _reading(row: ReadingRow) -> Reading:
    return Reading(
        row.window_id, row.start, row.status, row.alerting, row.statistic, row.threshold, row.warning, row.level,
        row.value, row.low, row.high, row.n, row.reason,
    )  # fmt: skip
