"""Which worker processes are alive, by their heartbeats on the database's own clock."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from sqlalchemy import Engine, delete, select, text
from sqlalchemy.orm import Session

from registry.database import reading, writing
from registry.digests import now_ms
from registry.tables import WorkerRow

SILENT_AFTER = 15.0
"""Seconds without a heartbeat after which a worker counts as dead."""
_FORGOTTEN_AFTER = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process; times in UTC milliseconds of the database's clock."""

    executor: str
    host: str
    pid: int
    started_at: int
    heartbeat_at: int
    alive: bool


def beat(engine: Engine, executor: str) -> None:
    """Say that this process is alive and works under `executor`."""
    with writing(engine) as session:
        now = _clock(session)
        row = session.get(WorkerRow, executor)
        if row is None:
            session.execute(delete(WorkerRow).where(WorkerRow.heartbeat_at < now - _FORGOTTEN_AFTER))
            row = WorkerRow(executor=executor, host=socket.gethostname(), pid=os.getpid(), started_at=now)
            session.add(row)
        row.heartbeat_at = now


def leave(engine: Engine, executor: str) -> None:
    """Say that this process ends in order."""
    with writing(engine) as session:
        session.execute(delete(WorkerRow).where(WorkerRow.executor == executor))


def workers(engine: Engine, silent_after: float = SILENT_AFTER) -> list[Worker]:
    """All workers that were heard of in the last days, the newest heartbeat first."""
    with reading(engine) as session:
        latest = _clock(session) - int(silent_after * 1000)
        rows = session.scalars(select(WorkerRow).order_by(WorkerRow.heartbeat_at.desc()))
        return [
            Worker(row.executor, row.host, row.pid, row.started_at, row.heartbeat_at, row.heartbeat_at >= latest)
            for row in rows
        ]


def _clock(session: Session) -> int:
    """Milliseconds by the clock that all workers share."""
    if session.get_bind().dialect.name != "postgresql":
        return now_ms()  # a SQLite file lies on one machine
    return int(session.execute(text("SELECT (extract(epoch from clock_timestamp()) * 1000)::bigint")).scalar_one())
