"""Rows that are written one after the other, or not at all: in one round trip to the database, where it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Insert,
    String,
    Table,
    Update,
    bindparam,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_DONE: Any = literal_column("1").label("done")


class transaction_id(FunctionElement[str]):  # noqa: N801 - a function of SQL, written as those are
    """PostgreSQL's id of the present transaction; NULL on SQLite, which has none."""

    inherit_cache = True
    type = String()


@compiles(transaction_id, "postgresql")
def _postgresql(*_: Any, **__: Any) -> str:
    return "CAST(pg_current_xact_id() AS VARCHAR)"


@compiles(transaction_id, "sqlite")
def _sqlite(*_: Any, **__: Any) -> str:
    return "NULL"


class Into:
    """How a row gets into a table; made once, because building a statement takes longer than running it.

    Args:
        table: a mapped class.
        prefix: before the names of parameters, so that several statements can be one.
        key: columns of a unique key; empty where no such row can be there yet.
        changing: columns that a row which is there under that key gets from the new one.
        computed: columns that the database fills in.
    """

    def __init__(
        self, table: Any, prefix: str, *, key: Sequence[str] = (), changing: Sequence[str] = (), **computed: Any
    ) -> None:
        self.table: Table = table.__table__
        self._prefix, self._key, self._changing = prefix, key, changing
        self._columns: dict[str, ColumnElement[Any]] = {
            column.name: bindparam(f"{prefix}_{column.name}", type_=column.type) for column in self.table.columns
        } | computed
        self._parameters = {name: f"{prefix}_{name}" for name in self._columns if name not in computed}
        self.alone: Insert = self._made(sqlite.insert if key else insert, lambda new: new.values(self._columns))

    def after(self, step: CTE) -> Insert:
        """In PostgreSQL's words, and only where `step` wrote something."""
        found = select(*self._columns.values()).select_from(step)
        made: Insert = self._made(postgresql.insert, lambda new: new.from_select(list(self._columns), found))
        return made

    def parameters(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row's values under the names of the parameters."""
        return {parameter: row[name] for name, parameter in self._parameters.items()}

    def _made(self, kind: Any, filled: Any) -> Any:
        made = filled(kind(self.table))
        if not self._key:
            return made
        return made.on_conflict_do_update(
            index_elements=self._key, set_={name: made.excluded[name] for name in self._changing}
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A row on its way into its table, with all columns but the computed ones."""

    into: Into
    values: Mapping[str, Any]


def put_row(connection: Connection, row: Row) -> None:
    """Write one row in the caller's transaction."""
    connection.execute(row.into.alone, row.into.parameters(row.values))


def follow(connection: Connection, first: Update, given: Mapping[str, Any], rows: Sequence[Row]) -> bool:
    """Update, and where that found its row write `rows` in their order; return whether it did.

    Args:
        connection: in the caller's transaction.
        first: an update of one row, built once.
        given: its parameters.
        rows: at least one.
    """
    if connection.dialect.name == "postgresql":
        values = dict(given)
        for row in rows:
            values |= row.into.parameters(row.values)
        return connection.execute(_chained(first, tuple(row.into for row in rows)), values).first() is not None
    if connection.execute(first, dict(given)).rowcount == 0:
        return False
    for row in rows:
        put_row(connection, row)
    return True


@lru_cache(64)
def _chained(first: Update, then: tuple[Into, ...]) -> Insert:
    """One statement of PostgreSQL. Each step reads the one before: that is what puts them in order."""
    step = first.returning(_DONE).cte("step_0")
    *inner, last = then
    for number, into in enumerate(inner, 1):
        step = into.after(step).returning(_DONE).cte(f"step_{number}")
    return last.after(step).returning(_DONE)
