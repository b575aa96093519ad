"""Moves a project from SQLite to PostgreSQL: all tables in one transaction, which is committed once it is verified.

A move that is killed leaves empty tables behind, and is simply started again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from evalkit.config import Settings
from evalkit.databases import postgres, sqlite_files
from evalkit.databases.checks import audit_reports
from evalkit.databases.content import Column, Content, Digest, Value, fitted
from evalkit.databases.in_use import check_idle
from evalkit.databases.places import STORE, Place, is_postgres, places, same_database
from evalkit.databases.tables import VERSIONS, make_beside, make_store, mlflow_revisions, users_revision
from evalkit.own_database import SCHEMAS
from metrics.errors import InputError
from registry import audit, database, triggers
from registry.mlflow_store import plain_uri

Follow = Callable[[str, int, int], None]
"""Told the table's name, and how many rows of how many are done."""

_TELL_EVERY = 500


@dataclass(frozen=True, slots=True)
class Moved:
    """One table that was moved, and what it holds: the same on both sides."""

    database: str
    table: str
    content: Content


@dataclass(frozen=True, slots=True)
class Report:
    """What a move did.

    Attributes:
        tables: all tables that hold rows.
        empty: number of tables that hold none.
        audits: what the audit says on the new side, by workspace; the same as on the old one.
    """

    tables: tuple[Moved, ...]
    empty: int
    audits: tuple[audit.AuditReport, ...]

    @property
    def rows(self) -> int:
        """Number of rows in all."""
        return sum(table.content.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table to be moved."""

    place: Place
    name: str
    columns: tuple[Column, ...]
    rows: int

    @property
    def stored(self) -> list[Column]:
        return [column for column in self.columns if not column.generated]


def move(settings: Settings, target: str, follow: Follow | None = None) -> Report:
    """Copy everything from SQLite files to an empty PostgreSQL database; the files stay as they are.

    Args:
        settings: of the project as it is.
        target: URL of the database, with a role that may make tables in it.
        follow: told how far it is.

    Raises:
        InputError: the project is not on SQLite, is advisory, or is at work; its tables are not at the newest
            revision; the target is not PostgreSQL or not empty; a value does not fit. Nothing is changed then, but
            for empty tables that may have been made.
    """
    found = _movable(settings)
    there = [place for place in found if place.path.exists()]
    check_idle(settings, there)
    users = _check_revisions(settings)
    _check_empty(target)
    new = replace(settings, tracking_uri=target, registry_uri=target, database_url=target)
    with sqlite_files.held(there) as files:
        make_store(new, users=users).dispose()
        make_beside(target)
        engine = postgres.engine_for(target)
        try:
            with postgres.refusals("nothing was moved"), engine.begin() as connection:
                tables = _fill(connection, there, files, follow or (lambda *_: None))
                before = audit_reports(settings.database_url)
        finally:
            engine.dispose()
    after = audit_reports(target)
    if after != before:
        raise InputError(
            "the audit of the new database is not that of the old one; go on with the old one, and drop the new one"
        )
    return Report(
        tuple(table for table in tables if table.content.rows),
        sum(1 for table in tables if not table.content.rows),
        after,
    )


def _movable(settings: Settings) -> list[Place]:
    if is_postgres(settings.database_url):
        raise InputError("this project is on PostgreSQL already")
    if settings.advisory:
        raise InputError(
            "evalkit's tables are apart from the model registry's database (advisory mode): move MLflow's store first, "
            "then let both use it"
        )
    found = places(settings)
    if not same_database(plain_uri(settings.tracking_uri), settings.database_url):
        raise InputError("MLflow's runs and its model registry are in different databases; only one database is moved")
    if not found[0].path.exists():
        raise InputError(f"{found[0].path}: there is no such file, and so nothing to move")
    return found


def _check_revisions(settings: Settings) -> bool:
    """Make sure that the tables are as this version makes them; whether there are tables of users."""
    engine = database.connect(settings.database_url)
    try:
        for current, needed in (database.revisions(engine), mlflow_revisions(engine)):
            if current != needed:
                raise InputError(
                    f"the tables are at revision {current}, needed is {needed}; run `evalkit db upgrade` first"
                )
        return users_revision(engine) is not None
    finally:
        engine.dispose()


def _check_empty(target: str) -> None:
    engine = postgres.engine_for(target)
    shown = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            filled = postgres.first_filled(connection)
    except DBAPIError as error:
        raise InputError(f"the database {shown} cannot be opened: {' '.join(str(error.orig).split())[:300]}") from None
    finally:
        engine.dispose()
    if filled is not None:
        raise InputError(f"{shown} is not empty: there are rows in {filled}; make a new database")


def _fill(connection: Connection, there: Sequence[Place], files: sqlite_files.Files, follow: Follow) -> list[Moved]:
    postgres.lock_all(connection)
    filled = postgres.first_filled(connection)
    if filled is not None:
        raise InputError(f"somebody has written to {filled} of the new database meanwhile; nothing was moved")
    todo = [table for place in there for table in _planned(connection, place, files[place.name])]
    total = sum(table.rows for table in todo)
    triggers.remove(connection)
    keys = postgres.drop_foreign_keys(connection)
    postgres.empty_all(connection, VERSIONS)
    done, moved = 0, []
    for table in todo:
        file = files[table.place.name]
        given = _copy(connection, file, table, partial(_tell, follow, table.name, done, total))
        moved.append(Moved(table.place.name, table.name, given))
        done += table.rows
    postgres.make_foreign_keys(connection, keys)
    triggers.install(connection)
    follow("verifying", 0, total)
    done = 0
    for table, said in zip(todo, moved, strict=True):
        held = postgres.content(connection, _schema(table.place), table.name, table.columns)
        if held != said.content:
            raise InputError(f"{table.name} came out different on PostgreSQL; nothing was moved")
        done += table.rows
        follow("verifying", done, total)
    connection.execute(text("ANALYZE"))
    return moved


def _planned(connection: Connection, place: Place, file: sqlite3.Connection) -> list[_Table]:
    known = set(postgres.tables(connection)[_schema(place)])
    planned = []
    for name in sqlite_files.tables(file):
        if name in VERSIONS:
            continue
        rows = sqlite_files.count(file, name)
        if name not in known:
            if rows:
                raise InputError(
                    f"{place.path.name} has a table '{name}' that is none of MLflow's or evalkit's; drop it"
                )
            continue
        wanted = {column.name: column for column in postgres.columns(connection, _schema(place), name)}
        here = sqlite_files.columns(file, name)
        if odd := sorted(set(here) - set(wanted)):
            raise InputError(f"{place.path.name}: '{name}' has a column '{odd[0]}' that nobody made; drop it")
        planned.append(_Table(place, name, tuple(wanted[column] for column in here), rows))
    return planned


def _copy(connection: Connection, file: sqlite3.Connection, table: _Table, tell: Callable[[int], None]) -> Content:
    """Copy one table; return what was read of the file, columns that are computed included."""
    digest = Digest(table.columns)
    stored = [position for position, column in enumerate(table.columns) if not column.generated]
    schema = _schema(table.place)

    def read() -> Iterator[list[Value]]:
        names = [column.name for column in table.columns]
        for done, row in enumerate(fitted(table.name, table.columns, sqlite_files.rows(file, table.name, names))):
            digest.add(row)
            if done % _TELL_EVERY == 0:
                tell(done)
            yield [row[position] for position in stored]

    names = [column.name for column in table.stored]
    postgres.fill(connection, schema, table.name, names, read())
    numbered = [column.name for column in table.stored if column.kind == "integer"]
    # A number that was given is never given again, even where its row is gone: readers remember how far they are
    postgres.set_sequences(connection, schema, table.name, numbered, sqlite_files.last_given(file, table.name) or 0)
    return digest.content()


def _tell(follow: Follow, name: str, before: int, total: int, rows: int) -> None:
    follow(name, before + rows, total)


def _schema(place: Place) -> str:
    return "public" if place.name == STORE else SCHEMAS[place.name]
