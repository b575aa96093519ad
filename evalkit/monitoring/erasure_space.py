"""Free pages of databases: what was deleted is still on the disk until they are written over."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine, inspect, text

from registry.database import connect, parse_url

_WAIT = 30.0


def wipe(url: str, tables: Sequence[str], *, schema: str | None = None) -> str | None:
    """Write a database anew without its deleted rows; None, or what stood in the way.

    Args:
        url: of a SQLite file, which is vacuumed as a whole with its journal, or of PostgreSQL.
        tables: on PostgreSQL, where rows were deleted; their space is freed for reuse there.
        schema: on PostgreSQL, where those tables are.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "")
        return _wipe_file(path) if path.is_file() else None
    engine = connect(url)
    try:
        return _wipe_tables(engine, tables, schema)
    finally:
        engine.dispose()


def _wipe_file(path: Path) -> str | None:
    # Without a transaction: VACUUM has its own
    connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
    try:
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("VACUUM")
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        return f"{path.name}: deleted rows are still in free pages ({error}); end what uses it and run this again"
    finally:
        connection.close()
    if busy:
        return f"{path.name}: its journal is being read, so that deleted rows are still in it; run this again later"
    return None


def _wipe_tables(engine: Engine, tables: Sequence[str], schema: str | None) -> str | None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        there = set(inspect(connection).get_table_names(schema=schema))
        quote = engine.dialect.identifier_preparer.quote
        for table in tables:
            if table in there:
                connection.execute(text(f"VACUUM {f'{quote(schema)}.' if schema else ''}{quote(table)}"))
    return None
