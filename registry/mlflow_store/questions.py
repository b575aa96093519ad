"""What the gate asks MLflow's tables and ours before an alias moves: in one question, since each is a round trip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModelAlias
from mlflow.utils.validation import _validate_model_version
from sqlalchemy import and_, bindparam, exists, select, true
from sqlalchemy.orm import Session

from registry.actors import Intent
from registry.audit import Head
from registry.binding import DECIDES, JUDGED, STANDING, Held, Move, read_standing
from registry.current import NEWEST
from registry.policy import RANKED, Policy, head_of, ruling_row
from registry.tables import HolderRow, ModelVersionRow, SuiteRow, WebhookRow

# Built once, and read without MLflow's objects: building and hydrating take longer than running
_Version: Any = SqlModelVersion  # MLflow's mapped classes are untyped
_Alias: Any = SqlRegisteredModelAlias
_HELD: Any = select(
    _Version.name,
    _Version.version,
    _Version.creation_time,
    _Version.source,
    _Version.storage_location,
).where(
    _Version.workspace == bindparam("workspace"),
    _Version.name == bindparam("name"),
    _Version.version == bindparam("version"),
    _Version.current_stage != STAGE_DELETED_INTERNAL,
)
_ALIASES: Any = select(_Alias.alias).where(
    _Alias.workspace == bindparam("workspace"),
    _Alias.name == bindparam("name"),
    _Alias.version == bindparam("version"),
)
_TOLD: Any = exists().where(WebhookRow.workspace == _Version.workspace).label("told")
_MOVE: Any = (
    _HELD.add_columns(
        *STANDING, _Alias.version.label("previous"), HolderRow.id.label("holder"), HolderRow.created_at, _TOLD
    )
    .outerjoin(
        _Alias,
        and_(
            _Alias.workspace == _Version.workspace,
            _Alias.name == _Version.name,
            _Alias.alias == bindparam("alias"),
        ),
    )
    .outerjoin(
        HolderRow,
        and_(
            HolderRow.workspace == _Version.workspace,
            HolderRow.name == _Version.name,
            HolderRow.alias == bindparam("alias"),
        ),
    )
    .outerjoin(
        ModelVersionRow,
        and_(
            ModelVersionRow.workspace == _Version.workspace,
            ModelVersionRow.name == _Version.name,
            ModelVersionRow.version == _Version.version,
            ModelVersionRow.registered_at == _Version.creation_time,
        ),
    )
    .outerjoin(SuiteRow, SuiteRow.id == ModelVersionRow.suite_id)
    .outerjoin(JUDGED, DECIDES)
    .order_by(*NEWEST)
    .limit(1)
)
_CANDIDATE: Any = _MOVE.subquery("candidate")
_SEEN: Any = RANKED.add_columns(*_CANDIDATE.c).outerjoin(_CANDIDATE, true())


@dataclass(frozen=True, slots=True)
class Seen:
    """What rules over a move of an alias, all of one moment.

    Attributes:
        policy: over the model; None where none rules.
        head: the end of the audit's chain; None where no policy rules, or there is no chain.
        move: None where no policy rules, or there is no such version.
        asked: name and version that were given.
    """

    policy: Policy | None = None
    head: Head | None = None
    move: Move | None = None
    asked: tuple[Any, Any] = ("", "")

    def protects(self, alias: str) -> bool:
        """Whether the policy protects an alias."""
        return self.policy is not None and self.policy.protects(alias)

    def found(self) -> Move:
        """The move; raises MLflow's error where there is no such version."""
        if self.move is None:
            refuse_unknown(*self.asked)
        return self.move


def see(session: Session, name: str, alias: str, version: str, *, workspace: str, wish: Intent) -> Seen:
    """The policy over a model together with all that it asks for before an alias moves; never MLflow's errors."""
    try:
        values = _values(workspace, name, version, alias=alias)
    except MlflowException:
        values = {"workspace": workspace, "name": name, "version": None, "alias": alias}  # which no version has
    rows = session.connection().execute(_SEEN, {**values, "ruled": workspace})
    policy, row = ruling_row(rows, name)
    if policy is None:
        return Seen()
    move = _move_of(row, workspace, alias, wish) if row.name is not None else None
    return Seen(policy, head_of(row), move, (name, version))


def held_version(session: Session, workspace: str, name: str, version: str | int) -> Held:
    """A version as MLflow holds it now; raises MLflow's error where it does not."""
    row = session.connection().execute(_HELD, _values(workspace, name, version)).first()
    if row is None:
        refuse_unknown(name, version)
    return _held_of(row, workspace)


def aliases(session: Session, workspace: str, name: str, version: int) -> list[str]:
    """The aliases that point to a version."""
    return list(session.scalars(_ALIASES, {"workspace": workspace, "name": name, "version": version}))


def wished_move(session: Session, name: str, alias: str, version: str, *, workspace: str, wish: Intent) -> Move:
    """A move of an alias that no policy asks for; raises MLflow's error where there is no such version."""
    row = session.connection().execute(_MOVE, _values(workspace, name, version, alias=alias)).first()
    if row is None:
        refuse_unknown(name, version)
    return _move_of(row, workspace, alias, wish)


def refuse_unknown(name: str, version: str | int) -> NoReturn:
    """Raise what MLflow raises where there is no such version, or what was given is not even a number."""
    _validate_model_version(version)
    raise MlflowException(f"Model Version (name={name}, version={version}) not found", RESOURCE_DOES_NOT_EXIST)


def _values(workspace: str, name: str, version: str | int, **more: str) -> dict[str, Any]:
    return {**more, "workspace": workspace, "name": name, "version": _validate_model_version(version)}


def _held_of(row: Any, workspace: str) -> Held:
    return Held(
        workspace,
        row.name,
        int(row.version),
        int(row.creation_time),
        str(row.source),
        str(row.storage_location or row.source),
    )


def _move_of(row: Any, workspace: str, alias: str, wish: Intent) -> Move:
    held = _held_of(row, workspace)
    holder = (row.holder, row.created_at) if row.holder is not None else None
    return Move(held, alias, wish, row.previous, holder, bool(row.told), read_standing(row, held))
