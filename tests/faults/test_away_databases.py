"""What a database that is away, or may not be written for a while, leaves behind: nothing, and one line."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError, OperationalError

from evalkit.cli.failures import explain
from evalkit.config import Settings
from evalkit.jobs.host import Host
from metrics.errors import InputError
from registry.database import connect, reading, upgrade, writing
from registry.firings import Firing, history


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


def test_a_database_that_only_reads_is_told_in_one_line() -> None:
    refusal = InternalError("INSERT", {"secret": 1}, Exception("cannot execute INSERT in a read-only transaction"))
    assert explain(refusal) == "the database cannot be used: cannot execute INSERT in a read-only transaction"


@pytest.mark.parametrize(("failure", "traceback"), [(InputError("no such rows"), False), (ZeroDivisionError(), True)])
def test_a_worker_shows_no_traceback_of_what_users_can_mend(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, failure: Exception, traceback: bool
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
    assert (stored.outcome, stored.error) == ("failed", f"{type(failure).__name__}: {failure}")
    engine.dispose()
