"""What was measured of a version, and when: its evaluations, the decisions on them, approvals and promotions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select
from sqlalchemy.orm import Session

from evalkit.errors import NotFoundError
from metrics.base import PRIMARY, Direction, Estimate
from registry import records
from registry.current import counting
from registry.database import reading
from registry.entities import Decision, Evaluation, ModelVersion, Promotion
from registry.spec import SuiteSpec
from registry.suite import Suite
from registry.tables import (
    DEFAULT_WORKSPACE,
    ApprovalRow,
    DecisionRow,
    EstimateRow,
    EvaluationRow,
    ModelVersionRow,
    PromotionRow,
    SuiteRow,
)

MOST = 50
"""Evaluations, decisions, approvals or promotions on a page; older ones are in the audit."""
MOST_SLICES, WORST_SLICES = 300, 8
MOST_LINES = 60
"""Estimates on a page; the others are a slice or a task away."""


@dataclass(frozen=True, slots=True)
class Made:
    """A decision in a list; `counts` says whether it is the one that promotion stands on."""

    id: str
    outcome: str
    at: int
    counts: bool


@dataclass(frozen=True, slots=True)
class Look:
    """An evaluation in a list, with the decisions on it, newest first."""

    id: str
    look: int
    preset: str | None
    status: str
    started_at: int
    finished_at: int | None
    run_id: str | None
    samples: int
    decisions: tuple[Made, ...]


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's approval of a decision."""

    actor: str
    alias: str
    comment: str
    at: int
    decision: str


def looks(engine: Engine, version: ModelVersion) -> list[Look]:
    """Evaluations of a version, newest first."""
    found = (
        select(
            EvaluationRow.id, EvaluationRow.look, EvaluationRow.preset, EvaluationRow.status, EvaluationRow.started_at,
            EvaluationRow.finished_at, EvaluationRow.run_id, EvaluationRow.targets,
        )
        .where(EvaluationRow.version_id == version.id)
        .order_by(EvaluationRow.started_at.desc(), EvaluationRow.id.desc())
        .limit(MOST)
    )  # fmt: skip
    made = (
        select(DecisionRow.id, DecisionRow.evaluation_id, DecisionRow.outcome, DecisionRow.created_at)
        .where(DecisionRow.version_id == version.id)
        .order_by(DecisionRow.created_at.desc(), DecisionRow.id.desc())
        .limit(4 * MOST)
    )
    with reading(engine) as session:
        current = session.scalar(counting(version.id).with_only_columns(DecisionRow.id).limit(1))
        decisions: dict[str, list[Made]] = {}
        for key, evaluation_id, outcome, at in session.execute(made):
            decisions.setdefault(evaluation_id, []).append(Made(key, outcome, at, key == current))
        return [
            Look(*row[:-1], sum(row.targets.values()), tuple(decisions.get(row.id, ())[:4]))
            for row in session.execute(found)
        ]


def chosen(engine: Engine, version: ModelVersion, key: str | None) -> tuple[Evaluation | None, Decision | None]:
    """The evaluation to show, without its estimates, and the newest decision on it.

    Args:
        engine: of our tables.
        version: whose evaluation.
        key: which one; by default that of the decision that counts, else the newest finished one, else the newest.

    Raises:
        NotFoundError: the version has no evaluation with this key.
    """
    with reading(engine) as session:
        current = session.scalar(counting(version.id).limit(1))
        newest = (
            select(EvaluationRow)
            .where(EvaluationRow.version_id == version.id)
            .order_by((EvaluationRow.status == "finished").desc(), EvaluationRow.started_at.desc())
        )
        wanted = key or (current.evaluation_id if current is not None else None)
        row = session.scalar((newest.where(EvaluationRow.id == wanted) if wanted else newest).limit(1))
        if row is None:
            if key is not None:
                raise NotFoundError(f"{version.reference} has no evaluation {key}")
            return None, None
        if current is not None and current.evaluation_id == row.id:
            return records.evaluation(row, ()), records.decision(current)
        on_it = select(DecisionRow).where(DecisionRow.evaluation_id == row.id, DecisionRow.version_id == version.id)
        found = session.scalar(on_it.order_by(DecisionRow.created_at.desc(), DecisionRow.id.desc()).limit(1))
        return records.evaluation(row, ()), records.decision(found) if found is not None else None


