"""examples/postgres/roles.sql on a real server: what each role needs it can do, and nothing beyond."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from evalkit.cli.app import app
from registry import audit, triggers
from registry.database import connect
from registry.policy import Policy, set_policy
from registry.store import Registry
from registry.suite import Suite

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
ROLES = ("server", "worker", "reader")


def _load(name: str, path: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


_registry = _load("registry_conftest_for_roles", "tests/registry/conftest.py")
_servers = _load("mlflow_store_conftest_for_roles", "tests/registry/mlflow_store/conftest.py")


@dataclass
class Place:
    """A database with its roles, a server that runs as `evalkit_server`, and a registry as `evalkit_worker`."""

    admin: str
    url: str
    folder: Path
    worker: Registry

    def as_role(self, role: str) -> str:
        return make_url(self.admin).set(username=f"evalkit_{role}").render_as_string()

    def run(self, role: str, statement: str) -> Any:
        engine = create_engine(self.as_role(role))
        try:
            with engine.begin() as connection:
                found = connection.execute(text(statement))
                return found.fetchall() if found.returns_rows else found.rowcount
        finally:
            engine.dispose()

    def refused(self, role: str, statement: str) -> None:
        with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
            self.run(role, statement)


def roles(url: str) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string()
    script = ROOT / "examples" / "postgres" / "roles.sql"
    subprocess.run([shutil.which("psql") or "psql", plain, "-q", "-f", str(script)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    yield from _registry.postgres_server.__wrapped__()


@pytest.fixture(scope="module")
def place(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if shutil.which("psql") is None:
        pytest.skip("no psql on this machine")
    name, folder = f"roles_{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("roles")
    admin = create_engine(postgres + "postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    found = Place(postgres + name, "", folder, None)  # type: ignore[arg-type]
    roles(found.admin)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", found.as_role("owner"))
        before = CliRunner().invoke(app, ["db", "check"], standalone_mode=False)
        assert "tables of mlflow: missing" in before.output
        made = CliRunner().invoke(app, ["db", "upgrade"], standalone_mode=False)
        assert made.exception is None, made.output
    roles(found.as_role("owner"))
    (folder / "suite.yaml").write_text(_registry.SUITE)
    (folder / "outputs.jsonl").write_text('{"id": "1", "output": "a", "expected": ["a"], "language": "en"}\n')
    process, found.url = _servers.serve(folder, found.as_role("server"))
    found.worker = Registry(found.as_role("worker"), found.url, found.url)
    yield found
    found.worker.close()
    _servers.end(process)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


def test_the_server_and_the_worker_do_their_work(place: Place):
    """A policy is set, a version is judged by the worker, promoted through the server, and the books are in order."""
    from mlflow import MlflowClient

    name = f"m-{uuid.uuid4().hex[:8]}"
    server = connect(place.as_role("server"))
    set_policy(server, Policy(name), actor="admin")
    outputs = place.folder / f"{name}.jsonl"
    outputs.write_text(f'{{"id": "1", "output": "{name}", "expected": ["a"], "language": "en"}}\n')
    version = place.worker.register(name, model=str(outputs), suite=Suite.load(place.folder / "suite.yaml"))
    client = MlflowClient(place.url, place.url)
    with pytest.raises(Exception, match="evalkit refuses"):
        client.set_registered_model_alias(name, "champion", "1")
    _servers.decide(place.worker, version)
    client.set_registered_model_alias(name, "champion", "1")
    assert client.get_model_version_by_alias(name, "champion").version == "1"
    assert audit.verify(server).intact
    server.dispose()
    assert place.run("reader", "SELECT count(*) FROM evalkit_holders")[0][0] >= 1
    assert place.run("reader", "SELECT count(*) FROM registered_model_aliases")[0][0] >= 1


BESIDE = """
import sys
from evalkit.ingest.buffer import Buffer
from evalkit.jobs.schedules import Schedules
from evalkit.judging.ledger import SqlLedger

for opened in (Buffer(sys.argv[1]), SqlLedger(sys.argv[1])):
    opened.close()
