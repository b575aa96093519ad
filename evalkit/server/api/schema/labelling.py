"""Labels that people give, and what they are asked."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, Field

from evalkit.judging.assignments import MOST_DRAWS
from evalkit.server.api.schema.base import In, Number, Out, Page

TaskName = Annotated[str, Path(max_length=60, description="A task of the version's suite.")]
DrawQuery = Annotated[int | None, Query(ge=0, lt=MOST_DRAWS, description="One that was labelled, to be asked again.")]


class Which(BaseModel):
    """Which labels of a task."""

    metric: str = Field("", max_length=60, description="A judged score; empty for outputs without a judge.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of the draws.")


class WhichDraws(Which):
    """Which labels of a task, and how many draws."""

    n: int = Field(100, ge=1, le=MOST_DRAWS, description="Draws to label.")


class LabelTaskOut(Out):
    """A task that can be labelled, of the newest version of a model."""

    model: str
    version: int
    task: str
    metric: str
    samples: int
    labels: int = Field(description="Given so far, whatever the seed.")
    people: int


class ChoiceOut(Out):
    """An answer that may be given."""

    key: str
    value: float | None = Field(description="On the judge's scale; null for what cannot be told.")
    title: str


class PartOut(Out):
    """A text of a sample."""

    title: str
    text: str


class LabelOut(Out):
    """A label; `value` is null with a `reason` where the sample could not be told."""

    sample_id: str
    value: Number
    reason: str | None
    probability: float | None = Field(description="With which the sample was drawn: its chance of inclusion.")
    labeller: str | None
    time: int | None
    draw: int | None


class LabelPage(Page[LabelOut]):
    """Labels of all labellers, newest first."""

    total: int


class AssignmentOut(Out):
    """What to label next, and how far the labeller is; `draw` is null where all draws have a label."""

    model: str
    version: int
    task: str
    metric: str
    seed: int
    n: int
    labelled: int = Field(description="Draws with a label.")
    samples: int = Field(description="Samples that these are of.")
    draw: int | None
    sample_id: str | None
    probability: float | None
    parts: list[PartOut] = Field(description="Without what any judge said of it.")
    image: str | None = Field(description="Address of the image to label.")
    choices: list[ChoiceOut]
    known: LabelOut | None = Field(description="The labeller's label of this sample.")
    before: int | None = Field(description="The draw that was labelled before this one.")
    population: str = Field(description="Names the samples that are drawn from; sent back with the label.")


class LabelIn(In, WhichDraws):
    """An answer to an assignment."""

    draw: int = Field(ge=0, lt=MOST_DRAWS)
    population: str = Field(max_length=64)
    answer: str = Field(max_length=8, description="The key of one of the choices.")
    replaces: int | None = Field(None, ge=0, le=2**53, description="`time` of the known label that this one replaces.")


class CalibrateIn(In, Which):
    """Which labels to compare the stored verdicts with."""
