"""Samples of a version: the gallery with its filters, and the images in it."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from evalkit.errors import NotFoundError
from evalkit.pages.rendering import new_router, page
from evalkit.pages.version import Number
from evalkit.server.api.models import find
from evalkit.server.api.pictures import SIDES, picture
from evalkit.server.api.project import InProject
from evalkit.server.api.schema import ModelName
from evalkit.server.identity import needs
from evalkit.views import gallery, judged
from evalkit.views.modes import reference_image
from evalkit.views.stored import stored_task
from registry.digests import short
from registry.pages import version_page

router = new_router()


class Filters(BaseModel):
    """Which samples, in which order."""

    evaluation: str = Field("", pattern=r"^(?:[0-9a-f-]{36})?$")
    task: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,60}$")
    metric: str = Field("", max_length=100)
    slice: str = Field("", max_length=500)
    order: Literal["worst", "best", "made"] = "worst"
    unscored: bool = False
    start: int = Field(0, ge=0, le=10**9)

    def following(self, **chosen: object) -> str:
        """The same as a query, with what was chosen in place of what is empty."""
        given = {**self.model_dump(exclude_defaults=True, exclude={"start"}), **chosen}
        return urlencode(
            {name: str(value).lower() if value is True else value for name, value in given.items() if value}
        )


class Shot(BaseModel):
    """Which image: of these outputs, in this size."""

    outputs: str = Field(pattern="^[0-9a-f]{12}$")
    size: Literal["small", "large"] = "small"


class Place:
    """Which sample of which task a request asks for an image of."""

    def __init__(
        self, request: Request, task: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,60}$")], sample_id: str,
        shot: Annotated[Shot, Query()],
    ) -> None:  # fmt: skip
        self.request, self.task, self.sample_id, self.shot = request, task, sample_id, shot


@router.get("/models/{name}/{number:int}/samples", dependencies=[Depends(needs())])
def samples(
    request: Request, project: InProject, name: ModelName, number: Number, chosen: Annotated[Filters, Query()]
) -> Response:
    """Samples of one task, the worst first."""
    version = find(project, name, str(number))
    evaluation, decision = judged.chosen(project.engine, version, chosen.evaluation or None)
    if evaluation is None or not evaluation.details.get("tasks"):
        raise NotFoundError(f"{version.reference} has no samples yet; run `evalkit evaluate {version.reference}`")
    tasks = sorted(evaluation.details["tasks"])
    task = stored_task(project.settings.home, evaluation, chosen.task or tasks[0])
    if task is None:
        raise NotFoundError(f"{version.reference} was not evaluated on a task '{chosen.task}'")
    addresses = [rule.metric.partition("/") for rule in decision.rules] if decision is not None else []
    gated = [rest.partition(".")[0] for name_, _, rest in addresses if name_ == task.name]
    metric = chosen.metric or gallery.default_metric(task, gated)
    wanted = gallery.Wanted(metric, chosen.slice if metric else "", chosen.order, chosen.unscored, chosen.start)
    found = gallery.gallery(task, wanted, gallery.answers_of(project, version, evaluation, task))
    return page(
        request, "samples.html", version=version, home=version_page(name, number), task=task, tasks=tasks,
        wanted=wanted, found=found, kept=chosen.following(task=task.name, metric=metric),
        evaluation=chosen.evaluation, outputs=short(task.record["outputs"]),
    )  # fmt: skip


@router.get("/models/{name}/{number:int}/images/{task}/{sample_id:path}.png", dependencies=[Depends(needs())])
def image(project: InProject, name: ModelName, number: Number, at: Annotated[Place, Depends()]) -> Response:
    """An output as a PNG of our own making. Its address names the outputs that it is of, so that it may be kept."""
    version_id = judged.known_version(project.engine, name, number)
    evaluation = judged.evaluation_with(project.engine, version_id, at.shot.outputs, at.task)
    stored = stored_task(project.settings.home, evaluation, at.task)
    place = stored.place_of(at.sample_id) if stored is not None else None
    if stored is None or place is None:
        raise NotFoundError(f"there is no sample '{at.sample_id}'")
    return picture(at.request, stored.image_at(place), SIDES[at.shot.size])


@router.get("/models/{name}/{number:int}/modes/{key}/{place:int}.png", dependencies=[Depends(needs())])
def reference(request: Request, project: InProject, key: str, place: int) -> Response:
    """An image of the reference that a mode is shown with."""
    return picture(request, reference_image(project.settings.home, key, place), SIDES["small"])
