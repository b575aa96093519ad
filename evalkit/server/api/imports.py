"""``/imports``: a version with everything that was measured of it, from another store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from evalkit.bundles.unpack import Limits
from evalkit.portable.restore import Restored, restore
from evalkit.project import Project
from evalkit.server.api.models import shown
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import UploadRoute, new_router
from evalkit.server.api.schema import Out
from evalkit.server.api.schema.models import VersionOut
from evalkit.server.api.uploads import ZIP_BODY, uploaded
from evalkit.server.identity import needs
from registry.actors import EVALUATOR

router = new_router("imports", UploadRoute)
NewName = Annotated[
    str | None,
    Query(min_length=1, max_length=255, pattern=r'^[^/:@"\\\x00-\x1f\x7f]+$', description="As in the archive without."),
]


class ImportOut(Out):
    """What an import did; see `evalkit import`."""

    version: VersionOut = Field(description="The version here that the evaluations belong to.")
    origin: str = Field(description="What it is called where it came from.")
    digest: str = Field(description="Of the archive's manifest.")
    made: bool = Field(description="Whether the version was made, as a record without files.")
    evaluations: list[str] = Field(description="Keys of those that are new here.")
    present: list[str] = Field(description="Keys of those that were here already.")
    decisions: int = Field(description="How many are new here.")
    recomputed: int = Field(description="New evaluations whose numbers were all computed anew from their scores.")
    withheld: int = Field(description="Entries of other models that the audit excerpt has no text of.")


@router.post(
    "/imports",
    status_code=201,
    dependencies=[Depends(needs(EVALUATOR))],
    summary="Take in an exported version",
    responses={200: {"model": ImportOut, "description": "All of it is here already."}},
    openapi_extra=ZIP_BODY,
)
async def take_in(request: Request, response: Response, project: InProject, name: NewName = None) -> ImportOut:
    """Store the archive that `evalkit export` wrote: checked to the last byte, at once, counting for no alias."""
    async with uploaded(request, project) as path:
        made = await run_in_threadpool(_restore, project, path, name)
    if not made.evaluations and not made.decisions:
        response.status_code = 200
    return made


def _restore(project: Project, path: Path, name: str | None) -> ImportOut:
    found: Restored = restore(project.session, path, name=name, limits=Limits())
    told = {item: getattr(found, item) for item in ImportOut.model_fields}
    return ImportOut.model_validate(
        told | {
            "version": shown(project, found.version), "evaluations": list(found.evaluations),
            "present": list(found.present),
        }
    )  # fmt: skip
