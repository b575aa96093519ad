"""The pages under ``/evalkit``: what a team looks at, beside MLflow's own on one port.

Each page is a module with a route that gathers plain records and a template that draws them. A page is readable without
scripts; scripts only make charts answer to the pointer and save a click.
"""

from __future__ import annotations

from fastapi import APIRouter

from evalkit.pages import (
    alerts,
    assets,
    audit,
    compare,
    generations,
    jobs,
    judges,
    labelling,
    models,
    monitor,
    monitors,
    overview,
    samples,
    version,
    version_actions,
    window,
)
from evalkit.pages.charts import route as chart_route

PREFIX = "/evalkit"
_PAGES = (
    overview, models, version, samples, version_actions, compare, monitors, monitor, window, generations, alerts,
    judges, labelling, jobs, audit,
)  # fmt: skip

router = APIRouter(include_in_schema=False)
for part in (assets, chart_route, *_PAGES):
    router.include_router(part.router, prefix=PREFIX)

__all__ = ["PREFIX", "router"]
