"""Our books, written in the transaction of MLflow's: grants for the triggers, holders, promotions, audit, outbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import String, bindparam, cast, delete, func, select, update
from sqlalchemy.orm import Session

from registry import audit
from registry.actors import Intent
from registry.binding import Held, Move, RefusedError, Standing
from registry.digests import new_id, now_ms
from registry.outbox import CREATED, put
from registry.policy import Policy
from registry.tables import GrantRow, HolderRow, PromotionRow
from registry.webhooks import announce
from registry.writes import Write, inserting, prefixed, write

_GRANT_MS = 60_000

# Built once, and not through the session's units of work: building takes longer than running, and the lock is held
_GRANT = {
    "sqlite": inserting(GrantRow, "grant"),
    "postgresql": inserting(GrantRow, "grant").values(txid=cast(func.pg_current_xact_id(), String)),
}
_REVOKE = delete(GrantRow).where(GrantRow.id == bindparam("revoked"))
_PROMOTION = inserting(PromotionRow, "promotion")
_FIRST_HOLDER = inserting(HolderRow, "holder")
_NEXT_HOLDER = (
    update(HolderRow)
    .where(HolderRow.id == bindparam("holder_id"))
    .values(
        {name: bindparam(f"holder_{name}") for name in ("version", "version_id", "promotion_id", "artifact_digest")}
    )
)


@contextmanager
def granted(session: Session, held: Held, alias: str, act: str) -> Iterator[None]:
    """Let the one write through the triggers; the grant is gone before the transaction ends."""
    permission, revocation = grant(session, held, alias, act)
    write(session.connection(), [permission])
    yield
    write(session.connection(), [revocation])


def grant(session: Session, held: Held, alias: str, act: str) -> tuple[Write, Write]:
    """What lets the one write through the triggers, and what takes that away again; the caller must write both."""
    now, key = now_ms(), new_id()
    row = {
        "id": key,
        "workspace": held.workspace,
        "created_at": now,
        "name": held.name,
        "alias": alias,
        "version": held.version,
        "act": act,
        "expires_at": now + _GRANT_MS,
        "txid": None,
    }
    dialect = session.get_bind().dialect.name
    if dialect == "postgresql":
        del row["txid"]
    return Write(_GRANT[dialect], prefixed(row, "grant")), Write(_REVOKE, {"revoked": key})


def record_promotion(
    session: Session, move: Move, allowed: Standing, locked: tuple[int, str], revocation: Write
) -> None:
    """Promotion, holder and audit entry of a protected alias that moved, and the end of its grant.

    `locked` is what `audit.lock` returned, `revocation` the second of what `grant` did.
    """
    held, alias, wish = move.held, move.alias, move.intent
    row = _promotion(move, allowed)
    holder, held_by = _hold(move, row, allowed)
    facts = {
        "alias": alias,
        "version": held.version,
        "version_id": allowed.version_id,
        "decision": row.values["decision_id"],
        "artifact_digest": allowed.artifact_digest,
        "previous_version": move.previous,
        "override": wish.override is not None,
        "restored": wish.restore,
    }
    kind = "promotion" if wish.override is None else "override"
    audit.append(
        session,
        kind,
        actor=wish.actor.name,
        name=held.name,
        facts=facts,
        rows=[row, holder],
        workspace=held.workspace,
        locked=locked,
        writes=[revocation, _write(row), held_by],
    )
    if move.told:
        announce(session, kind, held.name, facts, actor=wish.actor.name, workspace=held.workspace)


def record_free_move(session: Session, move: Move) -> None:
    """Promotion and audit entry of an alias that no policy protects, moved through evalkit."""
    held, alias, wish = move.held, move.alias, move.intent
    found = move.standing
    if found is None:
        return
    row = _promotion(move, found)
    facts = {
        "alias": alias,
        "version": held.version,
        "version_id": found.version_id,
        "decision": row.values["decision_id"],
    }
    kind = "promotion" if wish.override is None else "override"
    audit.append(
        session,
        kind,
        actor=wish.actor.name,
        name=held.name,
        facts=facts,
        rows=[row],
        workspace=held.workspace,
        writes=[_write(row)],
    )
    announce(session, kind, held.name, facts, actor=wish.actor.name, workspace=held.workspace)


def record_demotion(session: Session, held: Held, alias: str, wish: Intent) -> None:
    """A protected alias was taken away."""
    holder = _holder(session, held, alias)
    facts = {"alias": alias, "version": held.version}
    gone = [holder] if holder is not None else []
    for row in gone:
        session.delete(row)
    audit.append(
        session, "demotion", actor=wish.actor.name, name=held.name, facts=facts, gone=gone, workspace=held.workspace
    )
    announce(session, "demotion", held.name, facts, actor=wish.actor.name, workspace=held.workspace)


def record_creation(
    session: Session, workspace: str, created: Any, policy: Policy, wish: Intent, *, locked: tuple[int, str] | None
) -> None:
    """A version (MLflow's) of a model under policy was created, by whatever client.

    `locked` is what `audit.lock` returned, where the transaction is still the same.
    """
    actor, name = wish.actor.name, str(created.name)
    facts = {"version": int(created.version), "registered_at": int(created.creation_timestamp)}
    audit.append(session, CREATED, actor=actor, name=name, facts=facts, workspace=workspace, locked=locked)
    if policy.auto != "off":
        put(session, CREATED, {"name": name, "author": actor, **facts}, workspace=workspace)


def record_removal(session: Session, workspace: str, name: str, held: Held | None, wish: Intent) -> None:
    """A version (None: the whole model) under policy was deleted."""
    facts = {} if held is None else {"version": held.version, "registered_at": held.registered_at}
    kind = "model.deleted" if held is None else "version.deleted"
    audit.append(session, kind, actor=wish.actor.name, name=name, facts=facts, workspace=workspace)


def record_refusal(session: Session, workspace: str, name: str, refused: RefusedError, wish: Intent) -> None:
    """Somebody tried what the gate does not let through."""
    facts = {"rule": refused.rule}
    audit.append(session, "refused", actor=wish.actor.name, name=str(name)[:256], facts=facts, workspace=workspace)


def _promotion(move: Move, allowed: Standing) -> audit.Written:
    row = {
        "id": new_id(),
        "workspace": move.held.workspace,
        "created_at": now_ms(),
        "name": move.held.name,
        "alias": move.alias,
        "version_id": allowed.version_id,
        "decision_id": allowed.verdict.id if allowed.verdict is not None else None,
        "previous_version": move.previous,
        "override": move.intent.override,
        "actor": move.intent.actor.name,
    }
    return audit.Written(PromotionRow, row)


def _write(promotion: audit.Written) -> Write:
    return Write(_PROMOTION, prefixed(promotion.values, "promotion"))


def _hold(move: Move, promotion: audit.Written, allowed: Standing) -> tuple[audit.Written, Write]:
    """Our row of who holds the alias as it shall be, and what makes it so."""
    held = move.held
    key = {"workspace": held.workspace, "name": held.name, "alias": move.alias}
    now = {
        "version": held.version,
        "version_id": allowed.version_id,
        "promotion_id": promotion.id,
        "artifact_digest": allowed.artifact_digest,
    }
    if move.holder is None:
        row = {**key, **now, "id": new_id(), "created_at": promotion.values["created_at"]}
        return audit.Written(HolderRow, row), Write(_FIRST_HOLDER, prefixed(row, "holder"))
    holder_id, created_at = move.holder
    row = {**key, **now, "id": holder_id, "created_at": created_at}
    return audit.Written(HolderRow, row), Write(_NEXT_HOLDER, prefixed({**now, "id": holder_id}, "holder"))


def _holder(session: Session, held: Held, alias: str) -> HolderRow | None:
    return session.scalar(
        select(HolderRow).where(
            HolderRow.workspace == held.workspace, HolderRow.name == held.name, HolderRow.alias == alias
        )
    )
