"""What a database that is away, or may not be written for a while, leaves behind: nothing, and one line."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import InternalError, OperationalError

from evalkit.cli.failures import explain
from evalkit.config import Settings
from evalkit.jobs.host import Host
from metrics.errors import InputError
from registry.database import connect, insist_on_writing, reading, upgrade, writing
from registry.firings import Firing, history
from registry.mlflow_link import MlflowLink


def test_a_connection_that_may_not_write_is_not_used_again(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (value INTEGER)"))
    with reading(engine) as session:
        session.execute(text("PRAGMA query_only = ON"))  # as one that was opened on a read-only file system
    with pytest.raises(OperationalError, match="readonly"), writing(engine) as session:
        session.execute(text("INSERT INTO kept VALUES (1)"))
    with writing(engine) as session:
        session.execute(text("INSERT INTO kept VALUES (2)"))
        assert session.execute(text("SELECT value FROM kept")).scalars().all() == [2]
    engine.dispose()


def test_nor_one_of_an_engine_that_a_library_made(tmp_path: Path) -> None:
    insist_on_writing()
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")  # as DBOS makes it
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (value INTEGER)"))
        connection.execute(text("PRAGMA query_only = ON"))
    insert = text("INSERT INTO kept VALUES (1)")
    with pytest.raises(OperationalError, match="readonly"), engine.begin() as connection:
        connection.execute(insert)
    with engine.begin() as connection:
        connection.execute(insert)
    engine.dispose()


def test_an_error_below_mlflow_is_told_once_and_without_its_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    link = MlflowLink(f"sqlite:///{tmp_path / 'mlflow.db'}")
    link.client.create_registered_model("bot")
    link.client.create_model_version("bot", "s3://bucket/bot")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("DROP TABLE model_version_tags")
    with pytest.raises(InputError, match="no such table: model_version_tags"):
        link.set_tags("bot", 1, {"key": "value"})
    assert "Traceback" not in capfd.readouterr().err


def test_a_database_that_only_reads_is_told_in_one_line() -> None:
    refusal = InternalError("INSERT", {"secret": 1}, Exception("cannot execute INSERT in a read-only transaction"))
    assert explain(refusal) == "the database cannot be used: cannot execute INSERT in a read-only transaction"


AWAY = OperationalError("INSERT", {"secret": 1}, Exception("disk is full"))


@pytest.mark.parametrize(
    ("failure", "error", "traceback"),
    [
        (InputError("no such rows"), "InputError: no such rows", False),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device", False),
        (AWAY, "the database cannot be used: disk is full", False),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug", True),
    ],
)
def test_a_worker_shows_a_traceback_of_bugs_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, failure: Exception, error: str, traceback: bool
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    engine = connect(url)
    upgrade(engine)

    def handler(_firing: Firing, _target: str) -> None:
        raise failure

    host = Host(Settings(tmp_path, url, url, url, advisory=False), engine, {"kind": handler})
    context = {"name": "s", "kind": "kind", "target": "t", "since": 0, "catch_up": "latest"}
    with caplog.at_level(logging.WARNING, logger="evalkit.jobs"):
        host.fire("key", "2026-05-01T00:00:00+00:00", context)  # type: ignore[arg-type]
    (record,) = caplog.records
    assert bool(record.exc_info) is traceback
    (stored,) = history(engine)
    assert (stored.outcome, stored.error) == ("failed", error)
    engine.dispose()