def by_key(engine: Engine, key: str) -> tuple[Evaluation, Decision | None]:
    """An evaluation, without its estimates, and the newest decision on it; an unknown one raises `NotFoundError`."""
    on_it = select(DecisionRow).where(DecisionRow.evaluation_id == key)
    with reading(engine) as session:
        row = session.get(EvaluationRow, key)
        if row is None or row.workspace != DEFAULT_WORKSPACE:
            raise NotFoundError(f"there is no evaluation {key}")
        made = session.scalar(on_it.order_by(DecisionRow.created_at.desc(), DecisionRow.id.desc()).limit(1))
        return records.evaluation(row, ()), records.decision(made) if made is not None else None


@dataclass(frozen=True, slots=True)
class Shown:
    """Which estimates a page shows: of one task or all (``""``), of one slice or of everything (``""``), and those that
    a rule is on.
    """

    task: str
    slice: str
    ruled: frozenset[tuple[str, str]]

    def where(self, evaluation_id: str) -> list[ColumnElement[bool]]:
        """The same as conditions."""
        wanted = EstimateRow.slice == self.slice
        if not self.slice and not self.task:
            gated = {slice_ for _, slice_ in self.ruled if slice_}
            wanted = or_(wanted, EstimateRow.slice.in_(sorted(gated)[:MOST]))
        return [
            EstimateRow.evaluation_id == evaluation_id,
            wanted if not self.task else and_(wanted, EstimateRow.task == self.task),
        ]

    def takes(self, row: EstimateRow) -> bool:
        """Whether an estimate that `where` found is shown: of the slices only what a rule is on."""
        stored = records.stored_estimate(row)
        return row.slice == self.slice or (stored.name, row.slice) in self.ruled


def with_estimates(engine: Engine, evaluation: Evaluation, shown: Shown) -> tuple[Evaluation, int]:
    """The evaluation with the estimates that are shown, and how many there would be without the limit."""
    query = select(EstimateRow).where(*shown.where(evaluation.id)).order_by(EstimateRow.position)
    with reading(engine) as session:
        rows = [row for row in session.scalars(query.limit(10 * MOST_LINES)) if shown.takes(row)]
        ruled = [row for row in rows if (records.stored_estimate(row).name, row.slice) in shown.ruled]
        kept = {row.id for row in [*ruled, *rows][:MOST_LINES]}
        estimates = tuple(records.stored_estimate(row) for row in rows if row.id in kept)
        return replace(evaluation, estimates=estimates), len(rows)


def slices(engine: Engine, evaluation: Evaluation) -> list[str]:
    """Slices that have estimates, by name, at most `MOST_SLICES`."""
    query = select(EstimateRow.slice).where(EstimateRow.evaluation_id == evaluation.id, EstimateRow.slice != "")
    with reading(engine) as session:
        return list(session.scalars(query.distinct().order_by(EstimateRow.slice).limit(MOST_SLICES)))


@dataclass(frozen=True, slots=True)
class SliceLine:
    """An estimate on one slice."""

    slice: str
    estimate: Estimate


def worst_slices(
    engine: Engine, evaluation: Evaluation, name: str, direction: Direction, most: int = WORST_SLICES
) -> list[SliceLine]:
    """The slices in which a number (``task/metric.key``) is worst, at most `most`; none without a direction."""
    task, _, rest = name.partition("/")
    metric, _, key = rest.partition(".")
    order = {"higher": EstimateRow.value.asc(), "lower": EstimateRow.value.desc()}.get(direction)
    if order is None:
        return []
    query = select(EstimateRow).where(
        EstimateRow.evaluation_id == evaluation.id, EstimateRow.task == task, EstimateRow.metric == metric,
        EstimateRow.key == (key or PRIMARY), EstimateRow.slice != "", EstimateRow.value.is_not(None),
    )  # fmt: skip
    with reading(engine) as session:
        rows = session.scalars(query.order_by(order, EstimateRow.slice).limit(most))
        return [SliceLine(row.slice, Estimate.from_json(row.record)) for row in rows]


