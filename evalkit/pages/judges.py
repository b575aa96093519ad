"""Judges: how far each can be trusted, whether that changes, what it costs, and who relies on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response

from evalkit.errors import NotFoundError
from evalkit.judging.calibrations import Calibration, Calibrations
from evalkit.judging.ledger import Total
from evalkit.judging.standing import DAYS, recent_costs, standings
from evalkit.judging.uses import Use, uses
from evalkit.pages.charts import Chart, keep
from evalkit.pages.rendering import day, new_router, page
from evalkit.project import Project
from evalkit.reports.numbers import number
from evalkit.server.api import paging
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views.doubts import Doubtful, doubtful, others_beside
from judges.calibration import MEANINGS

router = new_router()
SHOWN = 100
"""Judges on a page."""
KEPT = 25
"""Calibrations on a page."""
_DRAWN = 60
_DAY_MS = 86_400_000
_USES = 20
_DRIFT = {
    "cohen_kappa": "Agreement with people beyond chance (kappa)", "accuracy": "Agreement with people (accuracy)",
    "bias": "Judged minus labelled (bias)", "position_consistency": "Same verdict in both orders",
}  # fmt: skip


_DEMANDED = {"cohen_kappa": "kappa", "accuracy": "accuracy"}
"""What is drawn to what a suite may demand of it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a judge was asked lately: by day as charts, by model as totals."""

    charts: Sequence[Chart]
    models: Sequence[Total]


@router.get("/judges", dependencies=[Depends(needs())])
def list_judges(request: Request, project: InProject, start: Annotated[int, Query(ge=0, le=10**6)] = 0) -> Response:
    """Judges, those that fall short of a suite's demand first."""
    lines = standings(project.engine, project.settings)
    return page(
        request, "judges.html", lines=lines[start : start + SHOWN], total=len(lines), start=start, size=SHOWN,
        days=DAYS,
    )  # fmt: skip


@router.get("/judges/{judge:path}", dependencies=[Depends(needs())])
def judge(
    request: Request, project: InProject, judge: Annotated[str, Path(max_length=200)],
    before: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:  # fmt: skip
    """One judge."""
    kept = Calibrations.of(project.settings)
    try:
        history = kept.history(judge, most=_DRAWN)
        older = kept.history(judge, most=KEPT + 1, before=paging.decode(before) if before else None)
    finally:
        kept.close()
    everywhere = uses(project.engine, project.settings)
    own = [use for use in everywhere if use.metric == judge]
    cost = _cost(project, judge)
    if not history and not own and not cost.models:
        raise NotFoundError(f"there is no judge '{judge}': none of this name was used or calibrated here")
    last = older[:KEPT][-1] if len(older) > KEPT else None
    return page(
        request, "judge.html", judge=judge, newest=history[0] if history else None, meanings=MEANINGS,
        drift=_drift(project, history, own), older=older[:KEPT], before=before, days=DAYS, cost=cost,
        following=paging.encode(last.created, last.id) if last is not None else None, uses=own[:_USES],
        used=len(own), doubtful=_doubtful(own[:_USES]), beside=others_beside(own[:_USES], everywhere),
    )  # fmt: skip


def _drift(project: Project, history: Sequence[Calibration], own: Sequence[Use]) -> list[Chart]:
    """The judge against labels over time: one chart for each number that was measured more than once."""
    demands = {
        name: [getattr(use.demand, name) for use in own if use.demand is not None] for name in _DEMANDED.values()
    }
    charts: list[Chart] = []
    for key, title in _DRIFT.items():
        points: list[dict[str, Any]] = []
        rows = []
        for one in reversed(history):
            found = one.report.estimates.get(key)
            if found is None:
                continue
            points.append(
                {"at": one.created, "value": found.value, "low": found.low, "high": found.high, "state": "calibrated"}
            )
            rows.append([day(one.created), number(found.value), number(found.low), number(found.high), found.n])
        if len(points) > 1 and not (key == "accuracy" and charts):  # kappa tells more where there is one
            least = max((value for value in demands.get(_DEMANDED.get(key, ""), ()) if value is not None), default=None)
            data = {"points": points, "title": key.replace("_", " "), "limits": least}
            charts.append(
                keep(
                    project.settings.home, "trend", data,
                    title=title if least is None else f"{title}, and the lower end that is demanded: {least:g}",
                    header=("calibrated", "value", "low", "high", "n"), rows=rows,
                )
            )  # fmt: skip
    return charts


def _cost(project: Project, judge: str) -> Cost:
    days = recent_costs(project.settings, ("day",), judge)
    models = recent_costs(project.settings, ("model",), judge)
    if not days:
        return Cost((), models)
    priced = any(total.cost is not None for total in days)
    points = [
        {
            "at": _start(total.group["day"]), "end": _start(total.group["day"]) + _DAY_MS,
            "value": (total.cost or 0.0) if priced else total.replies,
        }
        for total in days
    ]  # fmt: skip
    rows = [
        [
            total.group["day"], f"{total.replies:,}", f"{total.prompt_tokens:,}", f"{total.output_tokens:,}",
            "unknown" if total.cost is None else f"{total.cost:.4f}",
        ]
        for total in days
    ]  # fmt: skip
    title = f"{'US dollars' if priced else 'Requests'} by day"
    chart = keep(
        project.settings.home, "bars", {"points": points, "title": title}, title=title,
        header=("day", "requests", "prompt tokens", "reply tokens", "USD"), rows=rows, height=180,
    )  # fmt: skip
    return Cost((chart,), models)


def _start(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() * 1000)


def _doubtful(own: Sequence[Use]) -> Mapping[str, Doubtful]:
    """What each use left without a verdict, by the key of `Use.key`."""
    found = {use.key: doubtful(use) for use in own}
    return {key: told for key, told in found.items() if told is not None}
