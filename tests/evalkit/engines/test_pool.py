"""Workers that die, jobs that fail, and a pool that is closed, without Ray."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from evalkit.engines.pool import ATTEMPTS, Handle, Job, Pool, Reply, Worker, WorkerLostError
from evalkit.generators.base import GenerationFailed
from evalkit.generators.wire import error_to_wire
from metrics.errors import InputError


class Process:
    """A worker's process that dies at the calls which it is told to."""

    near = True

    def __init__(self, deaths: list[str]) -> None:
        self._deaths = deaths
        self.ended = False

    def call(self, method: str, *arguments: Any) -> Reply:
        if method in self._deaths:
            self._deaths.remove(method)
            raise WorkerLostError("killed by SIGKILL")
        if method == "fail":
            return error_to_wire("no model", failed=True)
        return {"ok": arguments}

    def end(self) -> None:
        self.ended = True


class Office:
    """Hires processes, and remembers them."""

    def __init__(self, *deaths: str) -> None:
        self.deaths = list(deaths)
        self.hired: list[Process] = []
        self.refusal: Exception | None = None
        self.loads = 0

    def hire(self) -> Handle:
        if self.refusal is not None:
            raise self.refusal
        self.hired.append(Process(self.deaths))
        return self.hired[-1]

    def load(self, worker: Worker) -> None:
        self.loads += 1
        worker.call("load")

    def job(self, method: str, done: list[str]) -> Job:
        def run(worker: Worker) -> None:
            worker.use(self.load)
            worker.call(method)
            done.append(method)

        return Job(f"the job '{method}'", method, run)


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def pool(office: Office) -> Iterator[Pool]:
    made = Pool(office.hire, 1)
    yield made
    made.close()


def test_a_model_is_loaded_once_for_all_jobs_of_a_worker(office: Office, pool: Pool) -> None:
    done: list[str] = []
    pool.submit([office.job(name, done) for name in "abc"]).wait("c")
    assert done == ["a", "b", "c"] and office.loads == 1 and len(office.hired) == 1


def test_the_job_of_a_dead_worker_is_done_by_the_next_which_loads_the_model_again(office: Office, pool: Pool) -> None:
    office.deaths += ["b", "load"]
    done: list[str] = []
    pool.submit([office.job(name, done) for name in "abc"]).wait("c")
    assert done == ["a", "b", "c"]
    assert len(office.hired) == 3 and office.hired[0].ended and not office.hired[2].ended


def test_a_job_that_kills_its_workers_is_given_up(office: Office, pool: Pool) -> None:
    office.deaths += ["b"] * ATTEMPTS
    done: list[str] = []
    begun = pool.submit([office.job(name, done) for name in "ab"])
    with pytest.raises(GenerationFailed, match=r"3 workers died over the job 'b' \(out of memory\?\)"):
        begun.wait("b")
    again = pool.submit([office.job("c", done)])
    again.wait("c")
    assert done == ["a", "c"]


def test_what_a_worker_answers_is_raised_and_ends_the_round(office: Office, pool: Pool) -> None:
    done: list[str] = []
    begun = pool.submit([office.job(name, done) for name in ("a", "fail", "c")])
    with pytest.raises(GenerationFailed, match="no model"):
        begun.wait("c")
    begun.wait("a")
    assert done == ["a"]


def test_a_worker_that_cannot_be_had_is_said(office: Office, pool: Pool) -> None:
    office.refusal = InputError("no evalkit there")
    done: list[str] = []
    with pytest.raises(InputError, match="no worker could be started: no evalkit there"):
        pool.submit([office.job("a", done)]).wait("a")


def test_a_closed_pool_tells_who_waits(office: Office, pool: Pool) -> None:
    entered, released = threading.Event(), threading.Event()

    def block(worker: Worker) -> None:
        entered.set()
        released.wait(5)

    begun = pool.submit([Job("blocking", "a", block), Job("next", "b", block)])
    entered.wait(5)
    closer = threading.Thread(target=pool.close, daemon=True)
    closer.start()
    with pytest.raises(InputError, match="the same command continues it"):
        begun.wait("b")
    released.set()
    closer.join(5)
    with pytest.raises(InputError, match="the same command continues it"):
        pool.submit([office.job("c", [])]).wait("c")
