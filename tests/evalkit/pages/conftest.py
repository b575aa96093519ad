"""A project with two evaluated versions of a text model, and a browser's view of its pages without a browser."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from evalkit.config import Settings
from evalkit.pages import router
from evalkit.project import Project
from evalkit.server.api import PREFIX
from evalkit.server.api import router as api
from evalkit.server.api.project import open_project
from evalkit.server.api.project import project as open_once
from registry.actors import ROLES, Actor, acting
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
  rules:
    - {metric: golden/exact_match, min: 0.5}
"""
HOSTILE = "<script>document.title='pwned'</script>\"'><img src=x onerror=document.title='pwned'>"


def write_project(folder: Path, *, correct: float, count: int = 40) -> None:
    """Data, outputs and suite of one version; the first prompt and output are hostile."""
    rng = random.Random(7)
    data, outputs = [], []
    for i in range(count):
        question = f"number {i}" if i else HOSTILE
        said = str(i) if rng.random() < correct else "wrong"
        data.append({"id": f"q{i}", "question": question, "expected": [str(i)], "language": "en" if i % 2 else "de"})
        outputs.append({"id": f"q{i}", "output": said if i else HOSTILE, "latency": 0.01 * i})
    for name, rows in (("golden.jsonl", data), ("outputs.jsonl", outputs)):
        (folder / name).write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "suite.yaml").write_text(SUITE)


class Identified:
    """Sets the actor from a header, as the guard does after a login."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        name, _, roles = headers.get(b"x-actor", b"owner:" + ",".join(ROLES).encode()).decode().partition(":")
        with acting(Actor(name, frozenset(filter(None, roles.split(","))))):
            await self.app(scope, receive, send)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@dataclass
class Seen:
    """A page as its reader has it."""

    status: int
    html: str
    headers: Any

    def __post_init__(self) -> None:
        self.reader = _Reader()
        self.reader.feed(self.html)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.reader.text).split())

    @property
    def links(self) -> list[str]:
        return self.reader.links

    @property
    def tags(self) -> list[tuple[str, dict[str, str | None]]]:
        return self.reader.tags


class Pages:
    """The pages over a project of its own."""

    def __init__(self, project: Project) -> None:
        self.project = project
        app = FastAPI()
        app.include_router(api)
        app.include_router(router)
        app.dependency_overrides[open_once] = lambda: project
        app.add_middleware(Identified)
        self.client = TestClient(app, follow_redirects=False)

    def get(self, path: str, who: str | None = None, **more: Any) -> Seen:
        """A page, as the owner of everything or as ``name:role,role``."""
        answer = self.client.get(path, headers={"x-actor": who} if who else {}, **more)
        return Seen(answer.status_code, answer.text, answer.headers)

    def api(self, path: str, who: str | None = None, body: Any = None, **query: Any) -> Any:
        """What the API answers, as the owner of everything or as ``name:role,role``; sent where there is a body."""
        headers = {"x-actor": who} if who else {}
        method = "GET" if body is None else "POST"
        return self.client.request(method, f"{PREFIX}{path}", params=query, json=body, headers=headers)

    def every(self, path: str, **query: Any) -> list[Any]:
        """The items of all pages of an answer."""
        found: list[Any] = []
        cursor = None
        while True:
            answer = self.api(path, **query, **({"cursor": cursor} if cursor else {}))
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            cursor = answer.json()["next"]
            if cursor is None:
                return found

    def post(self, path: str, form: dict[str, str], who: str | None = None) -> Any:
        """Send a form as it is."""
        return self.client.post(path, data=form, headers={"x-actor": who} if who else {})

    def submit(self, on: str, path: str, form: dict[str, str], who: str | None = None) -> Any:
        """Send a form with the token of the page that it stands on."""
        fields = [given for tag, given in self.get(on, who).tags if tag == "input"]
        token = next(str(given["value"]) for given in fields if given.get("name") == "form_token")
        return self.post(path, {**form, "form_token": token}, who)


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """The folder of a project in which version 1 of ``bot`` passed and was promoted, and version 2 failed."""
    from evalkit.session import Session
    from registry.promotion import promote
    from registry.store import Registry

    folder = tmp_path_factory.mktemp("pages") / "project"
    home = folder / ".evalkit"
    home.mkdir(parents=True)
    shutil.copyfile(empty_store, home / "mlflow.db")
    url = f"sqlite:///{home / 'mlflow.db'}"
    settings = Settings(home, url, url, url, advisory=False)
    registry = Registry(url, url, artifact_root=settings.artifacts)
    session = Session(settings, registry)
    for correct in (0.95, 0.2):
        write_project(folder, correct=correct)
        version = registry.register(
            "bot", model=str(folder / "outputs.jsonl"), suite=Suite.load(folder / "suite.yaml"), new_version=True
        )
        decision = session.decide(version, session.evaluate(version))
        if decision.passed:
            promote(registry, version)
    registry.close()
    return folder


@pytest.fixture
def project(evaluated: Path, tmp_path: Path) -> Iterator[Project]:
    """A copy of that project, to be changed."""
    folder = tmp_path / "project"
    shutil.copytree(evaluated, folder)
    home = folder / ".evalkit"
    url = f"sqlite:///{home / 'mlflow.db'}"
    found = open_project(Settings(home, url, url, url, advisory=False))
    yield found
    found.registry.close()
    found.engine.dispose()


@pytest.fixture
def pages(project: Project) -> Pages:
    """The pages of that project."""
    return Pages(project)


JUDGED_COUNT = 40
JUDGED_SUITE = """\
suite: judged
tasks:
  golden:
    data: golden.jsonl
    outputs: outputs.jsonl
    columns: {id: id, prompt: question, expected: expected, context: context}
    score: [{replay: [verdicts.jsonl], as: helpful, calibrated: {kappa: 0.6}}, {replay: [other.jsonl], as: other}]
  plain:
    data: golden.jsonl
    outputs: outputs.jsonl
    columns: {id: id, prompt: question, expected: expected}
    score: [exact_match]
