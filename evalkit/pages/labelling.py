"""Labelling: a person says what a sample is worth, one a screen, so that judges can be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Form, Path, Query, Request, Response
from pydantic import BaseModel, Field

from evalkit.judging.assignments import MOST_DRAWS, Assignment, Key, assign
from evalkit.judging.labelling import SKIP
from evalkit.pages import forms
from evalkit.pages.rendering import new_router, page, path
from evalkit.server.api.models import find
from evalkit.server.api.project import InProject
from evalkit.server.api.schema import ModelName
from evalkit.server.identity import needs
from evalkit.views import labelling
from judges.labels import Label
from registry.actors import ADMIN, APPROVER, EVALUATOR, LABELER, Actor
from registry.digests import short
from registry.entities import ModelVersion
from registry.pages import version_page

router = new_router()
Labels = Annotated[Actor, Depends(needs(LABELER, EVALUATOR, APPROVER, ADMIN))]
Number = Annotated[int, Path(ge=1, le=10**9)]
TaskName = Annotated[str, Path(max_length=60)]
SHOWN = 100
_LONGEST = 20_000
_CHANGED = "This sample was labelled in another tab meanwhile; its newest label stays unless you give another one."


class What(BaseModel):
    """Which labels of a task."""

    metric: str = Field("", max_length=60)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    n: int = Field(100, ge=1, le=MOST_DRAWS)

    def query(self, **more: object) -> str:
        """The same in an address."""
        told = {"metric": self.metric, "seed": self.seed, "n": self.n, **more}
        return urlencode({name: value for name, value in told.items() if value not in ("", None)})


class Chosen:
    """A draw to label again, and whether somebody else's tab has changed its label."""

    def __init__(
        self, draw: Annotated[int | None, Query(ge=0, lt=MOST_DRAWS)] = None, changed: Annotated[bool, Query()] = False
    ) -> None:
        self.draw, self.changed = draw, changed


class Given(What):
    """What a form of the labelling page says.

    `population` names the samples that were drawn from, and `replaces` the moment of the label that the page showed.
    """

    draw: int = Field(ge=0, lt=MOST_DRAWS)
    population: str = Field(max_length=64)
    replaces: str = Field("", max_length=20)
    answer: str = Field(max_length=8)


@dataclass(frozen=True, slots=True)
class Line:
    """A task that can be labelled, with where to label it and to see the labels."""

    of: labelling.Line
    href: str
    all: str


@dataclass(frozen=True, slots=True)
class Part:
    """A text of a sample; `left_out` characters of it are not shown."""

    title: str
    text: str
    left_out: int


class Place:
    """A task of a version, as an address names it."""

    def __init__(self, project: InProject, name: ModelName, number: Number, task: TaskName) -> None:
        self.project, self.task = project, task
        self.version: ModelVersion = find(project, name, str(number))
        self.address = _address(name, number, task)

    def key(self, what: What) -> Key:
        """Of which labels."""
        return Key(self.version.id, self.task, what.metric, what.seed)

    def assigned(self, what: What) -> Assignment:
        """What to label."""
        return assign(self.project.session, self.version, self.task, what.metric, what.seed)


At = Annotated[Place, Depends()]


@router.get("/label", dependencies=[Depends(needs())])
def choose(
    request: Request, project: InProject, start: Annotated[int, Query(ge=0, le=10**6)] = 0,
    model: Annotated[str, Query(max_length=255)] = "",
) -> Response:  # fmt: skip
    """What there is to label: judged scores of the newest versions, and texts without a judge."""
    everything = labelling.lines(project)
    found = [line for line in everything if model in {"", line.task.model}]
    lines = []
    for line in found[start : start + SHOWN]:
        href = _address(line.task.model, line.task.number, line.task.task)
        query = What(metric=line.task.metric).query()
        lines.append(Line(line, f"{href}?{query}", f"{href}/labels?{query}"))
    return page(
        request, "label_list.html", lines=lines, total=len(found), start=start, size=SHOWN, model=model,
        models=sorted({line.task.model for line in everything}),
    )  # fmt: skip


