"""The right to run a monitor, kept alive while a run lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from registry.database import writing
from registry.digests import now_ms
from registry.leases import Lease, LeaseLostError, Leases, this_host
from registry.tables import LeaseRow

HEARTBEAT = 4.0
"""Seconds between two signs of life of a run."""
WAIT = 5.0
"""Seconds that another holder is waited for."""
SILENT_AFTER = 5 * HEARTBEAT
"""Seconds without one after which a worker on another host is taken for dead."""


@contextmanager
def held(leases: Leases, key: str, what: str, *, every: float = HEARTBEAT) -> Iterator[Lease]:
    """Hold a lease, said to be alive every so many seconds; another holder is waited for a moment.

    Raises:
        LeaseHeldError: a live process holds it.
    """
    lease = leases.acquire(key, wait=WAIT, what=what)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(every):
            try:
                leases.renew(lease)
            except LeaseLostError:
                return  # the store refuses this holder's results; it finds out there
            except DBAPIError:
                continue  # away for a moment: the next sign of life may reach it

    thread = threading.Thread(target=beat, daemon=True, name="evalkit-monitor-lease")
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join(timeout=1)
        leases.release(lease)


def drop_silent(engine: Engine, workspace: str, key: str) -> None:
    """Take the lease away from a holder on another host that gives no sign of life; what it still finds is refused.

    A holder on this host that is dead needs nothing: its process is gone, and everybody sees that.
    """
    with writing(engine) as session:
        row = session.get(LeaseRow, (workspace, key), with_for_update=True)
        if row is not None and row.host != this_host() and now_ms() - row.heartbeat_at > SILENT_AFTER * 1000:
            session.delete(row)
