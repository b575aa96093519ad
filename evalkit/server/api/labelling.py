"""``/labelling``: people say what samples are worth, so that judges can be measured."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Response

from evalkit.errors import ConflictError
from evalkit.judging.assignments import Assignment, Key, assign
from evalkit.judging.labelling import CANNOT_TELL, SKIP
from evalkit.project import Project
from evalkit.server.api import paging
from evalkit.server.api.judges import calibration_out
from evalkit.server.api.models import Anybody, find
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.samples import image_address
from evalkit.server.api.schema import Cursor, Limit, ModelName, Page
from evalkit.server.api.schema.judges import CalibrationOut
from evalkit.server.api.schema.labelling import (
    AssignmentOut,
    CalibrateIn,
    ChoiceOut,
    DrawQuery,
    LabelIn,
    LabelOut,
    LabelPage,
    LabelTaskOut,
    PartOut,
    TaskName,
    Which,
    WhichDraws,
)
from evalkit.server.identity import needs
from evalkit.views import labelling
from registry.actors import ADMIN, APPROVER, EVALUATOR, LABELER, Actor
from registry.entities import ModelVersion

router = new_router("labelling")
Labels = Annotated[Actor, Depends(needs(LABELER, EVALUATOR, APPROVER, ADMIN))]
Number = Annotated[int, Path(ge=1, le=10**9)]
_LONGEST = 20_000


class Place:
    """A task of a version, as an address names it."""

    def __init__(self, project: InProject, name: ModelName, version: Number, task: TaskName) -> None:
        self.project: Project = project
        self.task = task
        self.version: ModelVersion = find(project, name, str(version))

    def key(self, which: Which) -> Key:
        """Of which labels."""
        return Key(self.version.id, self.task, which.metric, which.seed)

    def assigned(self, which: Which) -> Assignment:
        """What to label."""
        return assign(self.project.session, self.version, self.task, which.metric, which.seed)


At = Annotated[Place, Depends()]


@router.get("/labelling", dependencies=[Anybody], summary="What can be labelled")
def list_tasks(
    project: InProject, model: Annotated[str | None, Query(max_length=255)] = None, cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[LabelTaskOut]:  # fmt: skip
    """Judged scores of the newest versions, and outputs without a judge, with the labels that there are."""
    found = [line for line in labelling.lines(project) if model in {None, line.task.model}]
    items, following = paging.cut(found, cursor, limit)
    return Page(
        items=[
            LabelTaskOut(
                model=one.task.model, version=one.task.number, task=one.task.task, metric=one.task.metric,
                samples=one.task.samples, labels=one.labels, people=one.people,
            )
            for one in items
        ],
        next=following,
    )  # fmt: skip


@router.get("/labelling/{name}/{version}/{task}", summary="What to label next")
def get_assignment(
    actor: Labels, at: At, which: Annotated[WhichDraws, Query()], draw: DrawQuery = None
) -> AssignmentOut:
    """A sample with its chance to be drawn, and how far the labeller is; without what any judge said of it."""
    found = at.assigned(which)
    return _assignment(found, which, labelling.asked(found, actor.name, which.n, draw))


@router.post(
    "/labelling/{name}/{version}/{task}/labels", status_code=201, summary="Label a sample",
    responses={200: {"model": LabelOut, "description": "The same label was there already."}},
)  # fmt: skip
def add_label(actor: Labels, at: At, body: LabelIn, response: Response) -> LabelOut:
    """It is on disk when this answers. Refused (409) where other samples are drawn from by now, or where the sample has
    another label of this labeller than the one that `replaces` names.
    """
    given = labelling.Given(body.draw, body.n, body.population, body.answer, body.replaces)
    stored = labelling.store(at.assigned(body), actor.name, given)
    if stored.changed:
        raise ConflictError(
            f"you labelled this sample otherwise at {stored.label.time}; name that time as `replaces` to replace it"
        )
    if stored.repeated:
        response.status_code = 200
    return LabelOut.model_validate(stored.label)


@router.get(
    "/labelling/{name}/{version}/{task}/labels", dependencies=[Anybody], summary="Labels of a task, newest first"
)
def list_labels(at: At, which: Annotated[Which, Query()], cursor: Cursor = None, limit: Limit = 100) -> LabelPage:
    """Of all labellers, with the chance with which each sample was drawn."""
    labels = labelling.all_labels(at.key(which), at.project.settings.home)
    labels.sort(key=lambda one: -(one.time or 0))
    items, following = paging.cut(labels, cursor, limit)
    return LabelPage(items=[LabelOut.model_validate(one) for one in items], next=following, total=len(labels))


@router.post(
    "/labelling/{name}/{version}/{task}/calibrations", dependencies=[Depends(needs(EVALUATOR))], status_code=201,
    summary="Compare a judge with the labels",
)  # fmt: skip
def add_calibration(at: At, body: CalibrateIn) -> CalibrationOut:
    """Of the judge's stored verdicts; kept as `evalkit judge calibrate` does."""
    return calibration_out(labelling.calibrate(at.project, at.version, at.key(body)))


def _assignment(found: Assignment, which: WhichDraws, asked: labelling.Asked) -> AssignmentOut:
    draw, sample = asked.draw, asked.sample
    image = None
    if draw is not None and sample is not None and sample.image is not None:
        image = image_address(found.evaluation.id, found.key.task, draw.sample_id)
    choices = [ChoiceOut(key=one.key, value=one.value, title=one.title) for one in found.choices]
    return AssignmentOut(
        model=found.version.name, version=found.version.version, task=found.key.task, metric=found.key.metric,
        seed=found.key.seed, n=which.n, labelled=asked.labelled, samples=asked.samples,
        draw=None if draw is None else draw.draw, sample_id=None if draw is None else draw.sample_id,
        probability=None if draw is None else draw.probability,
        parts=[PartOut(title=title, text=text[:_LONGEST]) for title, text in asked.parts], image=image,
        choices=[*choices, ChoiceOut(key=SKIP, value=None, title=CANNOT_TELL)],
        known=None if asked.known is None else LabelOut.model_validate(asked.known), before=asked.before,
        population=asked.population,
    )  # fmt: skip
