"""`evalkit db upgrade | check` on SQLite; tests/examples has PostgreSQL with its roles."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from evalkit.cli.app import app
from metrics.errors import InputError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'm.db'}")
    return tmp_path / "m.db"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["db", *arguments], standalone_mode=False)


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.mark.slow
def test_upgrade_makes_what_check_misses(place: Path):
    assert isinstance(run("check").exception, InputError)
    assert not place.exists()
    sqlite3.connect(place).close()
    place.touch()
    missing = run("check")
    assert missing.return_value == 1
    assert "tables of mlflow: missing" in missing.output
    assert "tables of evalkit: missing" in missing.output
    assert tables(place) == set()
    assert run("upgrade").exception is None
    assert {"registered_models", "evalkit_audit"} <= tables(place)
    assert "users" not in tables(place)
    assert run("check").return_value == 0
    assert run("upgrade", "--auth").exception is None
    assert "users" in tables(place)


@pytest.mark.slow
def test_check_finds_a_trigger_that_is_gone(place: Path):
    run("upgrade")
    with closing(sqlite3.connect(place)) as database:
        database.execute("DROP TRIGGER evalkit_gate_alias_insert")
    found = run("check", "--json")
    assert found.return_value == 1
    assert json.loads(found.output)["missing_triggers"] == ["alias_insert"]
    run("upgrade")
    assert run("check").return_value == 0


@pytest.mark.slow
def test_tables_apart_from_mlflow(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EVALKIT_DATABASE_URL", f"sqlite:///{tmp_path / 'own.db'}")
    assert run("upgrade").exception is None
    assert not place.exists()
    found = json.loads(run("check", "--json").output)
    assert found["good"] is True
    assert "mlflow" not in found


@pytest.mark.parametrize("command", ["check", "upgrade"])
def test_no_database(command: str, place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EVALKIT_DATABASE_URL", "mysql://host/name")
    assert isinstance(run(command).exception, InputError)
