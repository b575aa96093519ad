"""Leases: one live worker per key, taken over at once from a dead local process."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass
from functools import cache
from itertools import chain, repeat

import psutil
from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from metrics.errors import InputError
from registry.database import writing
from registry.digests import new_id, now_ms
from registry.tables import LeaseRow, OutboxRow

HEARTBEAT_TIMEOUT = 120.0
"""Seconds without a heartbeat after which a holder on another host counts as dead."""

_CLOCK_SLACK = 3_000
"""Milliseconds: a process's start time is derived from the boot time, which moves when the clock is corrected."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on `key`; results are accepted only together with a live lease's `token`."""

    key: str
    token: str
    host: str
    pid: int
    process_started: int


class LeaseHeldError(InputError):
    """Someone else works on it."""


class LeaseLostError(InputError):
    """The lease was taken over or released; results of its former holder are not accepted."""


@cache
def this_host() -> str:
    """Name of the host and, where the system has them, its process namespace: where a process id means something."""
    try:
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()


class Leases:
    """The leases of one workspace in one database."""

    def __init__(self, engine: Engine, workspace: str) -> None:
        self._engine = engine
        self._workspace = workspace

    def acquire(self, key: str, *, wait: float = 0.0, what: str | None = None) -> Lease:
        """Take the lease on `key`, for at most `wait` seconds waiting for a live holder to release it.

        `what` names the work in messages, where the key does not speak for itself.

        Raises:
            LeaseHeldError: a live process holds it; the message says which.
        """
        lease = Lease(key, new_id(), this_host(), os.getpid(), started_at(os.getpid()) or 0)
        deadline = time.monotonic() + wait
        while True:
            try:
                self._take(lease, what or key)
            except LeaseHeldError:
                if time.monotonic() >= deadline:
                    raise
            except IntegrityError:
                continue  # another process inserted the key between our look and our write: look again
            else:
                return lease
            time.sleep(0.05)

    def renew(self, lease: Lease) -> None:
        """Say that the holder is alive; raises `LeaseLostError` when it no longer holds the lease."""
        with writing(self._engine) as session:
            check_token(session, lease.token).heartbeat_at = now_ms()

    def release(self, lease: Lease) -> None:
        """Give the lease back; giving back one that was taken over changes nothing.

        While the database is away it is tried again in the background, for as long as this process lives: nobody takes
        a lease over from a live process.
        """
        try:
            self._drop(lease)
        except SQLAlchemyError:
            threading.Thread(target=self._drop_later, args=(lease,), daemon=True, name="evalkit-lease").start()

    def _drop(self, lease: Lease) -> None:
        with writing(self._engine) as session:
            session.execute(delete(LeaseRow).where(LeaseRow.token == lease.token))

    def _drop_later(self, lease: Lease) -> None:
        for wait in chain((0.2, 0.5, 1.0, 2.0), repeat(5.0)):
            time.sleep(wait)
            with contextlib.suppress(SQLAlchemyError):
                self._drop(lease)
                return

    def _take(self, lease: Lease, what: str) -> None:
        with writing(self._engine) as session:
            row = session.get(LeaseRow, (self._workspace, lease.key), with_for_update=True)
            now = now_ms()
            if row is not None:
                if alive(row, now):
                    seconds = max(0, now - row.acquired_at) // 1000
                    raise LeaseHeldError(
                        f"{what} is being worked on by process {row.pid} on {row.host.partition('/')[0]} "
                        f"for {seconds} s; wait for it or stop it"
                    )
            else:
                row = LeaseRow(workspace=self._workspace, key=lease.key)
                session.add(row)
            row.token, row.host, row.pid = lease.token, lease.host, lease.pid
            row.process_started = lease.process_started
            row.acquired_at = row.heartbeat_at = now


def check_token(session: Session, token: str) -> LeaseRow:
    """The live lease with this token, locked for the transaction; raises `LeaseLostError` where there is none."""
    row = session.scalar(select(LeaseRow).where(LeaseRow.token == token).with_for_update())
    if row is None:
        raise LeaseLostError("another process has taken this work over; its results count, these are dropped")
    return row


def alive(row: LeaseRow | OutboxRow, now: int) -> bool:
    """Whether a row's holder is alive: a process of this host that runs, or elsewhere one that told so lately."""
    if row.host != this_host():
        return now - row.heartbeat_at < HEARTBEAT_TIMEOUT * 1000
    started = started_at(row.pid)
    return started is not None and abs(started - row.process_started) <= _CLOCK_SLACK


def started_at(pid: int) -> int | None:
    """When a process of this host was started, in milliseconds; None where it is gone."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return int(process.create_time() * 1000)
    except psutil.NoSuchProcess:
        return None
