"""``evalkit worker`` as a process: it runs monitors, ends when told to, and what it had begun is taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli.app import run
from evalkit.config import load_settings
from evalkit.jobs.launching import shut_down
from evalkit.monitoring import api, scheduling

ROOT = Path(__file__).parents[2]
# A redaction that waits for a file: the run is under way for as long as the test wants
SLOW = """\
import pathlib, time

def scrub(text):
    pathlib.Path("begun").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
    return text
"""
MONITOR = """\
monitor: prod
source: {files: rows.jsonl, columns: {id: id, time: time, output: output}}
every: month
retention: {raw: 9000d}
redact: ["slow:scrub"]
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    rows = [{"id": str(i), "time": "2026-05-01T00:00:00Z", "output": "x"} for i in range(30)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    api.apply("monitor.yaml")
    yield tmp_path
    shut_down()


def _worker(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "evalkit.cli", "worker", "--grace", "1 s", "--poll", "1 s"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE)


def _until(found: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return value


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_a_worker_had_begun_is_taken_over_and_counts_once(
    shop: Path, number: int, capsys: pytest.CaptureFixture[str]
):
    first = _worker(shop)
    second = None
    try:
        with api.open_store() as (settings, store):
            scheduling.trigger(settings, store, "prod")
        _until((shop / "begun").exists)
        (job,) = api.jobs()
        assert job.latest is not None and job.latest.outcome is None
        first.send_signal(number)
        first.wait(20)
        if number == signal.SIGTERM:
            assert first.returncode == 0
            assert b"given back" in first.stderr.read()
        (shop / "go").touch()
        stopped = time.monotonic()
        second = _worker(shop)
        (job,) = _until(lambda: [one for one in api.jobs() if one.latest and one.latest.outcome])
        assert time.monotonic() - stopped < 30
        assert (job.latest.outcome, job.latest.attempts) == ("done", 2)
        capsys.readouterr()
        assert run(["worker", "list", "--json"]) == 0
        assert [one["pid"] for one in json.loads(capsys.readouterr().out) if one["alive"]] == [second.pid]
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
    finally:
        for process in (first, second):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
    with api.open_store(load_settings()) as (_, store):
        windows = store.windows(store.monitor("prod"), revisions=True)
    assert [(one.rows, one.revision) for one in windows if one.rows] == [(30, 1)]
    assert len(windows) == len({one.start for one in windows})
