"""``evalkit approve`` and ``evalkit demote`` without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.cli.app import run


@pytest.fixture
def passed(project, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(project.folder)
    project.call("register", "bot", "--model", "good.jsonl", "--suite", "suite.yaml")
    return "models:/bot/1"


def test_approved_promoted_and_taken_back(passed: str, project, tmp_path: Path):
    assert project.call("policy", "set", "bot", "--approvals", "1", "--author-may-approve").code == 0
    early = project.call("approve", passed)
    assert (early.code, "no decision" in early.err) == (1, True)
    decided = project.call("check", passed, "--json").json()
    assert project.call("promote", passed).code == 1
    made = project.call("approve", passed, "--comment", "looks fine", "--json")
    assert (made.code, made.json()["id"]) == (0, decided["id"])
    again = project.call("approve", passed)
    assert (again.code, again.out) == (0, f"approved: {passed} as champion, on its decision {decided['id']}\n")
    assert "stored in sqlite:///" in again.err
    assert project.call("promote", passed).code == 0

    other = project.call("demote", passed, "--alias", "prod")
    assert (other.code, "does not hold" in other.err) == (2, True)
    gone = project.call("demote", "models:/bot@champion", "--json")
    assert (gone.code, gone.json()) == (0, {"name": "bot", "alias": "champion", "version": 1})
    entries = [json.loads(line) for line in project.call("audit", "export").out.splitlines()]
    kinds = [entry["kind"] for entry in entries]
    assert [kind for kind in kinds if kind in {"approval", "promotion", "demotion"}] == [
        "approval", "promotion", "demotion",
    ]  # fmt: skip
    assert project.call("audit", "verify").code == 0


def test_an_unknown_version(project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(project.folder)
    for command in ("approve", "demote"):
        assert run([command, "models:/nobodys/1"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
