"""Estimates over the versions of a model."""

from __future__ import annotations

from pydantic import Field

from evalkit.server.api.schema.base import Number, Out


class LimitOut(Out):
    """A limit that a gate had set; `rule` is `at least` or `at most`."""

    rule: str
    value: Number


class TrendPointOut(Out):
    """An estimate of one version."""

    version: int
    value: Number
    low: Number
    high: Number
    n: int
    outcome: str = Field(description="What the gate's rules on it said, `quick look`, or empty.")
    limits: list[LimitOut]
    new_suite: bool = Field(description="Whether another suite judged it than the version before.")


class TrendOut(Out):
    """One estimate over the newest versions that were evaluated, oldest first."""

    name: str = Field(description="`task/metric` or `task/metric.key`.")
    slice: str
    units: str
    ruled: bool = Field(description="Whether a gate has a rule on it.")
    points: list[TrendPointOut]
