"""``/models``, ``/suites``, ``/whoami``: versions with their suites and verdicts, and registering them."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Query, Response
from sqlalchemy import select

from evalkit.errors import NotFoundError
from evalkit.project import Project
from evalkit.server.api import paging
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, DigestPath, Limit, ModelName, Outcome, Page, VersionName
from evalkit.server.api.schema.models import ModelOut, RegisterIn, SuiteIn, SuiteOut, VersionOut, WhoAmI
from evalkit.server.identity import needs
from evalkit.views import inventory
from metrics.errors import InputError
from registry.actors import EVALUATOR, Actor
from registry.database import reading
from registry.entities import ModelVersion
from registry.suite import Suite
from registry.tables import DEFAULT_WORKSPACE, ModelVersionRow, SuiteRow

router = new_router("models")
Anybody = Depends(needs())


@router.get("/whoami", summary="Who the server takes you for")
def whoami(actor: Annotated[Actor, Anybody]) -> WhoAmI:
    """Name and roles of the present actor, and the server's version."""
    try:
        server = metadata.version("evalkit")
    except metadata.PackageNotFoundError:
        server = "unknown"
    return WhoAmI(name=actor.name, roles=sorted(actor.roles), server=server, api=1)


@router.get("/models", dependencies=[Anybody], summary="Models that have versions with suites")
def list_models(
    project: InProject, *,
    name: Annotated[str | None, Query(max_length=255, description="A part of the name.")] = None,
    outcome: Annotated[Outcome | None, Query(description="Of the newest version.")] = None,
    kind: Annotated[str | None, Query(max_length=60)] = None, cursor: Cursor = None, limit: Limit = 100,
) -> Page[ModelOut]:  # fmt: skip
    """By name, with the number of versions, the champion, the newest verdict, and the monitors that watch it."""
    found = [
        line
        for line in inventory.models(project)
        if (name or "").strip().casefold() in line.name.casefold() and outcome in {None, line.outcome}
        and kind in {None, line.kind}
    ]  # fmt: skip
    items, following = paging.cut(found, cursor, limit)
    return Page(items=[_model(line) for line in items], next=following)


@router.get("/models/{name}/versions", dependencies=[Anybody], summary="Versions of a model, oldest first")
def list_versions(project: InProject, name: ModelName, cursor: Cursor = None, limit: Limit = 100) -> Page[VersionOut]:
    """Versions that have a suite, each with the outcome of the newest decision that counts."""
    versions, following = paging.cut(project.registry.versions(name), cursor, limit)
    return Page(items=[shown(project, version) for version in versions], next=following)


@router.get("/models/{name}/versions/{version}", dependencies=[Anybody], summary="One version")
def get_version(project: InProject, name: ModelName, version: VersionName) -> VersionOut:
    """A version by its number or `@alias`."""
    return shown(project, find(project, name, version))


@router.post(
    "/models/{name}/versions",
    dependencies=[Depends(needs(EVALUATOR))],
    status_code=201,
    responses={200: {"model": VersionOut, "description": "The same model with the same suite was there already."}},
    summary="Register a version with the suite that judges it",
)
def register(project: InProject, name: ModelName, body: RegisterIn, response: Response) -> VersionOut:
    """Register a model that MLflow holds (`runs:/…`, `models:/…`) or an endpoint (`openai:/name@http://host/v1`)."""
    version = project.registry.register(
        name,
        model=body.source,
        suite=read_suite(body.suite),
        kind=body.kind,
        training_data=body.training_data,
        description=body.description,
        generator=body.generator,
        new_version=body.new_version,
    )
    if version.existing:
        response.status_code = 200
    return shown(project, version)


@router.put(
    "/models/{name}/versions/{version}/suite",
    dependencies=[Depends(needs(EVALUATOR))],
    summary="Let another suite judge a version",
)
def bind_suite(project: InProject, name: ModelName, version: VersionName, body: SuiteIn) -> VersionOut:
    """From now on only decisions on this suite count for promotion."""
    found, suite = find(project, name, version), read_suite(body.suite)
    if suite.digest != found.suite_digest:
        found = project.registry.bind_suite(found, suite)
    return shown(project, found)


@router.get("/suites/{digest}", dependencies=[Anybody], summary="Text of a suite")
def get_suite(project: InProject, digest: DigestPath) -> SuiteOut:
    """A suite by its digest."""
    query = select(SuiteRow).where(SuiteRow.workspace == DEFAULT_WORKSPACE, SuiteRow.digest == digest)
    with reading(project.engine) as session:
        row = session.scalar(query)
        if row is None:
            raise NotFoundError(f"there is no suite {digest}")
        return SuiteOut.model_validate(row)


def find(project: Project, name: str, version: str) -> ModelVersion:
    """The version by number or ``@alias``; an unknown one raises `NotFoundError`."""
    reference = f"models:/{name}{version}" if version.startswith("@") else f"models:/{name}/{version}"
    try:
        return project.registry.version(reference)
    except InputError as error:
        raise NotFoundError(str(error)) from None


def shown(project: Project, version: ModelVersion) -> VersionOut:
    """A version as the API shows it."""
    decision = project.registry.current_decision(version)
    with reading(project.engine) as session:
        row = session.get_one(ModelVersionRow, version.id)
        return VersionOut.of(version, row, decision.outcome if decision is not None else None)


def _model(line: inventory.ModelLine) -> ModelOut:
    told = {field: getattr(line, field) for field in ModelOut.model_fields if field != "monitors"}
    return ModelOut.model_validate(told | {"monitors": [one.name for one in line.monitors]})


def read_suite(text: str) -> Suite:
    """A suite that was sent as text; the files that it names are where it is evaluated, not here."""
    return Suite.from_text(text, Path("/nonexistent"), origin="suite.yaml", check_files=False)
