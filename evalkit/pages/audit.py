"""Audit: every registration, decision, override, promotion and acknowledgement, and whether it was altered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from sqlalchemy import select

from evalkit.pages.rendering import new_router, page
from evalkit.project import Project
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from registry.audit import verify as follow
from registry.database import reading
from registry.digests import short
from registry.tables import DEFAULT_WORKSPACE, AuditRow

router = new_router()
SHOWN = 100
_FRAME = frozenset({"workspace", "seq", "at", "kind", "actor", "name", "previous", "rows", "gone"})
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the chain; `facts` as texts for people."""

    seq: int
    at: int
    kind: str
    actor: str
    name: str
    facts: tuple[tuple[str, str], ...]
    hash: str


@router.get("/audit", dependencies=[Depends(needs())])
def list_entries(
    request: Request, project: InProject, *,
    name: Annotated[str, Query(max_length=256)] = "", kind: Annotated[str, Query(max_length=60)] = "",
    actor: Annotated[str, Query(max_length=255)] = "",
    before: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> Response:  # fmt: skip
    """Entries, newest first."""
    query = select(AuditRow).where(AuditRow.workspace == DEFAULT_WORKSPACE)
    for column, wanted in ((AuditRow.name, name), (AuditRow.kind, kind), (AuditRow.actor, actor)):
        if wanted:
            query = query.where(column == wanted)
    if before:
        query = query.where(AuditRow.seq < before)
    with reading(project.engine) as session:
        rows = list(session.scalars(query.order_by(AuditRow.seq.desc()).limit(SHOWN + 1)))
        entries = [_entry(row) for row in rows[:SHOWN]]
    older = entries[-1].seq if len(rows) > SHOWN else None
    return page(
        request, "audit.html", entries=entries, older=older, before=before, name=name, kind=kind, actor=actor,
        kinds=_kinds(project),
    )  # fmt: skip


@router.get("/audit/verify", dependencies=[Depends(needs())])
def verify(request: Request, project: InProject) -> Response:
    """Follow the whole chain, with the anchors that the server keeps outside the database."""
    from evalkit.anchors import known_anchors

    report = follow(project.engine, anchors=known_anchors(settings=project.settings))
    return page(request, "audit_verify.html", report=report)


def _kinds(project: Project) -> list[str]:
    """The kinds of entries that there are."""
    with reading(project.engine) as session:
        return sorted(session.scalars(select(AuditRow.kind).where(AuditRow.workspace == DEFAULT_WORKSPACE).distinct()))


def _entry(row: AuditRow) -> Entry:
    try:
        told: dict[str, Any] = json.loads(row.entry)
    except ValueError:  # somebody altered it; `verify` says so
        told = {}
    facts = told.get("facts")
    found = facts if isinstance(facts, dict) else {key: item for key, item in told.items() if key not in _FRAME}
    return Entry(
        row.seq, row.at, row.kind, row.actor, row.name,
        tuple((str(key), _text(item)) for key, item in found.items() if item not in (None, "", [], {})), row.hash,
    )  # fmt: skip


def _text(item: Any) -> str:
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    if text.startswith("sha256:"):
        return short(text)  # the whole digest is in the entry, which `evalkit audit export` gives
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
