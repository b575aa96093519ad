"""Decisions of the gate, promotions and approvals."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evalkit.server.api.schema.base import In, Out, Outcome
from registry.entities import Promotion


class DecideIn(In):
    """What to decide on: an evaluation, by default the newest one on the version's suite."""

    evaluation: str | None = Field(None, pattern=r"^[0-9a-f-]{36}$")
    preset: str | None = Field(None, max_length=60)


class RuleOut(Out):
    """What one rule of a gate saw, and what came of it."""

    rule: str
    metric: str
    slice: str
    outcome: Outcome
    bound: float | None
    limit: float | None
    estimate: dict[str, Any] | None
    difference: dict[str, Any] | None
    against: str | None
    p_broken: float | None
    more_samples: int | None
    reason: str


class RuleLineOut(Out):
    """A rule of a decision, and what would make it come out otherwise, one sentence each."""

    number: int = Field(description="Its place in the suite, from 1.")
    name: str
    outcome: Outcome
    task: str
    metric: str
    slice: str
    units: str
    would_change: list[str]
    rule: RuleOut


class DecisionOut(Out):
    """A decision with every bound that led to it."""

    id: str
    digest: str
    version_id: str
    model: str
    version: int
    evaluation_id: str
    suite_digest: str
    artifact_digest: str
    outcome: Outcome
    method: Literal["intervals", "thresholds"]
    alpha: float
    look: int
    looks: int
    champion: int | None
    anchor: int | None
    rules: list[RuleOut]
    notes: list[str]
    created_at: int


class PromoteIn(In):
    """An alias to move."""

    version: int = Field(ge=1, le=10**9)
    decision: str | None = Field(None, pattern=r"^[0-9a-f-]{36}$", description="Refused where a newer one exists.")
    override: str | None = Field(None, min_length=1, max_length=2000, description="A reason; needs an approver.")


class PromotionOut(Out):
    """An alias that was moved."""

    id: str
    name: str
    alias: str
    version_id: str
    decision_id: str | None
    previous_version: int | None
    override: str | None
    actor: str
    created_at: int

    @classmethod
    def of(cls, item: Promotion) -> PromotionOut:
        """From the record."""
        return cls.model_validate(item)


class ApproveIn(In):
    """An approval of the decision that counts now."""

    alias: str = Field("champion", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
    comment: str = Field("", max_length=2000)


class ApprovalOut(Out):
    """A person's approval of one decision."""

    id: str
    version_id: str
    decision_id: str
    alias: str
    actor: str
    comment: str
    created_at: int


class DemotionOut(Out):
    """An alias that was taken away."""

    name: str
    alias: str
    version: int
