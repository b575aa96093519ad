"""``/judges`` and ``/calibrations``: how far each judge can be trusted, and what it costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Path, Query

from evalkit.errors import NotFoundError
from evalkit.judging.asking import verdicts_of
from evalkit.judging.calibrations import Calibration, Calibrations, store_calibration
from evalkit.judging.ledger import Total, open_ledger, parse_parts
from evalkit.judging.standing import Standing, recent_costs, standings
from evalkit.judging.uses import Use, uses
from evalkit.reports.serialise import to_json
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody, find
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Limit, ModelName, Page, VersionName
from evalkit.server.api.schema.judges import (
    BesideOut,
    CalibrationIn,
    CalibrationOut,
    CostOut,
    CostTotalOut,
    DoubtfulOut,
    JudgeFullOut,
    JudgeOut,
    UseOut,
    VerdictOut,
    VerdictPage,
)
from evalkit.server.identity import needs
from evalkit.views.doubts import Beside, doubtful, others_beside
from judges.base import Verdict
from judges.calibration import JudgeReport
from registry import audit
from registry.actors import EVALUATOR, Actor
from registry.database import writing
from registry.digests import digest

router = new_router("judges")
_USES = 20
_BY = "judge,model,day"


@router.get("/judges", dependencies=[Anybody], summary="Judges")
def get_judges(project: InProject, cursor: Cursor = None, limit: Limit = 100) -> Page[JudgeOut]:
    """Those first that fall short of what a suite demands."""
    items, following = paging.cut(standings(project.engine, project.settings), cursor, limit)
    return Page(items=[JudgeOut.model_validate(_told(item)) for item in items], next=following)


@router.get("/judges/{judge:path}", dependencies=[Anybody], summary="One judge")
def get_judge(project: InProject, judge: Annotated[str, Path(max_length=200)]) -> JudgeFullOut:
    """Who relies on it and what they demand, what it left without a verdict, other judges beside it, what it costs."""
    found = next((one for one in standings(project.engine, project.settings) if one.name == judge), None)
    if found is None:
        raise NotFoundError(f"there is no judge '{judge[:100]}': none of this name was used or calibrated here")
    everywhere = uses(project.engine, project.settings)
    own = [use for use in everywhere if use.metric == judge][:_USES]
    return JudgeFullOut.model_validate(
        _told(found)
        | {
            "uses_of": [_use(one) for one in own], "beside": [_beside(one) for one in others_beside(own, everywhere)],
            "costs_by_day": [_cost(one) for one in recent_costs(project.settings, ("day",), judge)],
            "costs_by_model": [_cost(one) for one in recent_costs(project.settings, ("model",), judge)],
        }
    )  # fmt: skip


@router.get("/calibrations", dependencies=[Anybody], summary="Judges beside people")
def get_calibrations(
    project: InProject, judge: Annotated[str | None, Query(max_length=200, description="Of one judge only.")] = None,
    cursor: Cursor = None, limit: Limit = 100,
) -> Page[CalibrationOut]:  # fmt: skip
    """Every comparison of a judge with labels, oldest first; of one `judge` the newest first."""
    kept = Calibrations.of(project.settings)
    try:
        if judge is None:
            items, following = paging.cut(kept.list(), cursor, limit)
        else:
            before = paging.decode(cursor) if cursor is not None else None
            found = kept.history(judge, most=limit + 1, before=before)
            items = list(found[:limit])
            following = paging.encode(items[-1].created, items[-1].id) if len(found) > limit else None
    finally:
        kept.close()
    return Page(items=[calibration_out(item) for item in items], next=following)


@router.post("/calibrations", status_code=201, summary="Keep a comparison of a judge with labels")
def add_calibration(
    project: InProject, body: CalibrationIn, actor: Annotated[Actor, Depends(needs(EVALUATOR))]
) -> CalibrationOut:
    """That was made where labels and verdicts are, as `evalkit judge calibrate` does.

    The server cannot make it again: for what it says an evaluator answers, whose name is in the audit.
    """
    report = JudgeReport.from_json(body.report.model_dump(mode="json"))
    facts = {
        "judge": report.judge, "judge_version": report.judge_version, "labels": body.labels_digest,
        "report": digest(report.to_json()),
    }  # fmt: skip
    with writing(project.engine) as session:  # before it counts
        audit.append(session, "calibration.submitted", actor=actor.name, facts=facts)
    return calibration_out(store_calibration(project.settings, report, body.labels_digest))


@router.get(
    "/models/{name}/versions/{version}/verdicts", dependencies=[Anybody], summary="Verdicts behind a judged score"
)
def list_verdicts(
    project: InProject, name: ModelName, version: VersionName, *,
    metric: Annotated[str, Query(max_length=200, description="A judged score, as `task/name`.")],
    cursor: Cursor = None, limit: Limit = 200,
) -> VerdictPage:  # fmt: skip
    """Of the newest evaluation in which a judge gave that score, in the order of the samples."""
    found = verdicts_of(project.session, find(project, name, version), metric)
    items, following = paging.cut([*found.verdicts], cursor, limit)
    return VerdictPage(
        items=[_verdict(one) for one in items], next=following, judge=found.judge, judge_version=found.version
    )


@router.get("/costs", dependencies=[Anybody], summary="What judges have cost")
def list_costs(
    project: InProject, *,
    by: Annotated[str, Query(max_length=100, description="Of judge, judge_version, model, step, day.")] = _BY,
    since: Annotated[int, Query(ge=0, le=2**53, description="UTC milliseconds.")] = 0,
    cursor: Cursor = None, limit: Limit = 200,
) -> Page[CostTotalOut]:  # fmt: skip
    """By groups, of the replies that the server's workers have bought."""
    ledger = open_ledger(project.settings)
    try:
        totals = ledger.totals(parse_parts(by), since=since)
    finally:
        ledger.close()
    items, following = paging.cut(totals, cursor, limit)
    return Page(items=[CostTotalOut(**_cost(one).model_dump(), seconds=one.seconds) for one in items], next=following)


