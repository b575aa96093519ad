"""Real `evalkit server` processes: one that asks for a login, one for this machine; started when first asked for."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
USERS = {
    "vera": ["viewer"],
    "lars": ["labeler"],
    "eva": ["evaluator"],
    "anna": ["approver"],
    "olga": [],
}
"""Users with their roles, besides the user ``admin``."""


def _fixtures_of(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("fixtures_of_registry", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


postgres_server = _fixtures_of(ROOT / "tests" / "registry" / "conftest.py").postgres_server


@dataclass
class Served:
    """A running `evalkit server`."""

    url: str
    database_url: str
    folder: Path
    process: Any
    tokens: dict[str, str] = field(default_factory=dict)

    def raw(self, method: str, path: str, who: str | None = None, body: Any = None, **more: Any) -> requests.Response:
        """A request that no client library stands between, as a user or as nobody."""
        auth = (who, PASSWORD) if who else None
        more.setdefault("timeout", 60)
        json_body = {"json": body} if body is not None else {}
        return requests.request(method, f"{self.url}{path}", auth=auth, allow_redirects=False, **json_body, **more)

    def said(self) -> str:
        return (self.folder / "stdout").read_text() + (self.folder / "stderr").read_text()


def start(folder: Path, *arguments: str, wait: bool = True, jobs: bool = False, **environment: str) -> Served:
    """Start `evalkit server` in a folder."""
    (folder / "evalkit.toml").touch()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "EVALKIT_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit.cli", "server", "--port", "0", *([] if jobs else ["--no-jobs"]), *arguments],
        cwd=folder, env={**inherited, "PYTHONPATH": str(ROOT), **environment}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=(folder / "stdout").open("wb"), stderr=(folder / "stderr").open("wb"),
    )  # fmt: skip
    served = Served("", f"sqlite:///{folder / '.evalkit' / 'mlflow.db'}", folder, process)
    deadline = time.monotonic() + 150
    while wait and "evalkit serves at " not in (folder / "stdout").read_text():
        assert process.poll() is None, served.said()[-3000:]
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.1)
    served.url = (folder / "stdout").read_text().rpartition("evalkit serves at ")[2].split("\n")[0]
    return served


def stop(served: Served) -> None:
    if served.process.poll() is None:
        os.killpg(served.process.pid, signal.SIGTERM)
        try:
            served.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(served.process.pid, signal.SIGKILL)
            served.process.wait()


def add_users(database_url: str) -> dict[str, str]:
    """Make the users of these tests, and a token for each; what their secrets are."""
    from evalkit.server.accounts import Accounts
    from registry.identity import create_token

    accounts = Accounts(database_url)
    tokens = {}
    for name, roles in USERS.items():
        account = accounts.add(name, PASSWORD, roles, actor="test")
        tokens[name] = create_token(accounts.engine, name, account.user_id, actor="test")[0]
    accounts.close()
    return tokens


@pytest.fixture(autouse=True)
def _few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


@pytest.fixture(scope="session")
def with_users(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Path, dict[str, str]]:
    """A SQLite file with all tables and the users, to be copied; and their tokens."""
    path = tmp_path_factory.mktemp("users") / "mlflow.db"
    shutil.copyfile(empty_store, path)
    return path, add_users(f"sqlite:///{path}")


@pytest.fixture(scope="session")
def login_server(tmp_path_factory: pytest.TempPathFactory, with_users: tuple[Path, dict[str, str]]) -> Iterator[Served]:
    """A server that asks for a login, on SQLite."""
    folder = tmp_path_factory.mktemp("login")
    (folder / ".evalkit").mkdir()
    _copy(with_users[0], folder / ".evalkit" / "mlflow.db")
    served = start(folder, "--auth", EVALKIT_ADMIN_PASSWORD=PASSWORD)
    served.tokens = with_users[1]
    yield served
    stop(served)


@pytest.fixture(scope="session")
def local_server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Served]:
    """A server for this machine, without login."""
    folder = tmp_path_factory.mktemp("local")
    (folder / ".evalkit").mkdir()
    _copy(empty_store, folder / ".evalkit" / "mlflow.db")
    served = start(folder)
    yield served
    stop(served)


def _copy(source: Path, target: Path) -> None:
    import sqlite3

    with sqlite3.connect(source) as there, sqlite3.connect(target) as here:
        there.backup(here)  # with what is still in the journal
    there.close()
    here.close()


@pytest.fixture
def starting() -> Iterator[Any]:
    """Start servers of a test's own, which end with it."""
    made = []

    def begin(*arguments: Any, **more: Any) -> Served:
        made.append(start(*arguments, **more))
        return made[-1]

    yield begin
    for served in made:
        stop(served)


@pytest.fixture
def users() -> Any:
    """Make the users of these tests in a database; gives their tokens."""
    return add_users


_ROUTES = """
import json, os, re, sys
from mlflow.server import constants as names
os.environ |= {names.BACKEND_STORE_URI_ENV_VAR: sys.argv[1], names.REGISTRY_STORE_URI_ENV_VAR: "evalkit+" + sys.argv[1],
               names.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/", names.SERVE_ARTIFACTS_ENV_VAR: "true",
               names.ARTIFACTS_DESTINATION_ENV_VAR: sys.argv[2], "_MLFLOW_SGI_NAME": "uvicorn",
               "_EVALKIT_SERVER_IDENTITY": "login", "MLFLOW_FLASK_SERVER_SECRET_KEY": "k"}
from evalkit.server.app import create_app
from mlflow.server import app as flask_app
def walk(routes):
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from walk(route.effective_candidates())
        elif getattr(route, "methods", None):
            for method in route.methods:
                yield "fastapi", method, route.path
found = list(walk(create_app().router.routes))
for rule in flask_app.url_map.iter_rules():
    found += [("flask", method, rule.rule) for method in rule.methods]
fill = lambda path: re.sub(r"<[^>]*>|\\{[^}]*\\}", "1", path)
print("ROUTES" + json.dumps(sorted({(kind, method, fill(path)) for kind, method, path in found})))
"""


@pytest.fixture(scope="session")
def routes(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> list[tuple[str, str, str]]:
    """Every route of the application with users: (fastapi or flask, method, path with parameters filled in)."""
    folder = tmp_path_factory.mktemp("routes")
    _copy(empty_store, folder / "mlflow.db")
    made = subprocess.run(
        [sys.executable, "-c", _ROUTES, f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts")],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-3000:]
    return [tuple(route) for route in json.loads(made.stdout.partition("ROUTES")[2])]
