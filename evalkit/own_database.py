"""Databases beside the registry's: a SQLite file each, or a schema each on PostgreSQL."""

from __future__ import annotations

import zlib
from typing import Any

from sqlalchemy import Engine, MetaData, event, inspect, text
from sqlalchemy.exc import DatabaseError, OperationalError

from evalkit.config import Settings, without_password
from metrics.errors import InputError
from registry.database import DatabaseAwayError, connect, parse_url

SCHEMAS = {"judges": "evalkit_judges", "ingest": "evalkit_ingest", "jobs": "evalkit_jobs"}
"""Schemas on PostgreSQL by the name of the database."""


def own_url(settings: Settings, name: str) -> str:
    """Address of a project's database: a schema beside our tables on PostgreSQL, else ``.evalkit/<name>.db``."""
    if parse_url(settings.database_url).get_backend_name() == "postgresql":
        return settings.database_url
    return f"sqlite:///{settings.home / f'{name}.db'}"


def open_own(url: str, name: str, tables: MetaData) -> Engine:
    """Return an engine with the given tables, made where they are missing; safe from several processes at once.

    Args:
        url: as `own_url` says it.
        name: of the database: ``judges`` or ``ingest``.
        tables: what it holds.

    Raises:
        InputError: the URL is of another database, or it cannot be opened.
    """
    shown = without_password(parse_url(url).render_as_string(hide_password=False))
    schema = SCHEMAS[name]
    engine = connect(url)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _user_of(schema))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # One process at a time makes tables; the key of the lock only has to be the schema's own
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": zlib.crc32(schema.encode())})
                if not inspect(connection).has_schema(schema):  # IF NOT EXISTS also needs the right to make one
                    connection.execute(text(f"CREATE SCHEMA {schema}"))
            tables.create_all(connection)
    except DatabaseError as error:
        engine.dispose()
        why = " ".join(str(error.orig).split())[:200]
        kind = DatabaseAwayError if isinstance(error, OperationalError) else InputError
        raise kind(f"the database of {name} at {shown} cannot be opened: {why}") from None
    return engine


def _user_of(schema: str) -> Any:
    def use(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET search_path TO {schema}")
        connection.commit()

    return use
