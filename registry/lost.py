"""What going back to an older revision of our tables would lose, found by doing it and taking it back."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Engine, Text, cast, column, func, inspect, select, table

from registry.database import changing_tables, run_migrations
from registry.tables import PREFIX, VERSION_TABLE, Base

TRANSIENT = frozenset({f"{PREFIX}grants", f"{PREFIX}signal_levels", f"{PREFIX}workers", VERSION_TABLE})
"""Tables whose rows say what happens at this moment, or are added up from others: without them nothing is lost."""

_Shape = dict[str, tuple[int, frozenset[str]]]


class _UndoneError(Exception):
    """Takes the trial back."""


def lost_rows(engine: Engine, revision: str) -> dict[str, int]:
    """Count what a downgrade to `revision` would lose; the database stays as it is.

    Returns:
        Number of rows by table, for tables that would be gone or emptied, and by ``table.column`` for columns that
        would be gone, counting the rows where they say something. Empty where the older tables hold everything.

    Raises:
        InputError: there is no such revision, or it is a newer one.
    """
    after: _Shape = {}
    try:
        with changing_tables(engine) as connection:
            before = _shape(connection)
            run_migrations(connection, "downgrade", revision)
            after = _shape(connection)
            raise _UndoneError
    except _UndoneError:
        pass
    gone: dict[str, int] = {}
    with engine.connect().execution_options(evalkit_reading=True) as connection:
        for name, (rows, columns) in sorted(before.items()):
            kept, left = after.get(name, (0, frozenset[str]()))
            if kept < rows:
                gone[name] = rows - kept
                continue
            for one in sorted(columns - left):
                if said := _rows_that_say(connection, name, one):
                    gone[f"{name}.{one}"] = said
    return gone


def _shape(connection: Connection) -> _Shape:
    """Number of rows and names of columns of each of our tables."""
    found = inspect(connection)
    names = [name for name in found.get_table_names() if name.startswith(PREFIX) and name not in TRANSIENT]
    return {
        name: (
            connection.scalar(select(func.count()).select_from(table(name))) or 0,
            frozenset(str(one["name"]) for one in found.get_columns(name)),
        )
        for name in names
    }


def _rows_that_say(connection: Connection, name: str, one: str) -> int:
    """In how many rows a column says more than nothing, or than what it says by default."""
    said: ColumnElement[bool] = column(one).is_not(None)
    known = Base.metadata.tables[name].columns.get(one) if name in Base.metadata.tables else None
    default = getattr(known.server_default, "arg", None) if known is not None else None
    if isinstance(default, str):
        said = said & (cast(column(one), Text) != default)
    return connection.scalar(select(func.count()).select_from(table(name)).where(said)) or 0
