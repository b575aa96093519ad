from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalkit.config import Settings
from evalkit.jobs.launching import shut_down
from registry.store import Registry
from registry.suite import Suite

BOT = '''
import os
from pathlib import Path

def answer(prompt):
    """Counts its calls, so that tests see what was generated twice."""
    with open(Path(__file__).with_name("calls.log"), "a") as log:
        log.write(prompt + "\\n")
    number = int(prompt.split()[-1])
    if number % 11 == 5:
        raise ValueError("no answer to this one")
    return str(number) if number % 3 else "wrong"
'''


class Project:
    """A project folder with a suite, its data, a counting bot and the stores below it."""

    def __init__(self, root: Path, database: Path) -> None:
        self.root = root
        home = root / ".evalkit"
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(database, home / "mlflow.db")
        self.settings = Settings(home, f"sqlite:///{home / 'mlflow.db'}", f"sqlite:///{home / 'mlflow.db'}",
                                 f"sqlite:///{home / 'mlflow.db'}", advisory=False)  # fmt: skip
        self.registry = Registry(
            self.settings.database_url, self.settings.tracking_uri, artifact_root=self.settings.artifacts
        )

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def questions(self, count: int) -> None:
        lines = (
            f'{{"id": "q{i}", "question": "number {i}", "answer": "{i}", "parity": "{"odd" if i % 2 else "even"}"}}'
            for i in range(count)
        )
        self.write("questions.jsonl", "\n".join(lines))

    def suite(self, text: str) -> Suite:
        return Suite.load(self.write("suite.yaml", text))

    def calls(self) -> list[str]:
        log = self.root / "calls.log"
        return log.read_text().split("\n")[:-1] if log.exists() else []


QUESTIONS = """
suite: counting
tasks:
  questions:
    data: questions.jsonl
    columns: {id: id, prompt: question, expected: answer, slices: [parity]}
    score: [exact_match]
gate:
  rules: [{metric: questions/exact_match, min: 0.2}]
"""


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    made = Project(tmp_path, empty_store)
    made.write("bot.py", BOT)
    monkeypatch.chdir(tmp_path)
    yield made
    shut_down()
    made.registry.close()


@pytest.fixture
def counting(project: Project) -> Callable[..., object]:
    def register(suite: str = QUESTIONS, count: int = 300, name: str = "bot") -> object:
        project.questions(count)
        return project.registry.register(name, model="call: bot:answer", suite=project.suite(suite))

    return register
