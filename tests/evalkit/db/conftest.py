"""A small project that has a row of every kind, on SQLite; and databases with the empty tables on a real PostgreSQL."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from evalkit.cli.app import app
from evalkit.config import Settings
from evalkit.databases.tables import make_beside, make_store
from evalkit.ingest.buffer import Buffer
from evalkit.ingest.records import Generation
from evalkit.jobs.durable import run_durably
from evalkit.jobs.launching import shut_down
from evalkit.judging.ledger import SqlLedger
from evalkit.own_database import own_url
from judges.clients.base import Reply
from judges.ledger import Entry
from registry.database import connect
from registry.digests import now_ms
from registry.entities import Decision
from registry.policy import Policy, set_policy
from registry.promotion import promote
from registry.store import Registry
from registry.suite import Suite

_path = Path(__file__).parents[2] / "registry" / "conftest.py"
_spec = importlib.util.spec_from_file_location("registry_fixtures_of_databases", _path)
assert _spec is not None and _spec.loader is not None
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
postgres_server = _fixtures.postgres_server
postgres_url = _fixtures.postgres_url

GONE, KEPT = 3, 2
"""Records of the buffer: the last ones were read and are gone."""


class _Job:
    def steps(self) -> list[str]:
        return ["a", "b"]

    def perform(self, step: int) -> dict[str, Any]:
        return {"step": step}


def settings_of(folder: Path, url: str | None = None) -> Settings:
    """Settings of the project in a folder."""
    home = folder / ".evalkit"
    database = url or f"sqlite:///{home / 'mlflow.db'}"
    return Settings(home, database, database, database, advisory=False)


def generation(name: str) -> Generation:
    return Generation(id=name, time=1_777_593_600_000, prompt="é?", output="☃ said")


@pytest.fixture(scope="session")
def _filled(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A project with a promoted version under policy, a run with metrics, a finished job, and books beside them."""
    folder = tmp_path_factory.mktemp("databases") / "project"
    home = folder / ".evalkit"
    home.mkdir(parents=True)
    (folder / "evalkit.toml").touch()
    shutil.copyfile(empty_store, home / "mlflow.db")
    (folder / "suite.yaml").write_text(_fixtures.SUITE)
    (folder / "outputs.jsonl").write_text('{"id": "1", "output": "a", "expected": ["a"], "language": "en"}\n')
    settings = settings_of(folder)
    registry = Registry(settings.database_url, settings.tracking_uri, artifact_root=settings.artifacts)
    version = registry.register(
        "bot", model=str(folder / "outputs.jsonl"), suite=Suite.load(folder / "suite.yaml"), description="é☃"
    )
    lease = registry.acquire("evaluation")
    opened = registry.open_evaluation(version, digest="sha256:e", token=lease.token)
    registry.release(lease)
    registry.save_decision(
        Decision(
            id=str(uuid.UUID(int=7)), digest="sha256:d", version_id=version.id, model="bot", version=1,
            evaluation_id=opened.id, suite_digest=version.suite_digest, artifact_digest=version.artifact_digest,
            outcome="pass", method="intervals", alpha=0.05, look=1, looks=1, champion=None, anchor=None, rules=(),
            notes=(), created_at=now_ms(),
        )
    )  # fmt: skip
    engine = connect(settings.database_url)
    set_policy(engine, Policy("bot"), actor="admin")
    engine.dispose()
    promote(registry, version)
    client = registry.mlflow.client
    run = client.create_run("0")
    for step, value in enumerate((0.1, float("inf"), float("nan"), -0.0, 1e-300)):
        client.log_metric(run.info.run_id, "loss", value, step=step, timestamp=step)
    client.log_text(run.info.run_id, "☃", "deep/note.txt")
    registry.close()
    _books(settings)
    for path in home.glob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


def _books(settings: Settings) -> None:
    buffer = Buffer.of(settings)
    buffer.append("chat", [generation(f"g{i}") for i in range(KEPT + GONE)])
    with buffer.engine.begin() as connection:
        connection.execute(text("DELETE FROM evalkit_ingested WHERE seq > :kept"), {"kept": KEPT})
    buffer.close()
    ledger = SqlLedger(own_url(settings, "judges"))
    reply = Reply("yes\0", "m", "", 10, 5, (), 0.25, True)
    ledger.record([Entry("sha256:k", "helpful", "sha256:v", "openai:/m", "s", "verdict", 0, reply, 0.5, 7)])
    ledger.close()
    run_durably(own_url(settings, "jobs"), "key:1", _Job())
    shut_down()


@pytest.fixture
def project(_filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, which is the working folder."""
    folder = tmp_path / "project"
    shutil.copytree(_filled, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def settings(project: Path) -> Settings:
    return settings_of(project)


@pytest.fixture(scope="session")
def _with_tables(postgres_server: str) -> str:
    """A database that has all tables, without rows, to be copied: making them takes seconds."""
    _admin(postgres_server, "CREATE DATABASE with_tables")
    url = postgres_server + "with_tables"
    make_store(settings_of(Path("/nowhere"), url)).dispose()
    make_beside(url)
    return "with_tables"


def _admin(server: str, *statements: str) -> None:
    admin = create_engine(server + "postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    admin.dispose()


@pytest.fixture
def target(postgres_server: str, _with_tables: str) -> Iterator[str]:
    """A database with empty tables, as a move that was killed leaves it."""
    name = f"target_{uuid.uuid4().hex[:12]}"
    _admin(postgres_server, f"CREATE DATABASE {name} TEMPLATE {_with_tables}")
    yield f"{postgres_server}{name}"
    _admin(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def command(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `evalkit db …` in the project."""
    for name in list(os.environ):
        if name.startswith("MLFLOW_") and name.endswith("_URI"):
            monkeypatch.delenv(name)
    return lambda *arguments, **more: CliRunner().invoke(app, ["db", *arguments], standalone_mode=False, **more)


@pytest.fixture
def files() -> Callable[[Path], dict[str, str]]:
    """Digests of the databases of a project, which change when anything is written."""

    def digests(folder: Path) -> dict[str, str]:
        found = {}
        for path in sorted((folder / ".evalkit").glob("*.db")):
            with closing(sqlite3.connect(path)) as database:
                found[path.name] = hashlib.sha256(database.serialize()).hexdigest()
        return found

    return digests
