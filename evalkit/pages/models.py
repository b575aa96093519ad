"""Models: the list, and one model over its versions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response

from evalkit.errors import NotFoundError
from evalkit.pages.charts import Chart, keep
from evalkit.pages.rendering import new_router, page
from evalkit.project import Project
from evalkit.reports.numbers import interval, number
from evalkit.server.api.project import InProject
from evalkit.server.api.schema import ModelName
from evalkit.server.identity import needs
from evalkit.views import comparing, history, inventory
from evalkit.views.comparing import Difference
from evalkit.views.history import Judged, Point
from metrics.base import Estimate
from metrics.errors import InputError
from registry.entities import ModelVersion
from registry.gate.evidence import Address

router = new_router()
MODELS, VERSIONS, CHARTS, MOVES, BESIDE = 50, 20, 6, 10, 12
"""Models, versions, charts, promotions and compared estimates on one page."""
UNDECIDED = "none"


@dataclass(frozen=True, slots=True)
class Trend:
    """One estimate over versions. `ruled`: whether a gate has a rule on it."""

    address: Address
    ruled: bool
    chart: Chart


@dataclass(frozen=True, slots=True)
class Duel:
    """The champion and the newest challenger; `rows` are challenger minus champion."""

    champion: ModelVersion
    challenger: ModelVersion
    rows: Sequence[Difference]
    evaluated: bool
    more: int


@router.get("/models", dependencies=[Depends(needs())])
def list_models(
    request: Request, project: InProject, *, name: Annotated[str, Query(max_length=255)] = "",
    outcome: Annotated[str, Query(max_length=20)] = "", kind: Annotated[str, Query(max_length=60)] = "",
    start: Annotated[int, Query(ge=0)] = 0,
) -> Response:  # fmt: skip
    """Models by name."""
    found = inventory.models(project)
    kept = [
        line for line in found
        if name.strip().casefold() in line.name.casefold() and outcome in {"", line.outcome or UNDECIDED}
        and kind in {"", line.kind}
    ]  # fmt: skip
    query = urlencode({"name": name, "outcome": outcome, "kind": kind})
    return page(
        request, "models.html", models=kept[start : start + MODELS], total=len(kept), known=len(found), start=start,
        size=MODELS, name=name, outcome=outcome, kind=kind, kinds=sorted({line.kind for line in found}), query=query,
        outcomes=("pass", "fail", "inconclusive", UNDECIDED),
    )  # fmt: skip


@router.get("/models/{name}", dependencies=[Depends(needs())])
def model(
    request: Request,
    project: InProject,
    name: ModelName,
    *,
    start: Annotated[int, Query(ge=0)] = 0,
    metric: Annotated[str, Query(max_length=200)] = "",
    slice_: Annotated[str, Query(alias="slice", max_length=500)] = "",
    first: Annotated[int, Query(ge=0)] = 0,
    moves: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """One model."""
    numbers = history.numbers(project, name)
    if not numbers:
        raise NotFoundError(f"there is no model '{name}' with a suite; `evalkit register {name} …` brings one")
    lines = history.lines(project, name, start, VERSIONS)
    judged = history.judged(project, name)
    known = history.addresses(project, judged)
    chosen = known[first : first + CHARTS]
    slices = history.slices(project, judged, metric) if metric else []
    slice_ = slice_ if slice_ in slices else ""
    if metric:
        if history.address_of(metric) not in known:
            raise NotFoundError(f"no version of '{name}' has an estimate '{metric}'")
        chosen = [one for one in (history.address_of(metric, slice_),) if one is not None]
    champion = next((n for n, held in project.registry.mlflow.aliases(name).items() if history.CHAMPION in held), None)
    moved, all_moves = history.promotions(project, name, moves, MOVES)
    trends = _trends(project, judged, chosen, champion)
    return page(
        request, "model.html", name=name, lines=lines, total=len(numbers), start=start, size=VERSIONS,
        newest=numbers[0], kind=lines[0].kind if lines else "", champion=champion, trends=trends, known=known,
        metric=metric, slice=slice_, slices=slices, first=first,
        charts=CHARTS, drawn=len(judged), moved=moved, moves=moves, all_moves=all_moves, move_size=MOVES,
        duel=_duel(project, name, numbers, champion, known), policy=project.registry.policy(name),
        monitors=[one for one in inventory.monitors(project.engine) if one.model_name == name],
    )  # fmt: skip


def _trends(project: Project, judged: Sequence[Judged], chosen: Sequence[Address], champion: int | None) -> list[Trend]:
    found = history.points(project, judged, chosen)
    ruled = {address for one in judged for address in one.rules}
    return [
        Trend(address, address in ruled, _chart(project, address, points, champion))
        for address, points in found.items()
        if points
    ]


def _chart(project: Project, address: Address, points: Sequence[Point], champion: int | None) -> Chart:
    told = [
        {"at": f"v{one.version}", "value": one.value, "low": one.low, "high": one.high, "state": one.outcome}
        for one in points
    ]
    limits = [
        {"at": f"v{one.version}", "value": limit, "rule": side} for one in points for side, limit in one.limits
    ]  # fmt: skip
    marks = [
        {"at": f"v{one.version}", "label": label, "kind": "version"}
        for one in points
        if (label := _mark(one, champion))
    ]
    units = history.units(address)
    axis = f"{address.name} ({units})" if units else address.name
    data: dict[str, Any] = {"points": told, "ordinal": True, "limits": limits, "marks": marks, "title": axis}
    rows = [
        [
            f"version {one.version}" + (f", {mark}" if (mark := _mark(one, champion)) else ""),
            interval(Estimate(math.nan if one.value is None else one.value, one.low, one.high), units), f"{one.n:,}",
            ", ".join(f"{side} {number(limit, units)}" for side, limit in one.limits) or "none",
            one.outcome or "no rule",
        ]
        for one in reversed(points)
    ]  # fmt: skip
    return keep(
        project.settings.home, "trend", data, title=f"{address} over versions",
        header=("version", "estimate", "samples", "limit", "gate"), rows=rows,
    )  # fmt: skip


def _mark(point: Point, champion: int | None) -> str:
    marks = ["champion"] if point.version == champion else []
    return ", ".join(marks + (["new suite"] if point.new_suite else []))


def _duel(
    project: Project, name: str, numbers: Sequence[int], champion: int | None, known: Sequence[Address]
) -> Duel | None:
    """The champion against the newest version, where that is a later one."""
    if champion is None or not numbers or numbers[0] <= champion:
        return None
    try:
        held, rival = (project.registry.version(f"models:/{name}/{number}") for number in (champion, numbers[0]))
    except InputError:
        return None  # deleted in MLflow
    sides = comparing.aligned([comparing.side(project, version) for version in (rival, held)])
    found = {(one.name, one.slice): one for one in comparing.differences(project, sides[0], sides[1])}
    wanted = [found[key] for address in known if (key := (address.name, address.slice)) in found]
    evaluated = all(side.results for side in sides)
    return Duel(held, rival, wanted[:BESIDE], evaluated, max(len(wanted) - BESIDE, 0))
