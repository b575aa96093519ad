"""``/comparisons``: versions beside each other, number by number and sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from evalkit.errors import NotFoundError
from evalkit.evidence import SPEED
from evalkit.judging.versions import scores_of
from evalkit.project import Project
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody, find
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.samples import image_address
from evalkit.server.api.schema import Cursor, Few, Limit, MetricQuery, Page, SliceQuery, TaskQuery
from evalkit.server.api.schema.comparisons import (
    AnswerOut,
    ComparedOut,
    ComparisonOut,
    DifferenceOut,
    MarkedOut,
    ScoresOut,
    SharedTaskOut,
    SideBySideOut,
    SideBySidePage,
    WinsOut,
)
from evalkit.views import comparing, side_by_side
from evalkit.views.comparing import Difference, Side
from metrics.base import Estimate
from metrics.errors import InputError

router = new_router("comparisons")
MOST = 4
"""Versions that are compared at once."""
_RANKED = 50
_LONGEST = 20_000
Versions = Annotated[
    list[str],
    Query(
        min_length=1, max_length=MOST, description="Two to four, `name/7` or `name@champion`; with commas, or repeated."
    ),
]


@router.get("/comparisons", dependencies=[Anybody], summary="Differences of two or more versions")
def compare(
    project: InProject, versions: Versions, slice_: SliceQuery = None, cursor: Cursor = None, limit: Limit = 200
) -> ComparisonOut:
    """The first version against each of the others: paired differences with intervals, and win rates."""
    sides = _sides(project, versions)
    first, *others = sides
    slices = comparing.shared_slices(first, others)
    if slice_ and slice_ not in slices:
        raise InputError(f"these versions share no estimates on a slice '{slice_[:100]}'")
    found = [(other, one) for other in others for one in comparing.differences(project, first, other, slice_ or "")]
    items, following = paging.cut(found, cursor, limit)
    return ComparisonOut(
        items=[_difference(other, one) for other, one in items], next=following,
        versions=[_compared(one) for one in sides], slices=slices,
        tasks=[
            SharedTaskOut(name=one.name, pictures=one.pictures, metrics=list(one.metrics))
            for one in side_by_side.tasks(sides)
        ],
    )  # fmt: skip


@router.get("/comparisons/samples", dependencies=[Anybody], summary="Samples of versions, side by side")
def compare_samples(
    project: InProject, versions: Versions, *, task: TaskQuery = None, metric: MetricQuery = None,
    only: Annotated[bool, Query(description="Leave out samples with the same answers and scores.")] = False,
    cursor: Cursor = None, limit: Few = 20,
) -> SideBySidePage:  # fmt: skip
    """Where the first version is furthest behind first; with an empty `metric` in the task's order.

    Without a `metric` they are ordered by the first one that is no speed.
    """
    sides = _sides(project, versions)
    tasks = side_by_side.tasks(sides)
    chosen = next((one for one in tasks if task in {None, one.name}), None)
    if chosen is None:
        raise NotFoundError(f"these versions share no task '{task}'" if task else "these versions share no task")
    by = metric if metric is not None else next((one for one in chosen.metrics if one not in SPEED), "")
    if by and by not in chosen.metrics:
        raise InputError(f"'{chosen.name}' has no score per sample of '{by}' that all versions share")
    start = paging.place(cursor)
    try:
        found = side_by_side.rows(sides, chosen.name, by, only=only, start=start, size=limit)
    except OSError:
        raise NotFoundError("the stored outputs cannot be read; evaluate again") from None
    return SideBySidePage(
        items=[_row(sides, chosen.name, one) for one in found.rows], next=paging.beyond(start + limit, found.total),
        task=chosen.name, metric=by, total=found.total, shared=found.shared,
    )  # fmt: skip


@router.get("/comparisons/scores", dependencies=[Anybody], summary="Scores of versions, sample by sample")
def list_scores(
    project: InProject,
    versions: Annotated[
        list[str], Query(min_length=1, max_length=_RANKED, description="`name/7` or `name@champion`; with commas, too.")
    ],
    metric: Annotated[str, Query(max_length=200, description="As `task/metric`.")],
    cursor: Cursor = None, limit: Limit = 1000,
) -> Page[ScoresOut]:  # fmt: skip
    """Of the newest evaluations that measured alike, higher is better: what `evalkit judge rank` ranks by."""
    named = comparing.references(versions)
    if not 1 <= len(named) <= _RANKED:
        raise InputError(f"{len(named)} versions are named; give 1 to {_RANKED}, as versions=name/1,name/2")
    known = {_named(*one): find(project, *one) for one in named}
    scores = scores_of(project.session, known, metric)
    samples = list(dict.fromkeys(sample for found in scores.values() for sample in found))
    items, following = paging.cut(samples, cursor, limit)
    return Page(
        items=[
            ScoresOut(sample_id=one, scores={name: found[one] for name, found in scores.items() if one in found})
            for one in items
        ],
        next=following,
    )  # fmt: skip


def _named(name: str, version: str) -> str:
    return f"{name}{version}" if version.startswith("@") else f"{name}/{version}"


def _sides(project: Project, versions: Sequence[str]) -> list[Side]:
    named = comparing.references(versions)
    if not 2 <= len(named) <= MOST:
        raise InputError(f"{len(named)} versions are named; give 2 to {MOST}, as versions=name/1,name/2")
    return comparing.aligned([comparing.side(project, find(project, *one)) for one in named])


def _compared(one: Side) -> ComparedOut:
    evaluation = one.evaluation
    return ComparedOut(
        reference=one.version.reference, name=one.version.name, version=one.version.version,
        evaluation=evaluation.id if evaluation is not None else None,
        suite_digest=evaluation.suite_digest if evaluation is not None else None,
    )  # fmt: skip


def _difference(other: Side, one: Difference) -> DifferenceOut:
    wins = one.wins
    return DifferenceOut(
        against=other.version.reference, task=one.task, name=one.name, slice=one.slice, direction=one.direction,
        units=one.units, left=one.left.to_json(), right=_json(one.right), change=_json(one.change), paired=one.paired,
        standing=one.standing, reason=one.reason,
        wins=None if wins is None else WinsOut(
            better=wins.better, same=wins.same, worse=wins.worse, rate=wins.rate.to_json()
        ),
    )  # fmt: skip


def _json(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_json()


def _row(sides: Sequence[Side], task: str, row: side_by_side.Row) -> SideBySideOut:
    answers: list[AnswerOut | None] = []
    for one, answer in zip(sides, row.answers, strict=True):
        if answer is None or one.evaluation is None:
            answers.append(None)
            continue
        answers.append(
            AnswerOut(
                reference=one.version.reference, text=None if answer.text is None else answer.text[:_LONGEST],
                words=[MarkedOut(mark=mark, text=text) for mark, text in answer.words],
                image=image_address(one.evaluation.id, task, row.sample_id) if answer.picture else None,
                error=answer.error, score=answer.score, unscored=answer.unscored,
            )
        )  # fmt: skip
    return SideBySideOut(sample_id=row.sample_id, prompt=row.prompt[:_LONGEST], gap=row.gap, answers=answers)
