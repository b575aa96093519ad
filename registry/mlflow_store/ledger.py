"""Our books, written in the transaction of MLflow's: grants for the triggers, holders, promotions, audit, outbox."""

from __future__ import annotations

from typing import Any

from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias
from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import audit
from registry.actors import Intent
from registry.binding import Held, Move, RefusedError, Standing
from registry.digests import new_id, now_ms
from registry.outbox import CREATED, put
from registry.policy import Policy
from registry.tables import GrantRow, HolderRow, PromotionRow
from registry.webhooks import announce
from registry.writes import Into, Row, put_row, transaction_id

_GRANT_MS = 60_000

_GRANT = Into(GrantRow, "grant", txid=transaction_id())
_PROMOTION = Into(PromotionRow, "promotion")
_HOLDER = Into(HolderRow, "holder", key=("id",), changing=("version", "version_id", "promotion_id", "artifact_digest"))
_ALIAS = Into(SqlRegisteredModelAlias, "alias", key=("workspace", "name", "alias"), changing=("version",))


def promote(session: Session, move: Move, allowed: Standing, head: audit.Head) -> bool:
    """Move a protected alias with all that our books say of it, if the audit's chain still ends with `head`.

    MLflow's row is written here, not by MLflow: grant, alias, promotion, holder and audit are one step, which the
    database does in one round trip where it can.

    Returns:
        Whether it was done; where it was not, nothing was written.
    """
    held, alias, wish = move.held, move.alias, move.intent
    promotion = _promotion(move, allowed)
    holder = _hold(move, promotion, allowed)
    facts = {
        "alias": alias,
        "version": held.version,
        "version_id": allowed.version_id,
        "decision": promotion.values["decision_id"],
        "artifact_digest": allowed.artifact_digest,
        "previous_version": move.previous,
        "override": wish.override is not None,
        "restored": wish.restore,
    }
    kind = "promotion" if wish.override is None else "override"
    shown = {"workspace": held.workspace, "name": held.name, "alias": alias, "version": held.version}
    done = audit.advance(
        session,
        head,
        kind,
        actor=wish.actor.name,
        name=held.name,
        facts=facts,
        rows=[promotion, holder],
        workspace=held.workspace,
        writes=[_grant(held, alias, "set"), promotion, holder, Row(_ALIAS, shown)],
    )
    if done is None:
        return False
    if move.told:
        announce(session, kind, held.name, facts, actor=wish.actor.name, workspace=held.workspace)
    return True


def allow_drop(session: Session, held: Held, alias: str) -> None:
    """Let the alias be deleted once, through the triggers, in this transaction."""
    put_row(session.connection(), _grant(held, alias, "drop"))


def _grant(held: Held, alias: str, act: str) -> Row:
    """What lets one write through the triggers, which take it away once it was used."""
    now = now_ms()
    row = {
        "id": new_id(),
        "workspace": held.workspace,
        "created_at": now,
        "name": held.name,
        "alias": alias,
        "version": held.version,
        "act": act,
        "expires_at": now + _GRANT_MS,
    }
    return Row(_GRANT, row)


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
        writes=[row],
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


def _promotion(move: Move, allowed: Standing) -> Row:
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
    return Row(_PROMOTION, row)


def _hold(move: Move, promotion: Row, allowed: Standing) -> Row:
    """Our row of who holds the alias, as it shall be."""
    held = move.held
    holder_id, created_at = move.holder or (new_id(), promotion.values["created_at"])
    row = {
        "id": holder_id,
        "created_at": created_at,
        "workspace": held.workspace,
        "name": held.name,
        "alias": move.alias,
        "version": held.version,
        "version_id": allowed.version_id,
        "promotion_id": promotion.values["id"],
        "artifact_digest": allowed.artifact_digest,
    }
    return Row(_HOLDER, row)


def _holder(session: Session, held: Held, alias: str) -> HolderRow | None:
    return session.scalar(
        select(HolderRow).where(
            HolderRow.workspace == held.workspace, HolderRow.name == held.name, HolderRow.alias == alias
        )
    )
