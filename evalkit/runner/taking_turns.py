"""Work that several processes may want at once, done by one of them while the others wait for what it makes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STALE = 60.0
"""Seconds without a sign of progress after which a holder is no longer waited for: it may be paused."""
_POLL = 0.1


@contextmanager
def one_at_a_time(lock: Path, progress: Path) -> Iterator[None]:
    """Hold a lock file, waiting for whoever has it as long as `progress`, a folder that it writes into, changes.

    The lock ends with its process. What is done under it must be right also when two do it, since a holder that shows
    no progress is overtaken, and since not every system has such locks.
    """
    try:
        import fcntl

        lock.parent.mkdir(parents=True, exist_ok=True)
        stream = lock.open("ab")
    except (ImportError, OSError):
        yield
        return
    with stream:
        began = time.time()
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.time() - max(began, _changed(progress)) > STALE:
                    break
                time.sleep(_POLL)
        yield


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
