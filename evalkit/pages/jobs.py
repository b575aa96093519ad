"""Jobs: schedules with their last and next firings, what failed and why, who works, and what waits."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from evalkit.errors import NotFoundError
from evalkit.pages.rendering import new_router, page
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views.jobs import STATES, failures, lines, waiting
from registry.firings import history
from registry.workers import workers

router = new_router()
SHOWN = 75
_FAILURES = 30


@router.get("/jobs", dependencies=[Depends(needs())])
def list_jobs(
    request: Request, project: InProject, state: Annotated[str, Query(max_length=20)] = "",
    start: Annotated[int, Query(ge=0, le=10**6)] = 0,
) -> Response:  # fmt: skip
    """All schedules, the most urgent first."""
    found = lines(project)
    kept = sorted((one for one in found if state in {"", one.state}), key=lambda one: STATES.index(one.state))
    return page(
        request, "jobs.html", jobs=kept[start : start + SHOWN], total=len(kept), start=start, size=SHOWN, state=state,
        states=[name for name in STATES if any(one.state == name for one in found)], workers=workers(project.engine),
        failures=failures(project, _FAILURES), waiting=waiting(project),
    )  # fmt: skip


@router.get("/jobs/{name}", dependencies=[Depends(needs())])
def job(request: Request, project: InProject, name: Annotated[str, Path(max_length=200)]) -> Response:
    """The firings of one schedule, newest first."""
    found = next((one for one in lines(project) if one.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no schedule '{name}'")
    firings = history(project.engine, schedule=name, limit=SHOWN)
    return page(request, "job.html", job=found, firings=firings)
