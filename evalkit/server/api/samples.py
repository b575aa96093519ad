"""Samples of an evaluation, its slices and its images: what stands behind its numbers."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Path, Query, Request, Response

from evalkit.errors import NotFoundError
from evalkit.project import Project
from evalkit.reports.scorecard import spec_named
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody
from evalkit.server.api.pictures import SIDES, picture
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import PREFIX, new_router
from evalkit.server.api.schema import Cursor, Few, Key, Limit, Page, SliceQuery, TaskQuery
from evalkit.server.api.schema.samples import CopyOut, MissedOut, ModesOut, RepeatedOut, SampleOut, SamplePage, SliceOut
from evalkit.views import gallery, judged
from evalkit.views.modes import Modes, modes_of_task, reference_image
from evalkit.views.stored import StoredTask, stored_task
from metrics.errors import InputError
from registry.entities import Decision, Evaluation, ModelVersion

router = new_router("samples")
_LONGEST = 20_000
_SLICES = 1000
PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}, "description": "A PNG."}
}
Size = Annotated[Literal["small", "large"], Query(description="At most 256 or 1024 pixels wide and high.")]


@router.get("/evaluations/{key}/samples", dependencies=[Anybody], summary="Samples of an evaluation, the worst first")
def list_samples(
    project: InProject, key: Key, *, task: TaskQuery = None,
    metric: Annotated[str | None, Query(max_length=100, description="What orders them; else a gated one.")] = None,
    slice_: SliceQuery = None,
    order: Annotated[Literal["worst", "best", "made"], Query(description="`made`: as they were generated.")] = "worst",
    unscored: Annotated[bool, Query(description="Those without a score alone.")] = False,
    cursor: Cursor = None, limit: Few = 24,
) -> SamplePage:  # fmt: skip
    """One task's samples with outputs, scores and what judges said.

    What was expected is told where the server has the data that were judged.
    """
    evaluation, decision = judged.by_key(project.engine, key)
    stored = _task(project, evaluation, task)
    by = metric or gallery.default_metric(stored, _gated(decision, stored.name))
    if by is None and (slice_ or unscored):
        raise InputError(f"'{stored.name}' has no score per sample, and so no slices and nothing unscored")
    start = paging.place(cursor)
    wanted = gallery.Wanted(by, slice_ or "", order, unscored, start, limit, _LONGEST)
    version = _version(project, evaluation)
    answers = gallery.answers_of(project, version, evaluation, stored) if version is not None else None
    found = gallery.gallery(stored, wanted, answers)
    return SamplePage(
        items=[_told(key, stored.name, one) for one in found.samples],
        next=paging.beyond(start + limit, found.total), task=stored.name, metric=by, total=found.total,
        unscored=found.unscored, metrics=list(found.metrics), slices=list(found.slices),
    )  # fmt: skip


@router.get(
    "/evaluations/{key}/image", dependencies=[Anybody], summary="An image of an evaluation", response_class=Response,
    responses=PNG,
)  # fmt: skip
def get_image(
    request: Request, project: InProject, key: Key, *, task: Annotated[str, Query(max_length=60)],
    sample: Annotated[str, Query(max_length=1000, description="Its id.")], size: Size = "small",
) -> Response:  # fmt: skip
    """An output, encoded again as a PNG of the server's own making."""
    evaluation, _ = judged.by_key(project.engine, key)
    stored = _task(project, evaluation, task)
    place = stored.place_of(sample)
    if place is None:
        raise NotFoundError(f"there is no sample '{sample[:100]}'")
    return picture(request, stored.image_at(place) if stored.pictures else None, SIDES[size])


@router.get("/evaluations/{key}/slices", dependencies=[Anybody], summary="Slices of an evaluation")
def list_slices(
    project: InProject, key: Key, *,
    estimate: Annotated[
        str | None, Query(max_length=300, description="`task/metric` or `task/metric.key`: where it is worst first.")
    ] = None,
    cursor: Cursor = None, limit: Limit = 100,
) -> Page[SliceOut]:  # fmt: skip
    """By name; with `estimate` those that have it, the worst first."""
    evaluation, _ = judged.by_key(project.engine, key)
    if estimate is None:
        names, following = paging.cut(judged.slices(project.engine, evaluation), cursor, limit)
        return Page(items=[SliceOut(slice=name) for name in names], next=following)
    task, _, rest = estimate.partition("/")
    metric, _, part = rest.partition(".")
    record = evaluation.details.get("tasks", {}).get(task, {}).get("metrics", {}).get(metric)
    if record is None:
        raise NotFoundError(f"the evaluation has no estimate '{estimate[:100]}'")
    direction = spec_named(metric, record["settings"]).direction_of(part or "value")
    if direction == "none":
        raise InputError(f"neither more nor less of '{estimate[:100]}' is better: it is worst nowhere")
    lines = judged.worst_slices(project.engine, evaluation, estimate, direction, _SLICES)
    shown, following = paging.cut(lines, cursor, limit)
    return Page(items=[SliceOut(slice=one.slice, estimate=one.estimate.to_json()) for one in shown], next=following)


