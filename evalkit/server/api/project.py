"""What the API works on: the server's registry and folder, opened once in each process.

MLflow's clients reach artifacts through the server; the server itself reads and writes them where they are. Nothing is
ever read from, or written to, another folder of the server, whatever address a client has given to a run.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

from fastapi import Depends

from evalkit.config import Settings, find_home, load_settings
from evalkit.project import Project
from evalkit.session import Session
from metrics.errors import InputError
from registry.actors import serving
from registry.carried import Prepared
from registry.database import connect
from registry.mlflow_link import EXPERIMENT, MlflowLink
from registry.mlflow_store import plain_uri
from registry.mlflow_store.files import proxied_path
from registry.sources import is_mlflow
from registry.store import Registry
from registry.suite import Suite

if TYPE_CHECKING:
    pass

_FROZEN = "evalkit-frozen:"


class ServerLink(MlflowLink):
    """MLflow as the server sees it: artifacts that clients reach through the server are at its own root.

    Args:
        root: the server's artifact root.
    """

    def __init__(self, tracking_uri: str, registry_uri: str, root: str) -> None:
        super().__init__(tracking_uri, registry_uri)
        self._root = root

    def location(self, source: str) -> str:
        """The folder behind a source; one that clients do not reach through the server raises `InputError`."""
        found = super().location(source)
        path = proxied_path(found)
        root = self._root.rstrip("/")
        if path is None and "://" in root and found.startswith(f"{root}/"):
            path = found.removeprefix(f"{root}/")  # a bucket that the server shares with its clients
        inside = posixpath.normpath(unquote(path)) if path is not None else ".."
        if inside.startswith(("..", "/")) or "\0" in inside:
            raise InputError(f"{source}: its files are not in the server's artifact store; log the model again")
        return f"{root}/{inside}"

    def log_model(self, name: str, folders: Sequence[tuple[Path, str | None]], *, tags: Mapping[str, str]) -> str:
        """Create a LoggedModel from folders; return its ``models:/m-…``."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        model = self.client.create_logged_model(self._experiment(), name=name, tags=dict(tags))
        source, finished = f"models:/{model.model_id}", False
        try:
            repository: Any = get_artifact_repository(self.location(source))
            for folder, place in folders:
                repository.log_artifacts(str(folder), place)
            finished = True
        finally:
            self.client.finalize_logged_model(model.model_id, "READY" if finished else "FAILED")
        return source

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        # Left out, it would be the working folder of the server
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=f"mlflow-artifacts:/{EXPERIMENT}"))


class ServerRegistry(Registry):
    """The registry of a server: it takes models that MLflow holds, and endpoints, but no code and no path."""

    def _prepare(self, name: str, model: str, suite: Suite, generator: Mapping[str, Any] | None) -> Prepared:
        if not is_mlflow(model) and not model.startswith("openai:"):
            raise InputError(f"'{model}' is not in MLflow; give runs:/…, models:/… or openai:/name@http://host/v1")
        prepared = super()._prepare(name, model, suite, generator)
        if "call" in prepared.generator or prepared.generator.get("adapter") == "callable":
            raise InputError("a server registers no Python functions: log the model itself to MLflow, or an endpoint")
        return prepared


def open_project(settings: Settings, artifacts: str | None = None) -> Project:
    """Open a project for the API.

    Args:
        settings: where state lives.
        artifacts: the server's artifact root; without one (not on a server) artifacts are where MLflow says.
    """
    registry = ServerRegistry(settings.database_url, settings.tracking_uri, settings.registry_uri)
    if artifacts is not None:
        registry.mlflow = ServerLink(settings.tracking_uri, registry.mlflow.registry_uri, artifacts)
    return Project(Session(settings, registry), connect(settings.database_url))


def server_settings() -> Settings:
    """The settings of this process: a server's are those that it was started with."""
    from mlflow.server.constants import BACKEND_STORE_URI_ENV_VAR, REGISTRY_STORE_URI_ENV_VAR

    settings = load_settings()
    if not serving():
        return settings
    tracking = os.environ[BACKEND_STORE_URI_ENV_VAR]
    registry = os.environ.get(REGISTRY_STORE_URI_ENV_VAR) or tracking
    return replace(
        settings,
        home=find_home(),
        tracking_uri=tracking,
        registry_uri=registry,
        database_url=plain_uri(registry),
        advisory=False,
    )


@cache
def project() -> Project:
    """The project of this process; a test puts its own in place of this dependency."""
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, ARTIFACTS_DESTINATION_ENV_VAR

    root = None
    if serving():
        root = os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR) or os.environ.get(ARTIFACT_ROOT_ENV_VAR, "")
    return open_project(server_settings(), root.removeprefix(_FROZEN) if root is not None else None)


InProject = Annotated[Project, Depends(project)]
