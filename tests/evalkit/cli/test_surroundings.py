"""What the surroundings do wrong (a server, a database, the disk) is one line and exit code 2; bugs stay loud."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from evalkit import api
from evalkit.cli.app import run
from evalkit.cli.failures import explain

from .conftest import Project


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def show(version: str) -> None:
        raise error

    monkeypatch.setattr(api, "show", show)


def mlflow_error() -> Exception:
    from mlflow.exceptions import MlflowException

    return MlflowException("the server\nis not well")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x.parquet"), "No space left on device: /data/x"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/data"), "Permission denied: /data"),
        (ConnectionError("refused by\nthe server"), "refused by the server"),
        (OperationalError("select secret", {}, sqlite3.OperationalError("disk is full")), "used: disk is full"),
        (ModuleNotFoundError("No module named 'openai'", name="openai"), "evalkit[endpoints]"),
        (mlflow_error(), "MLflow says: the server is not well"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, says: str
) -> None:
    fail_with(monkeypatch, error)
    assert run(["show", "models:/a/1"]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and says in err and err.count("\n") == 1
    assert "select secret" not in err
    assert out == ""


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("a bug"),
        ProgrammingError("select", {}, sqlite3.ProgrammingError("a bug")),
        ModuleNotFoundError("No module named 'evalkit.nothing'", name="evalkit.nothing"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    fail_with(monkeypatch, error)
    with pytest.raises(type(error)):
        run(["show", "models:/a/1"])


def test_a_long_message_is_cut() -> None:
    line = explain(ConnectionError("x" * 5000))
    assert line is not None and len(line) == 400


def test_a_server_that_is_not_there_fails_soon(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    before = time.monotonic()
    result = project.call("show", "models:/a/1")
    assert time.monotonic() - before < 15
    assert result.code == 2 and "127.0.0.1:9" in result.err
    assert len(result.err.splitlines()) == 1


def test_a_folder_that_cannot_be_written(project: Project, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    result = project.call("check", "good.jsonl", "--write-suite", "out/suite.yaml")
    assert result.code == 2
    assert "out" in result.err.splitlines()[-1]
