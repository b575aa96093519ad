"""Judges and their calibrations."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from evalkit.server.api.schema.base import TEXT, In, Number, Out, Page
from judges.calibration import MEANINGS


class CalibrationOut(Out):
    """A judge beside people."""

    id: str
    judge: str
    judge_version: str | None
    labels_digest: str
    created_at: int
    report: dict[str, Any]


class CostOut(Out):
    """What replies of one group cost; `cost` is null where no price is known, `unpriced` counts those without one."""

    group: dict[str, str]
    requests: int
    prompt_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: int


class CostTotalOut(CostOut):
    """The same with the time that servers took, summed."""

    seconds: float


class VerdictOut(Out):
    """A judge's verdict on a sample; `value` is null with a `reason` where there is none."""

    sample_id: str
    value: Number
    reason: str | None
    label: str | None
    spread: Number
    flags: list[str]
    details: dict[str, Any]


class VerdictPage(Page[VerdictOut]):
    """Verdicts of one judge."""

    judge: str
    judge_version: str | None


class EstimateIn(In):
    """A number with its interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = Field(0, ge=0)
    effective_n: float | None = None
    coverage: float = Field(1.0, ge=0, le=1)
    worst_low: float | None = None
    worst_high: float | None = None
    spread: float | None = None
    method: str = Field("", max_length=500)
    estimand: str = Field("", max_length=500)
    confidence: float = Field(0.95, gt=0, lt=1)

    @model_validator(mode="after")
    def _between(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two ends")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("an interval's low end is above its high one")
        return self


def _measured(key: str) -> str:
    if key not in MEANINGS:
        raise ValueError("a report has no such estimate")
    return key


Estimates = dict[Annotated[str, AfterValidator(_measured)], EstimateIn]


class ReportIn(In):
    """What was measured of a judge beside people."""

    judge: str = Field(min_length=1, max_length=200, pattern=TEXT)
    judge_version: str | None = Field(max_length=200, pattern=TEXT)
    labels: int = Field(ge=1)
    verdicts: int = Field(ge=1)
    estimates: Estimates
    slices: dict[str, dict[str, Estimates]] = Field(default_factory=dict, max_length=100)
    notes: list[str] = Field(default_factory=list, max_length=100)


class CalibrationIn(In):
    """A comparison with labels that was made elsewhere."""

    report: ReportIn
    labels_digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")


class DoubtfulOut(Out):
    """Samples of a task without a verdict; `suspected` address the judge, `listed` are some of them."""

    samples: int
    unscored: int
    suspected: int
    listed: list[str]


class UseOut(Out):
    """A judged score of a model's newest version, and what its suite demands of the judge."""

    model: str
    version: int
    suite: str
    task: str
    evaluation: str
    judge_version: str
    demand: dict[str, Any] | None = Field(description="Least values; null where nothing is demanded.")
    short: str | None = Field(description="Why the judge falls short of that; null where it does not.")
    doubtful: DoubtfulOut | None = Field(description="Null where its verdicts are not stored here.")


class BesideOut(Out):
    """Agreement with another judge beyond chance, on the samples that both gave a verdict on."""

    judge: str
    model: str
    version: int
    task: str
    kappa: dict[str, Any]


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


class JudgeFullOut(JudgeOut):
    """A judge with everything on it; its older calibrations are at ``/calibrations?judge=``."""

    uses_of: list[UseOut] = Field(description="At most 20 of those that rely on it.")
    beside: list[BesideOut] = Field(description="Other judges of the same samples.")
    costs_by_day: list[CostOut] = Field(description="Of the last 30 days.")
    costs_by_model: list[CostOut]
