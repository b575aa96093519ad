"""What people are told of alerts, written down with the alerts themselves; workers deliver it.

A message holds names, numbers, times and ids: never a prompt, an output or a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from evalkit.monitoring.cadence import utc_text
from evalkit.monitoring.definition import Definition
from registry import webhooks
from registry.alerts import ask_for_tags, model_name
from registry.digests import now_ms
from registry.mlflow_link import parse_reference
from registry.outbox import ALERT, DEMOTION, put
from registry.tables_monitoring import AlertRow, MonitorRow

Event = Literal["opened", "closed"]

_SAMPLES = 10
_LONGEST = 200


def announce(
    session: Session, monitor: MonitorRow, definition: Definition, changed: Sequence[AlertRow], paging: set[str]
) -> int:
    """Write down what shall be told of alerts, in their transaction; returns how many were announced as open.

    Args:
        session: the transaction.
        monitor: whose alerts.
        definition: what it says now.
        changed: alerts that opened or ended in this run; one that did both is told to nobody.
        paging: cadences whose first windows, which teach, are over.
    """
    now = now_ms()
    session.flush()
    for row in changed:
        if row.closed_at is not None and row.announced_at is not None and (row.silenced_until or 0) <= now:
            _tell(session, monitor, definition, row, "closed")
    waiting = session.scalars(
        select(AlertRow).where(
            AlertRow.monitor_id == monitor.id, AlertRow.closed_at.is_(None), AlertRow.announced_at.is_(None),
            AlertRow.cadence.in_(paging),
        )
    ).all()  # fmt: skip
    again = [row for row in changed if row.closed_at is None and row.announced_at is not None]
    told = [row for row in (*waiting, *again) if (row.silenced_until or 0) <= now]
    for row in told:
        row.announced_at = now
        _tell(session, monitor, definition, row, "opened")
        _demote(session, monitor, definition, row)
    if told or any(row.announced_at is not None for row in changed):
        ask_for_tags(session, monitor)
    return len(told)


def facts(row: AlertRow, monitor: MonitorRow, event: Event) -> dict[str, Any]:
    """What a message says, JSON-ready; texts that come from data are cut."""
    return {
        "alert": row.id,
        "event": event,
        "monitor": monitor.name,
        "model": monitor.model,
        "check": row.check,
        "key": row.key,
        "slice": cut(row.slice),
        "rule": row.rule,
        "window": {"start": utc_text(row.opened_at), "end": utc_text(row.opened_until)},
        "closed": None if row.closed_at is None else utc_text(row.closed_at),
        "value": row.value,
        "statistic": row.statistic,
        "threshold": row.threshold,
        "reason": cut(row.reason),
        "samples": [cut(str(sample)) for sample in row.samples[:_SAMPLES]],
    }


def _tell(session: Session, monitor: MonitorRow, definition: Definition, row: AlertRow, event: Event) -> None:
    message = {"type": f"evalkit.alert.{event}", "timestamp": now_ms(), "data": facts(row, monitor, event)}
    for destination in definition.spec.notify:
        where: Mapping[str, Any] = destination.model_dump(mode="json", exclude_none=True)
        body = {"alert": row.id, "destination": where, "message": message}
        put(session, ALERT, body, workspace=monitor.workspace)
    name = model_name(monitor.model) or ""
    told = {**facts(row, monitor, event), "model": name, "reference": monitor.model}
    webhooks.announce(
        session, f"alert.{event}", name, told, actor=f"monitor:{monitor.name}", workspace=monitor.workspace
    )


def _demote(session: Session, monitor: MonitorRow, definition: Definition, row: AlertRow) -> None:
    """Have the alias taken away where the check's alert says so; a worker does it, and looks again before."""
    check = next((check for check in definition.checks if check.address == row.check), None)
    if check is None or check.spec.alert is None or not check.spec.alert.demote or monitor.model is None:
        return
    name, _, alias = parse_reference(monitor.model)
    body = {"alert": row.id, "name": name, "alias": alias, "until": row.opened_until}
    put(session, DEMOTION, body, workspace=monitor.workspace)


def cut(text: str) -> str:
    """A text that comes from data, in one line of a bounded length."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
