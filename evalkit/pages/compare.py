"""Compare: versions beside each other, in an address that can be shared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response

from evalkit.evidence import SPEED
from evalkit.pages import comparing, inventory, side_by_side
from evalkit.pages.charts import Chart, keep
from evalkit.pages.comparing import Difference, Side
from evalkit.pages.rendering import new_router, page
from evalkit.reports.numbers import interval
from evalkit.server.api.models import find
from evalkit.server.api.project import InProject, Project
from evalkit.server.api.routes import NotFoundError
from evalkit.server.identity import needs
from metrics.errors import InputError

router = new_router()
MOST = 4
"""Versions that stand side by side."""
SAMPLES, ROWS = 10, 30
"""Samples, and estimates, on one page."""
_NAMES = 50
_REFERENCE = re.compile(r"(?P<name>[^/]{1,255})(?P<version>/[0-9]{1,9}|@[A-Za-z0-9][A-Za-z0-9_.-]{0,99})(?:,|\Z)")


@dataclass(frozen=True, slots=True)
class Column:
    """One of the other versions: what the first one is compared with."""

    side: Side
    rows: Sequence[Difference]


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
    named = references(versions)
    if len(named) < 2:
        return _choose(request, project, ",".join(versions))
    if len(named) > MOST:
        raise InputError(f"{len(named)} versions do not fit beside each other; choose 2 to {MOST}")
    sides = [comparing.side(project, find(project, *one)) for one in named]
    first, *others = sides
    columns = [Column(other, comparing.differences(project, first, other, slice_)) for other in others]
    slices = comparing.shared_slices(first, others)
    known = side_by_side.tasks(sides)
    chosen = next((one for one in known if one.name == task), None) or (known[0] if known else None)
    if task and (chosen is None or chosen.name != task):
        raise NotFoundError(f"these versions share no task '{task}'")
    by = "" if chosen is None or (metric is not None and metric not in chosen.metrics) else metric
    if by is None and chosen is not None:
        by = next((one for one in chosen.metrics if one not in SPEED), "")
    found, problem = None, ""
    if chosen is not None:
        try:
            found = side_by_side.rows(sides, chosen.name, by or "", only=bool(only), start=start, size=SAMPLES)
        except (InputError, OSError) as error:
            problem = str(error) if isinstance(error, InputError) else "the stored outputs cannot be read"
    state = {"versions": ",".join(_text(one) for one in sides), "task": chosen.name if chosen else "",
             "metric": by or "", "slice": slice_, "only": "1" if only else ""}  # fmt: skip
    links = {
        "before": _address(state, start=max(start - SAMPLES, 0)) if start else "",
        "next": _address(state, start=start + SAMPLES) if found and start + SAMPLES < found.total else "",
        "rows_before": _address(state, first=max(first_row - ROWS, 0)) if first_row else "",
        "rows_next": _address(state, first=first_row + ROWS) if first_row + ROWS < len(columns[0].rows) else "",
        "swap": _address({**state, "versions": ",".join(_text(one) for one in [*others, first])}),
    }
    return page(
        request, "compare.html", sides=sides, first=first, columns=columns, slices=slices, tasks=known, chosen=chosen,
        by=by or "", found=found, first_row=first_row, row_size=ROWS, problem=problem, state=state, start=start,
        links=links,
        forests=[_forest(project, first, column) for column in columns],
    )  # fmt: skip


def references(given: Sequence[str]) -> list[tuple[str, str]]:
    """Versions as an address names them, ``name/1,name/2`` or ``name@champion``, each once.

    Raises:
        InputError: what is given is not a list of versions.
    """
    found: dict[tuple[str, str], None] = {}
    for text in given:
        at = 0
        while at < len(text):
            match = _REFERENCE.match(text, at)
            if match is None:
                raise InputError(f"'{text[at:][:100]}' names no version; write name/1,name/2 or name@champion")
            found[match["name"].strip(), match["version"].removeprefix("/")] = None
            at = match.end()
    return list(found)


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
