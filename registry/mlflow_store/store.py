"""MLflow's SQLAlchemy store plus policies: rules are checked and written in the transaction that moves the alias."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.model_registry.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore
from mlflow.utils.validation import (
    _validate_model_alias_name,
    _validate_model_alias_name_reserved,
    _validate_model_version,
)
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from registry import audit, database, triggers
from registry.actors import APPROVER, EVALUATOR, Intent, intent
from registry.binding import Held, RefusedError, permit
from registry.carried import TAG_ARTIFACT
from registry.digests import now_ms
from registry.mlflow_store import ledger, locations, questions
from registry.mlflow_store.files import digest_of
from registry.mlflow_store.questions import Seen
from registry.mlflow_store.sessions import OneTransaction, per_connection
from registry.policy import ALIAS, Policy, Ruling, ruling
from registry.tables import HolderRow, ModelVersionRow

PROMPT_TAG = "mlflow.prompt.is_prompt"
VERDICT_TAGS = (
    "evalkit.verdict",
    "evalkit.decision",
    "evalkit.override",
    "evalkit.evaluation",
    "evalkit.run",
    "evalkit.reaction",
)
"""What only evalkit may say about a version."""

_ACTIVE = {"production", "staging"}


class _Gate(SqlAlchemyStore):
    """What the plain and the workspace-aware store have in common."""

    engine: Engine

    def __init__(self, db_uri: str, read_db_uri: str | None = None) -> None:
        super().__init__(db_uri, read_db_uri)
        single = read_db_uri in {None, db_uri} and self.engine.dialect.name == "sqlite"
        self._sessions = OneTransaction(per_connection(self.engine) if single else self.ManagedSessionMaker)
        self.ManagedSessionMaker = self._sessions
        own = database.connect(self.engine.url.render_as_string(hide_password=False))
        try:
            database.upgrade(own)
        finally:
            own.dispose()
        with self.engine.begin() as connection:
            triggers.install(connection)

    # What moves an alias

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        """Set an alias; a protected one only with a passing, current decision."""
        files = cache(digest_of)
        with self._recorded(name) as session:
            wish = intent()
            seen = self._see(session, name, alias, version, wish)
            if seen.policy is None and not wish.record:
                super().set_registered_model_alias(name, alias, version)
                return
            if self._promote(session, seen, alias, files):
                return
            if audit.lock(session, self._workspace()) != seen.head:
                seen = self._see(session, name, alias, version, wish)  # it changed before the lock was ours
                if self._promote(session, seen, alias, files):
                    return
            if seen.protects(alias):
                raise audit.unlocked(self._workspace())
            if seen.policy is not None:
                _check_alias(seen.policy, alias)
            self._move_freely(session, name, alias, version)

    def _promote(self, session: Session, seen: Seen, alias: str, files: Callable[[Held], str]) -> bool:
        """Check and move a protected alias, by what was seen and if nothing of that has changed since; else False.

        Files, which may take long to read, are read before the lock is taken.
        """
        policy = seen.policy
        if policy is None or not policy.protects(alias):
            return False
        _validate_model_alias_name(alias)
        _validate_model_alias_name_reserved(alias)
        move = seen.found()
        digest = files(move.held) if policy.artifacts == "proxied" else None
        allowed = permit(session, policy, move, digest)
        if seen.head is None or not ledger.promote(session, move, allowed.standing, seen.head):
            return False
        if allowed.until is not None and now_ms() >= allowed.until:
            permit(session, policy, move, digest)  # its time ran out while others had the lock: says which rule
        return True

    def _move_freely(self, session: Session, name: str, alias: str, version: str) -> None:
        workspace, wish = self._workspace(), intent()
        move = None
        if wish.record:
            move = questions.wished_move(session, name, alias, version, workspace=workspace, wish=wish)
        super().set_registered_model_alias(name, alias, version)
        if move is not None:
            ledger.record_free_move(session, move)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Delete an alias; a protected one only as an approver."""
        with self._ruled(name) as (session, policy, _):
            if policy is not None and policy.protects(alias):
                if not intent().actor.may(APPROVER):
                    raise RefusedError(
                        "demotion", f"the alias '{alias}' of '{name}' is protected; an approver may take it away"
                    )
                found = self._get_registered_model_alias(session, name, alias)
                if found is not None:
                    held = self._held(session, name, found.version)
                    ledger.allow_drop(session, held, alias)
                    super().delete_registered_model_alias(name, alias)
                    session.flush()
                    ledger.record_demotion(session, held, alias, intent())
                    return
            super().delete_registered_model_alias(name, alias)

    # What would take the ground from under it

    def create_model_version(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Create a version; of a model under policy it is audited, and put into the outbox where the policy says so."""
        with self._ruled(name) as (session, policy, locked):
            begun = session.get_transaction()
            if policy is not None:
                tags = kwargs.get("tags") or (args[2] if len(args) > 2 else None) or ()
                for tag in tags:
                    _check_tag(policy, tag.key)
            created = super().create_model_version(name, *args, **kwargs)
            if policy is not None:
                # MLflow tries again in another transaction where a stock server took the number, without our lock
                still = locked if session.get_transaction() is begun else None
                ledger.record_creation(session, self._workspace(), created, policy, intent(), locked=still)
            return created

    def rename_registered_model(self, name: str, new_name: str) -> Any:
        """Rename a model, unless a policy rules over the old name or the new one."""
        with self._ruled(name) as (session, policy, _):
            other = self._policy(session, new_name)
            if policy is not None or other is not None:
                ruled = name if policy is not None else new_name
                raise RefusedError("rename", f"a policy rules over '{ruled}': such models are not renamed")
            return super().rename_registered_model(name, new_name)

    def delete_registered_model(self, name: str) -> None:
        """Delete a model, unless one of its versions holds a protected alias."""
        with self._ruled(name) as (session, policy, _):
            if policy is not None:
                for alias in self._get_registered_model(session, name).registered_model_aliases:
                    self._check_not_held(policy, name, alias.alias, int(alias.version))
                ledger.record_removal(session, self._workspace(), name, None, intent())
            super().delete_registered_model(name)

    def delete_model_version(self, name: str, version: str) -> None:
        """Delete a version, unless it holds a protected alias."""
        with self._ruled(name) as (session, policy, _):
            if policy is not None:
                held = self._held(session, name, version)
                for alias in self._get_registered_model(session, name).registered_model_aliases:
                    if int(alias.version) == held.version:
                        self._check_not_held(policy, name, alias.alias, held.version)
                ledger.record_removal(session, self._workspace(), name, held, intent())
            super().delete_model_version(name, version)

    def transition_model_version_stage(
        self, name: str, version: str, stage: str, archive_existing_versions: bool
    ) -> Any:
        """Move a version to a stage; under policy not to one that serves, which would be a champion by another name."""
        with self._ruled(name) as (_, policy, _):
            if policy is not None and str(stage).strip().lower() in _ACTIVE:
                raise RefusedError(
                    "stage", f"a policy rules over '{name}': it has no stages, set the alias '{policy.aliases[0]}'"
                )
            return super().transition_model_version_stage(name, version, stage, archive_existing_versions)

    # What would only look like it

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """Set a tag; under policy not the one that makes a prompt of a model."""
        with self._ruled(name) as (_, policy, _):
            _check_tag(policy, tag.key)
            super().set_registered_model_tag(name, tag)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Delete a tag; under policy not the one that tells a prompt from a model."""
        with self._ruled(name) as (_, policy, _):
            _check_tag(policy, key)
            super().delete_registered_model_tag(name, key)

    def set_model_version_tag(self, name: str, version: str, tag: Any) -> None:
        """Set a tag of a version; under policy a verdict is evalkit's to say, and the files' digest is said once."""
        with self._ruled(name) as (session, policy, _):
            _check_tag(policy, tag.key)
            if policy is not None and tag.key == TAG_ARTIFACT:
                self._check_same(session, name, version, tag)
            super().set_model_version_tag(name, version, tag)

    def delete_model_version_tag(self, name: str, version: str, key: str) -> None:
        """Delete a tag of a version; under policy not a verdict."""
        with self._ruled(name) as (_, policy, _):
            _check_tag(policy, key)
            if policy is not None and key == TAG_ARTIFACT:
                raise RefusedError("verdict", f"the tag '{key}' says which files were judged; it stays")
            super().delete_model_version_tag(name, version, key)

    # What stands under it

    def sealed(self, path: str, *, below: bool = False) -> str | None:
        """The artifact folder of a registered version under policy that a path is in (or, with `below`, contains).

        Args:
            path: normalised, relative to the server's artifact root.
            below: whether folders under the path count too, as they do for a deletion.
        """
        with self._sessions() as session:
            return locations.sealed(session, path, below=below)

    def holders(self) -> list[ModelVersionRow]:
        """Our rows of all versions that hold a protected alias, in every workspace."""
        with self._sessions() as session:
            query = select(ModelVersionRow).join(HolderRow, HolderRow.version_id == ModelVersionRow.id)
            found = list(session.scalars(query))
            session.expunge_all()
            return found

    # Steps

    @contextmanager
    def _ruled(self, name: str) -> Iterator[tuple[Session, Policy | None, audit.Head | None]]:
        """One transaction, the policy over a model, and with one the gate's lock, held before anything else is read."""
        with self._recorded(name) as session:
            found = self._ruling(session, name, locking=True)
            policy, locked = found.policy, found.locked
            if policy is not None or intent().record:
                locked = locked or audit.lock(session, self._workspace())
                if locked != found.seen:
                    policy = self._policy(session, name)  # it may have changed before the lock was ours
            yield session, policy, locked

    @contextmanager
    def _recorded(self, name: str) -> Iterator[Session]:
        """One transaction; a refusal ends it, is told as MLflow's error, and recorded in one of its own."""
        refusal: RefusedError | None = None
        try:
            with self._sessions.transaction() as session:
                try:
                    yield session
                except RefusedError as refused:
                    refusal = refused
                    raise _told(refused) from None
        except MlflowException:
            if refusal is not None:
                self._record_refusal(name, refusal)
            raise

    def _held(self, session: Session, name: str, version: str | int) -> Held:
        return questions.held_version(session, self._workspace(), name, version)

    def _see(self, session: Session, name: Any, alias: str, version: str, wish: Intent) -> Seen:
        if not isinstance(name, str):
            return Seen()  # MLflow's to refuse
        return questions.see(session, name, alias, version, workspace=self._workspace(), wish=wish)

    def _populate_model_version_aliases(self, session: Session, name: str, version: Any) -> Any:
        # MLflow reads the model again, and all of its aliases as objects
        version.aliases = questions.aliases(session, self._workspace(), name, version.version)
        return version

    def _check_same(self, session: Session, name: str, version: str, tag: Any) -> None:
        found = self._get_model_version_tag(session, name, _validate_model_version(version), tag.key)
        if found is not None and found.value != tag.value:
            raise RefusedError("verdict", f"the tag '{tag.key}' says which files were judged; it stays as it is")

    def _check_not_held(self, policy: Policy, name: str, alias: str, version: int) -> None:
        if policy.protects(alias):
            raise RefusedError(
                "held", f"models:/{name}/{version} holds the protected alias '{alias}'; an approver may take it away"
            )

    def _record_refusal(self, name: str, refused: RefusedError) -> None:
        with self._sessions.transaction() as session:
            ledger.record_refusal(session, self._workspace(), name, refused, intent())

    def _workspace(self) -> str:
        return str(self._get_active_workspace())

    def _policy(self, session: Session, name: Any) -> Policy | None:
        return self._ruling(session, name).policy

    def _ruling(self, session: Session, name: Any, *, locking: bool = False) -> Ruling:
        # Names that are none are MLflow's to refuse
        return ruling(session, name, self._workspace(), locking=locking) if isinstance(name, str) else Ruling()


class GatedStore(_Gate):
    """The store of a server without workspaces."""


class WorkspaceGatedStore(_Gate, WorkspaceAwareSqlAlchemyStore):
    """The store of a server with workspaces: each has its own policies and its own chain."""


def _told(refused: RefusedError) -> MlflowException:
    # 403 is not retried, and the alias dialog of MLflow's pages shows the sentence
    return MlflowException(f"evalkit refuses ({refused.rule}): {refused}", PERMISSION_DENIED)


def _check_alias(policy: Policy, alias: str) -> None:
    if not ALIAS.match(alias):
        raise RefusedError(
            "alias", f"aliases of models under policy are ASCII letters, digits, '-', '_', '.': {alias!a}"
        )
    own = policy.imitated(alias)
    if own is not None:
        raise RefusedError("alias", f"the alias {alias!a} could be taken for the protected '{own}'; choose another")


def _check_tag(policy: Policy | None, key: str) -> None:
    if policy is None:
        return
    if key == PROMPT_TAG:
        raise RefusedError("prompt", "a model under policy is not made a prompt, nor a prompt a model")
    if key in VERDICT_TAGS and not intent().actor.may(EVALUATOR):
        raise RefusedError("verdict", f"the tag '{key}' is evalkit's verdict; only an evaluation writes it")
