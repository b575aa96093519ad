"""Policies: which aliases of which models are protected, and what moving them needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Engine, Text, bindparam, cast, select
from sqlalchemy.orm import Session

from metrics.errors import InputError
from registry import audit, triggers
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.tables import DEFAULT_WORKSPACE, AuditHeadRow, PolicyRow

ALIAS = re.compile(r"^(?!latest$)(?![vV][0-9]+$)[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")

Auto = Literal["off", "evaluate", "evaluate+promote"]
Artifacts = Literal["proxied", "load"]

_PATTERN = re.compile(r"^[^/:@\"\\\n]{1,255}\Z")
_EXACT = 1000
RANKED = (
    select(
        PolicyRow.pattern,
        cast(PolicyRow.rules, Text).label("rules"),
        AuditHeadRow.seq,
        AuditHeadRow.hash,
    )
    .outerjoin(AuditHeadRow, AuditHeadRow.workspace == PolicyRow.workspace)
    .where(PolicyRow.workspace == bindparam("workspace"))
    .order_by(PolicyRow.specific.desc(), PolicyRow.pattern)
)
"""The policies of a workspace, in the order in which `ruling_row` asks them, with the end of the audit's chain."""

_SKELETON = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "3": "e", "4": "a", "7": "t"})


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which nothing is promoted: ``[start, end)`` in UTC milliseconds."""

    start: int
    end: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What rules over the models whose name matches `pattern`.

    Attributes:
        pattern: a name, or a pattern in which ``*`` stands for any text; the most specific match rules.
        aliases: the protected aliases.
        approvals: how many people must have approved the decision.
        author_may_approve: whether the person who registered the version counts among them.
        expires_after: milliseconds after which a decision no longer counts; None: never.
        freeze: times in which nothing is promoted.
        auto: what happens by itself when a version is created.
        artifacts: ``proxied``: files must have come through the server, which then keeps them from changing and
            reads them again before an alias moves; ``load``: they may be anywhere, `evalkit.load` verifies them.
        suites: digests of the suites whose decisions count; empty: any suite that the version was registered with.
    """

    pattern: str
    aliases: tuple[str, ...] = ("champion",)
    approvals: int = 0
    author_may_approve: bool = False
    expires_after: int | None = None
    freeze: tuple[Freeze, ...] = ()
    auto: Auto = "off"
    artifacts: Artifacts = "proxied"
    suites: tuple[str, ...] = ()

    def protects(self, alias: str) -> bool:
        """Whether an alias is one of the protected ones."""
        return alias in self.aliases

    def imitated(self, alias: str) -> str | None:
        """The protected alias that `alias` could be taken for; None where it is one itself or like none."""
        if self.protects(alias):
            return None
        return next((own for own in self.aliases if skeleton(own) == skeleton(alias)), None)


def skeleton(alias: str) -> str:
    """An alias without what the eye passes over: case, punctuation, digits that look like letters."""
    return re.sub(r"[-_.]", "", alias.lower()).replace("rn", "m").replace("vv", "w").translate(_SKELETON)


def set_policy(
    engine: Engine, policy: Policy, *, actor: str, workspace: str = DEFAULT_WORKSPACE
) -> tuple[Policy, bool]:
    """Store a policy in place of the one with the same pattern; return it, and whether it is new.

    Raises:
        InputError: a field is not what it may be; nothing was changed.
    """
    _check(policy)
    with writing(engine) as session:
        audit.lock(session, workspace)
        found = _row(session, workspace, policy.pattern)
        row = found or PolicyRow(id=new_id(), workspace=workspace, created_at=now_ms(), pattern=policy.pattern)
        row.glob_pattern, row.like_pattern = _glob(policy.pattern), _like(policy.pattern)
        row.specific = _EXACT if "*" not in policy.pattern else len(policy.pattern.replace("*", ""))
        row.guarded = "|" + "|".join(alias.lower() for alias in policy.aliases) + "|"
        row.rules, row.actor = _rules(policy), actor
        session.add(row)
        facts = {"pattern": policy.pattern, **_rules(policy)}
        audit.append(session, "policy.set", actor=actor, facts=facts, rows=[row], workspace=workspace)
        triggers.install(session.connection())
    return policy, found is None


