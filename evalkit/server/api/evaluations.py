"""``/evaluations`` and ``/requests``: submitted and stored evaluations, and asking the server to evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from evalkit.errors import NotFoundError
from evalkit.project import Project
from evalkit.server.api import paging, submissions
from evalkit.server.api.models import Anybody, find
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import UploadRoute, new_router
from evalkit.server.api.schema import Cursor, Key, Limit, MetricQuery, ModelName, Page, TaskQuery, VersionName
from evalkit.server.api.schema.evaluations import EstimateOut, EvaluationOut, WorkIn, WorkOut
from evalkit.server.api.uploads import ZIP_BODY, uploaded
from evalkit.server.identity import needs
from metrics.errors import InputError
from registry import audit
from registry.actors import EVALUATOR, Actor
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.entities import Evaluation
from registry.tables import DEFAULT_WORKSPACE, DecisionRow, EvaluationRow, ModelVersionRow, OutboxRow

router = new_router("evaluations")
uploads = new_router("evaluations", UploadRoute)
Evaluates = Depends(needs(EVALUATOR))
Of = Annotated[str | None, Query(alias="slice", max_length=500, description="All slices without.")]


@uploads.post(
    "/evaluations",
    status_code=201,
    summary="Submit an evaluation",
    responses={200: {"model": EvaluationOut, "description": "This bundle was submitted already."}},
    openapi_extra=ZIP_BODY,
)
async def submit(
    request: Request, response: Response, project: InProject, actor: Annotated[Actor, Evaluates]
) -> EvaluationOut:
    """Submit the bundle that `evalkit evaluate` wrote on another machine.

    Digests are compared with the server's own, estimates are computed anew from the scores and states, and the
    submitter is recorded. Sending the same bundle again changes nothing.
    """
    async with uploaded(request, project) as path:
        made, new, missing = await run_in_threadpool(_take, project, path, actor)
    if not new:
        response.status_code = 200
    return EvaluationOut.of(made, missing)


def _take(project: Project, path: Path, actor: Actor) -> tuple[Evaluation, bool, list[str]]:
    made, new = submissions.accept(project, path, actor)
    version = project.registry.version_by_id(made.version_id)
    return made, new, submissions.missing(project, version, made)


@router.get("/models/{name}/versions/{version}/evaluations", dependencies=[Anybody], summary="Evaluations of a version")
def list_evaluations(
    project: InProject, name: ModelName, version: VersionName, cursor: Cursor = None, limit: Limit = 100
) -> Page[EvaluationOut]:
    """Newest first."""
    query = select(EvaluationRow).where(EvaluationRow.version_id == find(project, name, version).id)
    rows, following = paging.page(project.engine, query, EvaluationRow, cursor, limit)
    found = [project.registry.evaluation_by_id(row.id) for row in rows]
    return Page(items=[EvaluationOut.of(item) for item in found], next=following)


@router.get("/evaluations/{key}", dependencies=[Anybody], summary="One evaluation")
def get_evaluation(project: InProject, key: Key) -> EvaluationOut:
    """An evaluation, and the versions that a gate compares with and that have no such results yet."""
    found = evaluation(project, key)
    version = project.registry.version_by_id(found.version_id)
    return EvaluationOut.of(found, submissions.missing(project, version, found))


@router.get("/evaluations/{key}/estimates", dependencies=[Anybody], summary="Estimates of an evaluation")
def list_estimates(
    project: InProject, key: Key, *, task: TaskQuery = None, metric: MetricQuery = None, slice_: Of = None,
    cursor: Cursor = None, limit: Limit = 500,
) -> Page[EstimateOut]:  # fmt: skip
    """In the order of the suite, slices included; `slice=` with nothing behind it asks for everything alone."""
    found = [
        one
        for one in evaluation(project, key).estimates
        if task in {None, one.task} and metric in {None, one.metric} and slice_ in {None, one.slice}
    ]
    items, following = paging.cut(found, cursor, limit)
    return Page(items=[EstimateOut.of(item) for item in items], next=following)


@router.post(
    "/models/{name}/versions/{version}/requests", status_code=202, summary="Let the server's worker evaluate a version"
)
def request_work(
    project: InProject, name: ModelName, version: VersionName, body: WorkIn, actor: Annotated[Actor, Evaluates]
) -> WorkOut:
    """Queue an evaluation, with `evaluate+promote` also the promotion after a pass."""
    found = find(project, name, version)
    with writing(project.engine) as session:
        audit.lock(session)
        held = session.get_one(ModelVersionRow, found.id)
        facts = {
            "name": found.name,
            "version": found.version,
            "version_id": found.id,
            "registered_at": held.registered_at,
            "alias": body.alias,
            "requested_by": actor.name,
        }
        row = OutboxRow(id=new_id(), workspace=DEFAULT_WORKSPACE, created_at=now_ms(), kind=body.kind, body=facts)
        session.add(row)
        told = {"request": row.id, "kind": body.kind, "version": found.version, "version_id": found.id}
        audit.append(session, "requested", actor=actor.name, name=found.name, facts=told)
        return _work(row, None)


@router.get("/requests/{key}", dependencies=[Anybody], summary="What came of a request")
def get_request(project: InProject, key: Key) -> WorkOut:
    """Whether the worker has it, and the decision that was made since it was asked for."""
    with reading(project.engine) as session:
        row = session.get(OutboxRow, key)
        if row is None or row.workspace != DEFAULT_WORKSPACE or row.kind not in {"evaluate", "evaluate+promote"}:
            raise NotFoundError(f"there is no request {key}")
        newest = (
            select(DecisionRow.id)
            .where(DecisionRow.version_id == row.body["version_id"], DecisionRow.created_at >= row.created_at)
            .order_by(DecisionRow.created_at.desc(), DecisionRow.id.desc())
        )
        return _work(row, session.scalar(newest.limit(1)))


def evaluation(project: Project, key: str) -> Evaluation:
    """One evaluation by its key; an unknown one raises `NotFoundError`."""
    try:
        return project.registry.evaluation_by_id(key)
    except InputError as error:
        raise NotFoundError(str(error)) from None


def _work(row: OutboxRow, decision: str | None) -> WorkOut:
    state = "done" if row.done_at is not None else "running" if row.taken_at is not None else "queued"
    return WorkOut(
        id=row.id, kind=row.kind, name=row.body["name"], version=row.body["version"],
        requested_by=row.body["requested_by"], created_at=row.created_at, state=state, decision=decision,
    )  # fmt: skip
