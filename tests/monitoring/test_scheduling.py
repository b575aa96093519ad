"""Monitors on schedules: when they fire, pausing, removal, what is due at once, and firings of workers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.cli.app import run
from evalkit.config import Settings
from evalkit.jobs.host import Host
from evalkit.jobs.launching import shut_down
from evalkit.jobs.schedules import due_times
from evalkit.jobs.work import Scheduled
from evalkit.monitoring import api, scheduling
from evalkit.monitoring.cadence import Cadence
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.lease import SILENT_AFTER, drop_silent, held
from evalkit.monitoring.store import MonitorStore
from evalkit.monitoring.timetable import timetable
from evalkit.worker.loop import Worker
from metrics.errors import InputError
from registry.database import connect, writing
from registry.firings import claim, history
from registry.leases import LeaseHeldError, LeaseLostError, Leases
from registry.tables import DEFAULT_WORKSPACE, LeaseRow
from registry.workers import workers

DAY = 86_400_000
START = 1_777_593_600_000
MINUTE = 60_000
CADENCES = (
    "hour", "day", "day at 06:00 Europe/Berlin", "day at 23:30 America/New_York", "week", "week at 23:45", "month",
    "*/20 * * * *", "30 4 * * 1-5", "15 1 1 * *",
)  # fmt: skip


def _definition(every: str, lateness: str = "1h", checks: str = "[]") -> Definition:
    text = f"""\
monitor: prod
source: {{files: generations, columns: {{time: time}}}}
every: "{every}"
lateness: {lateness}
checks: {checks}
"""
    return Definition.from_text(text, Path("."))


@pytest.mark.parametrize(
    ("every", "lateness", "cron"),
    [
        ("hour", "1h", "0 * * * *"),
        ("hour", "10m", "10 * * * *"),
        ("day", "1h", "0 1 * * *"),
        ("day", "90s", "2 0 * * *"),
        ("day at 06:00 Europe/Berlin", "90m", "30 7,8 * * *"),
        ("day at 23:30", "1h", "30 0 * * *"),
        ("week", "1h", "0 1 * * 1"),
        ("week", "2d", "0 0 * * *"),
        ("month", "3h", "0 3 1 * *"),
        ("*/15 * * * *", "5m", "5,20,35,50 * * * *"),
        ("0 4 * * 1-5", "30m", "30 4 * * 1-5"),
    ],
)
def test_when_a_monitor_fires(every: str, lateness: str, cron: str):
    assert timetable(_definition(every, lateness)).cron == cron


@settings(max_examples=60, deadline=None)
@given(every=st.sampled_from(CADENCES), late=st.integers(0, 3000), day=st.integers(0, 700))
def test_it_fires_soon_after_each_window_is_due(every: str, late: int, day: int):
    when = timetable(_definition(every, f"{late}m"))
    cadence = Cadence.parse(every)
    _, end = cadence.window(START + day * DAY)
    due = end + late * MINUTE
    # Local midnight moves against UTC when clocks change
    slack = 61 * MINUTE if cadence.zone != "UTC" else MINUTE
    moments = due_times(when.cron, when.timezone, _moment(due), _moment(due + slack))
    assert moments, (when, _moment(due))


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def test_the_shortest_windows_count():
    checks = "[{toxicity: {}, every: hour}, {refusal: {}, every: week}]"
    assert timetable(_definition("day", "5m", checks)).cron == "5 * * * *"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day_rows: Any) -> Iterator[Path]:
    """A folder with two days of generations and a monitor over them, not applied."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    (tmp_path / "generations").mkdir()
    _rows(tmp_path, "days", [*day_rows(0, n=50), *day_rows(1, n=50)])
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    yield tmp_path
    shut_down()


