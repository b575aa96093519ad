"""All that the registry asks of MLflow: models, versions, aliases, tags and files, over a database or over HTTP."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from registry.entities import RuleOutcome
from registry.mlflow_store import SCHEME, make_known

EXPERIMENT = "evalkit"
OWN_FOLDER = "evalkit"

_LOGGED = re.compile(r"^models:/(?P<id>m-[0-9a-f]{8,})$")
_VERSION = re.compile(r"^(?:models:/)?(?P<name>[^/@:]+)(?:/(?P<version>[0-9]+)|@(?P<alias>[^/@]+))$")
_RUN = re.compile(r"^runs:/(?P<run>[0-9a-zA-Z]+)/(?P<path>.+)$")
_TALKATIVE = (
    "alembic",
    "mlflow.store.db.utils",
    "mlflow.store.model_registry.abstract_store",
    "mlflow.tracking.client",
)
_RAISES = "mlflow.store.db.utils"
"""Logs each error of a database with its traceback, and raises it besides."""
_GLOBAL_URI = threading.RLock()


def _without_exception(record: logging.LogRecord) -> bool:
    return record.exc_info is None


def logged_model_id(uri: str) -> str | None:
    """The id in ``models:/m-…``."""
    match = _LOGGED.match(uri)
    return match["id"] if match else None


def parse_reference(reference: str) -> tuple[str, int | None, str | None]:
    """Split ``models:/name/2`` or ``models:/name@alias`` into name, version and alias."""
    match = _VERSION.match(reference.strip())
    if match is None:
        raise InputError(f"'{reference}' does not name a model version; write models:/name/2 or models:/name@alias")
    return match["name"], int(match["version"]) if match["version"] else None, match["alias"]


def parse_run(uri: str) -> tuple[str, str] | None:
    """Run and path of ``runs:/<run>/<path>``."""
    match = _RUN.match(uri)
    return (match["run"], match["path"].strip("/")) if match else None


class PromotionRefusedError(InputError):
    """The gate does not let this version through; `rules` are those that did not pass."""

    exit_code = 1  # refused is not a usage error

    def __init__(self, message: str, rules: tuple[RuleOutcome, ...] = ()) -> None:
        super().__init__(message)
        self.rules = rules


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn MLflow's exceptions into one clear line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if str(error.message).startswith("evalkit refuses"):
            raise PromotionRefusedError(str(error.message).splitlines()[0]) from error
        raise InputError(f"{what}: MLflow says: {str(error.message).splitlines()[0][:300]}") from error


class MlflowLink:
    """One tracking store and one model registry, without touching the process's global settings for longer than a call.

    Args:
        tracking_uri, registry_uri: MLflow's stores.
        artifact_root: where artifacts of the experiment ``evalkit`` go; None leaves it to the server.
    """

    def __init__(self, tracking_uri: str, registry_uri: str | None = None, artifact_root: Path | None = None) -> None:
        self.tracking_uri = tracking_uri
        self.registry_uri = registry_uri or tracking_uri
        self.artifact_root = artifact_root

    @cached_property
    def client(self) -> Any:
        """The client; MLflow is imported here, since that takes a second."""
        from mlflow import MlflowClient

        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(_RAISES).addFilter(_without_exception)
        if self.registry_uri.startswith(SCHEME):
            make_known()
        with told(f"the MLflow store {_safe(self.tracking_uri)} cannot be used"):
            return MlflowClient(self.tracking_uri, self.registry_uri)

    # Versions

    def version(self, name: str, number: int) -> Any:
        """MLflow's record of a version; an unknown one raises `InputError`."""
        with told(f"models:/{name}/{number} is not in the model registry"):
            return self.client.get_model_version(name, str(number))

    def by_alias(self, name: str, alias: str) -> Any:
        """The version that an alias points to; no such alias raises `InputError`."""
        with told(f"models:/{name}@{alias} is not in the model registry"):
            return self.client.get_model_version_by_alias(name, alias)

    def versions(self, name: str) -> list[Any]:
        """MLflow's records of a model's versions, newest first; empty where the model is unknown."""
        with told(f"the versions of '{name}' cannot be listed"):
            return list(self.client.search_model_versions(f'name = "{name}"'))

    def holder(self, name: str, alias: str) -> int | None:
        """Number of the version that holds an alias; None where nobody does."""
        from mlflow.exceptions import MlflowException

        try:
            return int(self.client.get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise InputError(f"models:/{name}@{alias} cannot be looked up: {str(error.message)[:300]}") from error

    def aliases(self, name: str) -> dict[int, list[str]]:
        """Version number to aliases of a model; empty where the model is unknown."""
        from mlflow.exceptions import MlflowException

        try:
            model = self.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise InputError(f"model '{name}' cannot be looked up: {str(error.message)[:300]}") from error
        found: dict[int, list[str]] = {}
        for alias, number in model.aliases.items():
            found.setdefault(int(number), []).append(alias)
        return found

    def create_version(self, name: str, source: str, run_id: str | None, tags: Mapping[str, str]) -> Any:
        """Create a version, and the registered model where it is new."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise InputError(f"model '{name}' cannot be registered: {str(error.message)[:300]}") from error
        with told(f"a version of '{name}' cannot be created"), self._as_global():
            return self.client.create_model_version(
                name, source, run_id=run_id, tags=dict(tags), model_id=logged_model_id(source), await_creation_for=60
            )

    def set_tags(self, name: str, number: int, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""
        with told(f"tags of models:/{name}/{number} cannot be set"):
            for key, value in tags.items():
                self.client.set_model_version_tag(name, str(number), key, value)

    def drop_tags(self, name: str, number: int, keys: Sequence[str]) -> None:
        """Take tags away from a version; one that it does not have is no error."""
        from mlflow.exceptions import MlflowException

        for key in keys:
            try:
                self.client.delete_model_version_tag(name, str(number), key)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise InputError(
                        f"the tag '{key}' of models:/{name}/{number} cannot be removed: {str(error.message)[:300]}"
                    ) from error

    def set_description(self, name: str, number: int, text: str) -> None:
        """Set a version's description."""
        with told(f"the description of models:/{name}/{number} cannot be set"):
            self.client.update_model_version(name, str(number), text)

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Point an alias to a version."""
        with told(f"the alias '{alias}' of '{name}' cannot be moved"):
            self.client.set_registered_model_alias(name, alias, str(number))

    def drop_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        with told(f"the alias '{alias}' of '{name}' cannot be taken away"):
            self.client.delete_registered_model_alias(name, alias)

    # Files

    def run_model(self, run: str, path: str) -> str:
        """Source of ``runs:/run/path``: the LoggedModel of that name, or for older runs the artifact folder."""
        from mlflow.exceptions import MlflowException

        with told(f"run '{run}' cannot be read"):
            info = self.client.get_run(run).info
        try:
            models = self.client.search_logged_models(
                experiment_ids=[info.experiment_id], filter_string=f"name = '{path}'" if "'" not in path else None
            )
        except MlflowException:
            models = []  # a server older than LoggedModels
        mine = [model for model in models if model.source_run_id == run and model.name == path]
        return f"models:/{mine[0].model_id}" if mine else f"{info.artifact_uri.rstrip('/')}/{path}"

    def location(self, source: str) -> str:
        """The artifact folder behind a source, through ``models:/…`` as often as it points on."""
        for _ in range(10):
            model_id = logged_model_id(source)
            if model_id is not None:
                with told(f"{source} cannot be read"):
                    return str(self.client.get_logged_model(model_id).artifact_location)
            if not source.startswith("models:/"):
                return source
            name, number, alias = parse_reference(source)
            if number is None:
                number = int(self.by_alias(name, alias or "").version)
            with told(f"{source} cannot be read"):
                source = str(self.client.get_model_version_download_uri(name, str(number)))
        raise InputError(f"{source}: versions that point to each other; register the model itself")

    def download_location(self, name: str, number: int) -> str:
        """Where MLflow's clients download a version from."""
        with told(f"models:/{name}/{number} cannot be read"):
            return self.location(str(self.client.get_model_version_download_uri(name, str(number))))

    def model_id(self, source: str) -> str | None:
        """Id of the LoggedModel behind a source, through versions that point to it; None for older artifacts."""
        for _ in range(10):
            found = logged_model_id(source)
            if found is not None or not source.startswith("models:/"):
                return found
            name, number, alias = parse_reference(source)
            source = str((self.by_alias(name, alias) if alias else self.version(name, number or 0)).source)
        return None

    def source_run(self, source: str) -> str | None:
        """The run that made a logged model."""
        model_id = logged_model_id(source)
        if model_id is None:
            return None
        with told(f"{source} cannot be read"):
            run: str | None = self.client.get_logged_model(model_id).source_run_id
        return run or None

    @contextmanager
    def downloaded(self, source: str) -> Iterator[Path]:
        """The model's folder on this machine: in place where it is local, else a temporary copy."""
        import mlflow.artifacts

        location = self.location(source)
        local = Path(location.removeprefix("file://")) if location.startswith(("file:///", "/")) else None
        if local is not None:
            if not local.is_dir():
                raise InputError(f"{source}: there is no folder {local}; was the model deleted?")
            yield local
            return
        with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
            with told(f"{source} cannot be downloaded"):
                path = mlflow.artifacts.download_artifacts(
                    location, dst_path=folder, tracking_uri=self.tracking_uri, registry_uri=self.registry_uri
                )
            yield Path(path)

    def log_model(self, name: str, folders: Sequence[tuple[Path, str | None]], *, tags: Mapping[str, str]) -> str:
        """Create a LoggedModel from folders (with the place of each inside it); return its ``models:/m-…``."""
        with told(f"the model '{name}' cannot be logged"):
            experiment = self._experiment()
            model = self.client.create_logged_model(experiment, name=re.sub(r"[^\w.-]", "-", name), tags=dict(tags))
            finished = False
            try:
                for folder, place in folders:
                    self.client.log_model_artifacts(model.model_id, str(folder), place)
                finished = True
            finally:
                self.client.finalize_logged_model(model.model_id, "READY" if finished else "FAILED")
        return f"models:/{model.model_id}"

    def put_text(self, source: str, name: str, text: str) -> None:
        """Write a small file into evalkit's folder inside a model."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        location = self.location(source)
        with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
            file = Path(folder) / name
            file.write_text(text, encoding="utf-8")
            with told(f"{name} cannot be stored in {source}"):
                repository: Any = get_artifact_repository(location, tracking_uri=self.tracking_uri)
                repository.log_artifact(str(file), OWN_FOLDER)

    def get_text(self, source: str, name: str) -> str:
        """Read a small file from evalkit's folder inside a model."""
        import mlflow.artifacts

        with tempfile.TemporaryDirectory(prefix="evalkit-") as folder, told(f"{source} holds no {name}"):
            path = mlflow.artifacts.download_artifacts(
                f"{self.location(source).rstrip('/')}/{OWN_FOLDER}/{name}",
                dst_path=folder,
                tracking_uri=self.tracking_uri,
                registry_uri=self.registry_uri,
            )
            return Path(path).read_text(encoding="utf-8")

    def tag_experiment(self, tags: Mapping[str, str]) -> None:
        """Set tags on evalkit's experiment, which is made where it is missing."""
        with told("evalkit's experiment cannot be tagged"):
            experiment = self._experiment()
            for key, value in tags.items():
                self.client.set_experiment_tag(experiment, key, value)

    def experiment_tags(self) -> dict[str, str]:
        """Tags of evalkit's experiment; none where there is no such experiment yet."""
        with told("evalkit's experiment cannot be read"):
            found = self.client.get_experiment_by_name(EXPERIMENT)
        return dict(found.tags) if found is not None else {}

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            root = self.artifact_root
            try:
                return str(
                    self.client.create_experiment(
                        EXPERIMENT, artifact_location=str(root.resolve() / EXPERIMENT) if root else None
                    )
                )
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self.client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id)

    @contextmanager
    def _as_global(self) -> Iterator[None]:
        # SqlAlchemyStore.create_model_version looks up models:/m-… through MLflow's global tracking URI
        import mlflow

        if self.registry_uri.startswith("http"):
            yield
            return
        with _GLOBAL_URI:
            is_set: Callable[[], bool] = mlflow.is_tracking_uri_set
            before = mlflow.get_tracking_uri() if is_set() else None
            mlflow.set_tracking_uri(self.tracking_uri)
            try:
                yield
            finally:
                mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None unsets it


def _safe(uri: str) -> str:
    return re.sub(r"//[^@/]*@", "//***@", uri)
