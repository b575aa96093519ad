"""What the API takes and answers. Times are UTC milliseconds; digests are ``sha256:`` and 64 hexadecimal digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from evalkit.bundles.plain import check_plain
from registry.entities import Evaluation, ModelVersion, Promotion, StoredEstimate
from registry.policy import Freeze, Policy
from registry.tables import ModelVersionRow

T = TypeVar("T")
_TEXT = r"^[^\x00-\x1f\x7f]*$"

ModelName = Annotated[
    str, Path(min_length=1, max_length=255, pattern=r'^[^/:@"\\\x00-\x1f\x7f]+$', description="A registered model.")
]
VersionName = Annotated[
    str, Path(pattern=r"^(?:[0-9]{1,9}|@[A-Za-z0-9][A-Za-z0-9_.-]{0,99})$", description="`7`, or `@champion`.")
]
Alias = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
Key = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$", description="A key (UUIDv7).")]
DigestPath = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items on a page.")]
Outcome = Literal["pass", "fail", "inconclusive"]


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(from_attributes=True)


class In(BaseModel):
    """A request; what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, data: Any) -> Any:
        check_plain(data, "the body")
        return data


class Page(Out, Generic[T]):
    """Some of many; `next` is the cursor of the following page, or null on the last one."""

    items: list[T]
    next: str | None = None


class WhoAmI(Out):
    """The present actor."""

    name: str
    roles: list[str]
    server: str = Field(description="Version of evalkit on the server.")
    api: int = Field(1, description="Version of this API.")


class SuiteOut(Out):
    """A suite as it was registered."""

    digest: str
    name: str
    text: str


class VersionOut(Out):
    """A registered version with the outcome of the newest decision that counts."""

    id: str
    reference: str
    name: str
    version: int
    kind: str
    source: str
    model_id: str | None
    run_id: str | None
    artifact_digest: str
    suite_id: str
    suite_digest: str
    generator: dict[str, Any]
    training_data: list[str]
    created_at: int
    registered_at: int = Field(description="When MLflow made the version; tells it from a deleted namesake.")
    author: str | None
    aliases: list[str]
    existing: bool = False
    outcome: Outcome | None = None

    @classmethod
    def of(cls, version: ModelVersion, row: ModelVersionRow, outcome: str | None) -> VersionOut:
        """From the registry's record and row."""
        own = {name: getattr(version, name) for name in cls.model_fields if hasattr(version, name)}
        return cls.model_validate(
            own | {
                "generator": dict(version.generator), "training_data": list(version.training_data),
                "aliases": list(version.aliases), "registered_at": row.registered_at, "author": row.author,
                "outcome": outcome,
            }
        )  # fmt: skip


class ModelOut(Out):
    """A registered model that has versions with suites."""

    name: str
    versions: int


class RegisterIn(In):
    """A version to register: a model that MLflow holds already, or an endpoint."""

    source: str = Field(max_length=2000, pattern=r"^(runs:/|models:/|openai:/)[^\x00-\x20\x7f]+$")
    suite: str = Field(min_length=1, max_length=1_000_000, description="Text of the suite (YAML).")
    kind: str | None = Field(None, min_length=1, max_length=60, pattern=_TEXT)
    training_data: list[Annotated[str, Field(max_length=200, pattern=_TEXT)]] = Field(default=[], max_length=1000)
    description: str | None = Field(None, max_length=4000)
    generator: dict[str, Any] | None = None
    new_version: bool = False


class SuiteIn(In):
    """A suite that judges a version from now on."""

    suite: str = Field(min_length=1, max_length=1_000_000, description="Text of the suite (YAML).")


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


class FreezeIn(In):
    """A time in which nothing is promoted: ``[start, end)``."""

    start: int = Field(ge=0, le=2**53)
    end: int = Field(ge=0, le=2**53)
    reason: str = Field("", max_length=500)


