"""The outbox: work that was written down together with its cause, done by workers at least once and told apart by id.

A worker claims an item under a token of its own; only with that token is an item closed, so that what a worker says
that was taken for dead is dropped. On PostgreSQL claims skip rows that others are claiming; on SQLite one writer at a
time claims.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, Select, and_, or_, select, update
from sqlalchemy.orm import Session

from metrics.errors import InputError
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.leases import HEARTBEAT_TIMEOUT, LeaseLostError, alive, started_at, this_host
from registry.tables import DEFAULT_WORKSPACE, OutboxRow

CREATED = "version.created"
"""A version of a model under a policy with `auto` was created."""
DELIVERY = "webhook.delivery"
"""An event that a webhook shall be told."""
ALERT = "alert.delivery"
"""An alert that one destination shall be told."""
DEMOTION = "alert.demotion"
"""An alias that an alert takes away."""

ALERT_TAGS = "alert.tags"
"""Alerts of a monitor that MLflow's tags on a model's versions shall show."""

BACKFILL = "monitor.backfill"
"""Windows of a monitor that a worker shall compute."""

DONE, FAILED, DROPPED = "done", "failed", "dropped"

LOOKED_THROUGH = 1000
"""Deliveries."""
_LOG = 20
_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to do, or that was done.

    Attributes:
        id: told to receivers, which know a repetition by it.
        attempts: how often it was begun, this time included.
        token: the right to close it; None where nobody works on it.
        outcome: None until it is done, else ``done``, ``failed`` or another word of the worker.
        log: one entry per attempt that ended: ``at`` in UTC milliseconds, ``outcome``, ``detail``.
    """

    id: str
    workspace: str
    kind: str
    body: Mapping[str, Any]
    created_at: int
    due_at: int
    attempts: int
    token: str | None
    outcome: str | None
    done_at: int | None
    log: tuple[Mapping[str, Any], ...] = field(default=())


def put(
    session: Session, kind: str, body: Mapping[str, Any], *, workspace: str = DEFAULT_WORKSPACE, due_at: int = 0
) -> str:
    """Write an item down within the caller's transaction; return its id."""
    row = OutboxRow(
        id=new_id(), workspace=workspace, created_at=now_ms(), kind=kind, body=dict(body), due_at=due_at, log=[]
    )
    session.add(row)
    return row.id


class Outbox:
    """The outbox of one workspace.

    Args:
        engine: the database of our tables.
        workspace: items of other workspaces are invisible.
    """

    def __init__(self, engine: Engine, workspace: str = DEFAULT_WORKSPACE) -> None:
        self._engine = engine
        self._workspace = workspace

    def claim(self, kind: str) -> Item | None:
        """The oldest item of a kind that is due and that no live worker has, now this process's; None where none is."""
        now = now_ms()
        due = (
            select(OutboxRow)
            .where(
                OutboxRow.workspace == self._workspace,
                OutboxRow.kind == kind,
                OutboxRow.done_at.is_(None),
                OutboxRow.due_at <= now,
            )
            .order_by(OutboxRow.created_at, OutboxRow.id)
        )
        with reading(self._engine) as session:
            if _next(session, due, now) is None:
                return None  # looking must not hold up writers
        with writing(self._engine) as session:
            row = _next(session, due.with_for_update(skip_locked=True), now)
            if row is None:
                return None
            pid = os.getpid()
            row.token, row.host, row.pid = new_id(), this_host(), pid
            row.process_started = started_at(pid) or 0
            row.taken_at = row.heartbeat_at = now
            row.attempts += 1
            return _item(row)

    def renew(self, item: Item) -> None:
        """Say that the worker is alive; raises `LeaseLostError` when the item is no longer its own."""
        with writing(self._engine) as session:
            self._own(session, item).heartbeat_at = now_ms()

    def finish(self, item: Item, outcome: str = DONE, detail: str = "") -> None:
        """Close an item.

        Raises:
            LeaseLostError: another worker has taken it over, or it was closed; nothing was changed.
        """
        with writing(self._engine) as session:
            row = self._own(session, item)
            _note(row, outcome, detail)
            row.outcome, row.done_at, row.token = outcome, now_ms(), None

    def retry_later(self, item: Item, seconds: float, detail: str, *, counts: bool = True) -> None:
        """Give an item back until `seconds` from now, with what went wrong; `counts`: as one of its attempts."""
        with writing(self._engine) as session:
            row = self._own(session, item)
            if counts:
                _note(row, "retry", detail)
            else:
                row.attempts -= 1
            row.due_at, row.token = now_ms() + int(seconds * 1000), None

    def give_back(self, item: Item) -> None:
        """Give an item back to whoever comes next, as if it had not been begun."""
        self.retry_later(item, 0, "", counts=False)

    def items(self, kind: str | None = None, *, limit: int = 50) -> list[Item]:
        """Items, newest first."""
        query = select(OutboxRow).where(OutboxRow.workspace == self._workspace)
        if kind is not None:
            query = query.where(OutboxRow.kind == kind)
        newest = query.order_by(OutboxRow.created_at.desc(), OutboxRow.id.desc()).limit(limit)
        with reading(self._engine) as session:
            return [_item(row) for row in session.scalars(newest)]

    def deliveries(self, webhook: str | None = None) -> list[Item]:
        """Deliveries to a webhook, or to all, newest first: those among the newest `LOOKED_THROUGH`."""
        found = self.items(DELIVERY, limit=LOOKED_THROUGH)
        return [item for item in found if webhook in {None, item.body["webhook"]}]

    def reopen(self, item_id: str) -> Item:
        """Have an item that is done be done again, with all its attempts; raises `InputError` where it is not done."""
        with writing(self._engine) as session:
            row = session.get(OutboxRow, item_id)
            if row is None or row.workspace != self._workspace:
                raise InputError(f"there is no item '{item_id}' in the outbox; `evalkit worker items` lists them")
            if row.done_at is None:
                raise InputError(f"item {item_id} is not done yet; it is tried again by itself")
            row.done_at, row.outcome, row.due_at, row.attempts = None, None, 0, 0
            return _item(row)

    def check(self, item: Item) -> None:
        """Raise `LeaseLostError` where the item is no longer this worker's."""
        with reading(self._engine) as session:
            found = session.scalar(
                select(OutboxRow.id).where(OutboxRow.id == item.id, OutboxRow.token == item.token).limit(1)
            )
        if found is None or item.token is None:
            raise _lost(item)

    def _own(self, session: Session, item: Item) -> OutboxRow:
        """The item's row, locked; only for who holds its token."""
        query = select(OutboxRow).where(OutboxRow.id == item.id, OutboxRow.token == item.token).with_for_update()
        row = session.scalar(query) if item.token is not None else None
        if row is None:
            raise _lost(item)
        return row