schedules = Schedules(sys.argv[1])
schedules.apply("nightly", "0 3 * * *", kind="monitor", target="prod")
print([one.name for one in schedules.all()])
"""


@pytest.mark.parametrize("role", ["server", "worker"])
def test_jobs_ingest_and_judges_are_open_to_those_who_work_with_them(place: Place, role: str):
    done = subprocess.run(
        [sys.executable, "-c", BESIDE, place.as_role(role)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "['nightly']"), done.stderr
    place.refused(role, "CREATE TABLE evalkit_jobs.own (id int)")
    place.refused("reader", "SELECT * FROM evalkit_jobs.dbos_migrations")


def test_the_check_needs_no_owner(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.as_role("server"))
    done = CliRunner().invoke(app, ["db", "check"], standalone_mode=False)
    assert done.return_value == 0, done.output
    assert "as needed" in done.output


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER evalkit_gate_alias_insert ON registered_model_aliases",
        "ALTER TABLE registered_model_aliases DISABLE TRIGGER ALL",
        "ALTER TABLE evalkit_audit DISABLE TRIGGER USER",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION evalkit_gate_alias_insert() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NEW; END'",
        "CREATE TABLE mine (id int)",
        "TRUNCATE evalkit_audit",
        "TRUNCATE registered_model_aliases",
        "UPDATE evalkit_audit SET actor = 'nobody'",
        "DELETE FROM evalkit_audit",
        "UPDATE evalkit_alembic_version SET version_num = '0001'",
        "DROP TABLE evalkit_holders",
    ],
)
def test_only_the_owner_changes_what_guards(place: Place, role: str, statement: str):
    place.refused(role, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO registered_model_aliases (workspace, name, alias, version) VALUES ('default', 'm', 'champion', 1)",
        "UPDATE registered_model_aliases SET version = 2",
        "DELETE FROM registered_model_aliases",
        "UPDATE model_versions SET source = 'elsewhere'",
        "UPDATE evalkit_policies SET guarded = '|none|'",
        "DELETE FROM evalkit_policies",
        "DELETE FROM evalkit_approvals",
        "DELETE FROM evalkit_holders",
        "INSERT INTO evalkit_grants (id, workspace, created_at, name, alias, version, act, expires_at) "
        "VALUES ('i', 'default', 1, 'm', 'champion', 1, 'set', 9999999999999)",
    ],
)
@pytest.mark.parametrize("role", ["worker", "reader"])
def test_only_the_server_moves_aliases_and_rules(place: Place, role: str, statement: str):
    place.refused(role, statement)


def test_the_reader_writes_nowhere(place: Place):
    tables = [row[0] for row in place.run("owner", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert len(tables) > 40
    for table in tables:
        for act in ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "REFERENCES"):
            allowed = place.run("owner", f"SELECT has_table_privilege('evalkit_reader', '\"{table}\"', '{act}')")
            assert allowed == [(False,)], (table, act)


@pytest.mark.parametrize("table", ["webhooks", "users", "evalkit_tokens", "evalkit_user_roles", "evalkit_webhooks"])
def test_the_reader_sees_no_secrets(place: Place, table: str):
    if place.run("owner", f"SELECT to_regclass('public.{table}') IS NULL")[0][0]:
        place.run("owner", f"CREATE TABLE {table} (id int)")
        roles(place.as_role("owner"))
    place.refused("reader", f"SELECT * FROM {table}")


def test_the_owner_may_and_the_check_tells(place: Place, monkeypatch: pytest.MonkeyPatch):
    """What the refusals above are compared with; `evalkit db check` finds a trigger that is gone."""
    place.run("owner", "DROP TRIGGER evalkit_gate_alias_insert ON registered_model_aliases")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.as_role("server"))
    try:
        done = CliRunner().invoke(app, ["db", "check", "--json"], standalone_mode=False)
        assert done.return_value == 1
        assert '"alias_insert"' in done.output
    finally:
        owner = connect(place.as_role("owner"))
        with owner.begin() as connection:
            triggers.install(connection)
            assert triggers.missing(connection) == []
        owner.dispose()
