"""The rules that bind: what must hold in the database for a protected alias to move, checked inside the transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, join, select
from sqlalchemy.orm import Session

from registry.actors import APPROVER, Intent
from registry.current import COUNTS
from registry.digests import now_ms
from registry.pages import version_page
from registry.policy import Policy
from registry.tables import ApprovalRow, DecisionRow, EvaluationRow, ModelVersionRow, PromotionRow

JUDGED = join(DecisionRow, EvaluationRow, EvaluationRow.id == DecisionRow.evaluation_id)
DECIDES = and_(DecisionRow.version_id == ModelVersionRow.id, COUNTS)
STANDING = (
    ModelVersionRow.id.label("version_id"),
    ModelVersionRow.source.label("judged_source"),
    ModelVersionRow.artifact_digest,
    ModelVersionRow.author,
    DecisionRow.id.label("decision_id"),
    DecisionRow.suite_digest,
    DecisionRow.outcome,
    DecisionRow.created_at.label("decided_at"),
)
"""What `read_standing` reads."""


class RefusedError(Exception):
    """The gate does not let this through. `rule` is the rule that failed; the text is one sentence for people."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Held:
    """A version as MLflow holds it now; `registered_at` tells it from namesakes, since MLflow counts from 1 again."""

    workspace: str
    name: str
    version: int
    registered_at: int
    source: str
    location: str

    @property
    def reference(self) -> str:
        """The MLflow URI."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The newest decision that counts for a version."""

    id: str
    suite_digest: str
    outcome: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A version as our books know it; `verdict` is None where no decision counts."""

    version_id: str
    artifact_digest: str
    author: str | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class Permission:
    """A move that every rule allows: `standing` may hold the alias, `until` (UTC milliseconds; None: for ever)."""

    standing: Standing
    until: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """An alias that shall point to a version, and who wants it.

    Attributes:
        previous: number of the version that it points to before.
        holder: key and creation time of our row of who holds it before.
        told: whether there are webhooks that may have to be told.
        standing: what we know of exactly this version: not of a namesake, a copy, or one whose source was changed.
    """

    held: Held
    alias: str
    intent: Intent
    previous: int | None = None
    holder: tuple[str, int] | None = None
    told: bool = True
    standing: Standing | None = None


def permit(session: Session, policy: Policy, move: Move, files: str | None) -> Permission:
    """Check every rule of the policy; `files` is the digest of what lies behind the version now, where it was read.

    Returns:
        The version that may hold the alias, by its verdict or by the present override.

    Raises:
        RefusedError: the first rule that does not hold.
    """
    now = now_ms()
    held, intent = move.held, move.intent
    _check_freeze(policy, now)
    found = move.standing
    if found is None:
        raise RefusedError(
            "registered",
            f"{held.reference} was never evaluated: it is not registered with a suite; "
            f"run `evalkit register {held.name} --model {held.reference} --suite suite.yaml`, then `evalkit check`",
        )
    if policy.artifacts == "proxied" and files != found.artifact_digest:
        raise RefusedError("artifacts", f"{held.reference}: its files are not those that were judged; register again")
    ends = [window.start for window in policy.freeze if window.start > now]
    if intent.override is not None:
        if not intent.actor.may(APPROVER):
            raise RefusedError("override", "an override needs the role 'approver'")
        return Permission(found, min(ends, default=None))
    verdict = _passing(session, policy, held, found)
    if policy.expires_after is not None and not _restores(session, move, found):
        expires = verdict.created_at + policy.expires_after
        _check_expiry(held, expires, now)
        ends.append(expires)
    _check_approvals(session, policy, move, found, verdict)
    return Permission(found, min(ends, default=None))


def read_standing(row: Any, held: Held) -> Standing | None:
    """What a row with the columns of `STANDING` says of a version."""
    if row is None or row.version_id is None or row.judged_source != held.source:
        return None
    verdict = None
    if row.decision_id is not None:
        verdict = Verdict(row.decision_id, row.suite_digest, row.outcome, row.decided_at)
    return Standing(row.version_id, row.artifact_digest, row.author, verdict)


def _check_freeze(policy: Policy, now: int) -> None:
    for window in policy.freeze:
        if window.start <= now < window.end:
            why = f" ({window.reason})" if window.reason else ""
            raise RefusedError(
                "freeze", f"nothing is promoted until {_time(window.end)}{why}; see `evalkit policy list`"
            )


def _passing(session: Session, policy: Policy, held: Held, found: Standing) -> Verdict:
    verdict = found.verdict
    look = f"see `evalkit show {held.reference}` or {version_page(held.name, held.version)}"
    if verdict is None:
        raise RefusedError(
            "decision",
            f"{held.reference} has no decision on its current suite and files; run `evalkit check {held.reference}`",
        )
    if policy.suites and verdict.suite_digest not in policy.suites:
        raise RefusedError(
            "suite",
            f"{held.reference} was judged by the suite {verdict.suite_digest[:19]}…, which the policy for "
            f"'{policy.pattern}' does not accept; {look}",
        )
    if verdict.outcome != "pass":
        record = session.get_one(DecisionRow, verdict.id).record
        broken = [item for item in enumerate(record.get("rules", ()), 1) if item[1].get("outcome") != "pass"]
        worst = sorted(broken, key=lambda item: item[1].get("outcome") != "fail")
        why = ""
        if worst:
            place, rule = worst[0]
            why, look = f": {rule.get('rule')}: {rule.get('reason')}", look + f"#rule-{place}"
        raise RefusedError("decision", f"the gate of {held.reference} is {verdict.outcome}{why}; {look}")
    return verdict


def _check_expiry(held: Held, expires: int, now: int) -> None:
    if now >= expires:
        over = _time(expires)
        raise RefusedError(
            "expiry", f"the passing decision on {held.reference} expired on {over}; run `evalkit gate {held.reference}`"
        )


def _check_approvals(session: Session, policy: Policy, move: Move, found: Standing, verdict: Verdict) -> None:
    if not policy.approvals:
        return
    query = select(func.count(ApprovalRow.actor.distinct())).where(
        ApprovalRow.decision_id == verdict.id,
        ApprovalRow.version_id == found.version_id,
        ApprovalRow.alias == move.alias,
    )
    if not policy.author_may_approve and found.author is not None:
        query = query.where(ApprovalRow.actor != found.author)
    given = session.scalar(query) or 0
    if given < policy.approvals:
        who = "" if policy.author_may_approve else " by people other than its author"
        raise RefusedError(
            "approvals",
            f"{move.held.reference} has {given} of {policy.approvals} approvals{who}; "
            f"see {version_page(move.held.name, move.held.version)}",
        )


def _restores(session: Session, move: Move, found: Standing) -> bool:
    """Whether a former holder comes back: on its original decision, by somebody who may."""
    if not move.intent.restore or not move.intent.actor.may(APPROVER):
        return False
    query = select(PromotionRow.id).where(PromotionRow.version_id == found.version_id, PromotionRow.alias == move.alias)
    return session.scalar(query.limit(1)) is not None


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
