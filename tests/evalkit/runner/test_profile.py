from __future__ import annotations

import threading
import time
from contextlib import nullcontext

import pytest

from evalkit.cli.profile import profile_table
from evalkit.runner import profile
from evalkit.runner.profile import OTHER, Stage, recording, span


class Clock:
    """Wall and processor time as a test says."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def perf_counter(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.processor

    thread_time = process_time

    def sleep(self, seconds: float) -> None:
        self.wall += seconds

    def busy(self, seconds: float) -> None:
        self.wall += seconds
        self.processor += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(profile, "time", made)
    return made


def by_name(stages: list[Stage]) -> dict[tuple[str, str], Stage]:
    return {(stage.task, stage.stage): stage for stage in stages}


def recorder() -> profile.Profiler:
    return profile.Profiler(_began=0.0, _began_processor=0.0)


def test_a_stage_has_its_own_time_and_the_shares_add_up_to_the_whole(clock: Clock) -> None:
    profiler = recorder()
    with recording(profiler):
        with span("score", task="a"):
            clock.busy(1.0)
            with span("decode", rows=40):
                clock.sleep(3.0)
            with span("decode", rows=60):
                clock.busy(5.0)
        clock.sleep(1.0)
    profiler.stop()
    stages = profiler.stages()
    found = by_name(stages)
    decode = found["a", "decode"]
    assert (decode.seconds, decode.rows, decode.rows_per_second) == (8.0, 100, 12.5)
    assert found["a", "score"].seconds == 1.0  # that of `decode` is not counted twice
    assert found["", OTHER].seconds == 1.0
    assert [stage.stage for stage in stages] == ["decode", "score", OTHER]
    assert sum(stage.share for stage in stages) == pytest.approx(1.0)


def test_waiting_and_computing_are_told_apart(clock: Clock) -> None:
    profiler = recorder()
    with recording(profiler):
        with span("a server"):
            clock.sleep(9.0)
        with span("a product"):
            clock.busy(1.0)
    profiler.stop()
    found = by_name(profiler.stages())
    assert (found["", "a server"].cores, found["", "a product"].cores) == (0.0, 1.0)
    limits = [str(cell).split()[0] for cell in list(profile_table(profiler).columns)[-1].cells]
    assert limits == ["waits", "computes"]


def test_work_that_runs_ahead_overlaps_and_adds_nothing_to_the_whole() -> None:
    def work(number: int) -> int:
        with span("decode", rows=number):
            time.sleep(0.02)
        return number

    with recording() as profiler, span("score", task="a"):
        threads = [threading.Thread(target=profile.ahead(work), args=(number,)) for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = by_name(profiler.stages())
    assert found["a", "decode"].ahead and found["a", "decode"].rows == 3
    assert found["a", "decode"].seconds >= 0.04
    assert sum(stage.share for stage in profiler.stages() if not stage.ahead) == pytest.approx(1.0)


def test_without_a_recorder_a_span_is_nothing() -> None:
    def work() -> None: ...

    assert profile.current() is None
    assert isinstance(span("anything"), nullcontext)
    assert profile.ahead(work) is work
