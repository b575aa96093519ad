"""What the client keeps of a server: copies of versions and suites under the server's keys, in a database of its own.

Digests of evaluations are made of those keys, so that server and client mean the same evaluation by the same digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from evalkit.config import Settings, find_home
from evalkit.remote.client import Client, RemoteVersion
from evalkit.session import Session
from registry.database import reading, writing
from registry.digests import digest, now_ms, short
from registry.entities import ModelVersion
from registry.homes import stored_suite
from registry.sources import LocalModel
from registry.store import Registry
from registry.suite import Suite
from registry.tables import DEFAULT_WORKSPACE, ModelVersionRow


class Mirror(Registry):
    """A registry over the server's MLflow, with copies of what the server knows."""

    def upload(self, name: str, model: LocalModel, suite: Suite) -> str:
        """Log a model of this machine to the server's MLflow; return its ``models:/m-…``."""
        return self._log(name, model, suite)

    def keep(self, remote: RemoteVersion, suite: Suite) -> ModelVersion:
        """Copy a version and its suite; a suite's file on this machine is remembered, to find its data again."""
        version = remote.version
        with writing(self._engine) as session:
            stored = stored_suite(session, suite, self._workspace)
            row = session.get(ModelVersionRow, version.id)
            if row is None:
                row = ModelVersionRow(
                    id=version.id,
                    workspace=DEFAULT_WORKSPACE,
                    created_at=now_ms(),
                    name=version.name,
                    version=version.version,
                    registered_at=remote.registered_at,
                )
                session.add(row)
            row.source, row.model_id, row.run_id = version.source, version.model_id, version.run_id
            row.artifact_digest, row.generator, row.kind = (
                version.artifact_digest,
                dict(version.generator),
                version.kind,
            )
            row.training_data, row.author = list(version.training_data), remote.author
            if row.suite_id != stored.id or suite.file is not None:
                row.suite_id, row.suite_file = stored.id, suite.file
        return replace(version, suite_id=stored.id)

    def knows_file(self, version: ModelVersion) -> bool:
        """Whether the suite of a version has come from a file on this machine."""
        with reading(self._engine) as session:
            return session.get_one(ModelVersionRow, version.id).suite_file is not None


def remote_settings(client: Client) -> Settings:
    """This project's folder, the server's MLflow, and a database of copies for just that server."""
    home = find_home()
    file = home / "servers" / short(digest(client.url)) / "copies.db"
    return Settings(home, client.url, client.url, f"sqlite:///{file}", advisory=False)


@contextmanager
def open_mirror(client: Client) -> Iterator[tuple[Session, Mirror]]:
    """A session whose registry is a mirror of the server."""
    settings = remote_settings(client)
    settings.home.mkdir(parents=True, exist_ok=True)
    mirror = Mirror(settings.database_url, client.url, client.url)
    try:
        yield Session(settings, mirror), mirror
    finally:
        mirror.close()
