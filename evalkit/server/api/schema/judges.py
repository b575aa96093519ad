"""Judges and their calibrations."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evalkit.server.api.schema.base import Out


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