def _rows(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (folder / "generations" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


MONITOR = """\
monitor: prod
source: {files: generations, columns: {id: id, time: time, output: answer, latency: seconds}}
every: month
retention: {raw: 9000d}
"""


def _json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_schedule_comes_and_goes_with_its_monitor(shop: Path, capsys: pytest.CaptureFixture[str]):
    applied = _json(capsys, "monitor", "apply", "monitor.yaml")
    assert applied["schedule"] == {"cron": "0 1 1 * *", "timezone": "UTC", "catch_up": "latest"}
    (job,) = _json(capsys, "monitor", "jobs")
    assert (job["status"], job["latest"]) == ("active", None)
    assert job["next"].endswith("-01T01:00:00Z")

    assert run(["monitor", "pause", "prod"]) == 0
    (job,) = _json(capsys, "monitor", "jobs", "prod") if capsys.readouterr() else ()
    assert (job["status"], job["next"]) == ("paused", None)
    assert _json(capsys, "run-due") == []
    (shop / "monitor.yaml").write_text(MONITOR + "lateness: 2h\ncatch_up: skip\n")
    assert _json(capsys, "monitor", "apply", "monitor.yaml")["status"] == "paused"
    (job,) = _json(capsys, "monitor", "jobs")
    assert (job["cron"], job["catch_up"], job["next"]) == ("0 2 1 * *", "skip", None)

    assert run(["monitor", "resume", "prod"]) == 0
    assert "active" in capsys.readouterr().out
    assert run(["monitor", "jobs"]) == 0
    assert "0 2 1 * *" in capsys.readouterr().out

    assert run(["monitor", "remove", "prod", "--yes"]) == 0
    assert capsys.readouterr().out == "removed: prod\n"
    assert _json(capsys, "monitor", "jobs") == []
    assert run(["monitor", "pause", "prod"]) == 2
    assert "there is no monitor 'prod'" in capsys.readouterr().err


def test_removal_leaves_nothing_behind(local: Any, day_rows: Any):
    local.write("day-0", day_rows(0, n=20))
    made = local.apply().monitor
    local.run(1)
    with api.open_store(local.settings) as (_, store):
        assert (store.folder(made) / "raw").is_dir()
        assert store.windows(made)
    api.remove("prod", settings=local.settings)
    shut_down()
    with api.open_store(local.settings) as (_, store):
        assert not store.folder(made).exists()
        assert store.windows(made) == []
        assert store.monitors() == []


def test_run_due_says_what_failed_and_does_the_rest(shop: Path, capsys: pytest.CaptureFixture[str]):
    broken = MONITOR.replace("prod", "broken").replace("files: generations", "files: gone")
    (shop / "broken.yaml").write_text(broken)
    api.apply("broken.yaml", schedule=False)
    api.apply("monitor.yaml", schedule=False)
    failed, done = _json(capsys, "run-due", code=1)
    assert failed["monitor"] == "broken" and failed["report"] is None
    assert "there is no file or folder" in failed["error"]
    assert done["monitor"] == "prod" and done["error"] is None
    assert done["report"]["read"] == 100
    assert run(["run-due", "--monitor", "prod"]) == 0
    assert capsys.readouterr().out.startswith("prod: read 0 rows")
    assert run(["run-due", "--monitor", "pord"]) == 2
    assert "did you mean 'prod'?" in capsys.readouterr().err


def test_a_failed_window_is_a_failure(local: Any, day_rows: Any, monkeypatch: pytest.MonkeyPatch):
    from evalkit.monitoring.checks.operational import Operational

    def fails(*_: object) -> None:
        raise InputError("no such thing")

    local.write("day-0", day_rows(0, n=20))
    local.apply("monitor: prod\nsource: {files: generations, columns: {id: id, time: time}}\n")
    monkeypatch.setattr(Operational, "measure", fails)
    (outcome,) = api.run_due(now=START + DAY + 7_200_000, settings=local.settings)
    assert outcome.error is not None and "1 of 1 windows failed" in outcome.error
    assert "no such thing" in outcome.error


class Scheduler:
    """A worker's loop in a thread, with the host of schedules in it."""

    def __init__(self, settings: Settings) -> None:
        self.engine = connect(settings.database_url)
        host = Host(settings, self.engine, {scheduling.KIND: scheduling.MonitorFirings(settings, self.engine)})
        self.said: list[str] = []
        self.worker = Worker([Scheduled(host, self.said.append)], poll=0.05, grace=10, say=self.said.append)
        self.thread = threading.Thread(target=self.worker.run)
        self.thread.start()

    def close(self) -> None:
        self.worker.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()
        self.engine.dispose()


def _until(found: Any, seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value


def test_a_worker_runs_what_is_triggered(project: Any, day_rows: Any):
    project.write("day-0", day_rows(0, n=20))
    project.apply()
    scheduler = Scheduler(project.settings)
    try:
        _until(lambda: workers(scheduler.engine))
        with api.open_store(project.settings) as (settings_, store):
            key = scheduling.trigger(settings_, store, "prod")
            scheduling.pause(settings_, store, "prod")
            with pytest.raises(InputError, match="is paused"):
                scheduling.trigger(settings_, store, "prod")
            scheduling.resume(settings_, store, "prod")
            key = scheduling.trigger(settings_, store, "prod")
            _until(lambda: [one for one in history(store.engine) if one.key == key and one.outcome])
            (job,) = scheduling.jobs(settings_, store)
            assert job.latest is not None and (job.latest.outcome, job.latest.error) == ("done", None)
            windows = store.windows(store.monitor("prod"), revisions=True)
            assert [(one.start, one.revision) for one in windows][:1] == [(START, 1)]
            assert len(windows) == len({one.start for one in windows}), "two firings store no window twice"

            (project.generations / "day-0.jsonl").unlink()
            project.generations.rmdir()
            key = scheduling.trigger(settings_, store, "prod")
            _until(lambda: [one for one in history(store.engine) if one.key == key and one.outcome])
            (job,) = scheduling.jobs(settings_, store)
            assert job.latest is not None and job.latest.outcome == "failed"
            assert "there is no file or folder" in (job.latest.error or "")
    finally:
        scheduler.close()
        shut_down()
    assert not [one for one in workers(scheduler.engine) if one.alive]


def test_a_firing_waits_for_who_runs_the_monitor(local: Any, day_rows: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("evalkit.monitoring.lease.WAIT", 0.1)
    local.write("day-0", day_rows(0, n=20))
    monitor = local.apply().monitor
    with api.open_store(local.settings) as (settings_, store):
        firing = claim(store.engine, "k", schedule="monitor:prod", due=START + 2 * DAY, executor="x")
        assert firing is not None
        leases = Leases(store.engine, DEFAULT_WORKSPACE)
        with held(leases, monitor.lease_key, "the monitor"), pytest.raises(LeaseHeldError):
            scheduling.MonitorFirings(settings_, store.engine, patience=0)(firing, "prod")
        assert store.windows(monitor) == []
        scheduling.MonitorFirings(settings_, store.engine, patience=0)(firing, "prod")
        assert store.windows(monitor)


def test_a_worker_elsewhere_that_is_silent_loses_the_monitor_and_its_results(project: Any, day_rows: Any):
    project.write("day-0", day_rows(0, n=20))
    monitor = project.apply().monitor
    with api.open_store(project.settings) as (_, store):
        lease = Leases(store.engine, DEFAULT_WORKSPACE).acquire(monitor.lease_key)

        def elsewhere(seconds: float) -> bool:
            with writing(store.engine) as session:
                row = session.get_one(LeaseRow, (DEFAULT_WORKSPACE, monitor.lease_key))
                row.host = "elsewhere/1"
                row.heartbeat_at = int(time.time() * 1000 - seconds * 1000)
            drop_silent(store.engine, DEFAULT_WORKSPACE, monitor.lease_key)
            with writing(store.engine) as session:
                return session.get(LeaseRow, (DEFAULT_WORKSPACE, monitor.lease_key)) is not None

        assert elsewhere(SILENT_AFTER / 2), "one that gives signs of life keeps it"
        assert not elsewhere(SILENT_AFTER * 2)
        with pytest.raises(LeaseLostError):
            MonitorStore(store.engine, project.folder).advance(
                monitor, {}, np.array([START]), {}, token=lease.token, settled=None
            )
