"""Policies: which aliases of which models are protected, and what moving them needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import Engine, String, Text, bindparam, cast, exists, select, true
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
    .where(PolicyRow.workspace == bindparam("ruled"))
    .order_by(PolicyRow.specific.desc(), PolicyRow.pattern)
)
"""The policies of the workspace `ruled`, in the order in which `ruling_row` asks them, with the audit chain's end."""

_ruled = exists().where(
    PolicyRow.workspace == bindparam("ruled"),
    bindparam("name_ruled", type_=String()).like(PolicyRow.like_pattern, escape="!"),
)
_taken = audit.LOCKING.where(_ruled).cte("locked")
_LOCKED = RANKED.add_columns(_taken.c.seq.label("locked_seq"), _taken.c.hash.label("locked_hash")).outerjoin(
    _taken, true()
)
"""`RANKED`, and the audit's lock where one of the policies matches the name."""

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


@dataclass(frozen=True, slots=True)
class Ruling:
    """The policy over a model (None where none rules), and the end of the audit's chain.

    Attributes:
        policy: the most specific one that matches.
        seen: the chain's end in the same moment; None where there is no chain.
        locked: what `audit.lock` returns; None where the lock was not taken.
    """

    policy: Policy | None = None
    seen: audit.Head | None = None
    locked: audit.Head | None = None


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
        return [_policy(row.pattern, row.rules) for row in session.connection().execute(RANKED, {"ruled": workspace})]


def policy_for(session: Session, name: str, workspace: str = DEFAULT_WORKSPACE) -> Policy | None:
    """The policy that rules over a model; None where none does."""
    return ruling(session, name, workspace).policy


def ruling(session: Session, name: str, workspace: str = DEFAULT_WORKSPACE, *, locking: bool = False) -> Ruling:
    """The policy that rules over a model.

    A policy changes together with the audit, so it still rules as long as the chain ends as it was seen.

    Args:
        session: the transaction.
        name: the model's.
        workspace: of the model.
        locking: take the audit's lock as well, where a policy rules and the database does both in one round trip.
    """
    connection, given = session.connection(), {"ruled": workspace}
    if not locking or connection.dialect.name != "postgresql":
        policy, row = ruling_row(connection.execute(RANKED, given), name)
        return Ruling(policy, head_of(row))
    policy, row = ruling_row(
        connection.execute(_LOCKED, {**given, "locked_chain": workspace, "name_ruled": name}), name
    )
    taken = row is not None and row.locked_seq is not None
    return Ruling(policy, head_of(row), (int(row.locked_seq), str(row.locked_hash)) if taken else None)


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
