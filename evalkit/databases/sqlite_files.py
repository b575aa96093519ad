"""SQLite files that nobody changes for a while, all as they were at one moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil

from evalkit.databases.places import Place
from metrics.errors import InputError

_WAIT_SECONDS = 30.0
_FETCHED = 2000

Files = dict[str, sqlite3.Connection]
"""Connections by name of the database, each in a transaction that sees one moment."""


@contextmanager
def held(found: Sequence[Place]) -> Iterator[Files]:
    """Open files that exist; until the end nobody else writes to any of them.

    Raises:
        InputError: somebody writes for longer than 30 seconds, or a file is no database.
    """
    with ExitStack() as stack:
        files: Files = {}
        for place in found:
            connection = stack.enter_context(closing(_opened(place.path)))
            _begin(connection, "BEGIN IMMEDIATE", place)
            files[place.name] = connection
        yield files


@contextmanager
def seen(found: Sequence[Place]) -> Iterator[Files]:
    """Open files that exist, all as they were at one moment; writers are kept waiting until it has come, no longer."""
    with ExitStack() as stack:
        files: Files = {}
        with held(found):
            for place in found:
                connection = stack.enter_context(closing(_opened(place.path)))
                _begin(connection, "BEGIN", place)
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                files[place.name] = connection
        yield files


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)


def _begin(connection: sqlite3.Connection, statement: str, place: Place) -> None:
    try:
        connection.execute(statement)
    except sqlite3.OperationalError as error:
        raise InputError(f"{place.path}: {error}; end what writes to it") from None
    except sqlite3.DatabaseError as error:
        raise InputError(f"{place.path} is no database of SQLite ({error})") from None


def tables(connection: sqlite3.Connection) -> list[str]:
    """Names of the tables, without those that SQLite makes for itself."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1"
    return [name for (name,) in connection.execute(query)]


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Names of a table's columns, those that are computed too."""
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_xinfo({quoted(table)})")]


def count(connection: sqlite3.Connection, table: str) -> int:
    """Number of rows."""
    return int(connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0])  # noqa: S608 - quoted


def rows(connection: sqlite3.Connection, table: str, names: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """All rows of a table, a few thousand in memory at a time.

    Raises:
        InputError: a text that is not UTF-8.
    """
    said = ", ".join(map(quoted, names))
    cursor = connection.execute(f"SELECT {said} FROM {quoted(table)}")  # noqa: S608 - quoted
    while True:
        try:
            chunk = cursor.fetchmany(_FETCHED)
        except sqlite3.OperationalError as error:
            raise InputError(f"{table}: {error}") from None
        if not chunk:
            return
        yield from chunk


def last_given(connection: sqlite3.Connection, table: str) -> int | None:
    """The highest number that an AUTOINCREMENT table has ever given to a row, rows that are gone included."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone() is None:
        return None
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return None if found is None else int(found[0])


def quoted(name: str) -> str:
    """A name as SQL writes it, on both databases."""
    return '"' + name.replace('"', '""') + '"'


def users(paths: Sequence[Path]) -> list[str]:
    """Other processes of this machine that have one of the files open, a line each: servers, workers, shells."""
    wanted = {str(path.resolve()) for path in paths}
    found = []
    for process in psutil.process_iter():
        if process.pid == psutil.Process().pid:
            continue
        try:
            opened = {file.path for file in process.open_files()} & wanted
            if opened:
                found.append(f"process {process.pid} ({process.name()}) has {Path(min(opened)).name} open")
        except psutil.Error:
            continue  # it ended, or is somebody else's
    return found
