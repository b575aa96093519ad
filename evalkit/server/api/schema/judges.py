"""Judges and their calibrations."""

from __future__ import annotations

from typing import Any

from evalkit.server.api.schema.base import Out


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
