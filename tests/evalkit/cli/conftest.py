"""A small project in a temporary folder, and the command line run in this process."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from evalkit.cli.app import run

SUITE = """\
suite: sums
tasks:
  golden:
    data: questions.jsonl
    columns: {id: id, prompt: question, expected: answers}
    score: [exact_match, token_f1, refusal]
gate:
  rules:
    - {metric: golden/exact_match, min: 0.8}
    - {metric: golden/refusal, max: 0.2}
"""


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self) -> object:
        return json.loads(self.out)


class Project:
    """A folder with a suite, its questions and two files of outputs: good (all right) and bad (half right)."""

    def __init__(self, folder: Path, call: Callable[..., Result]) -> None:
        self.folder = folder
        self.call = call
        rows = [{"id": f"q{i}", "question": f"{i} + {i}?", "answers": [str(2 * i)]} for i in range(60)]
        self.jsonl("questions.jsonl", rows)
        self.jsonl("good.jsonl", [{**row, "output": row["answers"][0]} for row in rows])
        self.jsonl(
            "bad.jsonl", [{**row, "output": row["answers"][0] if i % 2 else "no idea"} for i, row in enumerate(rows)]
        )
        self.write("suite.yaml", SUITE)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def jsonl(self, name: str, rows: list[dict[str, object]]) -> Path:
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))


def call_captured(*arguments: str) -> Result:
    """Run a command as the shell would."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(list(arguments))
    return Result(code, out.getvalue(), err.getvalue())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Project:
    """A project with nothing registered, as the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evalkit.toml").touch()
    (tmp_path / ".evalkit").mkdir()
    shutil.copyfile(empty_store, tmp_path / ".evalkit" / "mlflow.db")
    return Project(tmp_path, call_captured)


@pytest.fixture(scope="module")
def promoted_project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    """A project whose model `sums` has a champion; shared, since bad input must not change it."""
    folder = tmp_path_factory.mktemp("promoted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / ".evalkit").mkdir()
        (folder / "evalkit.toml").touch()
        shutil.copyfile(empty_store, folder / ".evalkit" / "mlflow.db")
        project = Project(folder, call_captured)
        call_captured("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml")
        assert call_captured("check", "models:/sums/1").code == 0
        assert call_captured("promote", "models:/sums/1").code == 0
    return project


@pytest.fixture
def promoted(promoted_project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The shared project as the working folder, with sound files."""
    monkeypatch.chdir(promoted_project.folder)
    promoted_project.write("evalkit.toml", "")
    return promoted_project