gate:
  rules: [{metric: golden/helpful, min: 0.5}]
"""


def write_rows(folder: Path, name: str, made: list[dict[str, Any]]) -> None:
    (folder / name).write_text("\n".join(json.dumps(row) for row in made))


@pytest.fixture(scope="session")
def judged_folder(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A version with recorded verdicts of two judges: some are missing, and one output addresses the judge."""
    folder = tmp_path_factory.mktemp("judged") / "project"
    from evalkit.session import Session
    from registry.store import Registry

    home = folder / ".evalkit"
    home.mkdir(parents=True)
    shutil.copyfile(empty_store, home / "mlflow.db")
    names = [f"q{i}" for i in range(JUDGED_COUNT)]
    write_rows(folder, "golden.jsonl", [
        {"id": name, "question": f"what is {name}? {HOSTILE}", "expected": [name], "context": [f"facts of {name}"]}
        for name in names
    ])  # fmt: skip
    write_rows(folder, "outputs.jsonl", [{"id": name, "output": f"answer {name} {HOSTILE}"} for name in names])
    for file, wrong in (("verdicts.jsonl", 0), ("other.jsonl", 3)):
        write_rows(folder, file, [
            {
                "id": name, "verdict": None if i < 4 else int((i + wrong * (i % 5 == 0)) % 2),
                "verdict_reason": "suspected injection" if i == 0 else "no number",
                "verdict_rationale": "the secret rationale",
            }
            for i, name in enumerate(names)
        ])  # fmt: skip
    (folder / "suite.yaml").write_text(JUDGED_SUITE)
    url = f"sqlite:///{home / 'mlflow.db'}"
    settings = Settings(home, url, url, url, advisory=False)
    registry = Registry(url, url, artifact_root=settings.artifacts)
    version = registry.register("bot", model=str(folder / "outputs.jsonl"), suite=Suite.load(folder / "suite.yaml"))
    Session(settings, registry).evaluate(version)
    registry.close()
    return folder


@pytest.fixture
def judged_pages(judged_folder: Path, tmp_path: Path) -> Iterator[Pages]:
    """The pages of a copy of that project."""
    folder = tmp_path / "judged"
    shutil.copytree(judged_folder, folder)
    home = folder / ".evalkit"
    url = f"sqlite:///{home / 'mlflow.db'}"
    project = open_project(Settings(home, url, url, url, advisory=False))
    yield Pages(project)
    project.registry.close()
    project.engine.dispose()