@router.get("/label/{name}/{number}/{task}")
def label(
    request: Request, actor: Labels, at: At, what: Annotated[What, Query()], chosen: Annotated[Chosen, Depends()]
) -> Response:
    """The next sample, without what any judge said of it; or one that was labelled, to be labelled again."""
    found = at.assigned(what)
    asked = labelling.asked(found, actor.name, what.n, chosen.draw)
    texts = [Part(title, text[:_LONGEST], max(0, len(text) - _LONGEST)) for title, text in asked.parts]
    return page(
        request, "label.html", found=found, what=what, here=at.address, asked=asked, texts=texts, skip=SKIP,
        image=_image(found, asked), notice=_CHANGED if chosen.changed else "",
    )  # fmt: skip


@router.post("/label/{name}/{number}/{task}", dependencies=[Depends(forms.checked)])
def store(actor: Labels, at: At, given: Annotated[Given, Form()]) -> Response:
    """Keep a label of exactly the sample that the page showed, and go to the next one."""
    replaces = int(given.replaces) if given.replaces.isdecimal() else None
    answer = labelling.Given(given.draw, given.n, given.population, given.answer, replaces)
    stored = labelling.store(at.assigned(given), actor.name, answer)
    query = What(metric=given.metric, seed=given.seed, n=given.n).query
    more = {"draw": given.draw, "changed": "true"} if stored.changed else {}
    return forms.back_to(f"{at.address}?{query(**more)}")


@router.get("/label/{name}/{number}/{task}/labels", dependencies=[Depends(needs())])
def labelled(
    request: Request, at: At, what: Annotated[What, Query()], start: Annotated[int, Query(ge=0, le=10**6)] = 0
) -> Response:
    """What was labelled, by whom; and from there to a calibration."""
    labels = labelling.all_labels(at.key(what), at.project.settings.home)
    labels.sort(key=lambda label: -(label.time or 0))
    people: dict[str, list[Label]] = {}
    for one in labels:
        people.setdefault(one.labeller or "", []).append(one)
    counted = [
        (who, len(theirs), len({one.sample_id for one in theirs}), sum(one.value is None for one in theirs))
        for who, theirs in sorted(people.items())
    ]
    return page(
        request, "labels.html", version=at.version, task=at.task, what=what, here=at.address,
        labels=labels[start : start + SHOWN], total=len(labels), start=start, size=SHOWN, people=counted,
    )  # fmt: skip


@router.get("/label/{name}/{number}/{task}/labels.jsonl", dependencies=[Depends(needs())])
def download(at: At, what: Annotated[What, Query()]) -> Response:
    """All labels as JSON lines: what `evalkit judge calibrate --labels` reads."""
    content = labelling.content(at.key(what), at.project.settings.home)
    headers = {"Content-Disposition": 'attachment; filename="labels.jsonl"', "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type="application/x-ndjson")


@router.post(
    "/label/{name}/{number}/{task}/calibrate", dependencies=[Depends(needs(EVALUATOR)), Depends(forms.checked)]
)
def calibrate(at: At, what: Annotated[What, Form()]) -> Response:
    """Compare the stored verdicts with these labels, and keep the result as `evalkit judge calibrate` does."""

    made = labelling.calibrate(at.project, at.version, at.key(what))
    return forms.back_to(f"/evalkit/judges/{path(made.report.judge)}")


def _image(found: Assignment, asked: labelling.Asked) -> str:
    """Address of the image to label; empty where there is none."""
    if asked.draw is None or asked.sample is None or asked.sample.image is None:
        return ""
    outputs = short(found.evaluation.details["tasks"][found.key.task]["outputs"])
    home = version_page(found.version.name, found.version.version)
    return f"{home}/images/{path(found.key.task)}/{path(asked.draw.sample_id)}.png?outputs={outputs}&size=large"


def _address(name: str, number: int, task: str) -> str:
    return f"/evalkit/label/{path(name)}/{number}/{path(task)}"
