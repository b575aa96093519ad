"""The worker's loop: several kinds of work, each with its own slots, until it is told to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError

Say = Callable[[str], None]

_BUSY = 0.1
_TROUBLE = 10.0


class Work(Protocol):
    """One kind of work. All methods are called from the loop's thread and return soon."""

    def start(self) -> bool:
        """Begin one thing that is due; False where nothing is, or all slots are taken."""
        ...

    def tend(self) -> None:
        """Close what has ended, stop what takes too long, and say that this worker is alive."""
        ...

    def busy(self) -> int:
        """How many things are under way."""
        ...

    def abandon(self) -> None:
        """End what is under way, and give it back to whoever comes next."""
        ...


class Worker:
    """Runs kinds of work side by side.

    Args:
        works: the kinds.
        poll: seconds between two looks for something due while there is nothing to do.
        grace: seconds that what is under way has to finish after SIGTERM, before it is given back.
        say: tells people, one line at a time.
    """

    def __init__(self, works: Sequence[Work], *, poll: float = 2.0, grace: float = 20.0, say: Say) -> None:
        self._works = works
        self._poll, self._grace, self._say = poll, grace, say
        self._stop = threading.Event()
        self._at_once = False

    def run(self, *, once: bool = False) -> None:
        """Work until told to stop; with `once`, until nothing is due any more."""
        with self._signals():
            while not self._stop.is_set():
                try:
                    began = self._turn()
                except DBAPIError as error:
                    # A database that restarts is no reason to end: what is claimed stays claimed as long as we live
                    if once:
                        raise
                    self._say(f"the database cannot be used: {' '.join(str(error.orig).split())[:200]}")
                    self._stop.wait(_TROUBLE)
                    continue
                if not began:
                    busy = self._busy()
                    if once and not busy:
                        break
                    self._stop.wait(min(_BUSY, self._poll) if busy else self._poll)
            self._finish()

    def stop(self) -> None:
        """Begin nothing more; asked for a second time, end what is under way at once."""
        self._at_once = self._stop.is_set()
        self._stop.set()

    def _turn(self) -> bool:
        for work in self._works:
            work.tend()
        return sum(work.start() for work in self._works) > 0

    def _busy(self) -> int:
        return sum(work.busy() for work in self._works)

    def _finish(self) -> None:
        deadline = time.monotonic() + self._grace
        while self._busy() and not self._at_once and time.monotonic() < deadline:
            for work in self._works:
                work.tend()
            time.sleep(_BUSY)
        for work in self._works:
            work.abandon()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's
            return

        def told(number: int, _frame: Any) -> None:
            self._say(f"{signal.Signals(number).name}: finishing what is under way; once more to give it back at once")
            self.stop()

        before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
