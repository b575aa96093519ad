"""``/audit``: who registered, judged, approved and promoted what, and whether the books are as they were written."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Query
from sqlalchemy import select

from evalkit.server.api.models import Anybody
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Limit, Page
from evalkit.server.api.schema.audit import AnchorOut, AuditEntry, AuditReportOut
from evalkit.server.identity import needs
from registry.actors import ADMIN
from registry.audit import head
from registry.audit import verify as follow
from registry.database import reading
from registry.tables import DEFAULT_WORKSPACE, AuditRow

router = new_router("audit")
After = Annotated[int, Query(ge=0, le=2**62, alias="cursor", description="`next` of the page before.")]


@router.get("/audit", dependencies=[Anybody], summary="Entries of the audit")
def list_entries(
    project: InProject,
    *,
    after: After = 0,
    limit: Limit = 200,
    name: Annotated[str | None, Query(max_length=256, description="Of one model only.")] = None,
    kind: Annotated[str | None, Query(max_length=60, description="Such as `promotion`.")] = None,
    actor: Annotated[str | None, Query(max_length=255)] = None,
    newest: Annotated[bool, Query(description="Newest first instead.")] = False,
) -> Page[AuditEntry]:
    """Oldest first, with their hashes."""
    query = select(AuditRow).where(AuditRow.workspace == DEFAULT_WORKSPACE)
    if after or not newest:
        query = query.where(AuditRow.seq < after if newest else AuditRow.seq > after)
    for column, wanted in ((AuditRow.name, name), (AuditRow.kind, kind), (AuditRow.actor, actor)):
        if wanted is not None:
            query = query.where(column == wanted)
    order = AuditRow.seq.desc() if newest else AuditRow.seq
    with reading(project.engine) as session:
        rows = list(session.scalars(query.order_by(order).limit(limit + 1)))
        items = [AuditEntry.model_validate({**json.loads(row.entry), "hash": row.hash}) for row in rows[:limit]]
    return Page(items=items, next=str(items[-1].seq) if len(rows) > limit else None)


@router.post(
    "/audit/anchors", dependencies=[Depends(needs(ADMIN))], status_code=201, summary="Tell the chain's end to outside"
)
def drop_anchor(project: InProject) -> AnchorOut:
    """To the server's own file of anchors, and to MLflow's experiment `evalkit` as a tag; nowhere else."""
    from evalkit.anchors import FILE, keep

    made = head(project.engine)
    keep(made, project.registry.mlflow, project.settings.home / FILE)
    return AnchorOut.model_validate(made)


@router.get("/audit/verify", dependencies=[Anybody], summary="Follow the chain")
def verify(project: InProject) -> AuditReportOut:
    """Find and locate every change to the chain and to what it witnessed; anchors of the server are taken along."""
    from evalkit.anchors import known_anchors

    report = follow(project.engine, anchors=known_anchors(settings=project.settings))
    return AuditReportOut.model_validate({**asdict(report), "intact": report.intact})
