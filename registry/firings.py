"""Firings of schedules: each is done once, and a worker that was believed dead adds nothing to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from metrics.errors import InputError
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.tables import DEFAULT_WORKSPACE, FiringRow

DONE = "done"
FAILED = "failed"
_SHOWN_ERROR = 2000


class FencedError(InputError):
    """Another worker has taken the firing over: what this one found does not count."""


@dataclass(frozen=True, slots=True)
class Firing:
    """The right to work on one firing, until someone else claims it.

    Attributes:
        key: identity of the firing.
        schedule: name of the schedule.
        due: when it was due, UTC milliseconds.
        attempt: 1 for the first worker that tried.
        token, workspace: of the claim.
    """

    key: str
    schedule: str
    due: int
    attempt: int
    token: str
    workspace: str

    def finish(self, session: Session, *, error: str | None = None) -> None:
        """Say, in the transaction that stores the results, that the firing is done.

        Raises:
            FencedError: someone else has claimed it since; the transaction must not be committed.
        """
        row = _held(session, self)
        row.finished_at = now_ms()
        row.outcome = DONE if error is None else FAILED
        row.error = None if error is None else error[:_SHOWN_ERROR]

    def hold(self, session: Session) -> None:
        """Make sure that the claim stands while this transaction lasts; raises `FencedError`."""
        _held(session, self)


@dataclass(frozen=True, slots=True)
class FiringRecord:
    """What became of a firing; times in UTC milliseconds, `outcome` is None while it is worked on."""

    key: str
    schedule: str
    due: int
    attempts: int
    executor: str
    started_at: int
    finished_at: int | None
    outcome: str | None
    error: str | None


def claim(
    engine: Engine, key: str, *, schedule: str, due: int, executor: str, workspace: str = DEFAULT_WORKSPACE
) -> Firing | None:
    """Claim a firing, away from whoever had it; None where it is finished already."""
    while True:
        try:
            with writing(engine) as session:
                row = session.get(FiringRow, (workspace, key), with_for_update=True)
                if row is not None and row.finished_at is not None:
                    return None
                if row is None:
                    row = FiringRow(workspace=workspace, key=key, schedule=schedule, due=due, attempts=0)
                    session.add(row)
                row.token, row.executor = new_id(), executor
                row.attempts += 1
                row.started_at = now_ms()
                return Firing(key, schedule, due, row.attempts, row.token, workspace)
        except IntegrityError:
            continue  # another worker inserted it between our look and our write


def finished(engine: Engine, firing: Firing, *, error: str | None = None) -> bool:
    """Finish a firing that stored nothing in a transaction of its own; whether the claim still stood."""
    try:
        with writing(engine) as session:
            firing.finish(session, error=error)
    except FencedError:
        return False
    return True


def history(
    engine: Engine, *, schedule: str | None = None, limit: int = 50, workspace: str = DEFAULT_WORKSPACE
) -> Sequence[FiringRecord]:
    """The latest firings, newest first."""
    query = select(FiringRow).where(FiringRow.workspace == workspace).order_by(FiringRow.due.desc()).limit(limit)
    if schedule is not None:
        query = query.where(FiringRow.schedule == schedule)
    with reading(engine) as session:
        return [
            FiringRecord(
                row.key, row.schedule, row.due, row.attempts, row.executor, row.started_at, row.finished_at,
                row.outcome, row.error,
            )
            for row in session.scalars(query)
        ]  # fmt: skip


def _held(session: Session, firing: Firing) -> FiringRow:
    row = session.get(FiringRow, (firing.workspace, firing.key), with_for_update=True, populate_existing=True)
    if row is None or row.token != firing.token or row.finished_at is not None:
        raise FencedError(f"{firing.key}: another worker has taken it over; its results count, these are dropped")
    return row
