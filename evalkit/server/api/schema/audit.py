"""The audit."""

from __future__ import annotations

from typing import Any

from evalkit.server.api.schema.base import Out


class AuditEntry(Out):
    """An entry of the audit's chain; `hash` covers all of the others."""

    seq: int
    workspace: str
    at: int
    kind: str
    actor: str
    name: str
    facts: dict[str, Any]
    rows: dict[str, str | None]
    previous: str
    hash: str


class AnchorOut(Out):
    """The end of the chain at a moment, UTC milliseconds."""

    workspace: str
    seq: int
    hash: str
    at: int


class FindingOut(Out):
    """One thing in the audit that is not as it was written."""

    seq: int
    what: str


class AuditReportOut(Out):
    """What following the chain has shown."""

    workspace: str
    entries: int
    head: str
    anchors: int
    findings: list[FindingOut]
    intact: bool
