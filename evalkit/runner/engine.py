"""The engine: plan, then generate, score, estimate and store in steps that survive a kill."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.config import Settings
from evalkit.engines.base import STOPPED, Engine, LocalEngine
from evalkit.generators.base import GenerationFailed
from evalkit.judging.open import Desks
from evalkit.own_database import own_url
from evalkit.runner import profile
from evalkit.runner.looks import at_look, design_digest
from evalkit.runner.memory import give_back
from evalkit.runner.plan import EvaluationPlan, plan_evaluation
from evalkit.runner.progress import Progress, Report
from evalkit.runner.shards import Rows
from evalkit.runner.subjects import Subject
from evalkit.runner.task import TaskWork
from metrics.errors import InputError
from registry.digests import new_id, now_ms
from registry.entities import Evaluation, ModelVersion, StoredEstimate
from registry.suite import Suite

if TYPE_CHECKING:
    from evalkit.runner.given import GivenJudges
    from evalkit.runner.sources import TaskSources
    from registry.leases import Lease
    from registry.store import Registry

_HEARTBEAT = 20.0
"""Seconds between two signs of life; a holder on another host counts as dead after six of them."""


@dataclass(frozen=True, slots=True)
class Results:
    """What an evaluation found."""

    estimates: tuple[StoredEstimate, ...]
    warnings: tuple[str, ...]
    details: dict[str, Any]
    failed: bool


LogEvaluation = Callable[[Evaluation, Mapping[str, Path]], str | None]
"""Logs a finished evaluation together with its files (artifact path to local folder); returns MLflow's run id.

