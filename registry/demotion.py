"""Demotion: an alias goes back to the former holder, on the decision that it was once promoted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metrics.errors import InputError
from registry.actors import Actor, acting
from registry.artifacts import folder_digest
from registry.entities import ModelVersion, Promotion
from registry.mlflow_link import PromotionRefusedError
from registry.store import Registry


@dataclass(frozen=True, slots=True)
class Demotion:
    """What became of an alias.

    Attributes:
        version: who held it; None where nobody did.
        restored: who holds it now; None where nobody does, or nothing was changed.
        changed: whether it was taken away.
        detail: in words, with why earlier holders did not come back.
    """

    version: int | None
    restored: int | None
    changed: bool
    detail: str


def restore_former(registry: Registry, name: str, alias: str, *, held_since: int, actor: Actor) -> Demotion:
    """Take an alias from its holder and give it to the one before, whose files must be what they were.

    A former holder comes back on the decision of its own promotion, even if that has expired; one that was promoted by
    override does not. Only versions that held the alias before the present one did for the first time are asked, so
    that two versions that alert do not take turns. Where none may come back, nobody holds the alias.

    Args:
        registry: where the versions live.
        name: of the registered model.
        alias: which.
        held_since: UTC milliseconds; a holder that was promoted at this moment or later is left alone.
        actor: an approver, or the server's own.
    """
    lease = registry.acquire(f"promote:{name}", wait=30.0)
    try:
        number = registry.mlflow.holder(name, alias)
        if number is None:
            return Demotion(None, None, False, f"nothing was changed: nobody holds '{alias}'")
        holder = registry.version(f"models:/{name}/{number}")
        moves = registry.promotions(name, alias)
        if any(move.version_id == holder.id and move.created_at >= held_since for move in moves[-1:]):
            return Demotion(number, None, False, f"nothing was changed: version {number} was promoted since")
        refused = []
        for move in _former(moves, holder):
            try:
                back = _restore(registry, move, alias, number, actor)
            except InputError as error:
                refused.append(str(error))
                continue
            detail = f"'{alias}' went from version {number} back to version {back.version}"
            return Demotion(number, back.version, True, "; ".join([detail, *refused]))
        with acting(actor, record=True):
            registry.mlflow.drop_alias(name, alias)
        detail = f"'{alias}' was taken from version {number}; no former holder may come back"
        return Demotion(number, None, True, "; ".join([detail, *refused]))
    finally:
        registry.release(lease)


def _former(moves: Sequence[Promotion], holder: ModelVersion) -> list[Promotion]:
    """The last promotion of each earlier holder, the newest holder first."""
    begins = next((place for place, move in enumerate(moves) if move.version_id == holder.id), len(moves))
    return list({move.version_id: move for move in moves[:begins]}.values())[::-1]


def _restore(registry: Registry, move: Promotion, alias: str, previous: int, actor: Actor) -> ModelVersion:
    back = registry.version_by_id(move.version_id)
    if registry.version(back.reference).id != back.id:
        raise PromotionRefusedError(f"{back.reference} is another version now")
    if move.decision_id is None:
        raise PromotionRefusedError(f"{back.reference} was promoted without a decision")
    with registry.model_folder(back) as folder:
        if folder_digest(folder) != back.artifact_digest:
            raise PromotionRefusedError(f"{back.reference}: its files are not those that were judged")
    with acting(actor, restore=True, record=True):
        registry.move_alias(back, alias, decision_id=move.decision_id, previous=previous)
    return back
