"""Schedules fire once, whatever happens to workers; on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from evalkit.config import Settings
from evalkit.jobs.launching import shut_down
from evalkit.jobs.schedules import Schedules, due_after, due_times
from evalkit.own_database import own_url
from metrics.errors import InputError
from registry.database import connect, upgrade
from registry.firings import history
from registry.workers import workers

WORKER = Path(__file__).with_name("worker.py")
EVERY_SECOND = "* * * * * *"


class Store:
    """A database, the schedules in it, and workers that end with the test."""

    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home = url, home
        self.settings = Settings(home, url, url, url, advisory=False)
        self.engine: Engine = connect(url)
        upgrade(self.engine)
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE results (schedule VARCHAR(50), due BIGINT, attempt INTEGER)"))
        self.schedules = Schedules(own_url(self.settings, "jobs"))
        self.processes: list[subprocess.Popen[bytes]] = []

    def worker(self, seconds: float = 0.0) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        command = [sys.executable, str(WORKER), self.url, str(self.home), str(seconds), "4"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"working\n"
        return process

    def rows(self) -> list[tuple[str, int, int]]:
        with self.engine.connect() as connection:
            found = connection.execute(text("SELECT schedule, due, attempt FROM results ORDER BY due"))
            return [(str(s), int(d), int(a)) for s, d, a in found]

    def until(self, count: int, seconds: float = 60) -> list[tuple[str, int, int]]:
        end = time.monotonic() + seconds
        while len(self.rows()) < count:
            assert time.monotonic() < end, self.rows()
            time.sleep(0.1)
        return self.rows()

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self.engine.dispose()


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    made = Store(database_url, tmp_path)
    yield made
    made.close()
    shut_down()


def test_each_second_once_with_two_workers(store: Store) -> None:
    store.schedules.apply("tick", EVERY_SECOND, kind="count", target="bot")
    first, _ = store.worker(), store.worker()
    rows = store.until(6)
    dues = [due for _, due, _ in rows]
    assert len(dues) == len(set(dues))
    assert {b - a for a, b in pairwise(dues)} == {1000}
    assert first.stdin is not None
    first.stdin.close()
    assert first.wait(30) == 0
    assert sum(worker.alive for worker in workers(store.engine)) == 1


def test_what_a_killed_worker_had_begun_is_taken_over(store: Store) -> None:
    store.schedules.apply("tick", "0 0 1 1 *", kind="count", target="bot")
    slow = store.worker(60)
    key = store.schedules.trigger("tick")
    end = time.monotonic() + 30
    while not history(store.engine):
        assert time.monotonic() < end
        time.sleep(0.05)
    slow.kill()
    killed = time.monotonic()
    store.worker()
    ((_, _, attempt),) = store.until(1)
    assert attempt == 2
    assert time.monotonic() - killed < 30
    (record,) = history(store.engine, schedule="tick")
    assert (record.key, record.outcome, record.attempts) == (key, "done", 2)


def test_a_worker_that_was_only_asleep_adds_nothing(store: Store) -> None:
    store.schedules.apply("tick", "0 0 1 1 *", kind="count", target="bot")
    sleepy = store.worker(3)
    store.schedules.trigger("tick")
    end = time.monotonic() + 30
    while not history(store.engine):
        assert time.monotonic() < end
        time.sleep(0.05)
    sleepy.send_signal(signal.SIGSTOP)
    store.worker()
    ((_, _, attempt),) = store.until(1)
    assert attempt == 2
    sleepy.send_signal(signal.SIGCONT)
    time.sleep(5)
    assert len(store.rows()) == 1


def test_a_failure_is_recorded_and_the_next_firing_comes(store: Store) -> None:
    store.schedules.apply("bad", EVERY_SECOND, kind="unknown", target="bot")
    store.worker()
    end = time.monotonic() + 30
    while len([r for r in history(store.engine, schedule="bad") if r.outcome == "failed"]) < 2:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert "knows no work of the kind 'unknown'" in str(history(store.engine, schedule="bad")[-1].error)


@pytest.mark.parametrize(("catch_up", "expected"), [("all", 5), ("latest", 1), ("skip", 0)])
def test_after_a_downtime(tmp_path: Path, catch_up: str, expected: int) -> None:
    store = Store(f"sqlite:///{tmp_path / 'evalkit.db'}", tmp_path)
    try:
        made = store.schedules.apply("hourly", "0 * * * *", kind="count", target="bot", catch_up=catch_up)  # type: ignore[arg-type]
        now = datetime.now(UTC).replace(minute=30)
        back = now - timedelta(hours=5)
        with connect(own_url(store.settings, "jobs")).begin() as connection:
            context = connection.execute(text("SELECT context FROM workflow_schedules")).scalar_one()
            earlier = context.replace(f'"since":{_since(context)}', f'"since":{int(back.timestamp() * 1000)}')
            connection.execute(
                text("UPDATE workflow_schedules SET last_fired_at = :at, context = :context"),
                {"at": back.isoformat(), "context": earlier},
            )
        assert made.name == "hourly"
        for _ in range(2):  # again and again: what is queued is not queued again
            store.schedules.catch_up(now)
        with connect(own_url(store.settings, "jobs")).connect() as connection:
            queued = connection.execute(text("SELECT count(*) FROM workflow_status")).scalar_one()
        assert queued == expected
    finally:
        store.close()
        shut_down()


def _since(context: str) -> int:
    import json

    return int(json.loads(context)["since"])


def test_pause_resume_change_and_remove(store: Store) -> None:
    schedules = store.schedules
    made = schedules.apply("tick", "0 6 * * *", kind="count", target="bot", timezone="Europe/Berlin")
    assert made.next is not None and made.next.astimezone(UTC).hour in {4, 5}
    assert schedules.pause("tick").next is None
    changed = schedules.apply("tick", "0 7 * * *", kind="count", target="bot", timezone="Europe/Berlin")
    assert changed.paused and changed.cron == "0 7 * * *"
    assert not schedules.resume("tick").paused
    assert [schedule.name for schedule in schedules.all()] == ["tick"]
    schedules.remove("tick")
    with pytest.raises(InputError, match="there is no schedule 'tick'"):
        schedules.pause("tick")


def test_backfill_of_a_range_fires_each_once(store: Store) -> None:
    store.schedules.apply("daily", "0 6 * * *", kind="count", target="bot")
    start = datetime(2026, 1, 1, 6, tzinfo=UTC)
    for _ in range(2):
        assert len(store.schedules.backfill("daily", start, start + timedelta(days=3))) == 3
    store.worker()
    rows = store.until(3)
    time.sleep(1)
    assert [due for _, due, _ in store.rows()] == [due for _, due, _ in rows]
    assert rows[0][1] == int(start.timestamp() * 1000)


@pytest.mark.parametrize(
    ("cron", "zone", "says"),
    [
        ("never", "UTC", "cron 'never'"),
        ("* * * * * * *", "UTC", "five fields"),
        ("0 6 * * *", "Mars/Base", "no time zone"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, cron: str, zone: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Schedules(f"sqlite:///{tmp_path / 'jobs.db'}").apply("x", cron, kind="k", target="t", timezone=zone)


def test_daylight_saving() -> None:
    start, end = datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
    assert [moment.hour for moment in due_times("0 6 * * *", "Europe/Berlin", start, end)] == [5, 4, 4]


def test_what_is_remembered_of_a_cron_line_is_what_it_says():
    start = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)  # the night in which Berlin's clocks go forward
    for timezone in ("UTC", "Europe/Berlin"):
        for minutes in (0, 90, 30, 31, 600, 5, 60, 2_000):
            after = start + timedelta(minutes=minutes)
            expected = due_times("30 1,7 * * *", timezone, after + timedelta(seconds=1), after + timedelta(days=2))[0]
            assert due_after("30 1,7 * * *", timezone, after) == expected, (timezone, minutes)
