"""The right to run a monitor, kept alive while a run lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from registry.leases import HEARTBEAT_TIMEOUT, Lease, LeaseLostError, Leases


@contextmanager
def held(leases: Leases, key: str, what: str, *, every: float = HEARTBEAT_TIMEOUT / 6) -> Iterator[Lease]:
    """Hold a lease, said to be alive every so many seconds; another holder is waited for a moment.

    Raises:
        LeaseHeldError: a live process holds it.
    """
    lease = leases.acquire(key, wait=5.0, what=what)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(every):
            try:
                leases.renew(lease)
            except LeaseLostError:
                return  # the store refuses this holder's results; it finds out there

    thread = threading.Thread(target=beat, daemon=True, name="evalkit-monitor-lease")
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join(timeout=1)
        leases.release(lease)
