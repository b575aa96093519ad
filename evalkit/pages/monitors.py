"""Monitors: the list, and one monitor with its signals in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response

from evalkit.monitoring.records import StoredSignal
from evalkit.monitoring.store import MonitorStore
from evalkit.pages import inventory
from evalkit.pages.charts import Chart, keep
from evalkit.pages.rendering import day, new_router, page
from evalkit.reports.numbers import number
from evalkit.server.api.project import InProject, Project
from evalkit.server.api.routes import NotFoundError
from evalkit.server.identity import needs

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


@router.get("/monitors/{name}", dependencies=[Depends(needs())])
def monitor(request: Request, project: InProject, name: Annotated[str, Path(max_length=100)]) -> Response:
    """One monitor."""
    store = MonitorStore(project.engine, project.settings.home)
    found = next((one for one in store.monitors() if one.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no monitor '{name}'")
    grouped: dict[tuple[str, str], list[StoredSignal]] = {}
    for stored in store.signals(found, slice_=""):
        grouped.setdefault((stored.check, stored.signal.key), []).append(stored)
    charts = [(f"{check}.{key}", _trend(project, f"{check}.{key}", points)) for (check, key), points in grouped.items()]
    return page(request, "monitor.html", monitor=found, charts=charts)


def _trend(project: Project, name: str, signals: Sequence[StoredSignal]) -> Chart:
    points: list[dict[str, Any]] = [
        {
            "at": one.window.start, "value": one.signal.estimate.value, "low": one.signal.estimate.low,
            "high": one.signal.estimate.high, "state": one.signal.verdict,
        }
        for one in signals
    ]  # fmt: skip
    rows = [[day(p["at"]), number(p["value"]), number(p["low"]), number(p["high"]), p["state"]] for p in points]
    return keep(
        project.settings.home, "trend", {"points": points, "title": name}, title=f"{name} over time",
        header=("window", "value", "low", "high", "verdict"), rows=rows,
    )  # fmt: skip
