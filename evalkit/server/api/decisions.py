"""``/decisions``, aliases and approvals: the gate, and what follows from it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from sqlalchemy import select

from evalkit.errors import ForbiddenError, NotFoundError
from evalkit.project import Project
from evalkit.server.api import paging, submissions
from evalkit.server.api.evaluations import Evaluates, evaluation
from evalkit.server.api.models import Anybody, find
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Alias, Cursor, Key, Limit, ModelName, Page, VersionName
from evalkit.server.api.schema.decisions import (
    ApprovalOut,
    ApproveIn,
    DecideIn,
    DecisionOut,
    DemotionOut,
    PromoteIn,
    PromotionOut,
    RuleLineOut,
    RuleOut,
)
from evalkit.server.identity import needs
from evalkit.views import judged
from evalkit.views.rules import measured_specs, rule_lines
from metrics.base import MetricSpec
from registry import promotion
from registry.actors import APPROVER, EVALUATOR, Actor
from registry.database import reading
from registry.entities import Decision
from registry.gate.serialise import from_json, to_json
from registry.mlflow_link import PromotionRefusedError
from registry.tables import DEFAULT_WORKSPACE, ApprovalRow, DecisionRow

router = new_router("decisions")
Promotes = Depends(needs(EVALUATOR, APPROVER))
Approves = Depends(needs(APPROVER))


@router.post("/models/{name}/versions/{version}/decisions", status_code=201, summary="Decide (the gate)")
def decide(
    project: InProject, name: ModelName, version: VersionName, body: DecideIn, actor: Annotated[Actor, Evaluates]
) -> DecisionOut:
    """Decide on stored results: pass, fail or inconclusive. Only the submitter of an evaluation has it decided on."""
    found = find(project, name, version)
    named = evaluation(project, body.evaluation) if body.evaluation else None
    chosen = named or submissions.decidable(project, found, body.preset)
    return _told(submissions.decide(project, found, chosen, actor))


@router.get("/models/{name}/versions/{version}/decisions", dependencies=[Anybody], summary="Decisions on a version")
def list_decisions(
    project: InProject, name: ModelName, version: VersionName, cursor: Cursor = None, limit: Limit = 50
) -> Page[DecisionOut]:
    """Newest first."""
    query = select(DecisionRow).where(DecisionRow.version_id == find(project, name, version).id)
    rows, following = paging.page(project.engine, query, DecisionRow, cursor, limit)
    return Page(items=[_told(from_json(row.record)) for row in rows], next=following)


@router.get("/decisions/{key}", dependencies=[Anybody], summary="One decision")
def get_decision(project: InProject, key: Key) -> DecisionOut:
    """A decision with every bound that led to it."""
    return _told(_decision(project, key))


@router.get(
    "/decisions/{key}/rules", dependencies=[Anybody], summary="A decision rule by rule, and what would change it"
)
def list_rules(project: InProject, key: Key, cursor: Cursor = None, limit: Limit = 100) -> Page[RuleLineOut]:
    """Those that fail first, then those that are inconclusive."""
    decision = _decision(project, key)
    try:
        evaluation, _ = judged.by_key(project.engine, decision.evaluation_id)
    except NotFoundError:
        specs: dict[str, MetricSpec] = {}  # rules tell without units, then
    else:
        specs = measured_specs(evaluation)
    items, following = paging.cut(rule_lines(decision, specs), cursor, limit)
    recorded = to_json(decision)["rules"]
    return Page(
        items=[
            RuleLineOut(
                number=one.number, name=one.name, outcome=one.outcome, task=one.task, metric=one.metric,
                slice=one.slice, units=one.units, would_change=list(one.changes),
                rule=RuleOut.model_validate(recorded[one.number - 1]),
            )
            for one in items
        ],
        next=following,
    )  # fmt: skip


@router.put("/models/{name}/aliases/{alias}", summary="Promote: move an alias")
def promote(
    project: InProject, name: ModelName, alias: Alias, body: PromoteIn, actor: Annotated[Actor, Promotes]
) -> PromotionOut:
    """Point an alias to a version; refused without a passing decision on its current suite and files.

    With a reason as `override` an approver may do it without one; the reason is recorded and shown.
    """
    if body.override is not None and not actor.may(APPROVER):
        raise ForbiddenError("an override needs the role 'approver'")
    found = find(project, name, str(body.version))
    relied_on = None
    if body.decision is not None:
        relied_on = next((d for d in project.registry.decisions(found) if d.id == body.decision), None)
        if relied_on is None:
            raise PromotionRefusedError(f"the decision {body.decision} is none on {found.reference}")
    moved = promotion.promote(project.registry, found, alias, decision=relied_on, override=body.override)
    return PromotionOut.of(moved)


@router.delete("/models/{name}/aliases/{alias}", dependencies=[Approves], summary="Demote: take an alias away")
def demote(
    project: InProject, name: ModelName, alias: Alias, version: Annotated[int, Query(ge=1, le=10**9)]
) -> DemotionOut:
    """Take an alias away from the version that holds it; refused where another one holds it by now."""
    found = find(project, name, str(version))
    promotion.demote(project.registry, found, alias)
    return DemotionOut(name=name, alias=alias, version=version)


@router.get("/models/{name}/promotions", dependencies=[Anybody], summary="Promotions of a model")
def list_promotions(
    project: InProject, name: ModelName, cursor: Cursor = None, limit: Limit = 100
) -> Page[PromotionOut]:
    """Oldest first: the first one of `champion` is the default anchor."""
    items, following = paging.cut(project.registry.promotions(name), cursor, limit)
    return Page(items=[PromotionOut.of(item) for item in items], next=following)


@router.post(
    "/models/{name}/versions/{version}/approvals",
    dependencies=[Approves],
    status_code=201,
    summary="Approve the decision that counts now",
)
def approve(project: InProject, name: ModelName, version: VersionName, body: ApproveIn) -> DecisionOut:
    """Approve a passing decision as a person; whether that counts is the policy's to say."""
    found = find(project, name, version)
    return _told(promotion.approve(project.registry, found, alias=body.alias, comment=body.comment))


@router.get("/models/{name}/versions/{version}/approvals", dependencies=[Anybody], summary="Approvals of a version")
def list_approvals(
    project: InProject, name: ModelName, version: VersionName, cursor: Cursor = None, limit: Limit = 100
) -> Page[ApprovalOut]:
    """Newest first, of all decisions on the version."""
    query = select(ApprovalRow).where(ApprovalRow.version_id == find(project, name, version).id)
    rows, following = paging.page(project.engine, query, ApprovalRow, cursor, limit)
    return Page(items=[ApprovalOut.model_validate(row) for row in rows], next=following)


def _decision(project: Project, key: str) -> Decision:
    with reading(project.engine) as session:
        row = session.get(DecisionRow, key)
        if row is None or row.workspace != DEFAULT_WORKSPACE:
            raise NotFoundError(f"there is no decision {key}")
        return from_json(row.record)


def _told(decision: Decision) -> DecisionOut:
    return DecisionOut.model_validate(to_json(decision))
