"""``/database`` and ``/doctor``: whether the server's own machine is sound; nothing is changed."""

from __future__ import annotations

from threading import Lock
from typing import Annotated, Literal

from fastapi import Depends, Query
from pydantic import Field

from evalkit.errors import ConflictError
from evalkit.server.api import paging
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Limit, Out, Page
from evalkit.server.identity import needs
from registry.actors import ADMIN

router = new_router("machine")
Administers = Depends(needs(ADMIN))
_looking = Lock()


class RevisionsOut(Out):
    """Of tables: null where there are none."""

    current: str | None
    needed: str | None


class DatabaseOut(Out):
    """Whether tables, rows and audit are as they should be; null is what was not looked at."""

    evalkit: RevisionsOut
    mlflow: RevisionsOut | None = None
    missing_triggers: list[str] | None = None
    damage: list[str] | None = Field(None, description="Broken files, and rows that point to none.")
    audit: list[str] | None = Field(None, description="What following the chains of all workspaces has shown.")
    left_out: list[str] | None = Field(None, description="What the server's role may not read.")
    good: bool


class FindingOut(Out):
    """One thing that was looked at."""

    check: str
    status: Literal["ok", "missing", "warning", "broken"]
    detail: str


@router.get("/database", dependencies=[Administers], summary="Whether the server's databases are whole")
def check_database(
    project: InProject,
    tables_only: Annotated[bool, Query(description="Leave rows and audit out, which takes time.")] = False,
) -> DatabaseOut:
    """As `evalkit db check` tells it; one at a time."""
    from evalkit.databases.checks import look

    if not _looking.acquire(blocking=False):
        raise ConflictError("the databases are being looked at already; ask again when that has ended")
    try:
        return DatabaseOut.model_validate(look(project.settings, tables_only=tables_only))
    finally:
        _looking.release()


@router.get("/doctor", dependencies=[Administers], summary="Whether the server's installation is sound")
def examine(project: InProject, cursor: Cursor = None, limit: Limit = 100) -> Page[FindingOut]:
    """As `evalkit doctor` tells it: versions, packages, where state lives."""
    from evalkit.diagnosis import diagnose

    items, following = paging.cut(diagnose(project.settings), cursor, limit)
    return Page(items=[FindingOut.model_validate(one) for one in items], next=following)
