"""Policies and the audit of a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evalkit.remote.client import Client, made, quoted
from metrics.errors import InputError
from registry.audit import Anchor, AuditReport, Finding
from registry.policy import Freeze, Policy


def set_policy(policy: Policy, suite_texts: Sequence[str] = ()) -> tuple[Policy, bool]:
    """Store a policy in place of the one with the same pattern; return it, and whether it is new.

    `suite_texts` are those of suites that it names, by which the server judges versions that bring none.
    """
    body = {**asdict(policy), "suite_texts": list(suite_texts)}
    pattern = body.pop("pattern")
    stored = Client.from_environment().send("PUT", f"/policies/{quoted(pattern)}", body)
    return _policy(stored), bool(stored.get("new"))


def remove_policy(pattern: str) -> Policy:
    """Remove the policy with this pattern; an unknown one raises `InputError`."""
    return _policy(Client.from_environment().send("DELETE", f"/policies/{quoted(pattern)}"))


def list_policies() -> list[Policy]:
    """All policies, the most specific first."""
    return [_policy(item) for item in Client.from_environment().items("/policies")]


def verify() -> AuditReport:
    """What the server sees when it follows its chain."""
    found = Client.from_environment().get("/audit/verify")
    try:
        findings = tuple(Finding(item["seq"], item["what"]) for item in found["findings"])
        return AuditReport(found["workspace"], found["entries"], found["head"], found["anchors"], findings)
    except (KeyError, TypeError):
        raise InputError("the server's answer is no audit report; is it older than this evalkit?") from None


def drop_anchor() -> Anchor:
    """Have the server tell its chain's end to its own places of anchors."""
    return made(Anchor, Client.from_environment().send("POST", "/audit/anchors"))


def export() -> Iterator[dict[str, Any]]:
    """Entries with their hashes, oldest first."""
    yield from Client.from_environment().items("/audit", limit=1000)


def _policy(data: Mapping[str, Any]) -> Policy:
    try:
        return Policy(
            data["pattern"], aliases=tuple(data["aliases"]), approvals=data["approvals"],
            author_may_approve=data["author_may_approve"], expires_after=data["expires_after"],
            freeze=tuple(Freeze(**window) for window in data["freeze"]), auto=data["auto"],
            artifacts=data["artifacts"], suites=tuple(data["suites"]),
        )  # fmt: skip
    except (KeyError, TypeError):
        raise InputError("the server's answer is no policy; is it older than this evalkit?") from None