def beside(engine: Engine, champion: ModelVersion, evaluation: Evaluation) -> Evaluation | None:
    """The champion's newest finished evaluation, on the same suite where there is one; without estimates."""
    query = (
        select(EvaluationRow)
        .where(EvaluationRow.version_id == champion.id, EvaluationRow.status == "finished")
        .order_by((EvaluationRow.suite_digest == evaluation.suite_digest).desc(), EvaluationRow.started_at.desc())
    )
    with reading(engine) as session:
        row = session.scalar(query.limit(1))
        return records.evaluation(row, ()) if row is not None else None


def approvals(engine: Engine, version: ModelVersion) -> list[Approval]:
    """Approvals of decisions on a version, newest first."""
    query = select(ApprovalRow).where(ApprovalRow.version_id == version.id)
    with reading(engine) as session:
        rows = session.scalars(query.order_by(ApprovalRow.created_at.desc()).limit(MOST))
        return [Approval(row.actor, row.alias, row.comment, row.created_at, row.decision_id) for row in rows]


def promotions(engine: Engine, version: ModelVersion) -> list[Promotion]:
    """When an alias was moved to a version, newest first."""
    query = select(PromotionRow).where(PromotionRow.version_id == version.id)
    with reading(engine) as session:
        rows = session.scalars(query.order_by(PromotionRow.created_at.desc()).limit(MOST))
        return [records.promotion(row) for row in rows]


def suite_of(engine: Engine, digest: str) -> SuiteSpec:
    """A suite by its digest; an unknown one raises `NotFoundError`."""
    with reading(engine) as session:
        text = _suite_text(session, digest)
    return _parsed(digest, text)


def known_version(engine: Engine, name: str, number: int) -> str:
    """Key of a version by our own books, without asking MLflow: for what a page shows many of."""
    query = (
        select(ModelVersionRow.id)
        .where(
            ModelVersionRow.workspace == DEFAULT_WORKSPACE,
            ModelVersionRow.name == name,
            ModelVersionRow.version == number,
        )
        .order_by(ModelVersionRow.registered_at.desc())
    )
    with reading(engine) as session:
        found = session.scalar(query.limit(1))
    if found is None:
        raise NotFoundError(f"models:/{name}/{number} is not registered with a suite")
    return found


def evaluation_with(engine: Engine, version_id: str, outputs: str, task: str) -> Evaluation:
    """The newest evaluation of a version that stands on these outputs (the start of their digest)."""
    query = (
        select(EvaluationRow)
        .where(
            EvaluationRow.version_id == version_id,
            func.coalesce(EvaluationRow.details["tasks"][task]["outputs"].as_string(), "").like(f"sha256:{outputs}%"),
        )
        .order_by(EvaluationRow.started_at.desc())
    )
    with reading(engine) as session:
        row = session.scalar(query.limit(1))
        if row is None:
            raise NotFoundError("no evaluation stands on these outputs")
        return records.evaluation(row, ())


def _suite_text(session: Session, digest: str) -> str:
    query = select(SuiteRow.text).where(SuiteRow.workspace == DEFAULT_WORKSPACE, SuiteRow.digest == digest)
    text = session.scalar(query)
    if text is None:
        raise NotFoundError(f"there is no suite {digest}")
    return text


@lru_cache(maxsize=64)
def _parsed(_: str, text: str) -> SuiteSpec:
    return Suite.from_text(text, Path("/nonexistent"), origin="suite.yaml", check_files=False).spec
