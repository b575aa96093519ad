"""``/overview``: how things stand, and what needs a person now."""

from __future__ import annotations

from collections import Counter

from evalkit.server.api.models import Anybody
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema.overview import AttentionOut, MatterOut, OverviewOut
from evalkit.views import attention, inventory
from registry.workers import workers

router = new_router("overview")


@router.get("/overview", dependencies=[Anybody], summary="How things stand, and what needs a person now")
def get_overview(project: InProject) -> OverviewOut:
    """Open alerts, inconclusive gates, overdue and failed jobs, spent budgets, uncalibrated judges."""
    watched = inventory.monitors(project.engine)
    models = inventory.models(project, watched)
    return OverviewOut(
        models=len(models), versions=sum(one.versions for one in models), monitors=len(watched),
        monitors_by_state=dict(Counter(one.state for one in watched)),
        lasting_alerts=sum(one.alerts for one in watched),
        inconclusive=sum(one.outcome == "inconclusive" for one in models),
        workers=sum(one.alive for one in workers(project.engine)),
        matters=[_matter(one) for one in attention.matters(project, models)],
    )  # fmt: skip


def _matter(one: attention.Matter) -> MatterOut:
    items = [
        AttentionOut(label=item.label, text=item.text, page=item.href, outcome=item.outcome, at=item.at)
        for item in one.items
    ]
    return MatterOut(kind=one.kind, title=one.title, page=one.href, total=one.total, items=items)
