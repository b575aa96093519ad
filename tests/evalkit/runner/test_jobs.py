from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit import jobs

REPOSITORY = Path(jobs.__file__).parents[1]
KILLED = """
import os, signal, sys
from pathlib import Path
from evalkit import jobs

class Job:
    def steps(self):
        return ["a", "b", "c"]

    def perform(self, step):
        print("performed", step, flush=True)
        if step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"step": step}

print(jobs.run_durably(Path(sys.argv[1]), "key:1", Job()))
"""


class Counting:
    def __init__(self, failing: int | None = None) -> None:
        self.performed: list[int] = []
        self.failing = failing

    def steps(self) -> Sequence[str]:
        return ["a", "b", "c"]

    def perform(self, step: int) -> dict[str, Any]:
        self.performed.append(step)
        if step == self.failing:
            raise LookupError("step failed")
        return {"step": step}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "dbos.db"
    jobs.shut_down()


def test_a_killed_job_continues_at_the_step_that_was_interrupted(store: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(store), "1"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.split() == ["performed", "0", "performed", "1"]
    assert killed.stderr == ""
    job = Counting()
    assert jobs.run_durably(store, "key:1", job) == [{"step": 0}, {"step": 1}, {"step": 2}]
    assert job.performed == [1, 2]


def test_a_failure_arrives_as_itself_and_the_next_call_starts_anew(store: Path) -> None:
    with pytest.raises(LookupError, match="step failed"):
        jobs.run_durably(store, "key:1", Counting(failing=1))
    job = Counting()
    assert len(jobs.run_durably(store, "key:1", job)) == 3
    assert job.performed == [0, 1, 2]


def test_nothing_in_the_store_is_a_pickle(store: Path) -> None:
    jobs.run_durably(store, "key:1", Counting())
    with sqlite3.connect(store) as connection:
        kinds = {row[0] for row in connection.execute("SELECT serialization FROM operation_outputs")}
        outputs = [json.loads(row[0]) for row in connection.execute("SELECT output FROM operation_outputs")]
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        values = [value for name in tables for row in connection.execute(f"SELECT * FROM {name}") for value in row]
    assert kinds == {"portable_json"}
    assert outputs == [{"step": 0}, {"step": 1}, {"step": 2}]
    pickled = base64.b64encode(pickle.dumps({})).decode()[:4]
    assert not [v for v in values if isinstance(v, bytes) or (isinstance(v, str) and v.startswith(pickled))]


def test_another_store_in_the_same_process(store: Path, tmp_path: Path) -> None:
    jobs.run_durably(store, "key:1", Counting())
    job = Counting()
    jobs.run_durably(tmp_path / "other.db", "key:1", job)
    assert job.performed == [0, 1, 2]
