"""Engines, transactions and migrations of our tables, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, ExceptionContext, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from metrics.errors import InputError
from registry import triggers
from registry.tables import VERSION_TABLE

BUSY_SECONDS = 30
_LOCK = 0x6576616C  # "eval": the advisory lock of migrations on PostgreSQL


class DatabaseAwayError(InputError):
    """The database does not answer now; the same thing may work later."""


def connect(url: str) -> Engine:
    """Return an engine; SQLite gets foreign keys, WAL, a busy timeout and real transactions.

    Raises:
        InputError: the URL is not of SQLite or PostgreSQL.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        driver = {"postgresql": "postgresql+psycopg"}.get(parsed.drivername, parsed.drivername)
        try:
            return create_engine(parsed.set(drivername=driver), pool_pre_ping=True)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise InputError(f"PostgreSQL needs a driver ({error}); install evalkit[postgres]") from None
    if parsed.get_backend_name() != "sqlite":
        raise InputError(f"the database '{parsed.get_backend_name()}' is not supported; use SQLite or PostgreSQL")
    if parsed.database and parsed.database != ":memory:":
        try:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the database file {parsed.database} cannot be made ({error.strerror})") from None
    engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "handle_error", forget_read_only)
    return engine


def parse_url(url: str) -> URL:
    """Parse a database URL; one that cannot be read raises `InputError`, which does not repeat its password."""
    try:
        return make_url(url)
    except ArgumentError:
        raise InputError("the database URL cannot be read; expected sqlite:///path or postgresql://host/name") from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own BEGIN comes too late and leaves schema changes outside; `_begin_sqlite` says it instead
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    _use_wal(connection)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=NORMAL")


def _use_wal(connection: Any) -> None:
    # SQLite does not wait for the lock that this change takes on a new file, whatever busy_timeout says: two
    # processes that open it first at the same time would fail
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads and then writes must hold the write lock from its start, else it fails when
    # another process wrote in between
    reading = connection.get_execution_options().get("evalkit_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def insist_on_writing() -> None:
    """Have no SQLite engine of this process, whoever makes it, hold a file that may not be written.

    For processes that live long: what SQLite opens while a file system is read-only stays read-only, together with all
    that the process opens of the same file before the last such connection is closed, which under load is never.
    """
    if not event.contains(Engine, "handle_error", forget_read_only):
        event.listen(Engine, "handle_error", forget_read_only)
        event.listen(Engine, "do_connect", _refuse_read_only)


def _refuse_read_only(dialect: Dialect, _record: object, given: Sequence[Any], _named: object) -> None:
    if dialect.name != "sqlite" or not given or str(given[0]).startswith((":", "file:")):
        return
    path = str(given[0])
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise sqlite3.OperationalError(f"unable to open database file {path}: it may not be written now")


def forget_read_only(context: ExceptionContext) -> None:
    """Have a connection closed that may not write: listens to ``handle_error`` of SQLite engines.

    A file that was opened while nothing could be written stays so for as long as it is open.
    """
    code = getattr(context.original_exception, "sqlite_errorcode", 0)
    if code & 0xFF != sqlite3.SQLITE_READONLY:
        return
    context.is_disconnect = True
    held = context.connection.connection.driver_connection if context.connection is not None else None
    if held is not None:
        # Its BEGIN IMMEDIATE began to read. Closed like this it would read on, and nobody else could write, for as
        # long as anything refers to the statement that failed
        held.rollback()


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session in one transaction that may write; committed at the end, rolled back on any error."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine, *, snapshot: bool = False) -> Iterator[Session]:
    """A session that only reads; it never waits for writers on SQLite in WAL mode.

    With `snapshot` all that it reads is of one moment, as it always is on SQLite.
    """
    options: dict[str, Any] = {"evalkit_reading": True}
    if snapshot and engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    with engine.connect().execution_options(**options) as connection, Session(connection) as session:
        yield session


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring our tables to `revision`; safe when several processes do so at once."""
    if revision == "head" and _current(engine) == _head():
        return
    _migrate(engine, "upgrade", revision)


def is_current(engine: Engine) -> bool:
    """Whether the database answers and our tables are at the newest revision; nothing is changed."""
    try:
        return _current(engine) == _head()
    except (InputError, SQLAlchemyError):
        return False


def revisions(engine: Engine) -> tuple[str | None, str | None]:
    """Revision of our tables in the database (None: there are none), and the one that this version of evalkit needs."""
    return _current(engine), _head()


def check_database(url: str) -> str:
    """Say in one line what is at `url`, without making or changing anything; unusable ones raise `InputError`."""
    parsed = parse_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite" and parsed.database and not Path(parsed.database).exists():
        return f"{shown}: not there yet, made at first use"
    engine = connect(url)
    try:
        current, head = _current(engine), _head()
    finally:
        engine.dispose()
    if current == head:
        return f"{shown}: our tables are at revision {current}"
    return f"{shown}: our tables are {'missing' if current is None else f'at revision {current}'}, made at first use"


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Take our tables back to `revision`; ``base`` removes them and nothing else.

    What the older tables cannot hold is lost: `registry.lost.lost_rows` counts it beforehand.
    """
    _migrate(engine, "downgrade", revision)


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _head() -> str | None:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()


def _current(engine: Engine) -> str | None:
    from alembic.runtime.migration import MigrationContext

    try:
        with engine.connect().execution_options(evalkit_reading=True) as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            return context.get_current_revision()
    except OperationalError as error:
        shown = engine.url.render_as_string(hide_password=True)
        raise DatabaseAwayError(f"the database {shown} cannot be opened: {error.orig}") from None


def _migrate(engine: Engine, direction: str, revision: str) -> None:
    with changing_tables(engine) as connection:
        run_migrations(connection, direction, revision)


@contextmanager
def changing_tables(engine: Engine) -> Iterator[Connection]:
    """One transaction in which tables may be made anew, one process at a time; rolled back on any error.

    Raises:
        InputError: a row would point to one that is gone.
    """
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                yield connection
            return
        # Making a table anew drops the old one, which with foreign keys on deletes or refuses the rows that point to
        # it; SQLite heeds the switch outside transactions only
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                before = _dangling(connection)
                yield connection
                if gone := _dangling(connection) - before:
                    raise InputError(f"rows of {', '.join(sorted({row[0] for row in gone}))} would point to nothing")
        finally:
            driver.execute("PRAGMA foreign_keys=ON")


def _dangling(connection: Connection) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.exec_driver_sql("PRAGMA foreign_key_check")}


def run_migrations(connection: Connection, direction: str, revision: str) -> None:
    """Run migrations within the caller's transaction, as `changing_tables` opens it.

    Args:
        connection: of the transaction.
        direction: ``upgrade`` or ``downgrade``.
        revision: where to.

    Raises:
        InputError: there is no such revision, or it does not lie in this direction.
    """
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    config = _config()
    known = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions("base", "heads")][::-1]
    if revision not in {"base", "head", *known}:
        raise InputError(f"there is no revision '{revision}' of our tables; there are {', '.join(known)}")
    # A table that a trigger names cannot be rebuilt on SQLite
    stood = triggers.remove(connection)
    config.attributes["connection"] = connection
    try:
        getattr(command, direction)(config, revision)
    except CommandError as error:
        raise InputError(f"revision '{revision}' of our tables: {error}") from None
    if stood:
        triggers.install(connection)