class PolicyIn(In):
    """What moving the protected aliases of some models needs."""

    aliases: list[Annotated[str, Field(max_length=100)]] = Field(default=["champion"], min_length=1, max_length=20)
    approvals: int = Field(0, ge=0, le=20)
    author_may_approve: bool = False
    expires_after: int | None = Field(None, ge=1, le=2**53, description="Milliseconds.")
    freeze: list[FreezeIn] = Field(default=[], max_length=100)
    auto: Literal["off", "evaluate", "evaluate+promote"] = "off"
    artifacts: Literal["proxied", "load"] = "proxied"
    suites: list[Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]] = Field(default=[], max_length=1000)

    def policy(self, pattern: str) -> Policy:
        """The policy for a pattern."""
        return Policy(
            pattern,
            aliases=tuple(self.aliases),
            approvals=self.approvals,
            author_may_approve=self.author_may_approve,
            expires_after=self.expires_after,
            freeze=tuple(Freeze(window.start, window.end, window.reason) for window in self.freeze),
            auto=self.auto,
            artifacts=self.artifacts,
            suites=tuple(self.suites),
        )


class PolicyPut(PolicyIn):
    """A policy, with the texts of suites that it names: versions without a suite of their own are judged by them."""

    suite_texts: list[Annotated[str, Field(max_length=1_000_000)]] = Field(default=[], max_length=20)


class PolicyOut(PolicyIn):
    """A policy."""

    pattern: str
    new: bool | None = None


class AuditEntry(Out):
    """An entry of the audit's chain; `hash` covers all of the others."""

    seq: int
    workspace: str
    at: int
    kind: str
    actor: str
    name: str
    facts: dict[str, Any]
    rows: dict[str, str | None]
    previous: str
    hash: str


class FindingOut(Out):
    """One thing in the audit that is not as it was written."""

    seq: int
    what: str


class AuditReportOut(Out):
    """What following the chain has shown."""

    workspace: str
    entries: int
    head: str
    anchors: int
    findings: list[FindingOut]
    intact: bool


class CalibrationOut(Out):
    """A judge beside people."""

    id: str
    judge: str
    judge_version: str | None
    labels_digest: str
    created_at: int
    report: dict[str, Any]


class JudgeOut(Out):
    """A judge: its newest calibration in any version, how many models rely on it (`short` of them demand more than it
    has shown), and what it was asked in the last 30 days; `cost` is in US dollars, null where no price is known.
    """

    name: str
    calibration: CalibrationOut | None
    calibrations: int
    uses: int
    short: int
    requests: int
    prompt_tokens: int
    output_tokens: int
    cost: float | None


class WindowOut(Out):
    """One revision of a window ``[start, end)``: `ok`, `no data`, `contract` (broken) or `failed`."""

    id: str
    cadence: str
    start: int
    end: int
    revision: int
    status: str
    rows: int
    late: int
    version_digest: str
    notes: list[str]
    usage: dict[str, Any]
    contract: dict[str, Any] | None
    finished_at: int


class MonitorOut(Out):
    """A monitor, with its newest window; `refused` counts rows that could not be taken."""

    id: str
    name: str
    status: str
    model: str | None
    digest: str
    first_event: int | None
    last_event: int | None
    refused: dict[str, int]
    window: WindowOut | None
    text: str | None = None


class SignalOut(Out):
    """One estimate of one window; `slice` is empty for all rows."""

    window: str
    start: int
    end: int
    check: str
    key: str
    slice: str
    estimate: dict[str, Any]
    verdict: str
    reason: str
    samples: list[str]


class FiringOut(Out):
    """One firing of a schedule: `done`, `failed`, or null while it is under way."""

    key: str
    due: int
    attempts: int
    executor: str
    started_at: int
    finished_at: int | None
    outcome: str | None
    error: str | None


class JobOut(Out):
    """A monitor's schedule, null where it has none, and its latest firings; `last` and `next` are ISO 8601."""

    monitor: str
    status: str
    cron: str | None
    timezone: str | None
    catch_up: str | None
    last: str | None
    next: str | None
    firings: list[FiringOut]


class QueuedOut(Out):
    """A run that waits for a worker; `workers` says how many live."""

    key: str
    workers: int
