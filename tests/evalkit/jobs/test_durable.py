from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from evalkit.jobs import durable
from evalkit.jobs.launching import shut_down

REPOSITORY = Path(durable.__file__).parents[2]
KILLED = """
import os, signal, sys
from evalkit.jobs.durable import run_durably

class Job:
    def steps(self):
        return ["a", "b", "c"]

    def perform(self, step):
        print("performed", step, flush=True)
        if step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"step": step}

print(run_durably(sys.argv[1], "key:1", Job()))
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
def store(tmp_path: Path) -> Iterator[str]:
    yield f"sqlite:///{tmp_path / 'jobs.db'}"
    shut_down()


def test_a_killed_job_continues_at_the_step_that_was_interrupted(store: str) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, store, "1"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout.split() == ["performed", "0", "performed", "1"]
    assert killed.stderr == ""
    job = Counting()
    assert durable.run_durably(store, "key:1", job) == [{"step": 0}, {"step": 1}, {"step": 2}]
    assert job.performed == [1, 2]


def test_a_job_that_was_taken_from_the_queue_and_never_begun_is_resumed_again(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What DBOS does when the disk is full at that moment: the workflow is ours, and nobody works on it."""
    killed = [sys.executable, "-c", KILLED, store, "1"]
    subprocess.run(killed, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, check=False)
    resume, calls = DBOS.resume_workflow, []

    def first_is_lost(workflow: str, **given: Any) -> Any:
        calls.append(workflow)
        return DBOS.retrieve_workflow(workflow) if len(calls) == 1 else resume(workflow, **given)

    monkeypatch.setattr(DBOS, "resume_workflow", first_is_lost)
    monkeypatch.setattr(durable, "LOST_AFTER", 3.0)
    job = Counting()
    assert durable.run_durably(store, "key:1", job) == [{"step": step} for step in range(3)]
    assert job.performed == [1, 2] and len(calls) == 2


def test_a_slow_job_that_was_resumed_is_not_resumed_again(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = [sys.executable, "-c", KILLED, store, "1"]
    subprocess.run(killed, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, check=False)

    class Slow(Counting):
        def perform(self, step: int) -> dict[str, Any]:
            time.sleep(1.5)
            return super().perform(step)

    monkeypatch.setattr(durable, "LOST_AFTER", 1.0)
    job = Slow()
    assert durable.run_durably(store, "key:1", job) == [{"step": step} for step in range(3)]
    assert job.performed == [1, 2]


def test_a_failure_arrives_as_itself_and_the_next_call_starts_anew(store: str) -> None:
    with pytest.raises(LookupError, match="step failed"):
        durable.run_durably(store, "key:1", Counting(failing=1))
    job = Counting()
    assert len(durable.run_durably(store, "key:1", job)) == 3
    assert job.performed == [0, 1, 2]


def test_nothing_in_the_store_is_a_pickle(store: str) -> None:
    durable.run_durably(store, "key:1", Counting())
    with sqlite3.connect(store.removeprefix("sqlite:///")) as connection:
        kinds = {row[0] for row in connection.execute("SELECT serialization FROM operation_outputs")}
        outputs = [json.loads(row[0]) for row in connection.execute("SELECT output FROM operation_outputs")]
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        values = [value for name in tables for row in connection.execute(f"SELECT * FROM {name}") for value in row]
    assert kinds == {"portable_json"}
    assert outputs == [{"step": 0}, {"step": 1}, {"step": 2}]
    pickled = base64.b64encode(pickle.dumps({})).decode()[:4]
    assert not [v for v in values if isinstance(v, bytes) or (isinstance(v, str) and v.startswith(pickled))]


def test_another_store_in_the_same_process(store: str, tmp_path: Path) -> None:
    durable.run_durably(store, "key:1", Counting())
    job = Counting()
    durable.run_durably(f"sqlite:///{tmp_path / 'other.db'}", "key:1", job)
    assert job.performed == [0, 1, 2]


def test_a_pending_job_with_other_steps_is_left_alone(store: str) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, store, "1"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        check=False,
    )

    class Longer(Counting):
        def steps(self) -> Sequence[str]:
            return ["a", "b", "c", "d"]

    job = Longer()
    assert len(durable.run_durably(store, "key:1", job)) == 4
    assert job.performed == [0, 1, 2, 3]
