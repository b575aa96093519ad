"""Evaluations, their estimates, and work for the server's worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from evalkit.server.api.schema.base import In, Out
from registry.entities import Evaluation, StoredEstimate


class WorkIn(In):
    """Something for the server's worker to do."""

    kind: Literal["evaluate", "evaluate+promote"] = "evaluate"
    alias: str = Field("champion", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")


class WorkOut(Out):
    """Work that was asked for, and the decision that was made since."""

    id: str
    kind: str
    name: str
    version: int
    requested_by: str
    created_at: int
    state: Literal["queued", "running", "done"]
    decision: str | None = Field(None, description="Key of the newest decision on the version made since.")


class EstimateOut(Out):
    """An estimate; `low` and `high` are null where no interval is valid."""

    task: str
    metric: str
    key: str
    slice: str
    name: str
    scores_digest: str
    estimate: dict[str, Any]

    @classmethod
    def of(cls, item: StoredEstimate) -> EstimateOut:
        """From the record."""
        return cls(
            task=item.task, metric=item.metric, key=item.key, slice=item.slice, name=item.name,
            scores_digest=item.scores_digest, estimate=item.estimate.to_json(),
        )  # fmt: skip


class EvaluationOut(Out):
    """An evaluation; its estimates are at ``/evaluations/{id}/estimates``."""

    id: str
    digest: str
    look: int
    version_id: str
    suite_digest: str
    preset: str | None
    status: str
    run_id: str | None
    started_at: int
    finished_at: int | None
    targets: dict[str, int]
    warnings: list[str]
    details: dict[str, Any]
    submitted_by: str | None = None
    bundle: str | None = None
    missing: list[str] = Field(default=[], description="Versions that a gate compares with, without such results yet.")

    @classmethod
    def of(cls, item: Evaluation, missing: list[str] | None = None) -> EvaluationOut:
        """From the record."""
        own = {name: getattr(item, name) for name in cls.model_fields if hasattr(item, name)}
        submission: Mapping[str, Any] = item.details.get("submission", {})
        return cls.model_validate(
            own | {
                "warnings": list(item.warnings), "targets": dict(item.targets), "details": dict(item.details),
                "submitted_by": submission.get("by"), "bundle": submission.get("bundle"), "missing": missing or [],
            }
        )  # fmt: skip