def remove_policy(engine: Engine, pattern: str, *, actor: str, workspace: str = DEFAULT_WORKSPACE) -> Policy:
    """Remove the policy with this pattern; an unknown one raises `InputError`."""
    with writing(engine) as session:
        audit.lock(session, workspace)
        row = _row(session, workspace, pattern)
        if row is None:
            raise InputError(f"there is no policy for '{pattern}'; `evalkit policy list` shows those there are")
        session.delete(row)
        facts = {"pattern": pattern}
        audit.append(session, "policy.removed", actor=actor, facts=facts, gone=[row], workspace=workspace)
        return _policy(row.pattern, json.dumps(row.rules))


def list_policies(engine: Engine, workspace: str = DEFAULT_WORKSPACE) -> list[Policy]:
    """All policies of a workspace, the most specific first."""
    with reading(engine) as session:
        return [
            _policy(row.pattern, row.rules) for row in session.connection().execute(RANKED, {"workspace": workspace})
        ]


def policy_for(session: Session, name: str, workspace: str = DEFAULT_WORKSPACE) -> Policy | None:
    """The policy that rules over a model; None where none does."""
    return ruling(session, name, workspace)[0]


def ruling(session: Session, name: str, workspace: str = DEFAULT_WORKSPACE) -> tuple[Policy | None, audit.Head | None]:
    """The policy that rules over a model, and the end of the audit's chain when it did.

    A policy changes together with the audit, so it still rules as long as the chain ends there.
    """
    policy, row = ruling_row(session.connection().execute(RANKED, {"workspace": workspace}), name)
    return policy, head_of(row)


def head_of(row: Any) -> audit.Head | None:
    """The end of the audit's chain that a row with the columns of `RANKED` tells of; None where there is no chain."""
    return (int(row.seq), str(row.hash)) if row is not None and row.seq is not None else None


def ruling_row(rows: Iterable[Any], name: str) -> tuple[Policy | None, Any]:
    """The policy that rules over a model, and its row, of rows with the columns and in the order of `RANKED`."""
    for row in rows:
        if _regex(row.pattern).match(name):
            return _policy(row.pattern, row.rules), row
    return None, None


def _row(session: Session, workspace: str, pattern: str) -> PolicyRow | None:
    return session.scalar(select(PolicyRow).where(PolicyRow.workspace == workspace, PolicyRow.pattern == pattern))


def _check(policy: Policy) -> None:
    if not _PATTERN.match(policy.pattern):
        raise InputError(f"'{policy.pattern}' cannot be a pattern; write a model's name, with * for any text")
    if not policy.aliases:
        raise InputError("a policy protects at least one alias, such as champion")
    for alias in policy.aliases:
        if not ALIAS.match(alias):
            raise InputError(f"'{alias}' cannot be an alias; use ASCII letters, digits, '-', '_' and '.'")
    if not 0 <= policy.approvals <= 20:
        raise InputError(f"{policy.approvals} approvals cannot be asked for; give a number from 0 to 20")
    if policy.expires_after is not None and policy.expires_after <= 0:
        raise InputError("decisions must count for some time; give a positive time until they expire")
    for window in policy.freeze:
        if window.start >= window.end:
            raise InputError("a freeze must end after it starts")
    for suite in policy.suites:
        if not re.match(r"^sha256:[0-9a-f]{64}\Z", suite):
            raise InputError(f"'{suite}' is not the digest of a suite; expected sha256: and 64 hexadecimal digits")


def _rules(policy: Policy) -> dict[str, Any]:
    rules = asdict(policy)
    del rules["pattern"]
    return rules | {
        "aliases": list(policy.aliases),
        "suites": list(policy.suites),
        "freeze": [asdict(window) for window in policy.freeze],
    }


@lru_cache(256)
def _policy(pattern: str, text: str) -> Policy:
    rules: Mapping[str, Any] = json.loads(text)
    windows: Sequence[Mapping[str, Any]] = rules["freeze"]
    changed = {
        "aliases": tuple(rules["aliases"]),
        "suites": tuple(rules["suites"]),
        "freeze": tuple(Freeze(**window) for window in windows),
    }
    return Policy(pattern, **{**rules, **changed})


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern, in which ``*`` stands for any text, is one of a model's name."""
    return _regex(pattern).match(name) is not None


@lru_cache(256)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")) + r"\Z", re.DOTALL)


def _glob(pattern: str) -> str:
    return re.sub(r"([\[?])", r"[\1]", pattern)


def _like(pattern: str) -> str:
    return re.sub(r"([!%_])", r"!\1", pattern).replace("*", "%")
