"""MLflow's model registry with a gate that no client can walk around: ``evalkit+sqlite``, ``evalkit+postgresql``."""

from __future__ import annotations

from typing import Any

SCHEME = "evalkit+"


def plain_uri(uri: str) -> str:
    """The database's own address behind an ``evalkit+`` one."""
    return uri.removeprefix(SCHEME)


def build_store(store_uri: str, tracking_uri: str | None = None) -> Any:
    """The store behind an ``evalkit+sqlite`` or ``evalkit+postgresql`` address; MLflow's entry point.

    Args:
        store_uri: e.g. ``evalkit+sqlite:////srv/mlflow.db`` or ``evalkit+postgresql+psycopg://host/mlflow``.
        tracking_uri: unused; MLflow hands it over by name.
    """
    del tracking_uri
    import os

    from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
    from mlflow.server.constants import READ_REPLICA_BACKEND_STORE_URI_ENV_VAR

    from registry.mlflow_store.store import GatedStore, WorkspaceGatedStore

    replica = os.environ.get(READ_REPLICA_BACKEND_STORE_URI_ENV_VAR)
    store = WorkspaceGatedStore if MLFLOW_ENABLE_WORKSPACES.get() else GatedStore
    return store(plain_uri(store_uri), read_db_uri=replica)


def frozen_repository(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """The artifact root behind an ``evalkit-frozen:`` address; MLflow's entry point.

    Here, where nothing of MLflow is imported: MLflow loads its entry points while it is itself half imported.
    """
    from registry.mlflow_store.frozen import FrozenArtifactRepository

    return FrozenArtifactRepository(artifact_uri, tracking_uri, registry_uri)


def make_known() -> None:
    """Tell MLflow in this process about the store, where evalkit is run without being installed."""
    from mlflow.tracking._model_registry.utils import _get_store_registry

    known = _get_store_registry()
    for scheme in SCHEMES:
        known.register(scheme, build_store)


def make_known_to_server() -> None:
    """Tell MLflow's server in this process about the store and the frozen artifacts, installed or not."""
    from mlflow.server.handlers import _model_registry_store_registry
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry

    for scheme in SCHEMES:
        _model_registry_store_registry.register(scheme, build_store)
    _artifact_repository_registry.register("evalkit-frozen", frozen_repository)


SCHEMES = tuple(
    SCHEME + name for name in ("sqlite", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+pg8000")
)
