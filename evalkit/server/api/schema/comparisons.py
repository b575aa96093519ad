"""Versions beside each other."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evalkit.server.api.schema.base import Number, Out, Page


class ScoresOut(Out):
    """A sample's scores by version, higher is better; null where it is unscored."""

    sample_id: str
    scores: dict[str, Number]


class ComparedOut(Out):
    """A version with the evaluation that stands for it; null where it has none that is finished."""

    reference: str
    name: str
    version: int
    evaluation: str | None
    suite_digest: str | None


class SharedTaskOut(Out):
    """A task whose samples can be looked at side by side, and the metrics with a score for each of them."""

    name: str
    pictures: bool
    metrics: list[str]


class WinsOut(Out):
    """Samples on which the first version scored better; `rate` counts a tie as half a win."""

    better: int
    same: int
    worse: int
    rate: dict[str, Any]


class DifferenceOut(Out):
    """One estimate of the first version and of another one, and the former minus the latter."""

    against: str = Field(description="The other version.")
    task: str
    name: str = Field(description="`task/metric` or `task/metric.key`.")
    slice: str = Field(description="Empty for everything.")
    direction: Literal["higher", "lower", "none"]
    units: str
    left: dict[str, Any]
    right: dict[str, Any] | None = Field(description="Null where the other version has none that compares.")
    change: dict[str, Any] | None = Field(description="`left` minus `right`, with an interval where one is valid.")
    paired: bool = Field(description="Whether `change` is of the same samples, pair by pair.")
    standing: str = Field(description="`better`, `worse`, `undecided` or `no direction`: how the first version stands.")
    wins: WinsOut | None
    reason: str = Field(description="Why there is no `change`.")


class ComparisonOut(Page[DifferenceOut]):
    """Differences, with the versions in the order in which they were named."""

    versions: list[ComparedOut]
    slices: list[str] = Field(description="On which all versions have estimates.")
    tasks: list[SharedTaskOut]


class MarkedOut(Out):
    """A run of words: in both texts, only in this one (`new` in the first version's, `gone` in the others')."""

    mark: Literal["same", "new", "gone"]
    text: str


class AnswerOut(Out):
    """What one version answered."""

    reference: str
    text: str | None
    words: list[MarkedOut] = Field(description="The beginning of the text, with what differs marked.")
    image: str | None = Field(description="Address of the image.")
    error: str | None
    score: Number
    unscored: str | None = Field(description="Why there is no score.")


class SideBySideOut(Out):
    """A sample that all versions have; `gap`: how far the first one is ahead, negative where it is behind."""

    sample_id: str
    prompt: str
    gap: Number
    answers: list[AnswerOut | None]


class SideBySidePage(Page[SideBySideOut]):
    """Samples, those first where the first version is furthest behind."""

    task: str
    metric: str
    total: int = Field(description="Samples that are asked for.")
    shared: int = Field(description="Samples that all versions have.")
