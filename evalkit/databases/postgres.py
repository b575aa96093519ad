"""Reads and fills tables on PostgreSQL within one transaction, with COPY."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from evalkit.databases.content import Column, Content, Digest, Value, kind_of
from evalkit.databases.sqlite_files import quoted
from evalkit.databases.tables import SEEDED
from evalkit.own_database import SCHEMAS
from metrics.errors import InputError
from registry.database import parse_url

SCHEMATA = ("public", *sorted(SCHEMAS.values()))
"""All schemas of a project."""

_FETCHED = 2000
_READ = 2**20
_FOREIGN_KEY_VIOLATION = "23503"


def engine_for(url: str) -> Engine:
    """An engine with the driver that can COPY; raises `InputError` for another database than PostgreSQL."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise InputError(f"'{parsed.get_backend_name()}:' is not PostgreSQL; give postgresql://host/name")
    try:
        return create_engine(parsed.set(drivername="postgresql+psycopg"))
    except ModuleNotFoundError as error:
        raise InputError(f"PostgreSQL needs a driver ({error}); install evalkit[postgres]") from None


@contextmanager
def refusals(outcome: str) -> Iterator[None]:
    """Turn what PostgreSQL or its driver refuses into one line; `outcome` ends it, and says what has come of it."""
    from psycopg import Error

    try:
        yield
    except (DBAPIError, Error) as error:
        said = " ".join(str(getattr(error, "orig", error)).split())[:300]
        raise InputError(f"PostgreSQL refused: {said}; {outcome}") from None


def tables(connection: Connection) -> dict[str, list[str]]:
    """Names of the tables by schema, for the schemas that are there."""
    found = inspect(connection)
    there = set(found.get_schema_names())
    return {schema: sorted(found.get_table_names(schema=schema)) for schema in SCHEMATA if schema in there}


def columns(connection: Connection, schema: str, table: str) -> list[Column]:
    """A table's columns, in its own order."""
    return [
        Column(
            str(one["name"]),
            kind_of(one["type"], f"{table}.{one['name']}"),
            getattr(one["type"], "length", None),
            "computed" in one,
        )
        for one in inspect(connection).get_columns(table, schema=schema)
    ]


def first_filled(connection: Connection) -> str | None:
    """A table that has rows which its making did not put there; None where all are empty."""
    for schema, names in tables(connection).items():
        for name in names:
            allowed = 1 if name in SEEDED else 0
            query = f"SELECT count(*) FROM (SELECT 1 FROM {full(schema, name)} LIMIT 2) AS seen"  # noqa: S608 - quoted
            if (connection.execute(text(query)).scalar() or 0) > allowed:
                return name if schema == "public" else f"{schema}.{name}"
    return None


