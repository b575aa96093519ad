"""Samples of an evaluation, its slices, and what its outputs miss."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evalkit.server.api.schema.base import Number, Out, Page


class ScoredOut(Out):
    """One score of a sample: null with the reason where there is none."""

    metric: str
    value: Number
    reason: str | None
    units: str


class SaidOut(Out):
    """What a judge said of a sample."""

    judge: str
    value: Number
    label: str | None
    rationale: str | None
    flags: list[str]


class SampleOut(Out):
    """A sample with its output, scores and rationales; texts have at most 20,000 characters."""

    sample_id: str
    place: int = Field(description="In the order in which samples were made, from 0.")
    prompt: str | None
    text: str | None
    error: str | None
    expected: list[str]
    context: list[str]
    image: str | None = Field(description="Address of the image.")
    scores: list[ScoredOut]
    said: list[SaidOut]
    suspected: bool = Field(description="Whether the output seems to address its judge.")


class SamplePage(Page[SampleOut]):
    """Samples of one task under the filters."""

    task: str
    metric: str | None = Field(description="What they are ordered by.")
    total: int
    unscored: int = Field(description="Of them without a score.")
    metrics: list[str] = Field(description="Those with a score for each sample.")
    slices: list[str] = Field(description="`name=value` of the slices that the samples have.")


class SliceOut(Out):
    """A slice; with `estimate` where one was asked for."""

    slice: str
    estimate: dict[str, Any] | None = None


class MissedOut(Out):
    """Like images of the reference that no output comes near; `share` is that of the reference."""

    share: Number
    images: list[str] = Field(description="Addresses.")


class RepeatedOut(Out):
    """Outputs that hardly differ; `closeness` is relative to the distances between reference images."""

    samples: list[str]
    closeness: Number


class CopyOut(Out):
    """An output and the reference image that it is nearest to.

    `closeness` is relative to the distance from that image to its own neighbour.
    """

    sample: str
    image: str | None = Field(description="Address of the reference image; null where the reference is not at hand.")
    closeness: Number


class ModesOut(Out):
    """What the outputs of a task miss of its reference, where they repeat, and what they copy."""

    task: str
    share: Number = Field(description="Of the reference that no output comes near.")
    missed: list[MissedOut]
    repeated: list[RepeatedOut]
    copies: list[CopyOut]
