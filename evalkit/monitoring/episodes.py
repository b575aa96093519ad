"""Episodes: from the windows in which a rule alerts to one alert with a beginning and an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry.digests import new_id, now_ms
from registry.tables_monitoring import AlertRow, MonitorRow

if TYPE_CHECKING:
    from evalkit.monitoring.alerting import Name


@dataclass(frozen=True, slots=True)
class Mark:
    """What one window says of a rule: whether its alert is open after it, and the numbers."""

    window_id: str
    start: int
    end: int
    alerting: bool
    statistic: float | None
    threshold: float | None
    value: float | None
    reason: str
    samples: Sequence[str]


@dataclass(frozen=True, slots=True)
class Episode:
    """From the window that opened it (None: it was open before) to the one that closed it (None: it lasts)."""

    opened: Mark | None
    closed: Mark | None


def episodes(marks: Sequence[Mark], *, lasting: bool) -> list[Episode]:
    """The episodes of windows in order of time; `lasting`: one was open before the first of them."""
    found: list[Episode] = []
    opened: Mark | None = None
    for mark in marks:
        if mark.alerting and not lasting:
            opened, lasting = mark, True
        elif not mark.alerting and lasting:
            found.append(Episode(opened, mark))
            opened, lasting = None, False
    return [*found, Episode(opened, None)] if lasting else found


def settle(
    session: Session, monitor: MonitorRow, cadence: str, name: Name, marks: Sequence[Mark], *, again: bool
) -> list[AlertRow]:
    """Bring the stored alerts of a rule in line with its windows; returns those that opened or ended by it.

    Args:
        session: the transaction.
        monitor: whose rule.
        cadence: of its windows.
        name: of the rule.
        marks: windows in order of time: those that are new, or with `again` all of them.
        again: whether alerts that are stored may have begun or ended elsewhere: windows were restated.
    """
    stored = [row for row in _stored(session, monitor, name) if row.cadence == cadence]
    lasting = next((row for row in stored if row.closed_at is None), None)
    found = episodes(marks, lasting=lasting is not None and not again)
    candidates = [row for row in stored if again or row is lasting]
    changed = []
    for episode in found:
        row = _same(candidates, episode)
        if row is None:
            assert episode.opened is not None
            row = _opened(monitor, cadence, name, episode.opened)
            _inherit_silence(row, stored)
            session.add(row)
            stored.append(row)
            changed.append(row)
        else:
            candidates.remove(row)
            moved = episode.opened is not None and episode.opened.start != row.opened_at
            if episode.opened is not None and (moved or row.reason.startswith(_RETRACTED)):
                _describe(row, episode.opened)
        closed_at = None if episode.closed is None else episode.closed.start
        if closed_at != row.closed_at:
            changed += [row] if row not in changed else []
            row.closed_at = closed_at
    for row in candidates if again else ():
        if row.announced_at is None:
            session.delete(row)
        elif not row.reason.startswith(_RETRACTED):
            # People were told of it, so that it stays: what it rested on was restated
            row.reason = f"{_RETRACTED}: {row.reason}"
            changed += [row] if row.closed_at is None else []
            row.closed_at = row.opened_at if row.closed_at is None else row.closed_at
    return changed


def settle_removed(session: Session, monitor: MonitorRow, name: Name) -> list[AlertRow]:
    """End the alert of a rule that the monitor no longer has."""
    found = [row for row in _stored(session, monitor, name) if row.closed_at is None]
    for row in found:
        row.closed_at, row.reason = row.opened_until, f"the rule was removed: {row.reason}"
    return found


_RETRACTED = "no alert any more, after its windows were restated"


def _stored(session: Session, monitor: MonitorRow, name: Name) -> list[AlertRow]:
    session.flush()
    query = select(AlertRow).where(
        AlertRow.monitor_id == monitor.id, *(getattr(AlertRow, part) == value for part, value in name._asdict().items())
    )
    return list(session.scalars(query.order_by(AlertRow.opened_at)))


def _same(stored: Sequence[AlertRow], episode: Episode) -> AlertRow | None:
    """The stored alert that an episode is: the one with its beginning, else the first that overlaps with it."""
    if episode.opened is None:
        return stored[0] if stored else None
    for row in stored:
        if row.opened_at == episode.opened.start:
            return row
    for row in stored:
        ends = episode.closed is None or row.opened_at < episode.closed.start
        if ends and (row.closed_at is None or row.closed_at > episode.opened.start):
            return row
    return None


def _opened(monitor: MonitorRow, cadence: str, name: Name, mark: Mark) -> AlertRow:
    row = AlertRow(
        id=new_id(), workspace=monitor.workspace, created_at=now_ms(), monitor_id=monitor.id, cadence=cadence,
        **name._asdict(), closed_at=None, announced_at=None, acknowledged_at=None, acknowledged_by=None,
        silenced_until=None, comment="", action="",
    )  # fmt: skip
    _describe(row, mark)
    return row


def _inherit_silence(row: AlertRow, before: Sequence[AlertRow]) -> None:
    """A silence is of the rule, whatever episode it was said of."""
    for earlier in before:
        if (earlier.silenced_until or 0) > now_ms():
            row.silenced_until, row.comment = earlier.silenced_until, earlier.comment


def _describe(row: AlertRow, mark: Mark) -> None:
    row.window_id, row.opened_at, row.opened_until = mark.window_id, mark.start, mark.end
    row.statistic, row.threshold, row.value = mark.statistic, mark.threshold, mark.value
    row.reason, row.samples = mark.reason, list(mark.samples)
