"""A project with one decided version, its archive, and stores that know nothing of it."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from evalkit.config import Settings
from evalkit.portable.export import Exported, export
from evalkit.session import Session
from registry.entities import Decision, Evaluation, ModelVersion
from registry.store import Registry
from registry.suite import Suite

SUITE = """\
suite: answers
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


def write_project(folder: Path) -> Path:
    rng = random.Random(7)
    data, outputs = [], []
    for i in range(40):
        said = str(i) if rng.random() < 0.9 else "=HYPERLINK(1)"
        language = "en" if i % 2 else "de"
        data.append({"id": f"q{i}", "question": f"number {i}", "expected": [str(i)], "language": language})
        outputs.append({"id": f"q{i}", "output": said, "latency": 0.01 * i})
    for name, rows in (("golden.jsonl", data), ("outputs.jsonl", outputs)):
        (folder / name).write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "suite.yaml").write_text(SUITE)
    return folder


@dataclass
class Origin:
    """The store that everything was made in, and the archive of it."""

    folder: Path
    session: Session
    version: ModelVersion
    evaluation: Evaluation
    decision: Decision
    archive: Path
    exported: Exported


def open_store(folder: Path, empty_store: Path, database_url: str | None = None) -> Session:
    """A project in an empty folder; with its tables apart from MLflow's where a database is named."""
    home = folder / ".evalkit"
    home.mkdir(parents=True)
    shutil.copyfile(empty_store, home / "mlflow.db")
    url = f"sqlite:///{home / 'mlflow.db'}"
    settings = Settings(home, url, url, database_url or url, advisory=database_url is not None)
    return Session(settings, Registry(database_url or url, url, artifact_root=settings.artifacts))


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Origin]:
    folder = write_project(tmp_path_factory.mktemp("origin"))
    session = open_store(folder, empty_store)
    suite = Suite.load(folder / "suite.yaml")
    session.registry.register("foreign", model=str(folder / "golden.jsonl"), suite=suite)
    version = session.registry.register("bot", model=str(folder / "outputs.jsonl"), suite=suite)
    session.registry.register("foreign", model=str(folder / "outputs.jsonl"), suite=suite)
    evaluation = session.evaluate(version)
    decision = session.decide(version, evaluation)
    archive = folder / "bot.zip"
    exported = export(session, version, archive)
    yield Origin(folder, session, version, evaluation, decision, archive, exported)
    session.registry.close()


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Iterator[Callable[[str], Session]]:
    """Opens further stores."""
    opened: list[Session] = []

    def make(name: str) -> Session:
        opened.append(open_store(tmp_path / name, empty_store))
        return opened[-1]

    yield make
    for session in opened:
        session.registry.close()


@pytest.fixture
def elsewhere(store: Callable[[str], Session]) -> Session:
    return store("elsewhere")


def rows_of(session: Session) -> dict[str, list[Any]]:
    """Everything in our tables and MLflow's versions and tags, but leases."""
    engine = create_engine(session.settings.database_url)
    names = [n for n in inspect(engine).get_table_names() if n.startswith(("evalkit_", "model_version"))]
    with engine.connect() as connection:
        found = {
            name: sorted(map(repr, connection.execute(text(f'SELECT * FROM "{name}"'))))
            for name in names
            if name != "evalkit_leases"
        }
    engine.dispose()
    return found


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: dict[str, bytes]) -> Path:
    """An archive whose checksums are right, whatever its members say."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(members.items()):
            archive.writestr(zipfile.ZipInfo(name), data)
    return path
