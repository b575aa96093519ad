"""Monitors: the list."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response

from evalkit.pages.rendering import new_router, page
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views import inventory

router = new_router()
SHOWN = 100


@router.get("/monitors", dependencies=[Depends(needs())])
def list_monitors(
    request: Request, project: InProject, model: Annotated[str, Query(max_length=255)] = "",
    state: Annotated[str, Query(max_length=20)] = "", start: Annotated[int, Query(ge=0)] = 0,
) -> Response:  # fmt: skip
    """Monitors, the most urgent first."""
    found = inventory.monitors(project.engine)
    kept = [one for one in found if model in {"", one.model_name} and state in {"", one.state}]
    kept.sort(key=lambda one: (one.urgency, one.name))
    return page(
        request, "monitors.html", monitors=kept[start : start + SHOWN], total=len(kept), start=start, size=SHOWN,
        model=model, state=state, models=sorted({one.model_name for one in found if one.model_name}),
        states=sorted({one.state for one in found}),
    )  # fmt: skip
