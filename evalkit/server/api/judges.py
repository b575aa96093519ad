"""``/judges``: how far each can be trusted, and what it costs."""

from __future__ import annotations

from fastapi import Depends

from evalkit.judging.calibrations import Calibration
from evalkit.judging.standing import Standing, standings
from evalkit.server.api import paging
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Limit, Page
from evalkit.server.api.schema.judges import CalibrationOut, JudgeOut
from evalkit.server.identity import needs

router = new_router("judges")


@router.get("/judges", dependencies=[Depends(needs())], summary="Judges")
def get_judges(project: InProject, cursor: Cursor = None, limit: Limit = 100) -> Page[JudgeOut]:
    """Those first that fall short of what a suite demands."""
    items, following = paging.cut(standings(project.engine, project.settings), cursor, limit)
    return Page(items=[_told(item) for item in items], next=following)


def calibration_out(item: Calibration) -> CalibrationOut:
    """A calibration as the API tells it."""
    return CalibrationOut(
        id=item.id, judge=item.report.judge, judge_version=item.report.judge_version, labels_digest=item.labels,
        created_at=item.created, report=item.report.to_json(),
    )  # fmt: skip


def _told(item: Standing) -> JudgeOut:
    cost = item.cost
    return JudgeOut(
        name=item.name, calibrations=item.count, uses=item.uses, short=item.short,
        calibration=calibration_out(item.newest) if item.newest is not None else None,
        requests=cost.replies if cost is not None else 0, prompt_tokens=cost.prompt_tokens if cost is not None else 0,
        output_tokens=cost.output_tokens if cost is not None else 0, cost=cost.cost if cost is not None else None,
    )  # fmt: skip
