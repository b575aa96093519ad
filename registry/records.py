"""Between rows, records and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

from metrics.base import Estimate
from registry.digests import new_id
from registry.entities import DatasetRecord, Decision, Evaluation, ModelVersion, Promotion, StoredEstimate
from registry.gate.serialise import from_json
from registry.tables import DatasetRow, DecisionRow, EstimateRow, EvaluationRow, ModelVersionRow, PromotionRow, SuiteRow


def model_version(row: ModelVersionRow, suite: SuiteRow, aliases: Sequence[str]) -> ModelVersion:
    """The record of a version."""
    return ModelVersion(
        id=row.id,
        name=row.name,
        version=row.version,
        kind=row.kind,
        source=row.source,
        model_id=row.model_id,
        run_id=row.run_id,
        artifact_digest=row.artifact_digest,
        suite_id=suite.id,
        suite_digest=suite.digest,
        generator=row.generator,
        training_data=tuple(row.training_data),
        created_at=row.created_at,
        aliases=tuple(sorted(aliases)),
    )


def dataset(row: DatasetRow) -> DatasetRecord:
    """The record of a dataset."""
    return DatasetRecord(
        row.id, row.name, row.split, row.digest, row.location, row.rows, row.licence, row.labels, row.created_at
    )


def evaluation(row: EvaluationRow, estimates: Sequence[EstimateRow]) -> Evaluation:
    """The record of an evaluation with its estimates, in the order in which they were stored."""
    return Evaluation(
        id=row.id,
        digest=row.digest,
        look=row.look,
        version_id=row.version_id,
        suite_digest=row.suite_digest,
        preset=row.preset,
        status=cast(Literal["running", "finished", "failed", "imported"], row.status),
        run_id=row.run_id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        targets=row.targets,
        estimates=tuple(stored_estimate(item) for item in estimates),
        warnings=tuple(row.warnings),
        details=row.details,
    )


def stored_estimate(row: EstimateRow) -> StoredEstimate:
    """The record of an estimate."""
    estimate = Estimate.from_json(row.record)
    return StoredEstimate(row.task, row.metric, row.key, row.slice, estimate, row.scores_digest)


def estimate_row(item: StoredEstimate, position: int, evaluation_id: str, workspace: str, now: int) -> EstimateRow:
    """The row of an estimate."""
    record = item.estimate.to_json()
    return EstimateRow(
        id=new_id(),
        workspace=workspace,
        created_at=now,
        evaluation_id=evaluation_id,
        position=position,
        task=item.task,
        metric=item.metric,
        key=item.key,
        slice=item.slice,
        value=record["value"],
        low=record["low"],
        high=record["high"],
        n=item.estimate.n,
        coverage=item.estimate.coverage,
        record=record,
        scores_digest=item.scores_digest,
    )


def promotion(row: PromotionRow) -> Promotion:
    """The record of a promotion."""
    return Promotion(
        id=row.id,
        name=row.name,
        alias=row.alias,
        version_id=row.version_id,
        decision_id=row.decision_id,
        previous_version=row.previous_version,
        override=row.override,
        actor=row.actor,
        created_at=row.created_at,
    )


def decision(row: DecisionRow) -> Decision:
    """The record of a decision."""
    return from_json(row.record)
