"""The registry: model versions in MLflow, with the suites that judge them and everything that was decided."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from metrics.errors import InputError
from registry import audit, records
from registry.actors import intent
from registry.artifacts import MLMODEL, folder_digest
from registry.carried import TAG_GENERATOR, TAG_KIND, TAG_SUITE_DIGEST, Prepared, suite_file, suite_tags, version_tags
from registry.database import connect, reading, upgrade, writing
from registry.digests import new_id, now_ms
from registry.entities import ModelVersion, Promotion
from registry.evaluations import Evaluations
from registry.homes import SuiteHomes, stored_suite
from registry.imported import Imports
from registry.leases import Leases
from registry.mlflow_link import MlflowLink, parse_reference, parse_run
from registry.mlflow_store import SCHEME, plain_uri
from registry.policy import Policy, policy_for
from registry.sources import LocalModel, infer_kind, is_mlflow, read_local, stored_generator
from registry.suite import Suite
from registry.tables import DEFAULT_WORKSPACE, HolderRow, ModelVersionRow, SuiteBindingRow, SuiteRow

_REGISTER_WAIT = 120.0


class Registry(Evaluations, Leases, SuiteHomes, Imports):
    """One workspace of the registry.

    Args:
        database_url: SQLAlchemy URL of our tables (SQLite or PostgreSQL); they are made where they are missing.
        tracking_uri, registry_uri: MLflow's stores; a database URL or an HTTP address.
        artifact_root: folder for artifacts where MLflow's store is a local database; None leaves it to MLflow.
        workspace: rows of other workspaces are invisible.
    """

    def __init__(
        self,
        database_url: str,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
        *,
        artifact_root: Path | None = None,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> None:
        engine = connect(database_url)
        upgrade(engine)
        super().__init__(engine, workspace)
        shared = registry_uri or tracking_uri or database_url
        self.binding = plain_uri(shared) == database_url
        """Whether our tables are in the model registry's database, so that alias and record move as one."""
        self.mlflow = MlflowLink(
            tracking_uri or database_url, SCHEME + database_url if self.binding else registry_uri, artifact_root
        )

    def close(self) -> None:
        """Give the database's connections back."""
        self._engine.dispose()

    # Registering

    def register(
        self,
        name: str,
        *,
        model: str,
        suite: Suite,
        kind: str | None = None,
        training_data: Sequence[str] = (),
        description: str | None = None,
        generator: Mapping[str, Any] | None = None,
        new_version: bool = False,
    ) -> ModelVersion:
        """Register a model with the suite that judges it.

        The same files with the same suite and generator under the same name are one version: it is returned
        with ``existing=True`` unless `new_version` asks for another. ``models:/name/3`` under its own name binds
        the suite to that version.

        Args:
            name: the registered model's name.
            model: ``runs:/run/path``, ``models:/m-id``, ``models:/name/version``, a path, an endpoint
                ``openai:/model@http://host/v1`` or ``call: module:function``.
            suite: what judges it; goes inside the version as artifact and tags.
            kind: free tag; inferred where it can be.
            training_data: names or digests of the data that the model was trained on.
            description: text for people on the version's page.
            generator: how to run the model (adapter, settings); wins over what is inferred.
        """
        if not name.strip() or any(sign in name for sign in '/:@"\\\n'):
            raise InputError(f"'{name}' cannot be a model's name; leave out slashes, ':', '@' and double quotes")
        lease = self.acquire(f"register:{name}", wait=_REGISTER_WAIT)
        try:
            prepared = self._prepare(name, model, suite, generator)
            if kind is not None:
                prepared = replace(prepared, kind=kind)
            found = (
                None
                if new_version
                else self._same(name, prepared, suite) or self._unrecorded(name, prepared, suite, training_data)
            )
            if found is not None:
                return found
            if prepared.attach is not None:
                created = self._attach(prepared, suite)
            else:
                created = self._create(name, prepared, suite, description)
            self._save(created, suite, prepared, tuple(training_data))
            return self.version(f"models:/{created.name}/{created.version}")
        finally:
            self.release(lease)

    def bind_suite(self, version: ModelVersion, suite: Suite) -> ModelVersion:
        """Let another suite judge a version from now on; its earlier decisions no longer count for promotion."""
        self._put_suite(version.source, suite)
        self.mlflow.set_tags(version.name, version.version, suite_tags(suite))
        with writing(self._engine) as session:
            row = self._version_row(session, version.id)
            stored = stored_suite(session, suite, self._workspace)
            row.suite_id, row.suite_file = stored.id, suite.file
            session.add(self._binding(row.id, stored.id))
            self._witness_suite(session, "suite.bound", row, stored)
        return self.version(version.reference)

    def move_alias(
        self, version: ModelVersion, alias: str, *, decision_id: str | None, previous: int | None
    ) -> Promotion:
        """Point an alias to a version and record it, as the present actor and with the present override.

        In one transaction where our tables are in the model registry's database. Elsewhere the record comes first: a
        crash may leave a record without a move, never a move without a record.

        Raises:
            PromotionRefusedError: a policy stands in the way; nothing was changed.
        """
        if self.binding:
            self.mlflow.set_alias(version.name, alias, version.version)
            return self.promotions(version.name, alias)[-1]
        wish = intent()
        promotion = Promotion(
            id=new_id(),
            name=version.name,
            alias=alias,
            version_id=version.id,
            decision_id=decision_id,
            previous_version=previous,
            override=wish.override,
            actor=wish.actor.name,
            created_at=now_ms(),
        )
        self.add_promotion(promotion)
        try:
            self.mlflow.set_alias(version.name, alias, version.version)
        except InputError:
            self.drop_promotion(promotion)
            raise
        self.announce_promotion(version, promotion)
        return promotion

    # Reading

    def version(self, reference: str) -> ModelVersion:
        """The version behind ``models:/name/2`` or ``models:/name@alias``.

        A version that carries a suite but is not in our tables (copied, imported) is taken in on the way.
        """
        name, number, alias = parse_reference(reference)
        found = self.mlflow.by_alias(name, alias) if alias else self.mlflow.version(name, number or 0)
        with reading(self._engine) as session:
            row = self._find(session, found)
            # MLflow's record brings the aliases; asking for the model's reads all of its versions
            record = self._record(session, row, {row.version: found.aliases}) if row is not None else None
        return record or self._adopt(found)

    def known(self, held: Any) -> ModelVersion | None:
        """The version that MLflow's record `held` is of; None where it is not in our tables."""
        with reading(self._engine) as session:
            row = self._find(session, held)
            return self._record(session, row) if row is not None else None

    def version_by_id(self, version_id: str) -> ModelVersion:
        """The version with one of our keys."""
        with reading(self._engine) as session:
            return self._record(session, self._version_row(session, version_id))

    def versions(self, name: str) -> list[ModelVersion]:
        """Versions of a model that have a suite, oldest first."""
        query = self._rows().where(ModelVersionRow.name == name)
        with reading(self._engine) as session:
            ordered = query.order_by(ModelVersionRow.registered_at, ModelVersionRow.version)
            aliases = self.mlflow.aliases(name)
            found = [self._record(session, row, aliases) for row in session.scalars(ordered).all()]
        # A model that was deleted and made anew counts from 1 again: the newer namesake is the one that exists
        return sorted({item.version: item for item in found}.values(), key=lambda item: item.version)

    def models(self) -> list[str]:
        """Names of the models that have versions with suites."""
        with reading(self._engine) as session:
            query = select(ModelVersionRow.name).where(ModelVersionRow.workspace == self._workspace).distinct()
            return sorted(session.scalars(query))

    def suite(self, version: ModelVersion, folder: Path | None = None) -> Suite:
        """The suite of a version, with the folder it was registered from (or `folder`) for its data."""
        with reading(self._engine) as session:
            row = self._version_row(session, version.id)
            stored = session.get_one(SuiteRow, row.suite_id)
            text, file = stored.text, row.suite_file
        home = folder or (Path(file).parent if file else Path.cwd())
        origin = file or f"suite of {version.reference}"
        return Suite.from_text(text, home, origin=origin, check_files=False)

    @contextmanager
    def model_folder(self, version: ModelVersion) -> Iterator[Path]:
        """The version's files on this machine, for as long as the context lasts."""
        with self.mlflow.downloaded(version.source) as folder:
            yield folder

    @contextmanager
    def served_folder(self, version: ModelVersion) -> Iterator[Path]:
        """What MLflow's clients download for a version, which need not be what its source names now."""
        with self.mlflow.downloaded(self.mlflow.download_location(version.name, version.version)) as folder:
            yield folder

    def holder(self, name: str, alias: str) -> str | None:
        """Key of the version that a protected alias was given to, by our books; None where they know of none."""
        with reading(self._engine) as session:
            return session.scalar(
                select(HolderRow.version_id).where(
                    HolderRow.workspace == self._workspace, HolderRow.name == name, HolderRow.alias == alias
                )
            )

    def policy(self, name: str) -> Policy | None:
        """The policy that rules over a model; None where none does."""
        with reading(self._engine) as session:
            return policy_for(session, name, self._workspace)

    # Steps

    def _prepare(self, name: str, model: str, suite: Suite, generator: Mapping[str, Any] | None) -> Prepared:
        if not is_mlflow(model):
            local = read_local(model, settings=generator, search=suite.folder)
            return Prepared(None, local, local.digest, dict(local.generator), local.kind)
        run = parse_run(model)
        attach = None
        if run is not None:
            source = self.mlflow.run_model(*run)
        elif model.startswith("models:/m-") and "/" not in model.removeprefix("models:/") and "@" not in model:
            source = model
        else:
            other, number, alias = parse_reference(model)
            held = self.mlflow.by_alias(other, alias) if alias else self.mlflow.version(other, number or 0)
            source, attach = str(held.source), held if other == name else None
        with self.mlflow.downloaded(source) as folder:
            described = {**stored_generator(folder), **(generator or {})}
            return Prepared(source, None, folder_digest(folder), described, infer_kind(folder), attach, bool(generator))

    def _same(self, name: str, prepared: Prepared, suite: Suite) -> ModelVersion | None:
        query = (
            self._rows()
            .join(SuiteRow, SuiteRow.id == ModelVersionRow.suite_id)
            .where(
                ModelVersionRow.name == name,
                ModelVersionRow.artifact_digest == prepared.digest,
                SuiteRow.digest == suite.digest,
            )
            .order_by(ModelVersionRow.created_at.desc())
        )
        with reading(self._engine) as session:
            rows = [row for row in session.scalars(query) if row.generator == prepared.generator]
            row = next((row for row in rows if self._is_current(row)), None)
            if row is None or (prepared.attach is not None and int(prepared.attach.version) != row.version):
                return None
            found = self._record(session, row)
        if suite.file is not None:
            with writing(self._engine) as session:
                self._version_row(session, found.id).suite_file = suite.file
        return replace(found, existing=True)

    def _unrecorded(
        self, name: str, prepared: Prepared, suite: Suite, training_data: Sequence[str]
    ) -> ModelVersion | None:
        # A process that was killed between MLflow's write and ours left a version that says all we need
        tags = version_tags(prepared, suite)
        for held in self.mlflow.versions(name):
            with reading(self._engine) as session:
                known = self._find(session, held) is not None
            if not known and tags.items() <= held.tags.items():
                self._save(held, suite, prepared, tuple(training_data))
                return replace(self.version(f"models:/{held.name}/{held.version}"), existing=True)
        return None

    def _is_current(self, row: ModelVersionRow) -> bool:
        try:
            held = self.mlflow.version(row.name, row.version)
        except InputError:
            return False  # deleted in MLflow
        return bool(held.creation_timestamp == row.registered_at)

    def _attach(self, prepared: Prepared, suite: Suite) -> Any:
        held = prepared.attach
        self._put_suite(str(held.source), suite)
        self.mlflow.set_tags(held.name, int(held.version), version_tags(prepared, suite))
        return held

    def _create(self, name: str, prepared: Prepared, suite: Suite, description: str | None) -> Any:
        if prepared.local is not None:
            source = self._log(name, prepared.local, suite)
        else:
            source = prepared.source or ""
            self._put_suite(source, suite)
        tags = version_tags(prepared, suite)
        created = self.mlflow.create_version(name, source, self.mlflow.source_run(source), tags)
        if description:
            self.mlflow.set_description(name, int(created.version), description)
        return created

    def _log(self, name: str, local: LocalModel, suite: Suite) -> str:
        with tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
            extra = Path(scratch)
            (extra / "evalkit").mkdir()
            (extra / "evalkit" / suite_file(suite.digest)).write_text(suite.text, encoding="utf-8")
            if local.mlmodel is not None:
                (extra / MLMODEL).write_text(yaml.safe_dump(dict(local.mlmodel)), encoding="utf-8")
            folders: list[tuple[Path, str | None]] = [(local.folder, local.place)] if local.folder else []
            if not local.folder:
                for place, file in local.files.items():
                    (extra / place).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, extra / place)
            return self.mlflow.log_model(name, [*folders, (extra, None)], tags=suite_tags(suite))

    def _put_suite(self, source: str, suite: Suite) -> None:
        self.mlflow.put_text(source, suite_file(suite.digest), suite.text)

    def _save(self, held: Any, suite: Suite, prepared: Prepared, training_data: tuple[str, ...]) -> None:
        model_id = self.mlflow.model_id(str(held.source))
        with writing(self._engine) as session:
            stored = stored_suite(session, suite, self._workspace)
            row = self._find(session, held)
            if row is None:
                row = ModelVersionRow(
                    id=new_id(),
                    workspace=self._workspace,
                    created_at=now_ms(),
                    name=held.name,
                    version=int(held.version),
                    registered_at=held.creation_timestamp,
                    source=str(held.source),
                    model_id=model_id,
                    run_id=held.run_id or None,
                    author=intent().actor.name,
                )
                session.add(row)
            row.artifact_digest, row.generator, row.kind = prepared.digest, prepared.generator, prepared.kind
            row.suite_id, row.suite_file, row.training_data = stored.id, suite.file, list(training_data)
            session.flush()
            session.add(self._binding(row.id, stored.id))
            self._witness_suite(session, "registration", row, stored)

    def _adopt(self, held: Any) -> ModelVersion:
        digest = held.tags.get(TAG_SUITE_DIGEST)
        reference = f"models:/{held.name}/{held.version}"
        if digest is None:
            raise InputError(
                f"{reference} has no suite; bind one with "
                f"`evalkit register {held.name} --model {reference} --suite suite.yaml`"
            )
        name = suite_file(digest)
        text = self.mlflow.get_text(str(held.source), name)
        suite = Suite.from_text(text, Path.cwd(), origin=f"{reference}/{name}", check_files=False, file=None)
        if suite.digest != digest:
            raise InputError(f"{reference}: the suite inside it is not the one its tag names; register it again")
        with self.mlflow.downloaded(str(held.source)) as folder:
            generator = json.loads(held.tags.get(TAG_GENERATOR, "{}")) or stored_generator(folder)
            kind = held.tags.get(TAG_KIND) or infer_kind(folder)
            prepared = Prepared(str(held.source), None, folder_digest(folder), generator, kind)
        self._save(held, suite, prepared, ())
        return self.version(reference)

    def _witness_suite(self, session: Session, kind: str, row: ModelVersionRow, suite: SuiteRow) -> None:
        facts = {
            "version": row.version,
            "version_id": row.id,
            "artifact_digest": row.artifact_digest,
            "suite_digest": suite.digest,
        }
        actor = intent().actor.name
        audit.append(session, kind, actor=actor, name=row.name, facts=facts, workspace=self._workspace)

    def _rows(self) -> Select[ModelVersionRow]:
        return select(ModelVersionRow).where(ModelVersionRow.workspace == self._workspace)

    def _find(self, session: Session, held: Any) -> ModelVersionRow | None:
        return session.scalar(
            self._rows().where(
                ModelVersionRow.name == held.name,
                ModelVersionRow.version == int(held.version),
                ModelVersionRow.registered_at == held.creation_timestamp,
            )
        )

    def _version_row(self, session: Session, version_id: str) -> ModelVersionRow:
        row = session.get(ModelVersionRow, version_id)
        if row is None or row.workspace != self._workspace:
            raise InputError(f"there is no model version with the key '{version_id}'")
        return row

    def _record(
        self,
        session: Session,
        row: ModelVersionRow,
        aliases: Mapping[int, Sequence[str]] | None = None,
    ) -> ModelVersion:
        known = self.mlflow.aliases(row.name) if aliases is None else aliases
        suite = session.get_one(SuiteRow, row.suite_id)
        return records.model_version(row, suite, known.get(row.version, ()))

    def _binding(self, version_id: str, suite_id: str) -> SuiteBindingRow:
        return SuiteBindingRow(
            id=new_id(), workspace=self._workspace, created_at=now_ms(), version_id=version_id, suite_id=suite_id
        )
