"""The first page: a strip of counts, what needs a person now, and models by monitors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fastapi import Depends, Request, Response

from evalkit.pages.rendering import new_router, page
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views import attention, inventory
from registry.workers import workers

router = new_router()


@dataclass(frozen=True, slots=True)
class Count:
    """A tile of the strip. `outcome` colours it where there is something to do."""

    value: int
    label: str
    href: str
    outcome: str = ""


@router.get("", dependencies=[Depends(needs())])
@router.get("/", dependencies=[Depends(needs())])
def overview(request: Request, project: InProject) -> Response:
    """How things stand."""
    watched = inventory.monitors(project.engine)
    lines = inventory.models(project, watched)
    matters = attention.matters(project, lines)
    states = Counter(line.state for line in watched)
    alive = sum(one.alive for one in workers(project.engine))
    lasting = sum(line.alerts for line in watched)
    strip = [
        Count(len(lines), "models", "/evalkit/models"),
        Count(sum(line.versions for line in lines), "versions", "/evalkit/models"),
        Count(len(watched), "monitors", "/evalkit/monitors"),
        Count(lasting, "lasting alerts", "/evalkit/alerts", "fail" if lasting else "pass"),
        Count(sum(line.outcome == "inconclusive" for line in lines), "inconclusive", "/evalkit/models"),
        Count(alive, "workers alive", "/evalkit/jobs", "" if alive or not watched else "inconclusive"),
    ]
    alone = [line for line in watched if line.model_name not in {model.name for model in lines}]
    return page(request, "overview.html", strip=strip, matters=matters, models=lines, states=states, alone=alone)
