"""What the registry hands out: plain frozen records, free of the database session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from metrics.base import Estimate

Outcome = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered version with the suite that judges it. `reference` is ``models:/name/version``.

    `existing` is True where `Registry.register` answered with a version that was there already.
    """

    id: str
    name: str
    version: int
    kind: str
    source: str
    model_id: str | None
    run_id: str | None
    artifact_digest: str
    suite_id: str
    suite_digest: str
    generator: Mapping[str, Any]
    training_data: tuple[str, ...]
    created_at: int
    aliases: tuple[str, ...] = ()
    existing: bool = False

    @property
    def reference(self) -> str:
        """The MLflow URI of this version."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class StoredEstimate:
    """An estimate and what it is about. `slice` is ``name=value`` or empty."""

    task: str
    metric: str
    key: str
    slice: str
    estimate: Estimate
    scores_digest: str

    @property
    def name(self) -> str:
        """``task/metric`` or ``task/metric.key``, as rules address it."""
        return f"{self.task}/{self.metric}" + ("" if self.key == "value" else f".{self.key}")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run of one suite on one version, at one look."""

    id: str
    digest: str
    look: int
    version_id: str
    suite_digest: str
    preset: str | None
    status: Literal["running", "finished", "failed", "imported"]
    run_id: str | None
    started_at: int
    finished_at: int | None
    targets: Mapping[str, int]
    estimates: tuple[StoredEstimate, ...] = ()
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def settings_of(self, task: str, metric: str) -> Mapping[str, Any] | None:
        """The settings that a metric of a task was scored with; None where they were not recorded."""
        record = self.details.get("tasks", {}).get(task, {}).get("metrics", {}).get(metric, {})
        settings: Mapping[str, Any] | None = record.get("settings")
        return settings


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What one rule saw and what came of it.

    Attributes:
        rule: the rule as text, e.g. ``images/recall >= 0.45``.
        metric: ``task/metric.key``; `slice`: ``name=value`` or empty.
        outcome: pass, fail or inconclusive.
        bound: the one-sided confidence bound that was compared; None where no interval is valid.
        limit: what it was compared with, in the metric's units.
        estimate: the candidate's estimate, its interval at the gate's own level.
        difference: for ``versus`` rules, candidate minus champion (or anchor).
        p_broken: p-value against the rule holding; the Holm step decides on it.
        more_samples: estimated further samples until the rule decides; None where samples do not help.
        reason: one sentence for people.
    """

    rule: str
    metric: str
    slice: str
    outcome: Outcome
    bound: float | None
    limit: float
    estimate: Estimate | None
    difference: Estimate | None
    against: str | None
    p_broken: float | None
    more_samples: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The recorded outcome of a gate with every bound that led to it."""

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
    rules: tuple[RuleOutcome, ...]
    notes: tuple[str, ...]
    created_at: int

    def __bool__(self) -> bool:
        raise TypeError("a decision is pass, fail or inconclusive; ask for .passed, .failed or .inconclusive")

    @property
    def passed(self) -> bool:
        """Every rule holds at the full confidence level."""
        return self.outcome == "pass"

    @property
    def failed(self) -> bool:
        """Some rule is broken at the Holm-corrected level."""
        return self.outcome == "fail"

    @property
    def inconclusive(self) -> bool:
        """Neither: the rules say how many more samples would decide."""
        return self.outcome == "inconclusive"


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A registered dataset: named, versioned by digest, with split, licence and labels."""

    id: str
    name: str
    split: str
    digest: str
    location: str
    rows: int
    licence: str
    labels: Mapping[str, str]
    created_at: int


@dataclass(frozen=True, slots=True)
class Promotion:
    """An alias that was moved: by which decision or override, and who held it before."""

    id: str
    name: str
    alias: str
    version_id: str
    decision_id: str | None
    previous_version: int | None
    override: str | None
    actor: str
    created_at: int
