"""Whether a project is at work: before its databases are replaced or left, everything that uses them has to end."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import inspect, select

from evalkit.config import Settings
from evalkit.databases import sqlite_files
from evalkit.databases.places import Place
from metrics.errors import InputError
from registry.database import connect, reading
from registry.digests import now_ms
from registry.leases import alive
from registry.tables import LeaseRow, OutboxRow, WorkerRow
from registry.workers import workers

_SHOWN = 3


def check_idle(settings: Settings, there: Sequence[Place]) -> None:
    """Refuse while a server, a worker or an evaluation is running.

    Args:
        settings: of the project.
        there: its databases that exist.

    Raises:
        InputError: says who is at work.
    """
    files = [place.path for place in there if place.schema is None]
    busy = [*(sqlite_files.users(files) if files else ()), *_at_work(settings.database_url)]
    if busy:
        shown = "; ".join(busy[:_SHOWN]) + (f" and {len(busy) - _SHOWN} more" if len(busy) > _SHOWN else "")
        raise InputError(f"the project is at work: {shown}; end it first")


def _at_work(url: str) -> list[str]:
    """Workers, leases and claims whose holder is alive, a line each."""
    engine = connect(url)
    try:
        standing = set(inspect(engine).get_table_names())
        found = []
        if WorkerRow.__tablename__ in standing:
            found += [f"worker {one.pid} on {one.host} is alive" for one in workers(engine) if one.alive]
        with reading(engine) as session:
            if LeaseRow.__tablename__ in standing:
                for lease in session.scalars(select(LeaseRow)):
                    if alive(lease, now_ms()):
                        found.append(f"process {lease.pid} on {lease.host.partition('/')[0]} works on {lease.key[:80]}")
            if OutboxRow.__tablename__ in standing and "token" in {
                one["name"] for one in inspect(engine).get_columns(OutboxRow.__tablename__)
            }:
                taken = select(OutboxRow).where(OutboxRow.done_at.is_(None), OutboxRow.token.is_not(None))
                for claim in session.scalars(taken):
                    if alive(claim, now_ms()):
                        found.append(f"process {claim.pid} on {claim.host.partition('/')[0]} works on {claim.kind}")
        return found
    finally:
        engine.dispose()