It may be called again for the same evaluation, after a kill, and must then change nothing."""
Store = Callable[[Results], None]


@dataclass(frozen=True, slots=True)
class _Step:
    task: TaskWork | None
    stage: str
    rows: Rows | None = None
    place: int = 0
    total: int = 1

    @property
    def name(self) -> str:
        where = f"{self.task.plan.name} " if self.task else ""
        return f"{where}{self.stage}" + (f" {self.place}" if self.rows else "")


class Work:
    """The steps of one evaluation. Each makes only what is missing, so that it may be repeated at will."""

    def __init__(
        self,
        plan: EvaluationPlan,
        home: Path,
        *,
        store: Store,
        log: Callable[[], None] | None,
        report: Report | None,
        judges: str | None = None,
        tracking_uri: str | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.plan = plan
        self._engine = engine or LocalEngine()
        self.counts: Counter[str] = Counter()
        url = judges or f"sqlite:///{home / 'judges.db'}"
        self._desks = Desks(url, plan.suite.spec.judge, plan.suite.folder, tracking_uri)
        self.tasks = [TaskWork(task, home, self.counts, self._desks, report) for task in plan.tasks]
        self._store, self._log, self._report = store, log, report
        self._stopped = False
        self._profiler = profile.current()  # steps may run in threads of others
        self._steps = list(self._lay_out())
        give_back()  # what reading the data has left

    def _lay_out(self) -> Iterator[_Step]:
        for task in self.tasks:
            shards = task.shards
            for stage in ("generate", "score"):
                for place, rows in enumerate(shards):
                    yield _Step(task, stage, rows, place, len(shards))
            yield _Step(task, "estimate")
        yield _Step(None, "store")
        if self._log is not None:
            yield _Step(None, "log")

    def steps(self) -> Sequence[str]:
        """Names of the steps, in order."""
        return [step.name for step in self._steps]

    def perform(self, step: int) -> dict[str, Any]:
        """Do one step; returns what was newly made."""
        if self._stopped:
            raise InputError(STOPPED)
        current = self._steps[step]
        before = Counter(self.counts)
        if current.place == 0:
            self._tell(current, 0)
        with profile.resumed(self._profiler):
            self._do(current)
        give_back()
        self._tell(current, current.place + 1)
        return dict(self.counts - before)

    def _do(self, step: _Step) -> None:
        if step.task is not None:
            with profile.span(step.stage, task=step.task.plan.name):
                self._perform_for(step.task, step)
        elif step.stage == "store":
            results = self.results()
            with profile.span("database"):
                self._store(results)
        elif self._log is not None:
            with profile.span("MLflow logging"):
                self._log()

    def _tell(self, step: _Step, done: int) -> None:
        if self._report is not None:
            self._report(Progress(step.task.plan.name if step.task else "", step.stage, done, step.total))

    def _perform_for(self, task: TaskWork, step: _Step) -> None:
        if step.rows is not None:
            self._engine.ahead(task, step.stage, task.shards[step.place :])
        if step.stage == "generate" and step.rows is not None:
            task.generate(step.rows)
            if step.place + 1 == step.total:
                task.close()
        elif step.stage == "score" and step.rows is not None:
            task.score(step.rows)
        else:
            task.estimates()

    def results(self) -> Results:
        """Everything that was found, made where it is missing."""
        estimates = tuple(estimate for task in self.tasks for estimate in task.estimates())
        warnings = tuple(warning for task in self.tasks for warning in task.warnings())
        details = {
            "seed": self.plan.seed,
            "design": design_digest(self.plan),
            "counts": dict(self.counts),
            "tasks": {task.plan.name: task.record() for task in self.tasks},
        }
        return Results(estimates, warnings, details, failed=any(task.unusable() for task in self.tasks))

    def files(self) -> dict[str, Path]:
        """What is worth keeping beside the numbers: stored outputs and per-sample scores, by artifact path."""
        found: dict[str, Path] = {}
        for task in self.tasks:
            found[f"outputs/{task.plan.name}"] = task.outputs.folder.path
        return found

    def stop(self) -> None:
        """End after the step that is running; generators are ended at once."""
        self._stopped = True
        self._engine.stop()
        self.close()

    def close(self) -> None:
        """End generators that are still running."""
        for task in self.tasks:
            task.close()
        self._desks.close()


def run(
    registry: Registry,
    settings: Settings,
    version: ModelVersion,
    *,
    preset: str | None = None,
    look: int | None = None,
    extra: int = 0,
    progress: Report | None = None,
    log: LogEvaluation | None = None,
    trust_pickle: bool = False,
    suite: Suite | None = None,
    engine: Engine | None = None,
) -> Evaluation:
    """Evaluate a registered version with its suite; repeated, it answers from the store.

    Args:
        registry, settings: where versions, results and shards live.
        version: what to evaluate.
        preset: a size that the suite names.
        look: which look at growing data; by default the latest one, or with `extra` the next one.
        extra: further samples for a look after the first.
        progress: called when a stage begins, and after every step.
        log: logs the finished evaluation to MLflow.
        trust_pickle: allow models whose loading runs code.
        suite: instead of the version's own suite.
        engine: what generates and extracts features; by default this process and the generator's child.

    Returns:
        The evaluation, ``finished`` or, where the model gave nothing usable, ``failed`` with warnings that say why.

    Raises:
        InputError: input that cannot be used, a look beyond the declared ones, or a live process at the same work.
    """
    from evalkit.runner.sources import read_sources, version_subject

    suite = suite if suite is not None else registry.suite(version)
    subject = version_subject(registry, version, suite, trust_pickle=trust_pickle)
    with profile.span("reading data"):
        plan = plan_evaluation(suite, subject, read_sources(suite, registry, settings), preset)
    with profile.span("database"):
        plan = at_look(registry, version, plan, look, extra)
        known = registry.evaluation(version, plan.look, digest=plan.digest)
    if known is not None and (known.run_id is not None or log is None):
        return known
    if known is None:
        with profile.span("model load"):
            plan.load()
    engine = engine or LocalEngine()
    engine.start()
    lease = registry.acquire(f"evaluate:{plan.digest}", what=f"the evaluation of {version.reference}")
    try:
        with _heartbeat(registry, lease):
            return _Session(registry, settings, version, plan, lease, progress, log, engine).evaluate()
    finally:
        registry.release(lease)


def score(
    subject: Subject,
    suite: Suite,
    home: Path,
    *,
    preset: str | None = None,
    progress: Report | None = None,
    judges: GivenJudges = (),
    sources: Mapping[str, TaskSources] | None = None,
    ledger: str | None = None,
    engine: Engine | None = None,
) -> tuple[Evaluation, Work]:
    """Evaluate something that is not registered; nothing but shards below `home` is written.

    `judges` score beside what the suite names: every task, or the one under whose name they stand. `sources` is what
    each task reads, by default what the suite names. `ledger` is the database of replies that judges were asked for, by
    default one below `home`. `engine` generates and extracts features, by default this process.

    Returns the evaluation, and the finished work for those who want rows and outputs.
    """
    from evalkit.runner.given import with_judges
    from evalkit.runner.sources import read_sources

    read = read_sources(suite, None) if sources is None else sources
    plan = with_judges(plan_evaluation(suite, subject, read, preset), judges)
    plan.load()
    found: list[Results] = []
    started = now_ms()
    engine = engine or LocalEngine()
    engine.start()
    work = Work(plan, home, store=found.append, log=None, report=progress, judges=ledger, engine=engine)
    try:
        for step in range(len(work.steps())):
            work.perform(step)
    except GenerationFailed as error:
        found = [Results((), (str(error),), {"seed": plan.seed, "counts": dict(work.counts), "tasks": {}}, True)]
    finally:
        work.close()
    results = found[0]
    evaluation = Evaluation(
        id=new_id(), digest=plan.digest, look=1, version_id=subject.id, suite_digest=suite.digest, preset=preset,
        status="failed" if results.failed else "finished", run_id=None, started_at=started, finished_at=now_ms(),
        targets=plan.targets, estimates=results.estimates, warnings=results.warnings, details=results.details,
    )  # fmt: skip
    return evaluation, work


@dataclass(frozen=True, slots=True)
class _Session:
    """One run under a lease."""

    registry: Registry
    settings: Settings
    version: ModelVersion
    plan: EvaluationPlan
    lease: Lease
    report: Report | None
    log: LogEvaluation | None
    engine: Engine

    def evaluate(self) -> Evaluation:
        """Do what is left to do and return the stored evaluation."""
        plan = self.plan
        row = self.registry.open_evaluation(
            self.version, digest=plan.digest, token=self.lease.token, look=plan.look, preset=plan.preset,
            targets=plan.targets, suite_digest=plan.suite.digest,
        )  # fmt: skip
        work = self._work(row)
        if row.status == "finished":  # but not logged yet, or finished while this process waited for the lease
            if row.run_id is None:
                self._publish(row, work)
            return self.registry.evaluation_by_id(row.id)
        try:
            from evalkit.jobs.durable import run_durably

            made = run_durably(own_url(self.settings, "jobs"), f"{plan.digest}:{plan.look}", work)
        except GenerationFailed as error:
            failed = self._fail(row, work, str(error))
            self._publish(failed, None)
            return self.registry.evaluation_by_id(row.id)
        except InputError as error:
            if self.registry.evaluation_by_id(row.id).status != "finished":
                self._fail(row, work, str(error))
            raise
        except BaseException:
            work.stop()
            raise
        finally:
            work.close()
        total: Counter[str] = Counter()
        for counts in made:
            total.update(counts)
        self.registry.annotate_evaluation(row.id, token=self.lease.token, details={"counts": dict(total)})
        return self.registry.evaluation_by_id(row.id)

    def _work(self, row: Evaluation) -> Work:
        token = self.lease.token

        def store(results: Results) -> None:
            self.registry.finish_evaluation(
                row.id, estimates=results.estimates, token=token, warnings=results.warnings,
                details=results.details, failed=results.failed,
            )  # fmt: skip

        def log_results() -> None:
            self._publish(self.registry.evaluation_by_id(row.id), work)

        log = log_results if self.log is not None else None
        work = Work(
            self.plan,
            self.settings.home,
            store=store,
            log=log,
            report=self.report,
            judges=own_url(self.settings, "judges"),
            tracking_uri=self.settings.tracking_uri,
            engine=self.engine,
        )
        return work

    def _publish(self, evaluation: Evaluation, work: Work | None) -> None:
        """Log to MLflow and remember the run."""
        if self.log is not None:
            run_id = self.log(evaluation, work.files() if work is not None else {})
            self.registry.annotate_evaluation(evaluation.id, token=self.lease.token, run_id=run_id)

    def _fail(self, row: Evaluation, work: Work, reason: str) -> Evaluation:
        """Close the evaluation as failed, with the reason as its warning."""
        details = {
            "seed": self.plan.seed,
            "design": design_digest(self.plan),
            "counts": dict(work.counts),
            "tasks": {},
        }
        return self.registry.finish_evaluation(
            row.id, estimates=(), token=self.lease.token, warnings=(reason,), details=details, failed=True
        )


@contextlib.contextmanager
def _heartbeat(registry: Registry, lease: Lease) -> Iterator[None]:
    """Keep the lease alive while a long step runs."""
    done = threading.Event()

    def beat() -> None:
        from sqlalchemy.exc import DBAPIError

        from registry.leases import LeaseLostError

        while not done.wait(_HEARTBEAT):
            try:
                registry.renew(lease)
            except LeaseLostError:
                return  # the store refuses this holder's results; it finds out there
            except DBAPIError:
                continue  # away for a moment: the next sign of life may reach it

    thread = threading.Thread(target=beat, daemon=True, name="evalkit-lease")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=1)
