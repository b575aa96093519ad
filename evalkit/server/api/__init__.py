"""The REST API under ``/evalkit/api/v1``: `router` for the server's application.

Who asks is known by `registry.actors.intent`; every route says by `evalkit.server.identity.needs` which role it wants.
"""

from __future__ import annotations

from fastapi import APIRouter

from evalkit.server.api import (
    alerts,
    audit,
    catalogues,
    comparisons,
    decisions,
    erasures,
    evaluations,
    exports,
    imports,
    jobs,
    judges,
    labelling,
    machine,
    models,
    monitor_files,
    monitors,
    overview,
    policies,
    records,
    samples,
    trends,
    users,
    webhooks,
    windows,
)
from evalkit.server.api.routes import PREFIX

router = APIRouter(prefix=PREFIX)
for part in (
    models.router,
    evaluations.router,
    evaluations.uploads,
    decisions.router,
    policies.router,
    judges.router,
    monitors.router,
    monitor_files.router,
    alerts.router,
    samples.router,
    comparisons.router,
    trends.router,
    jobs.router,
    overview.router,
    labelling.router,
    windows.router,
    audit.router,
    records.router,
    erasures.router,
    webhooks.router,
    users.router,
    machine.router,
    catalogues.router,
    imports.router,
    exports.router,
):
    router.include_router(part)

__all__ = ["PREFIX", "router"]
