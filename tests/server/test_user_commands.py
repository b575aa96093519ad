"""``evalkit user``, ``evalkit token`` and the options of ``evalkit server`` that are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli.app import run

PASSWORD = "correct horse battery"


@pytest.fixture
def evalkit(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """Run a command in a project; gives exit code, what it printed, and its error."""
    (tmp_path / "evalkit.toml").touch()
    (tmp_path / ".evalkit").mkdir()
    shutil.copyfile(empty_store, tmp_path / ".evalkit" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALKIT_PASSWORD", PASSWORD)

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_users_come_change_and_go(evalkit: Any):
    assert evalkit("user", "add", "root", "--role", "admin")[:2] == (0, "new: root: admin\n")
    assert (
        evalkit("user", "add", "eva", "--role", "evaluator", "--role", "labeler")[1] == "new: eva: evaluator, labeler\n"
    )
    assert evalkit("user", "list")[1] == "eva: evaluator, labeler\nroot: admin\n"
    assert evalkit("user", "roles", "eva", "approver")[1] == "changed: eva: approver\n"
    assert evalkit("user", "roles", "eva")[1] == "changed: eva: no roles\n"
    shown = json.loads(evalkit("user", "list", "--json")[1])
    assert [(user["username"], user["roles"]) for user in shown] == [("eva", []), ("root", ["admin"])]
    assert evalkit("user", "password", "eva")[1] == "changed the password of: eva: no roles\n"
    assert evalkit("user", "remove", "eva")[1] == "removed: eva: no roles\n"
    code, _, error = evalkit("user", "remove", "eva")
    assert (code, error) == (2, "error: no user 'eva'; see `evalkit user list`\n")


def test_tokens_come_and_go(evalkit: Any):
    evalkit("user", "add", "eva", "--role", "evaluator")
    code, secret, said = evalkit("token", "create", "eva", "--role", "evaluator", "--label", "ci")
    assert code == 0
    assert "only as evaluator, 'ci', expires 20" in said and "shown only now" in said
    assert secret.strip() not in said
    listed = evalkit("token", "list", "eva")[1]
    assert secret[:13] in listed and secret.strip() not in listed
    assert evalkit("token", "list", "nobody")[1] == ""
    assert secret.strip() not in evalkit("token", "list", "--json")[1]
    assert "revoked 20" in evalkit("token", "revoke", secret.strip())[1]
    assert "revoked 20" in evalkit("token", "list")[1]


def test_tokens_live_for_a_time(evalkit: Any):
    evalkit("user", "add", "eva")
    ever = json.loads(evalkit("token", "create", "eva", "--expires", "never", "--json")[1])
    assert ever["expires_at"] is None and ever["token"].startswith(ever["prefix"])
    hour = json.loads(evalkit("token", "create", "eva", "--expires", "1h", "--json")[1])
    assert hour["expires_at"] - hour["created_at"] == pytest.approx(3_600_000, abs=5_000)
    quarter = json.loads(evalkit("token", "create", "eva", "--json")[1])
    assert quarter["expires_at"] - quarter["created_at"] == pytest.approx(90 * 86_400_000, abs=5_000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("user", "add", "eva", "--role", "owner"), "'owner' is not one of"),
        (("user", "roles", "nobody", "viewer"), "no user 'nobody'"),
        (("user", "password", "nobody"), "no user 'nobody'"),
        (("token", "create", "nobody"), "no user 'nobody'"),
        (("token", "create", "olga", "--role", "approver"), "has not got the role approver"),
        (("token", "create", "olga", "--expires", "soon"), "is not a time"),
        (("token", "create", "olga", "--expires", "0d"), "is not a time"),
        (("token", "create", "olga", "--label", "x" * 101), "at most 100 characters"),
        (("token", "revoke", ""), "an empty prefix"),
        (("token", "revoke", "ek_%"), "no token begins"),
        (("server", "--host", "0.0.0.0", "--no-auth"), "without login only"),
        (("server", "--store", "postgresql://u:hunter2@db/x"), "set MLFLOW_TRACKING_URI"),
        (("server", "--store", "evalkit+postgresql://db/x?password=hunter2"), "set MLFLOW_TRACKING_URI"),
        (("server", "--store", "mysql://db/x"), "is no database"),
        (("server", "--host", "192.0.2.1"), "cannot be bound"),
    ],
)
def test_what_cannot_be_is_one_line(evalkit: Any, arguments: tuple[str, ...], message: str):
    evalkit("user", "add", "olga")
    code, out, error = evalkit(*arguments)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert "hunter2" not in error


def test_a_password_is_needed(evalkit: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EVALKIT_PASSWORD")
    code, _, error = evalkit("user", "add", "eva")
    assert code == 2 and "set EVALKIT_PASSWORD" in error


def test_without_what_users_need(evalkit: Any, monkeypatch: pytest.MonkeyPatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "flask_wtf" else real(name, *rest)
    )
    for command in (("user", "list"), ("server", "--auth")):
        code, _, error = evalkit(*command)
        assert code == 2 and "install evalkit[server]" in error


def test_users_are_kept_where_the_server_is(evalkit: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hunter2@elsewhere")
    for command in (
        ("user", "list"),
        ("user", "add", "eva"),
        ("token", "list"),
        ("token", "revoke", "ek_1"),
        ("server",),
    ):
        code, _, error = evalkit(*command)
        assert code == 2 and "'http:' is no database" in error and "hunter2" not in error
