"""Workers that each do one job at a time, and are replaced when they die.

Nothing in here knows Ray: a worker is whatever `Hire` returns.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from evalkit.engines.base import STOPPED
from evalkit.generators.base import GenerationFailed
from evalkit.generators.wire import error_from_wire
from metrics.errors import InputError

ATTEMPTS = 3
"""Workers that may die over one job before it is given up."""
CLOSING = 5.0
"""Seconds that all threads together have to notice that the pool was closed."""
Reply = dict[str, Any]


class WorkerLostError(Exception):
    """The worker's process or machine is gone; says how where that is known."""


class Handle(Protocol):
    """A worker's process as seen from here."""

    @property
    def near(self) -> bool:
        """Whether it shares this machine's files."""
        ...

    def call(self, method: str, *arguments: Any) -> Reply:
        """Call a method of `ShardActor`; raises `WorkerLostError` where the process is gone."""
        ...

    def end(self) -> None:
        """Kill the process."""
        ...


Hire = Callable[[], Handle]
Load = Callable[["Worker"], None]


class Worker:
    """One place among the workers: a process, the model that it has loaded, and its replacement when it dies."""

    def __init__(self, hire: Hire) -> None:
        self._hire = hire
        self._handle: Handle | None = None
        self._loaded: Load | None = None

    @property
    def near(self) -> bool:
        """Whether the process shares this machine's files."""
        return self.handle.near

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._handle is not None

    @property
    def handle(self) -> Handle:
        """The process, started where there is none."""
        if self._handle is None:
            self._handle = self._hire()
        return self._handle

    def use(self, load: Load) -> None:
        """Have a model loaded; the same one is loaded once per process."""
        if self._loaded != load:
            load(self)
            self._loaded = load

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the worker; raises what it answers with, and `WorkerLostError` where it is gone."""
        reply = self.handle.call(method, *arguments)
        if "error" in reply:
            raise error_from_wire(reply)
        return reply["ok"]

    def drop(self) -> None:
        """Forget the process; the next call starts another one."""
        handle, self._handle, self._loaded = self._handle, None, None
        if handle is not None:
            handle.end()


@dataclass(frozen=True, eq=False)
class Job:
    """Something to be made by one worker.

    Attributes:
        what: for people, such as ``rows 0 to 256``.
        serves: whom it is made for: `Round.wait` is called with this.
        run: makes it, may be called again after a worker died.
    """

    what: str
    serves: Hashable
    run: Callable[[Worker], None]


@dataclass(eq=False)
class Round:
    """Some jobs under way."""

    condition: threading.Condition
    left: Counter[Hashable]
    failure: BaseException | None = None
    lost: Counter[Job] = field(default_factory=Counter)

    def wait(self, serves: Hashable) -> None:
        """Return when all jobs for `serves` are done; raises what the first failing job of the round raised."""
        with self.condition:
            self.condition.wait_for(lambda: self.failure is not None or not self.left[serves])
            if self.left[serves] and self.failure is not None:
                raise self.failure


class Pool:
    """Workers with a thread each that hands them jobs, in order."""

    def __init__(self, hire: Hire, workers: int) -> None:
        self._condition = threading.Condition()
        self._queue: deque[tuple[Round, Job]] = deque()
        self._rounds: list[Round] = []
        self._closed = False
        self._workers = [Worker(hire) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._attend, args=(worker,), daemon=True, name=f"evalkit-worker-{place}")
            for place, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: Sequence[Job]) -> Round:
        """Hand out jobs; they are begun in order."""
        with self._condition:
            begun = Round(self._condition, Counter(job.serves for job in jobs))
            if self._closed:
                begun.failure = InputError(STOPPED)
                return begun
            self._rounds.append(begun)
            self._queue.extend((begun, job) for job in jobs)
            self._condition.notify_all()
        return begun

    def close(self) -> None:
        """End all workers; who waits for them is told that the evaluation was stopped."""
        with self._condition:
            self._closed = True
            self._queue.clear()
            for begun in self._rounds:
                begun.failure = begun.failure or InputError(STOPPED)
            self._condition.notify_all()
        for worker in self._workers:
            worker.drop()
        deadline = time.monotonic() + CLOSING
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def _attend(self, worker: Worker) -> None:
        starts = 0
        while self._wanted():
            try:
                _ = worker.handle  # before a job is taken: a busy cluster may let a worker wait
            except (WorkerLostError, InputError) as error:
                starts += 1
                if isinstance(error, WorkerLostError) and starts < ATTEMPTS:
                    continue
                if self._others(worker):
                    return
                self._fail_all(InputError(f"no worker could be started: {error}"))
                starts = 0
                continue
            starts = 0
            taken = self._take()
            if taken is not None:
                self._do(worker, *taken)

    def _do(self, worker: Worker, begun: Round, job: Job) -> None:
        try:
            job.run(worker)
        except WorkerLostError as lost:
            worker.drop()
            self._again(begun, job, lost)
        except BaseException as error:  # raised again where the round is waited for
            self._fail(begun, error)
        else:
            self._finish(begun, job)

    def _wanted(self) -> bool:
        """Wait until there is a job; False when there will be none."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or bool(self._queue))
            return not self._closed

    def _take(self) -> tuple[Round, Job] | None:
        with self._condition:
            return self._queue.popleft() if self._queue and not self._closed else None

    def _others(self, worker: Worker) -> bool:
        return any(other.running for other in self._workers if other is not worker)

    def _fail_all(self, error: InputError) -> None:
        with self._condition:
            rounds = list(self._rounds)
        for begun in rounds:
            self._fail(begun, error)

    def _finish(self, begun: Round, job: Job) -> None:
        with self._condition:
            begun.left[job.serves] -= 1
            if not begun.left.total() and begun in self._rounds:
                self._rounds.remove(begun)
            self._condition.notify_all()

    def _again(self, begun: Round, job: Job, lost: WorkerLostError) -> None:
        with self._condition:
            begun.lost[job] += 1
            if begun.lost[job] < ATTEMPTS and begun.failure is None and not self._closed:
                self._queue.appendleft((begun, job))
                self._condition.notify_all()
                return
        self._fail(
            begun, GenerationFailed(f"{ATTEMPTS} workers died over {job.what} (out of memory?); the last one: {lost}")
        )

    def _fail(self, begun: Round, error: BaseException) -> None:
        with self._condition:
            begun.failure = begun.failure or error
            for entry in [entry for entry in self._queue if entry[0] is begun]:
                self._queue.remove(entry)
            if begun in self._rounds:
                self._rounds.remove(begun)
            self._condition.notify_all()
