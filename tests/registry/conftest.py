from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from registry.store import Registry
from registry.suite import Suite

SUITE = """\
suite: answers
tasks:
  golden:
    outputs: outputs.jsonl
    columns: {expected: expected, slices: [language]}
    score: [exact_match, token_f1]
gate:
  rules:
    - {metric: golden/exact_match, min: 0.5}
"""


@pytest.fixture
def suite_text() -> str:
    return SUITE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a suite and the outputs that it scores."""
    place = tmp_path / "project"
    place.mkdir()
    (place / "suite.yaml").write_text(SUITE)
    (place / "outputs.jsonl").write_text('{"id": "1", "output": "a", "expected": ["a"], "language": "en"}\n')
    return place


@pytest.fixture
def suite(folder: Path) -> Suite:
    return Suite.load(folder / "suite.yaml")


def _postgres_binary(name: str) -> str:
    found = shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    assert found, f"no {name} binary, and EVALKIT_REQUIRE asks for PostgreSQL"
    return found


def _as_ordinary_user(command: list[str]) -> None:
    # PostgreSQL refuses to run as root
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]
    subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL prefix of a real PostgreSQL server that lives as long as the test session."""
    home = Path(tempfile.mkdtemp(prefix="evalkit-postgres-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(home, "nobody", "nogroup")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, control = home / "data", _postgres_binary("pg_ctl")
    initdb = [_postgres_binary("initdb"), "-D", str(data), "-U", "tester", "--auth=trust", "-E", "UTF8", "--no-sync"]
    _as_ordinary_user(initdb)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off"
    _as_ordinary_user([control, "-D", str(data), "-l", str(home / "log"), "-w", "-o", options, "start"])
    try:
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}/"
    finally:
        _as_ordinary_user([control, "-D", str(data), "-m", "immediate", "-w", "stop"])
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A fresh database on the server."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(postgres_server + "postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres_server + name
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database, once per kind that is supported."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'evalkit.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def mlflow_uri(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A local MLflow store of its own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_store, path)
    return f"sqlite:///{path}"


@pytest.fixture
def registry(mlflow_uri: str, tmp_path: Path) -> Iterator[Registry]:
    """A registry whose tables share MLflow's database."""
    made = Registry(mlflow_uri, artifact_root=tmp_path / "artifacts")
    yield made
    made.close()


@pytest.fixture
def apart(database_url: str, mlflow_uri: str, tmp_path: Path) -> Iterator[Registry]:
    """A registry with tables in a database of its own, on every supported kind of database."""
    made = Registry(database_url, mlflow_uri, artifact_root=tmp_path / "artifacts")
    yield made
    made.close()
