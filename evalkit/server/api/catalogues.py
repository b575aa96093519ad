"""``/metrics``, ``/datasets``, ``/suites/checks``: what suites are written with, and whether one holds together."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path
from pydantic import Field
from sqlalchemy import select

import judges
from evalkit.errors import NotFoundError
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody, read_suite
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Limit, Out, Page
from evalkit.server.api.schema.models import SuiteIn
from evalkit.server.identity import needs
from metrics.catalogue import catalogue, metric_class
from metrics.errors import InputError
from registry.actors import EVALUATOR
from registry.database import reading
from registry.tables import DEFAULT_WORKSPACE, SuiteRow

router = new_router("suites")


class MetricOut(Out):
    """What the catalogue says about a metric; `low` and `high` are null where its range has no end."""

    name: str
    measures: str
    low: float | None
    high: float | None
    direction: str
    quadrant: str
    needs: list[str] = Field(description="What it reads of each sample.")
    estimand: str
    interval: str = Field(description="The method of its interval, or why there is none.")
    validity: str
    source: str
    version: int = Field(description="Raised when a fix changes values.")
    keys: dict[str, str] = Field(description="Further numbers, each in one line.")
    key_directions: dict[str, str]
    keys_by: str
    blocks: bool = Field(description="Whether a gate may rest on it.")
    uses_reference: bool
    units: str


class DatasetOut(Out):
    """A registered dataset; where it lies is the server's affair."""

    id: str
    name: str
    split: str
    digest: str
    rows: int
    licence: str
    labels: dict[str, str]
    created_at: int


class CheckedOut(Out):
    """A suite that holds together."""

    name: str
    digest: str
    registered: bool = Field(description="Whether the server knows this suite already.")
    tasks: list[str]
    warnings: list[str]


@router.get("/metrics", dependencies=[Anybody], summary="What can be measured")
def list_metrics(cursor: Cursor = None, limit: Limit = 100) -> Page[MetricOut]:
    """By name, as the server's version of evalkit measures it."""
    judges.register_metrics()
    items, following = paging.cut(catalogue(), cursor, limit)
    return Page(items=[MetricOut.model_validate(one) for one in items], next=following)


@router.get("/metrics/{metric}", dependencies=[Anybody], summary="One metric")
def get_metric(metric: Annotated[str, Path(max_length=100)]) -> MetricOut:
    """Its range, its interval and where that holds, its source."""
    judges.register_metrics()
    try:
        return MetricOut.model_validate(metric_class(metric).spec)
    except InputError as error:
        raise NotFoundError(str(error)) from None


@router.get("/datasets", dependencies=[Anybody], summary="Registered datasets")
def list_datasets(project: InProject, cursor: Cursor = None, limit: Limit = 100) -> Page[DatasetOut]:
    """By name, split and age; `evalkit dataset add` registers one on the machine where it lies."""
    items, following = paging.cut(project.registry.datasets(), cursor, limit)
    return Page(items=[DatasetOut.model_validate(one) for one in items], next=following)


@router.post("/suites/checks", dependencies=[Depends(needs(EVALUATOR))], summary="Check a suite")
def check_suite(project: InProject, body: SuiteIn) -> CheckedOut:
    """Whether its tasks, metrics and rules hold together; its data is not looked for, and nothing is stored."""
    suite = read_suite(body.suite)
    query = select(SuiteRow.id).where(SuiteRow.workspace == DEFAULT_WORKSPACE, SuiteRow.digest == suite.digest)
    with reading(project.engine) as session:
        registered = session.scalar(query) is not None
    return CheckedOut(
        name=suite.name, digest=suite.digest, registered=registered, tasks=list(suite.spec.tasks),
        warnings=list(suite.warnings),
    )  # fmt: skip
