"""A worker: fires what is due, says that it is alive, and takes over what dead workers had begun.

Any number of workers share one store. DBOS hands each firing to one of them. A worker whose heartbeat stopped is
believed dead, and a live one continues its firings; if it was only asleep, its results are refused, because whoever
takes over claims the firing under a new token (`registry.firings`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from dbos import DBOS
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from evalkit.config import Settings
from evalkit.jobs.launching import launch, shut_down
from evalkit.jobs.schedules import QUEUE, WORKFLOW, Context, Schedules
from evalkit.own_database import own_url
from metrics.errors import InputError
from registry.firings import FencedError, Firing, claim, finished
from registry.workers import SILENT_AFTER, beat, leave, workers

_log = logging.getLogger("evalkit.jobs")

CATCH_UP = 20.0
"""Seconds between two looks for firings that nobody queued."""
_QUEUE_POLL = 0.25

Handler = Callable[[Firing, str], None]
"""Does the work of a firing: takes the claim and the schedule's target. It stores its results in a transaction that
ends with `Firing.finish`, so that both count or neither; a handler that stores nothing need not call it."""

_Result = TypeVar("_Result")
_host: Host | None = None


@DBOS.workflow(name=WORKFLOW)
def scheduled(due: str | datetime, context: Context) -> None:
    """One firing; DBOS calls it on the worker that the queue chose."""
    host, key = _host, str(DBOS.workflow_id)
    if host is None:
        return
    # A thread of its own: what a handler does with DBOS must not become part of this workflow
    thread = threading.Thread(target=host.fire, args=(key, due, context), name=f"evalkit-{key}", daemon=True)
    thread.start()
    thread.join()


class Host:
    """The scheduled work of this process; at most one at a time.

    Args:
        settings: of the project.
        engine: the registry's database, where firings and heartbeats are kept.
        handlers: what each kind of schedule does.
        concurrency: firings at a time.
        silent_after: seconds without a heartbeat after which a worker counts as dead; the same for all workers.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 2,
        silent_after: float = SILENT_AFTER,
    ) -> None:
        self._engine, self._handlers, self._concurrency = engine, handlers, concurrency
        self._silent_after = silent_after
        self._store = own_url(settings, "jobs")
        self._schedules = Schedules(self._store)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._under_way: set[str] = set()
        self.executor = ""

    def busy(self) -> int:
        """How many firings are under way."""
        return len(self._under_way)

    def start(self) -> None:
        """Begin to work."""
        global _host  # noqa: PLW0603 - DBOS calls a function of the module
        if _host is not None:
            raise RuntimeError("this process works already")
        shut_down()  # one that runs without listening to the queue
        _host = self
        try:
            self.executor = launch(self._store, [QUEUE])
            beat(self._engine, self.executor)
        except BaseException:
            _host = None
            shut_down()
            raise
        DBOS.register_queue(
            QUEUE, worker_concurrency=self._concurrency, polling_interval_sec=_QUEUE_POLL, on_conflict="always_update"
        )
        for name, seconds, work in (
            ("heartbeat", self._silent_after / 5, lambda: beat(self._engine, self.executor)),
            ("take-over", self._silent_after / 3, self.take_over),
            ("catch-up", CATCH_UP, self._schedules.catch_up),
        ):
            thread = threading.Thread(target=self._every, args=(seconds, work), name=f"evalkit-{name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, patience: int = 30) -> None:
        """End in order: what runs gets `patience` seconds, what has not begun is left to other workers."""
        global _host  # noqa: PLW0603 - see `start`
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)
        shut_down(patience)
        leave(self._engine, self.executor)
        _host = None

    def fire(self, key: str, due: str | datetime, context: Context) -> None:
        """Do one firing, unless it is done."""
        self._under_way.add(key)
        try:
            self._fire(key, due, context)
        finally:
            self._under_way.discard(key)

    def _fire(self, key: str, due: str | datetime, context: Context) -> None:
        moment = due if isinstance(due, datetime) else datetime.fromisoformat(due)
        due_ms = int(moment.timestamp() * 1000)
        firing = self._insist(
            lambda: claim(self._engine, key, schedule=context["name"], due=due_ms, executor=self.executor)
        )
        if firing is None:
            return
        error = None
        try:
            handler = self._handlers.get(context["kind"])
            if handler is None:
                raise InputError(f"this worker knows no work of the kind '{context['kind']}'")
            handler(firing, context["target"])
        except FencedError as fenced:
            _log.warning("%s", fenced)
        except (InputError, OSError) as failure:  # input, a full disk: for people to mend, and no bug of ours
            _log.error("%s failed: %s", key, failure)
            error = f"{type(failure).__name__}: {failure}"
        except DBAPIError as away:
            error = f"the database cannot be used: {_one_line(away)}"
            _log.error("%s failed: %s", key, error)
        except Exception as failure:  # recorded and shown; the next firing comes whatever happened to this one
            _log.exception("%s failed", key)
            error = f"{type(failure).__name__}: {failure}"
        self._insist(lambda: finished(self._engine, firing, error=error))

    def take_over(self) -> None:
        """Queue again what workers had begun whose heartbeat stopped.

        One worker does it, that with the smallest id of those alive; should two believe that they are it, a firing
        may be begun twice, and the second claim fences the first.
        """
        alive = {worker.executor for worker in workers(self._engine, self._silent_after) if worker.alive}
        if self.executor != min(alive, default=None):
            return
        for found in DBOS.list_workflows(status="PENDING", name=WORKFLOW, load_input=False, load_output=False):
            if found.executor_id not in alive:
                _log.warning("taking over %s from %s", found.workflow_id, found.executor_id)
                DBOS.resume_workflow(found.workflow_id, queue_name=QUEUE)

    def _insist(self, work: Callable[[], _Result]) -> _Result:
        """Do what must not be lost to a database that is away for a while."""
        wait = 0.1
        while True:
            try:
                return work()
            except DBAPIError as away:
                if self._stopping.is_set():
                    raise
                _log.warning("the database does not answer; trying again: %s", _one_line(away))
                self._stopping.wait(wait)
                wait = min(wait * 2, 10.0)

    def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            start = time.monotonic()
            try:
                work()
            except DBAPIError as away:  # the next turn may find it again
                _log.warning("%s: %s", threading.current_thread().name, _one_line(away))
            except Exception:  # DBOS's own way to say so, among others
                _log.exception("%s", threading.current_thread().name)
            self._stopping.wait(max(0.0, seconds - (time.monotonic() - start)))


def _one_line(error: DBAPIError) -> str:
    """What the driver said, without the statement and its values."""
    return " ".join(str(error.orig).split())[:200]
