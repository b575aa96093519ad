"""Durable steps on DBOS: a job that was killed continues after its last finished step.

The caller holds the job's lease, so at most one live process works on it. The steps themselves are idempotent: what a
step leaves on disk is the truth, and DBOS records which ones are done and what they said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from dbos import DBOS, SetWorkflowID, WorkflowHandle

from evalkit.jobs.launching import launch

Result = dict[str, Any]
_POLL = 0.05
LOST_AFTER = 10.0
"""Seconds after which a workflow that is not at work, and has not ended, is resumed again: DBOS took it from the queue,
or ended it, while the database was away, and could not write down what came of it."""
_TERMINAL = {"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}


class Job(Protocol):
    """Work in steps; each may be performed again after a kill and then changes nothing."""

    def steps(self) -> Sequence[str]:
        """Names of the steps, the same ones on every continuation."""
        ...

    def perform(self, step: int) -> Result:
        """Do one step and return what is worth recording, as JSON values."""
        ...


@dataclass
class _Run:
    """A job in this process, and whether its workflow is at work here: DBOS loses one to a database that is away."""

    job: Job
    failure: BaseException | None = None
    working: bool = False
    since: float = field(default_factory=time.monotonic)
    alone: threading.Lock = field(default_factory=threading.Lock)


_runs: dict[str, _Run] = {}


@DBOS.step(name="evalkit.step")
def _step(workflow: str, step: int, name: str) -> Result:
    run = _runs[workflow]
    try:
        return run.job.perform(step)
    except BaseException as error:
        run.failure = error
        raise


@DBOS.workflow(name="evalkit.job")
def _workflow(workflow: str, names: list[str]) -> list[Result]:
    run = _runs[workflow]
    with run.alone:  # resumed although it only was slow, it finds the steps done
        run.working = True
        try:
            return [_step(workflow, step, name) for step, name in enumerate(names)]
        finally:
            run.working, run.since = False, time.monotonic()


def run_durably(store: str, key: str, job: Job) -> list[Result]:
    """Run a job's steps, or continue them where a killed process stopped; returns every step's result.

    Args:
        store: SQLAlchemy URL of DBOS's store, as `own_url` says it for ``jobs``.
        key: identity of the job; whoever calls holds its lease.
        job: the work.

    Raises whatever a step raised, in this process.
    """
    executor = launch(store)
    names = list(job.steps())
    workflow, pending = _attempt(key, names)
    _runs[workflow] = _Run(job)
    try:
        return _finish(workflow, _resume(workflow, executor) if pending else _start(workflow, names))
    finally:
        del _runs[workflow]


def _attempt(key: str, names: list[str]) -> tuple[str, bool]:
    """The workflow id to use, and whether it is one that a dead process left behind.

    The id is the job's key. A job that ended (in an error, or whose results were lost since), or whose steps are not
    the recorded ones any more, gets a new attempt.
    """
    attempt = 1
    while True:
        workflow = key if attempt == 1 else f"{key}:{attempt}"
        status = DBOS.get_workflow_status(workflow)
        if status is None:
            return workflow, False
        if status.status not in _TERMINAL:
            if status.input is not None and list(status.input["args"]) == [workflow, names]:
                return workflow, True
            DBOS.cancel_workflow(workflow)
        attempt += 1


def _start(workflow: str, names: list[str]) -> WorkflowHandle[list[Result]]:
    with SetWorkflowID(workflow):
        return DBOS.start_workflow(_workflow, workflow, names)


def _resume(workflow: str, queue: str) -> WorkflowHandle[list[Result]]:
    """Continue a dead process's workflow here, on a queue that nobody else listens to, until it has ended."""
    DBOS.register_queue(queue, polling_interval_sec=_POLL)
    run = _runs[workflow]
    while True:
        run.since, run.failure = time.monotonic(), None
        handle = cast("WorkflowHandle[list[Result]]", DBOS.resume_workflow(workflow, queue_name=queue))
        while run.working or time.monotonic() - run.since < LOST_AFTER:
            if handle.get_status().status in _TERMINAL:
                return handle
            time.sleep(_POLL)


def _finish(workflow: str, handle: WorkflowHandle[list[Result]]) -> list[Result]:
    try:
        return handle.get_result(polling_interval_sec=_POLL)
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        failure = _runs[workflow].failure
        raise (failure if failure is not None else error) from None
