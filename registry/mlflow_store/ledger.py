"""Our books, written in the transaction of MLflow's: grants for the triggers, holders, promotions, audit, outbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import String, cast, delete, func, insert, select
from sqlalchemy.orm import Session

from registry import audit
from registry.actors import Intent
from registry.binding import Held, Move, Permit, RefusedError, current_decision, find_version
from registry.digests import new_id, now_ms
from registry.outbox import CREATED, put
from registry.policy import Policy
from registry.tables import GrantRow, HolderRow, PromotionRow
from registry.webhooks import announce

_GRANT_MS = 60_000


@contextmanager
def granted(session: Session, held: Held, alias: str, act: str) -> Iterator[None]:
    """Let the one write through the triggers; the grant is gone before the transaction ends."""
    postgres = session.get_bind().dialect.name == "postgresql"
    now, key = now_ms(), new_id()
    session.execute(
        insert(GrantRow).values(
            id=key,
            workspace=held.workspace,
            created_at=now,
            name=held.name,
            alias=alias,
            version=held.version,
            act=act,
            expires_at=now + _GRANT_MS,
            txid=cast(func.pg_current_xact_id(), String) if postgres else None,
        )
    )
    yield
    session.execute(delete(GrantRow).where(GrantRow.id == key).execution_options(synchronize_session=False))


def record_promotion(session: Session, move: Move, allowed: Permit) -> None:
    """Promotion, holder and audit entry of a protected alias that moved."""
    held, alias, wish = move.held, move.alias, move.intent
    row = _promotion(session, move, allowed)
    holder = _holder(session, held, alias)
    if holder is None:
        holder = HolderRow(
            id=new_id(), workspace=held.workspace, created_at=row.created_at, name=held.name, alias=alias
        )
        session.add(holder)
    holder.version, holder.version_id = held.version, allowed.version.id
    holder.promotion_id, holder.artifact_digest = row.id, allowed.version.artifact_digest
    facts = {
        "alias": alias,
        "version": held.version,
        "version_id": allowed.version.id,
        "decision": row.decision_id,
        "artifact_digest": allowed.version.artifact_digest,
        "previous_version": row.previous_version,
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
    )
    announce(session, kind, held.name, facts, actor=wish.actor.name, workspace=held.workspace)


def record_free_move(session: Session, move: Move) -> None:
    """Promotion and audit entry of an alias that no policy protects, moved through evalkit."""
    held, alias, wish = move.held, move.alias, move.intent
    version = find_version(session, held)
    if version is None:
        return
    row = _promotion(session, move, Permit(version, current_decision(session, version)))
    facts = {"alias": alias, "version": held.version, "version_id": version.id, "decision": row.decision_id}
    kind = "promotion" if wish.override is None else "override"
    audit.append(
        session, kind, actor=wish.actor.name, name=held.name, facts=facts, rows=[row], workspace=held.workspace
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


def record_creation(session: Session, held: Held, policy: Policy, wish: Intent) -> None:
    """A version of a model under policy was created, by whatever client."""
    facts = {"version": held.version, "registered_at": held.registered_at}
    audit.append(session, CREATED, actor=wish.actor.name, name=held.name, facts=facts, workspace=held.workspace)
    if policy.auto != "off":
        body = {"name": held.name, "author": wish.actor.name, **facts}
        put(session, CREATED, body, workspace=held.workspace)


def record_removal(session: Session, workspace: str, name: str, held: Held | None, wish: Intent) -> None:
    """A version (None: the whole model) under policy was deleted."""
    facts = {} if held is None else {"version": held.version, "registered_at": held.registered_at}
    kind = "model.deleted" if held is None else "version.deleted"
    audit.append(session, kind, actor=wish.actor.name, name=name, facts=facts, workspace=workspace)


def record_refusal(session: Session, workspace: str, name: str, refused: RefusedError, wish: Intent) -> None:
    """Somebody tried what the gate does not let through."""
    facts = {"rule": refused.rule}
    audit.append(session, "refused", actor=wish.actor.name, name=str(name)[:256], facts=facts, workspace=workspace)


def _promotion(session: Session, move: Move, allowed: Permit) -> PromotionRow:
    row = PromotionRow(
        id=new_id(),
        workspace=move.held.workspace,
        created_at=now_ms(),
        name=move.held.name,
        alias=move.alias,
        version_id=allowed.version.id,
        decision_id=allowed.decision.id if allowed.decision is not None else None,
        previous_version=move.previous,
        override=move.intent.override,
        actor=move.intent.actor.name,
    )
    session.add(row)
    return row


def _holder(session: Session, held: Held, alias: str) -> HolderRow | None:
    return session.scalar(
        select(HolderRow).where(
            HolderRow.workspace == held.workspace, HolderRow.name == held.name, HolderRow.alias == alias
        )
    )
