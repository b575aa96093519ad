"""A project with a suite of every kind of score, its evaluation, and the bundle of that."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from evalkit.bundles.manifest import MANIFEST, Manifest
from evalkit.bundles.pack import pack
from evalkit.cli.app import run
from evalkit.config import Settings
from evalkit.project import Project
from evalkit.runner.plan import EvaluationPlan, plan_evaluation
from evalkit.runner.sources import read_sources, version_subject
from evalkit.server.api import PREFIX, router
from evalkit.server.api.project import open_project
from evalkit.server.api.project import project as open_once
from evalkit.session import Session
from registry.actors import Actor, acting
from registry.entities import Evaluation, ModelVersion
from registry.store import Registry
from registry.suite import Suite

SUITE = """\
suite: answers
presets: {quick: {n: 20}}
tasks:
  golden:
    data: golden.jsonl
    outputs: outputs.jsonl
    columns: {id: id, prompt: question, expected: expected, slices: [language]}
    score: [exact_match, token_f1, distinct_n]
gate:
  looks: 2
  rules:
    - {metric: golden/exact_match, min: 0.5}
"""


def write_project(folder: Path, correct: float = 0.9, count: int = 60) -> None:
    rng = random.Random(7)
    data, outputs = [], []
    for i in range(count):
        language = "en" if i % 2 else "de"
        data.append({"id": f"q{i}", "question": f"number {i}", "expected": [str(i)], "language": language})
        outputs.append({"id": f"q{i}", "output": str(i) if rng.random() < correct else "wrong", "latency": 0.01 * i})
    for name, rows in (("golden.jsonl", data), ("outputs.jsonl", outputs)):
        (folder / name).write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "suite.yaml").write_text(SUITE)


@dataclass
class Bundled:
    """An evaluation, and the bundle of it."""

    folder: Path
    session: Session
    version: ModelVersion
    suite: Suite
    plan: EvaluationPlan
    evaluation: Evaluation
    path: Path
    manifest: Manifest


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Bundled]:
    """Shared by all tests, which leave it as it is."""
    tmp_path = tmp_path_factory.mktemp("bundled")
    folder = tmp_path / "project"
    home = folder / ".evalkit"
    home.mkdir(parents=True)
    write_project(folder)
    shutil.copyfile(empty_store, home / "mlflow.db")
    url = f"sqlite:///{home / 'mlflow.db'}"
    settings = Settings(home, url, url, url, advisory=False)
    registry = Registry(url, url, artifact_root=settings.artifacts)
    session = Session(settings, registry)
    suite = Suite.load(folder / "suite.yaml")
    version = registry.register("bot", model=str(folder / "outputs.jsonl"), suite=suite)
    evaluation = session.evaluate(version)
    plan = plan_evaluation(
        suite, version_subject(registry, version, suite), read_sources(suite, registry, settings), None
    )
    path = tmp_path / "bundle.zip"
    manifest = pack(home, plan, evaluation, version.artifact_digest, path)
    yield Bundled(folder, session, version, suite, plan, evaluation, path, manifest)
    registry.close()


class Identified:
    """Sets the actor from a header, as the server's own layer does after a login."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        name, _, roles = headers.get(b"x-actor", b"anonymous client:").decode().partition(":")
        with acting(Actor(name, frozenset(filter(None, roles.split(","))))):
            await self.app(scope, receive, send)


class Server:
    """The API over a project of its own."""

    def __init__(self, project: Project) -> None:
        self.project = project
        app = FastAPI()
        app.include_router(router)
        app.dependency_overrides[open_once] = lambda: project
        self.http = TestClient(Identified(app))

    def request(self, method: str, path: str, roles: str = "", name: str = "ada", **more: Any) -> Any:
        headers = {**({"x-actor": f"{name}:{roles}"} if roles else {}), **more.pop("headers", {})}
        return self.http.request(method, f"{PREFIX}{path}", headers=headers, **more)

    def submit(self, path: Path, roles: str = "evaluator", name: str = "ada") -> Any:
        data = path.read_bytes()
        return self.request(
            "POST", "/evaluations", roles, name, content=data, headers={"content-type": "application/zip"}
        )


@pytest.fixture
def served(bundled: Bundled, tmp_path: Path, empty_store: Path) -> Iterator[Server]:
    """A server that has registered the same version under the same key, and has not evaluated it."""
    home = tmp_path / "server" / ".evalkit"
    home.mkdir(parents=True)
    with (
        contextlib.closing(sqlite3.connect(bundled.session.settings.home / "mlflow.db")) as theirs,
        contextlib.closing(sqlite3.connect(home / "mlflow.db")) as own,
    ):
        theirs.backup(own)
    url = f"sqlite:///{home / 'mlflow.db'}"
    with sqlite3.connect(home / "mlflow.db") as database:
        database.execute("DELETE FROM evalkit_estimates")
        database.execute("DELETE FROM evalkit_evaluations")
    database.close()
    settings = Settings(home, url, f"evalkit+{url}", url, advisory=False)
    project = open_project(settings)
    yield Server(project)
    project.registry.close()
    project.engine.dispose()


class Archive:
    """Reads bundles, and writes changed ones."""

    @staticmethod
    def read(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        return json.loads(files.pop(MANIFEST)), files

    @staticmethod
    def write(path: Path, manifest: dict[str, Any], files: dict[str, bytes], *, honest: bool = True) -> Path:
        """A bundle whose manifest names the files' digests, as somebody who has changed both would send it."""
        if honest:
            manifest["files"] = {name: f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in files.items()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
            archive.writestr(MANIFEST, json.dumps(manifest))
        return path


@pytest.fixture(scope="session")
def archive() -> type[Archive]:
    return Archive


@pytest.fixture(scope="session")
def project_files() -> Any:
    """Writes a suite, its data and outputs into a folder."""
    return write_project


class Answer(SimpleNamespace):
    """What `requests` makes of an answer, as far as our client looks at it."""

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *raised: object) -> None:
        pass


@pytest.fixture
def remotely(served: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command against the server, as a role; returns its status and what it wrote."""
    from evalkit.remote.client import Client

    role = ["evaluator"]

    def call(self: Client, method: str, path: str, **more: Any) -> Any:
        given = {name: more[name] for name in ("json", "params") if name in more}
        if "data" in more:  # a file
            given |= {"content": more["data"].read(), "headers": more["headers"]}
        answer = served.request(method, path, role[0], "eva", **given)
        return Answer(
            ok=answer.is_success, status_code=answer.status_code, json=answer.json, headers=answer.headers,
            iter_content=lambda size: [answer.content],
        )  # fmt: skip

    monkeypatch.setattr(Client, "_ask", call)
    monkeypatch.setenv("EVALKIT_SERVER", "http://server.example.org")

    def command(*arguments: str, by: str = "evaluator") -> tuple[int, str, str]:
        role[0] = by
        capsys.readouterr()
        status = run(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    return command