def lock_all(connection: Connection) -> None:
    """Keep everybody else out of all tables until the transaction ends."""
    names = [full(schema, name) for schema, found in tables(connection).items() for name in found]
    if names:
        connection.execute(text(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE"))


def empty_all(connection: Connection, kept: Iterable[str]) -> None:
    """Remove all rows, but for those of the tables in `kept`."""
    spared = set(kept)
    names = [full(schema, name) for schema, found in tables(connection).items() for name in found if name not in spared]
    if names:
        connection.execute(text(f"TRUNCATE {', '.join(names)} RESTART IDENTITY"))


def drop_foreign_keys(connection: Connection) -> list[str]:
    """Drop all foreign keys of our schemas, so that tables can be filled in any order; return what makes them again."""
    query = text(
        "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype = 'f' AND connamespace = ANY (SELECT oid FROM pg_namespace WHERE nspname = ANY(:schemas))"
    )
    found = connection.execute(query, {"schemas": list(SCHEMATA)}).all()
    for table, name, _ in found:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    return [f"ALTER TABLE {table} ADD CONSTRAINT {name} {how}" for table, name, how in found]


def make_foreign_keys(connection: Connection, statements: Sequence[str]) -> None:
    """Make foreign keys again; raises `InputError` where a row points to one that is not there."""
    for statement in statements:
        try:
            connection.exec_driver_sql(statement)
        except Exception as error:
            origin: Any = getattr(error, "orig", None)
            if getattr(origin, "sqlstate", None) != _FOREIGN_KEY_VIOLATION:
                raise
            detail = " ".join(str(origin.diag.message_detail or origin).split())
            raise InputError(f"{origin.diag.table_name}: {detail} (see `evalkit db check`)") from None


def fill(connection: Connection, schema: str, table: str, names: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
    """Copy rows into a table; return their number."""
    done = 0
    with driver(connection).cursor() as cursor:
        said = ", ".join(map(quoted, names))
        with cursor.copy(f"COPY {full(schema, table)} ({said}) FROM STDIN") as copying:
            for row in rows:
                copying.write_row(row)
                done += 1
    return done


def set_sequences(connection: Connection, schema: str, table: str, names: Sequence[str], beyond: int = 0) -> None:
    """Let the numbers that a table gives go on after the highest one it holds, and after `beyond`."""
    for name in names:
        given = {"table": full(schema, table), "column": name}
        sequence = connection.execute(text("SELECT pg_get_serial_sequence(:table, :column)"), given).scalar()
        if sequence is None:
            continue
        query = f"SELECT max({quoted(name)}) FROM {full(schema, table)}"  # noqa: S608 - quoted
        highest = max(int(connection.execute(text(query)).scalar() or 0), beyond)
        if highest:
            connection.execute(text("SELECT setval(:sequence, :highest)"), {"sequence": sequence, "highest": highest})


def rows(connection: Connection, schema: str, table: str, found: Sequence[Column]) -> Iterator[list[Value]]:
    """All rows of a table with JSON, dates and decimals as text; a few thousand are in memory at a time."""
    said = ", ".join(_selected(column) for column in found)
    with driver(connection).cursor(name="evalkit_rows") as cursor:
        cursor.itersize = _FETCHED
        cursor.execute(f"SELECT {said} FROM {full(schema, table)}")  # noqa: S608 - quoted
        for row in cursor:
            yield [bytes(value) if isinstance(value, memoryview) else value for value in row]


def content(connection: Connection, schema: str, table: str, found: Sequence[Column]) -> Content:
    """What a table holds."""
    digest = Digest(found)
    for row in rows(connection, schema, table, found):
        digest.add(row)
    return digest.content()


def _selected(column: Column) -> str:
    return quoted(column.name) + ("::text" if column.kind in {"json", "jsonb", "date", "decimal"} else "")


def full(schema: str, table: str) -> str:
    """A table's name with its schema, quoted."""
    return f"{quoted(schema)}.{quoted(table)}"


def driver(connection: Connection) -> Any:
    """The driver's connection behind SQLAlchemy's, in the same transaction."""
    return connection.connection.driver_connection


def dump(connection: Connection, schema: str, table: str, names: Sequence[str], target: Path) -> int:
    """Write a table's rows to a file, as COPY writes them; return their number."""
    said = ", ".join(map(quoted, names))
    with driver(connection).cursor() as cursor, target.open("wb") as stream:
        with cursor.copy(f"COPY (SELECT {said} FROM {full(schema, table)}) TO STDOUT") as copying:  # noqa: S608 - quoted
            for part in copying:
                stream.write(part)
        stream.flush()
        os.fsync(stream.fileno())
        return int(cursor.rowcount)


def load(connection: Connection, schema: str, table: str, names: Sequence[str], source: Path) -> int:
    """Read a file that `dump` wrote into a table; return the number of rows."""
    said = ", ".join(map(quoted, names))
    with driver(connection).cursor() as cursor, source.open("rb") as stream:
        with cursor.copy(f"COPY {full(schema, table)} ({said}) FROM STDIN") as copying:
            while part := stream.read(_READ):
                copying.write(part)
        return int(cursor.rowcount)


def given_numbers(connection: Connection, schema: str, table: str) -> dict[str, int]:
    """The last number that each of a table's sequences gave, by column."""
    query = text(
        "SELECT a.attname, s.last_value FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_sequences s ON s.schemaname = n.nspname AND s.sequencename = c.relname "
        "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
        "WHERE d.refobjid = to_regclass(:table) AND s.last_value IS NOT NULL"
    )
    return {str(name): int(last) for name, last in connection.execute(query, {"table": full(schema, table)})}