@router.get(
    "/evaluations/{key}/modes", dependencies=[Anybody], summary="What images miss, repeat and copy of their reference"
)
def get_modes(project: InProject, key: Key, task: TaskQuery = None) -> ModesOut:
    """Found from the stored features of outputs and reference."""
    evaluation, _ = judged.by_key(project.engine, key)
    stored, modes = _modes(project, evaluation, task)
    names = {place: row["sample_id"] for place, row in stored.outputs_at(modes.places).items()}

    def address(place: int) -> str:
        return f"{PREFIX}/evaluations/{key}/modes/{place}?{urlencode({'task': stored.name})}"

    return ModesOut(
        task=stored.name, share=modes.share,
        missed=[MissedOut(share=one.share, images=[address(place) for place in one.images]) for one in modes.missed],
        repeated=[
            RepeatedOut(samples=[names[place] for place in one.generated], closeness=one.closeness)
            for one in modes.groups
        ],
        copies=[
            CopyOut(
                sample=names[one.generated], image=None if one.image is None else address(one.image),
                closeness=one.closeness,
            )
            for one in modes.copies
        ],
    )  # fmt: skip


@router.get(
    "/evaluations/{key}/modes/{place}", dependencies=[Anybody], summary="An image of a reference",
    response_class=Response, responses=PNG,
)  # fmt: skip
def get_reference_image(
    request: Request, project: InProject, key: Key, place: Annotated[int, Path(ge=0, le=2**53)], task: TaskQuery = None
) -> Response:
    """One of those that `modes` names."""
    evaluation, _ = judged.by_key(project.engine, key)
    _, modes = _modes(project, evaluation, task)
    return picture(request, reference_image(project.settings.home, modes.key, place), SIDES["small"])


def image_address(key: str, task: str, sample_id: str) -> str:
    """Where an image of an evaluation is."""
    return f"{PREFIX}/evaluations/{key}/image?{urlencode({'task': task, 'sample': sample_id})}"


def _task(project: Project, evaluation: Evaluation, name: str | None) -> StoredTask:
    tasks = sorted(evaluation.details.get("tasks", {}))
    chosen = name or next(iter(tasks), "")
    found = stored_task(project.settings.home, evaluation, chosen)
    if found is None:
        what = f"task '{chosen[:60]}'" if chosen else "samples"
        raise NotFoundError(f"the evaluation has no {what}")
    return found


def _modes(project: Project, evaluation: Evaluation, task: str | None) -> tuple[StoredTask, Modes]:
    stored, version = _task(project, evaluation, task), _version(project, evaluation)
    found = modes_of_task(project, version, evaluation, stored) if version is not None else None
    if found is None:
        raise NotFoundError(f"'{stored.name}' has no images that are compared with a reference")
    return stored, found


def _version(project: Project, evaluation: Evaluation) -> ModelVersion | None:
    """The version; None where MLflow has it no longer."""
    try:
        return project.registry.version_by_id(evaluation.version_id)
    except InputError:
        return None


def _gated(decision: Decision | None, task: str) -> list[str]:
    addresses = [rule.metric.partition("/") for rule in decision.rules] if decision is not None else []
    return [rest.partition(".")[0] for name, _, rest in addresses if name == task]


def _told(key: str, task: str, one: gallery.SampleView) -> SampleOut:
    return SampleOut.model_validate(
        {
            "sample_id": one.sample_id, "place": one.place, "prompt": one.prompt, "text": one.text, "error": one.error,
            "expected": list(one.expected), "context": list(one.context), "scores": list(one.scores),
            "said": list(one.said), "suspected": one.suspected,
            "image": image_address(key, task, one.sample_id) if one.picture else None,
        }
    )  # fmt: skip
