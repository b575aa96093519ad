"""Migrations: up and down, with data, on both databases, beside tables that are not ours."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from threading import Timer

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.exc import IntegrityError, OperationalError

from metrics.errors import InputError
from registry.database import (
    _refuse_read_only,
    check_database,
    connect,
    downgrade,
    forget_read_only,
    insist_on_writing,
    reading,
    upgrade,
    writing,
)
from registry.digests import new_id, now_ms
from registry.tables import PREFIX, VERSION_TABLE, Base, EvaluationRow, SuiteRow


def test_up_down_up_with_data(database_url: str):
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE runs (name VARCHAR(10))"))
        connection.execute(text("INSERT INTO runs VALUES ('kept')"))
    upgrade(engine)
    with writing(engine) as session:
        session.add(SuiteRow(id=new_id(), created_at=now_ms(), name="s", digest="d", text="suite: s"))
    upgrade(engine)
    with reading(engine) as session:
        assert session.query(SuiteRow).one().workspace == "default"
    downgrade(engine)
    assert set(inspect(engine).get_table_names()) - {VERSION_TABLE} == {"runs"}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM runs")).scalar() == "kept"
    upgrade(engine)
    assert PREFIX + "suites" in inspect(engine).get_table_names()
    engine.dispose()


def test_a_new_file_that_another_process_writes_is_waited_for(tmp_path: Path):
    """SQLite answers "database is locked" at once where a new file is to change to WAL."""
    other = sqlite3.connect(tmp_path / "new.db", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE runs (name VARCHAR(10))")
    other.execute("BEGIN IMMEDIATE")
    release = Timer(0.1, other.execute, ("COMMIT",))
    release.start()
    engine = connect(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    release.join()
    engine.dispose()
    other.close()


def test_models_equal_migrations(database_url: str):
    engine = connect(database_url)
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_every_table_has_prefix_and_workspace():
    for table in Base.metadata.tables.values():
        assert table.name.startswith(PREFIX)
        assert "workspace" in table.columns


def test_foreign_keys_hold(database_url: str):
    engine = connect(database_url)
    upgrade(engine)
    orphan = EvaluationRow(
        id=new_id(), created_at=1, digest="d", look=1, version_id=new_id(), suite_digest="s", status="running",
        started_at=1, targets={}, warnings=[], details={},
    )  # fmt: skip
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(orphan)
    engine.dispose()


def test_a_failed_transaction_leaves_nothing(database_url: str):
    engine = connect(database_url)
    upgrade(engine)
    with pytest.raises(RuntimeError), writing(engine) as session:
        session.add(SuiteRow(id=new_id(), created_at=1, name="s", digest="d", text=""))
        session.flush()
        raise RuntimeError
    with reading(engine) as session:
        assert session.query(SuiteRow).count() == 0
    engine.dispose()


def _upgrade(url: str) -> None:
    upgrade(connect(url))


def test_processes_that_upgrade_at_once(database_url: str):
    context = get_context("spawn")
    workers = [context.Process(target=_upgrade, args=(database_url,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_checking_changes_nothing(tmp_path: Path):
    path = tmp_path / "deep" / "evalkit.db"
    url = f"sqlite:///{path}"
    assert "not there yet" in check_database(url)
    assert not path.parent.exists()
    engine = connect(url)
    engine.connect().close()
    assert "missing" in check_database(url)
    assert inspect(engine).get_table_names() == []
    upgrade(engine)
    assert re.search(r"at revision \d{4}", check_database(url))


@pytest.mark.parametrize(
    ("url", "message"),
    [("nonsense", "cannot be read"), ("mysql://host/db", "not supported"), ("sqlite:////proc/none/x.db", "cannot be")],
)
def test_unusable_urls(url: str, message: str):
    with pytest.raises(InputError, match=message):
        upgrade(connect(url))


@pytest.mark.postgres
def test_password_is_not_told(postgres_server: str):
    url = postgres_server.replace("tester@", "tester:hunter2@").replace("psycopg://", "psycopg://") + "no_such_database"
    with pytest.raises(InputError) as caught:
        upgrade(connect(url))
    assert "hunter2" not in str(caught.value)


def test_a_connection_that_may_not_write_holds_no_lock_once_it_is_given_up(tmp_path: Path):
    """It would keep everybody else from writing to a file without write-ahead log, such as that of the jobs."""
    path = tmp_path / "jobs.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE kept (x)")
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    event.listen(engine, "handle_error", forget_read_only)
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", "IMMEDIATE"))
    with pytest.raises(OperationalError, match="readonly"), engine.begin() as connection:
        connection.execute(text("INSERT INTO kept VALUES (1)"))
    with closing(sqlite3.connect(path, timeout=0.1)) as other:
        other.execute("INSERT INTO kept VALUES (2)")
        other.commit()
        assert other.execute("SELECT x FROM kept").fetchall() == [(2,)]


def test_a_process_that_lives_long_opens_no_file_that_it_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "kept.db"
    connect(f"sqlite:///{path}").connect().close()
    may, asked = os.access, []

    def read_only(given: object, mode: int) -> bool:
        asked.append((str(given), mode))
        return False

    insist_on_writing()
    try:
        monkeypatch.setattr(os, "access", read_only)
        with pytest.raises(OperationalError, match=r"kept\.db: it may not be written now"):
            connect(f"sqlite:///{path}").connect()
        assert asked == [(str(path), os.W_OK)]
        monkeypatch.setattr(os, "access", may)
        connect(f"sqlite:///{path}").connect().close()
    finally:
        event.remove(Engine, "handle_error", forget_read_only)
        event.remove(Engine, "do_connect", _refuse_read_only)
