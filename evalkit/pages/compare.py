"""Compare: versions beside each other, in an address that can be shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response

from evalkit.errors import NotFoundError
from evalkit.evidence import SPEED
from evalkit.pages.charts import Chart, keep
from evalkit.pages.rendering import new_router, page
from evalkit.project import Project
from evalkit.reports.numbers import interval
from evalkit.server.api.models import find
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views import comparing, inventory, side_by_side
from evalkit.views.comparing import Difference, Side
from evalkit.views.side_by_side import Found, Task
from metrics.errors import InputError

router = new_router()
MOST = 4
"""Versions that stand side by side."""
SAMPLES, ROWS = 10, 30
"""Samples, and estimates, on one page."""
_NAMES = 50


@dataclass(frozen=True, slots=True)
class Column:
    """One of the other versions: what the first one is compared with."""

    side: Side
    rows: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Shown:
    """The tasks that can be looked at, and samples of one of them; `problem`: why there are none."""

    tasks: Sequence[Task]
    task: Task | None
    metric: str
    found: Found | None
    problem: str = ""


@router.get("/compare", dependencies=[Depends(needs())])
def compare(
    request: Request,
    project: InProject,
    *,
    versions: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006 (FastAPI copies it)
    task: Annotated[str, Query(max_length=100)] = "",
    metric: Annotated[str | None, Query(max_length=100)] = None,
    slice_: Annotated[str, Query(alias="slice", max_length=500)] = "",
    only: Annotated[str, Query(max_length=1)] = "",
    start: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    first_row: Annotated[int, Query(alias="first", ge=0, le=10_000_000)] = 0,
) -> Response:
    """The first version against each of the others."""
    named = comparing.references(versions)
    if len(named) < 2:
        return _choose(request, project, ",".join(versions))
    if len(named) > MOST:
        raise InputError(f"{len(named)} versions do not fit beside each other; choose 2 to {MOST}")
    sides = comparing.aligned([comparing.side(project, find(project, *one)) for one in named])
    first, *others = sides
    slices = comparing.shared_slices(first, others)
    slice_ = slice_ if slice_ in slices else ""
    columns = [Column(other, comparing.differences(project, first, other, slice_)) for other in others]
    shown = _shown(sides, task, metric, bool(only), start)
    state = {
        "versions": ",".join(_text(one) for one in sides), "task": shown.task.name if shown.task else "",
        "metric": shown.metric, "slice": slice_, "only": "1" if only else "",
    }  # fmt: skip
    swapped = {**state, "versions": ",".join(_text(one) for one in [*others, first])}
    return page(
        request, "compare.html", sides=sides, first=first, columns=columns, shown_samples=shown, state=state,
        start=start, slices=slices, first_row=first_row, row_size=ROWS,
        forests=[_forest(project, first, column) for column in columns], swapped=_address(swapped),
        samples=_around(state, "start", start, SAMPLES, shown.found.total if shown.found else 0),
        rows=_around(state, "first", first_row, ROWS, len(columns[0].rows)),
    )  # fmt: skip


def _shown(sides: Sequence[Side], name: str, metric: str | None, only: bool, start: int) -> Shown:
    """The samples that are asked for; without a task those of the first one, by its first metric that is no speed."""
    tasks = side_by_side.tasks(sides)
    task = next((one for one in tasks if name in {"", one.name}), None)
    if task is None:
        if name:
            raise NotFoundError(f"these versions share no task '{name}'")
        return Shown(tasks, None, "", None)
    by = metric
    if by is None or (by and by not in task.metrics):  # not chosen, or chosen for another task
        by = next((one for one in task.metrics if one not in SPEED), "")
    try:
        return Shown(
            tasks, task, by, side_by_side.rows(sides, task.name, by, only=only, start=start, size=SAMPLES)
        )  # fmt: skip
    except InputError as error:
        return Shown(tasks, task, by, None, str(error))
    except OSError:
        return Shown(tasks, task, by, None, "the stored outputs cannot be read")


def _around(state: dict[str, str], name: str, start: int, size: int, total: int) -> tuple[str, str]:
    """Addresses of the pages before and after; empty where there is none."""
    before = _address(state, **{name: max(start - size, 0)}) if start else ""
    return before, _address(state, **{name: start + size}) if start + size < total else ""


def _choose(request: Request, project: Project, given: str) -> Response:
    lines = inventory.models(project, [])
    pairs = [line for line in lines if line.champion and line.newest and line.newest != line.champion]
    return page(request, "compare_choose.html", given=given, pairs=pairs[:_NAMES], models=len(lines))


def _text(side: Side) -> str:
    return f"{side.version.name}/{side.version.version}"


def _address(state: dict[str, str], **more: int) -> str:
    kept = {key: value for key, value in state.items() if value or key == "metric"}
    return "/evalkit/compare?" + urlencode({**kept, **more})


def _forest(project: Project, first: Side, column: Column) -> Chart | None:
    """Differences of numbers that share a scale: rates and shares, which lie between -1 and 1."""
    rows = [
        one for one in column.rows
        if one.change is not None and one.change.has_interval and one.paired and not one.units
        and one.direction != "none" and max(abs(one.change.low or 0), abs(one.change.high or 0)) <= 1
        and 0 <= one.left.value <= 1
    ]  # fmt: skip
    if len(rows) < 2:
        return None
    data = [
        {
            "label": one.name, "value": one.change.value, "low": one.change.low, "high": one.change.high,
            "state": "fail" if one.standing == "worse" else "",
        }
        for one in rows
        if one.change is not None
    ]  # fmt: skip
    other = column.side.version
    title = f"version {first.version.version} minus version {other.version}" + (
        f" of {other.name}" if other.name != first.version.name else ""
    )
    told = [[one.name, interval(one.change, signed=True), one.standing] for one in rows if one.change is not None]
    return keep(
        project.settings.home, "forest", {"rows": data, "reference": 0, "title": title},
        title=f"Paired differences of rates and shares, {title}", header=("estimate", "difference", "stands"),
        rows=told, height=60 + 24 * len(data),
    )  # fmt: skip