def about(body: Mapping[str, Any]) -> str:
    """What an item is about, in a few words: the version, or what else its body names."""
    if "version" in body:
        return f"models:/{body.get('name')}/{body['version']}"
    named = [str(body[name]) for name in ("alert", "monitor", "webhook", "model", "name") if name in body]
    return " ".join(named)


def drop_deliveries(session: Session, webhook: str) -> None:
    """Close what a webhook was still to be told, within the caller's transaction."""
    session.execute(
        update(OutboxRow)
        .where(
            OutboxRow.kind == DELIVERY,
            OutboxRow.done_at.is_(None),
            OutboxRow.body["webhook"].as_string() == webhook,
        )
        .values(done_at=now_ms(), outcome=DROPPED, token=None)
        .execution_options(synchronize_session=False)
    )


def _next(session: Session, due: Select[Any], now: int) -> OutboxRow | None:
    return session.scalar(due.where(OutboxRow.token.is_(None)).limit(1)) or _orphan(session, due, now)


def _orphan(session: Session, due: Select[Any], now: int) -> OutboxRow | None:
    """An item whose worker died: at once on this host, after its heartbeat has stopped for long elsewhere."""
    here = OutboxRow.host == this_host()
    silent = OutboxRow.heartbeat_at < now - int(HEARTBEAT_TIMEOUT * 1000)
    own = and_(here, OutboxRow.pid == os.getpid(), OutboxRow.process_started == (started_at(os.getpid()) or 0))
    held = due.where(OutboxRow.token.is_not(None), or_(here, silent), ~own)
    return next((row for row in session.scalars(held) if not alive(row, now)), None)


def _note(row: OutboxRow, outcome: str, detail: str) -> None:
    entry = {"at": now_ms(), "outcome": outcome, "detail": " ".join(detail.split())[:_MESSAGE]}
    row.log = [*row.log, entry][-_LOG:]  # a new list: changes within one are not seen


def _lost(item: Item) -> LeaseLostError:
    return LeaseLostError(f"item {item.id} was taken over by another worker; what was done here is dropped")


def _item(row: OutboxRow) -> Item:
    return Item(
        row.id,
        row.workspace,
        row.kind,
        dict(row.body),
        row.created_at,
        row.due_at,
        row.attempts,
        row.token,
        row.outcome,
        row.done_at,
        tuple(row.log),
    )
