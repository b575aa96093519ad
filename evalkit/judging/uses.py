"""Where judges are used: the judged scores of the newest version of each model, and what its suite demands of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, String, cast, func, select

from evalkit.config import Settings
from evalkit.judging.calibrations import Calibration, Calibrations, shortfall
from evalkit.judging.demands import calibrated_version
from metrics.errors import InputError
from registry.database import reading
from registry.judged import Demand
from registry.scorers import demand_of
from registry.suite import Suite
from registry.tables import DEFAULT_WORKSPACE, EvaluationRow, ModelVersionRow, SuiteRow

_JUDGED = '%"judged"%'


@dataclass(frozen=True, slots=True)
class Task:
    """A judged score of a version, or (`metric` is ``""``) a task whose outputs no judge has seen."""

    model: str
    number: int
    version_id: str
    task: str
    metric: str
    samples: int


@dataclass(frozen=True, slots=True)
class Use:
    """A judged score of a model's newest version.

    Attributes:
        model, number, version_id: the version.
        suite: its suite's name.
        task, metric: the score.
        evaluation_id: its newest finished evaluation.
        record: what that recorded about the score.
        demand: what the suite demands of the judge; None where it demands nothing.
        why: why the judge falls short of that; None where it does not.
    """

    model: str
    number: int
    version_id: str
    suite: str
    task: str
    metric: str
    evaluation_id: str
    record: Mapping[str, Any]
    home: Path
    demand: Demand | None
    why: str | None

    @property
    def key(self) -> str:
        """Names it on a page."""
        return f"{self.version_id}/{self.task}/{self.metric}"

    @property
    def judge_version(self) -> str:
        """The version under which calibrations of its judge are kept."""
        return calibrated_version(self.record["settings"]["judged"].get("judge", {}))

    @property
    def asked(self) -> str | None:
        """The model that the judge asks; None for what is no language model."""
        found: str | None = self.record["settings"]["judged"].get("judge", {}).get("model")
        return found


def uses(engine: Engine, settings: Settings) -> list[Use]:
    """All of them, by model, task and metric; a few queries whatever the number of models."""
    from evalkit.evidence import results_home
    from registry.records import evaluation

    found: list[Use] = []
    kept: Calibrations | None = None
    known: dict[str, Calibration | None] = {}
    try:
        for version, suite, row in _newest(engine, cast(EvaluationRow.details, String).like(_JUDGED)):
            home = results_home(settings.home, evaluation(row, ()))
            demands = _demands(suite.digest, suite.text, version.suite_file)
            for task, metric, record in _judged(row.details):
                demand, why = demands.get((task, metric)), None
                if demand is not None:
                    kept = kept or Calibrations.of(settings)
                    identity = calibrated_version(record["settings"]["judged"].get("judge", {}))
                    if identity not in known:
                        known[identity] = kept.latest(None, identity)
                    why = shortfall(known[identity], demand)
                found.append(
                    Use(
                        version.name, version.version, version.id, suite.name, task, metric, row.id, record, home,
                        demand, why,
                    )
                )  # fmt: skip
    finally:
        if kept is not None:
            kept.close()
    return found


def tasks(engine: Engine) -> list[Task]:
    """What can be labelled of the newest version of each model, by model; judged scores before outputs alone."""
    found: list[Task] = []
    for version, _, row in _newest(engine):
        for name, task in sorted(row.details.get("tasks", {}).items()):
            if task["product"] == "likelihood":
                continue  # nothing was written there
            judged = [metric for metric, record in task["metrics"].items() if record.get("verdicts")]
            found += [
                Task(version.name, version.version, version.id, name, metric, task["target"])
                for metric in judged or [""]
            ]
    return sorted(found, key=lambda one: (not one.metric, one.model, one.task, one.metric))


def _newest(engine: Engine, *where: ColumnElement[bool]) -> list[tuple[ModelVersionRow, SuiteRow, EvaluationRow]]:
    """The newest version of each model with its suite and newest finished evaluation."""
    ranked = (
        select(
            ModelVersionRow.id,
            func.row_number()
            .over(partition_by=ModelVersionRow.name, order_by=ModelVersionRow.registered_at.desc())
            .label("place"),
        )
        .where(ModelVersionRow.workspace == DEFAULT_WORKSPACE)
        .subquery()
    )
    newest = (
        select(EvaluationRow.id)
        .where(EvaluationRow.version_id == ModelVersionRow.id, EvaluationRow.status == "finished")
        .order_by(EvaluationRow.started_at.desc(), EvaluationRow.id.desc())
        .limit(1)
        .correlate(ModelVersionRow)
        .scalar_subquery()
    )
    query = (
        select(ModelVersionRow, SuiteRow, EvaluationRow)
        .join(ranked, ranked.c.id == ModelVersionRow.id)
        .join(SuiteRow, SuiteRow.id == ModelVersionRow.suite_id)
        .join(EvaluationRow, EvaluationRow.id == newest)
        .where(ranked.c.place == 1, *where)
        .order_by(ModelVersionRow.name)
    )
    with reading(engine) as session:
        rows = [(version, suite, evaluation) for version, suite, evaluation in session.execute(query)]
        session.expunge_all()
    return rows


def _judged(details: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for task, told in sorted(details.get("tasks", {}).items()):
        for metric, record in told.get("metrics", {}).items():
            if "judged" in (record.get("settings") or {}):
                yield task, metric, record


@lru_cache(maxsize=256)
def _demands(_: str, text: str, file: str | None) -> Mapping[tuple[str, str], Demand]:
    """Task and metric to what a suite demands of the judge."""
    folder = Path(file).parent if file else Path.cwd()
    try:
        suite = Suite.from_text(text, folder, origin=file or "suite.yaml", check_files=False)
    except InputError:
        return {}  # of an older release
    found: dict[tuple[str, str], Demand] = {}
    for name, task in suite.spec.tasks.items():
        for score in task.score:
            try:
                demand = demand_of(score, folder)
            except (InputError, OSError):
                continue  # the judge's own file is not on this machine
            if demand is not None:
                found[name, score.metric] = demand
    return found
