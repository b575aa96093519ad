"""The pages under ``/evalkit``: what a team looks at, beside MLflow's own on one port.

Each page is a module with a route that gathers plain records and a template that draws them. A page is readable without
scripts; scripts only make charts answer to the pointer and save a click.
"""

from __future__ import annotations

from fastapi import APIRouter

from evalkit.pages import assets, audit, jobs, judges, labelling, monitors, overview
from evalkit.pages.charts import route as chart_route

PREFIX = "/evalkit"

router = APIRouter(include_in_schema=False)
for part in (
    assets.router, chart_route.router, overview.router, monitors.router, jobs.router, audit.router, judges.router,
    labelling.router,
):  # fmt: skip
    router.include_router(part, prefix=PREFIX)

__all__ = ["PREFIX", "router"]