def calibration_out(item: Calibration) -> CalibrationOut:
    """A calibration as the API tells it."""
    return CalibrationOut(
        id=item.id, judge=item.report.judge, judge_version=item.report.judge_version, labels_digest=item.labels,
        created_at=item.created, report=item.report.to_json(),
    )  # fmt: skip


def _told(item: Standing) -> dict[str, Any]:
    cost = item.cost
    return {
        "name": item.name, "calibrations": item.count, "uses": item.uses, "short": item.short,
        "calibration": calibration_out(item.newest) if item.newest is not None else None,
        "requests": cost.replies if cost is not None else 0,
        "prompt_tokens": cost.prompt_tokens if cost is not None else 0,
        "output_tokens": cost.output_tokens if cost is not None else 0,
        "cost": cost.cost if cost is not None else None,
    }  # fmt: skip


def _verdict(one: Verdict) -> VerdictOut:
    return VerdictOut(
        sample_id=one.sample_id, value=one.value, reason=one.reason, label=one.label, spread=one.spread,
        flags=list(one.flags), details=to_json(dict(one.details)),
    )  # fmt: skip


def _use(one: Use) -> UseOut:
    doubts = doubtful(one)
    return UseOut(
        model=one.model, version=one.number, suite=one.suite, task=one.task, evaluation=one.evaluation_id,
        judge_version=one.judge_version, short=one.why,
        demand=None if one.demand is None else one.demand.model_dump(mode="json"),
        doubtful=None if doubts is None else DoubtfulOut.model_validate(asdict(doubts)),
    )  # fmt: skip


def _beside(one: Beside) -> BesideOut:
    return BesideOut(
        judge=one.other.metric, model=one.use.model, version=one.use.number, task=one.use.task,
        kappa=one.kappa.to_json(),
    )  # fmt: skip


def _cost(one: Total) -> CostOut:
    return CostOut(
        group=dict(one.group), requests=one.replies, prompt_tokens=one.prompt_tokens, output_tokens=one.output_tokens,
        cost=one.cost, unpriced=one.unpriced,
    )  # fmt: skip
