"""Where an evaluation's time goes: spans of work by task and stage, measured only while somebody records.

A span's time is its own, without that of the spans within it, so that the main thread's shares add up to the whole.
Work that runs ahead in other threads is told apart: it overlaps with the rest and adds nothing to the whole.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

OTHER = "everything else"
_NOTHING: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True, slots=True)
class Stage:
    """Work of one kind for one task.

    Attributes:
        task: the task, empty for what belongs to none.
        stage: what was done.
        seconds: wall time, without that of stages within it.
        share: of the whole evaluation's wall time; for work that ran ahead, of the same, but not part of its sum.
        cores: processor seconds of this process a second: about 0 is waiting, 1 is one core at work. For work that ran
            ahead the threads' own.
        rows: rows that went through, 0 where there are none to count.
        rows_per_second: `rows` a second of wall time; None without rows.
        ahead: whether it ran in threads, while other stages worked.
    """

    task: str
    stage: str
    seconds: float
    share: float
    cores: float
    rows: int
    rows_per_second: float | None
    ahead: bool

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(slots=True)
class _Sum:
    seconds: float = 0.0
    processor: float = 0.0
    rows: int = 0


@dataclass(slots=True)
class _Frame:
    """A span that is open: what the spans within it have taken so far."""

    task: str
    seconds: float = 0.0
    processor: float = 0.0


@dataclass(slots=True)
class Profiler:
    """Adds up spans of one evaluation; spans may come from several threads."""

    _sums: dict[tuple[str, str, bool], _Sum] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: threading.local = field(default_factory=threading.local)
    _began: float = field(default_factory=time.perf_counter)
    _began_processor: float = field(default_factory=time.process_time)
    _ended: tuple[float, float] | None = None

    @contextlib.contextmanager
    def span(self, stage: str, task: str | None = None, rows: int = 0) -> Iterator[None]:
        """Time what happens within; the task is that of the span around it unless it is named."""
        stack: list[_Frame] = self._frames()
        frame = _Frame(task if task is not None else self.task)
        ahead = bool(getattr(self._open, "ahead", False))
        clock = time.thread_time if ahead else time.process_time
        stack.append(frame)
        wall, processor = time.perf_counter(), clock()
        try:
            yield
        finally:
            wall, processor = time.perf_counter() - wall, clock() - processor
            stack.pop()
            if stack:
                stack[-1].seconds += wall
                stack[-1].processor += processor
            with self._lock:
                total = self._sums.setdefault((frame.task, stage, ahead), _Sum())
                total.seconds += wall - frame.seconds
                total.processor += processor - frame.processor
                total.rows += rows

    def _frames(self) -> list[_Frame]:
        if not hasattr(self._open, "stack"):
            self._open.stack = []
        stack: list[_Frame] = self._open.stack
        return stack

    @property
    def task(self) -> str:
        """The task of this thread's innermost span."""
        stack = self._frames()
        return stack[-1].task if stack else str(getattr(self._open, "task", ""))

    def mark_ahead(self, task: str) -> None:
        """Count this thread's spans as work that runs ahead, for a task."""
        self._open.ahead, self._open.task = True, task

    def stop(self) -> None:
        """End the measurement; stages are shares of the time up to here."""
        if self._ended is None:
            self._ended = time.perf_counter() - self._began, time.process_time() - self._began_processor

    @property
    def seconds(self) -> float:
        """Wall time of the whole, up to `stop`."""
        return self._ended[0] if self._ended is not None else time.perf_counter() - self._began

    def stages(self) -> list[Stage]:
        """All stages, those that took longest first; the last of the whole is what no span covered."""
        whole = self.seconds
        processor = self._ended[1] if self._ended is not None else time.process_time() - self._began_processor
        with self._lock:
            sums = dict(self._sums)
        inside = [total for (_, _, ahead), total in sums.items() if not ahead]
        rest = _Sum(
            max(whole - sum(total.seconds for total in inside), 0.0),
            max(processor - sum(total.processor for total in inside), 0.0),
        )
        found = [_stage(*key, total, whole) for key, total in sums.items()]
        found.sort(key=lambda stage: (stage.ahead, -stage.seconds))
        first_ahead = next((place for place, stage in enumerate(found) if stage.ahead), len(found))
        found.insert(first_ahead, _stage("", OTHER, False, rest, whole))
        return found

    def to_json(self) -> dict[str, Any]:
        """``{"seconds": …, "stages": […]}``."""
        return {"seconds": self.seconds, "stages": [stage.to_json() for stage in self.stages()]}


def _stage(task: str, stage: str, ahead: bool, total: _Sum, whole: float) -> Stage:
    seconds = total.seconds
    return Stage(
        task=task,
        stage=stage,
        seconds=seconds,
        share=seconds / whole if whole > 0 else 0.0,
        cores=total.processor / seconds if seconds > 0 else 0.0,
        rows=total.rows,
        rows_per_second=total.rows / seconds if total.rows and seconds > 0 else None,
        ahead=ahead,
    )


_current: ContextVar[Profiler | None] = ContextVar("evalkit_profiler", default=None)


def current() -> Profiler | None:
    """Who records at present, if anybody does."""
    return _current.get()


@contextlib.contextmanager
def recording(profiler: Profiler | None = None) -> Iterator[Profiler]:
    """Record spans of this context until it ends, into a new profiler unless one is given."""
    recorder = profiler if profiler is not None else Profiler()
    token = _current.set(recorder)
    try:
        yield recorder
    finally:
        _current.reset(token)
        if profiler is None:
            recorder.stop()


def resumed(profiler: Profiler | None) -> AbstractContextManager[object]:
    """Record into a profiler that another thread's context has; nothing where there is none."""
    return _NOTHING if profiler is None else recording(profiler)


def span(stage: str, *, task: str | None = None, rows: int = 0) -> AbstractContextManager[None]:
    """Time what happens within, where somebody records; a look-up and no more where nobody does."""
    profiler = _current.get()
    return _NOTHING if profiler is None else profiler.span(stage, task, rows)


def ahead(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A function for other threads whose spans count as work that runs ahead, for the task at hand."""
    profiler = _current.get()
    if profiler is None:
        return function
    task = profiler.task

    def run(*given: Arguments.args, **named: Arguments.kwargs) -> Result:
        profiler.mark_ahead(task)
        with recording(profiler):
            return function(*given, **named)

    return run
