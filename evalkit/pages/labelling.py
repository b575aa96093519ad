"""Labelling: a person says what a sample is worth, one a screen, so that judges can be measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Form, Path, Query, Request, Response
from pydantic import BaseModel, Field

from evalkit.errors import ConflictError, NotFoundError
from evalkit.judging.assignments import MOST_DRAWS, Assignment, Key, assign, keys
from evalkit.judging.labelling import SKIP, value_of
from evalkit.judging.uses import Task, tasks
from evalkit.pages import forms
from evalkit.pages.rendering import new_router, page, path
from evalkit.server.api.models import find
from evalkit.server.api.project import InProject
from evalkit.server.api.schema import ModelName
from evalkit.server.identity import needs
from judges.labels import Label, read_labels
from metrics.errors import InputError
from registry.actors import ADMIN, APPROVER, EVALUATOR, LABELER, Actor
from registry.digests import short
from registry.entities import ModelVersion

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
    """A task that can be labelled: `labels` by how many `people`."""

    task: Task
    labels: int
    people: int
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
    everything = tasks(project.engine)
    found = [task for task in everything if model in {"", task.model}]
    counted = _counted(project.settings.home)
    lines = []
    for task in found[start : start + SHOWN]:
        labels, people = counted.get((task.version_id, task.task, task.metric), (0, 0))
        href = _address(task.model, task.number, task.task)
        query = What(metric=task.metric).query()
        lines.append(Line(task, labels, people, f"{href}?{query}", f"{href}/labels?{query}"))
    return page(
        request, "label_list.html", lines=lines, total=len(found), start=start, size=SHOWN, model=model,
        models=sorted({task.model for task in everything}),
    )  # fmt: skip


@router.get("/label/{name}/{number}/{task}")
def label(
    request: Request, actor: Labels, at: At, what: Annotated[What, Query()], chosen: Annotated[Chosen, Depends()]
) -> Response:
    """The next sample, without what any judge said of it; or one that was labelled, to be labelled again."""
    found, draw = at.assigned(what), chosen.draw
    file = found.labels(actor.name, what.n)
    if file.pending() is None and len(file.done) < what.n:
        with found.writing(actor.name, what.n) as file:
            file.next()  # samples that were drawn again count again
    wanted = file.pending() if draw is None or draw >= what.n else file.draws[draw]
    done = {label.sample_id for label in file.done.values()}
    known = None
    texts: Sequence[Part] = ()
    if wanted is not None:
        wanted = next(one for one in file.draws if one.sample_id == wanted.sample_id)
        shown, sample = found.shown(wanted)
        if sample.image is not None and sample.output is None:
            raise InputError("images are labelled with `evalkit judge label`; this page shows texts")
        texts = [Part(title, text[:_LONGEST], max(0, len(text) - _LONGEST)) for title, text in shown.parts]
        known = next((one for one in file.done.values() if one.sample_id == wanted.sample_id), None)
    return page(
        request, "label.html", found=found, what=what, here=at.address, draw=wanted, texts=texts, known=known,
        skip=SKIP, labelled=len(file.done), samples=len(done), before=_before(file.draws, done, wanted),
        notice=_CHANGED if chosen.changed else "", population=_population(found),
    )  # fmt: skip


@router.post("/label/{name}/{number}/{task}", dependencies=[Depends(forms.checked)])
def store(actor: Labels, at: At, given: Annotated[Given, Form()]) -> Response:
    """Keep a label of exactly the sample that the page showed, and go to the next one."""
    found = at.assigned(given)
    if given.population != _population(found):
        raise ConflictError("other samples are drawn from now than on the page that you came from; load it again")
    if given.draw >= given.n:
        raise InputError(f"draw {given.draw} of {given.n}; expected one of the draws that the page shows")
    query = What(metric=given.metric, seed=given.seed, n=given.n).query
    with found.writing(actor.name, given.n) as file:
        draw = file.draws[given.draw]
        shown, _ = found.shown(draw)
        value, reason = value_of(given.answer, found.values, shown)
        known = next((one for one in file.done.values() if one.sample_id == draw.sample_id), None)
        if known is not None and str(known.time) != given.replaces:
            same = (known.value, known.reason) == (value, reason)  # a second click
            return forms.back_to(f"{at.address}?{query() if same else query(draw=given.draw, changed='true')}")
        file.ask_again(draw.sample_id)
        file.add(draw, value, reason)
        file.next()  # samples that were drawn again count again
    return forms.back_to(f"{at.address}?{query()}")


@router.get("/label/{name}/{number}/{task}/labels", dependencies=[Depends(needs())])
def labelled(
    request: Request, at: At, what: Annotated[What, Query()], start: Annotated[int, Query(ge=0, le=10**6)] = 0
) -> Response:
    """What was labelled, by whom; and from there to a calibration."""
    labels = _all(at.key(what), at.project.settings.home)
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
    content = _content(at.key(what), at.project.settings.home)
    if not content:
        raise NotFoundError("nothing was labelled here yet")
    headers = {"Content-Disposition": 'attachment; filename="labels.jsonl"', "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type="application/x-ndjson")


@router.post(
    "/label/{name}/{number}/{task}/calibrate", dependencies=[Depends(needs(EVALUATOR)), Depends(forms.checked)]
)
def calibrate(at: At, what: Annotated[What, Form()]) -> Response:
    """Compare the stored verdicts with these labels, and keep the result as `evalkit judge calibrate` does."""
    from evalkit.judging.asking import verdicts_of
    from evalkit.judging.calibrations import store_calibration
    from judges.calibration import report

    key, settings = at.key(what), at.project.settings
    content = _content(key, settings.home)
    if not content:
        raise NotFoundError("nothing was labelled here yet")
    asked = verdicts_of(at.project.session, at.version, f"{at.task}/{what.metric}")
    found = report(asked.verdicts, _all(key, settings.home), judge=asked.judge, judge_version=asked.version)
    store_calibration(settings, found, f"sha256:{hashlib.sha256(content).hexdigest()}")
    return forms.back_to(f"/evalkit/judges/{path(asked.judge)}")


def _population(found: Assignment) -> str:
    return short(found.design["population"], 32)


def _address(name: str, number: int, task: str) -> str:
    return f"/evalkit/label/{path(name)}/{number}/{path(task)}"


def _before(draws: Sequence[Any], done: set[str], draw: Any) -> int | None:
    """The draw whose sample was labelled before this one; None where there is none."""
    seen: dict[str, int] = {}
    for one in draws[: len(draws) if draw is None else draw.draw]:
        if one.sample_id in done:
            seen.setdefault(one.sample_id, one.draw)
    return max(seen.values(), default=None)


def _all(key: Key, home: FilePath) -> list[Label]:
    return [label for file in key.files(home) for label in read_labels(file)]


def _content(key: Key, home: FilePath) -> bytes:
    return b"".join(file.read_bytes() for file in key.files(home))


def _counted(home: FilePath) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Labels and labellers of what was labelled, whatever the seed."""
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for key in keys(home):
        labels, people = found.get((key.version_id, key.task, key.metric), (0, 0))
        for file in key.files(home):
            stat = file.stat()
            rows = _count(file, stat.st_mtime_ns, stat.st_size)
            labels, people = labels + rows, people + (rows > 0)
        found[key.version_id, key.task, key.metric] = labels, people
    return found


@lru_cache(maxsize=4096)
def _count(file: FilePath, _: int, size: int) -> int:
    return len(read_labels(file)) if size else 0
