"""Several writes in one round trip to the database, where the database can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult, Delete, Insert, Update, bindparam, insert

from registry.tables import Base

Statement = Insert | Update | Delete


@dataclass(frozen=True, slots=True)
class Write:
    """A statement that was built once, and the values of its parameters, whose names no other statement uses."""

    statement: Statement
    values: Mapping[str, Any]


def inserting(table: type[Base], prefix: str) -> Insert:
    """An insert of all columns of a table, whose parameters are the columns' names after ``prefix_``."""
    columns = table.__table__.columns
    return insert(table.__table__).values({c.name: bindparam(f"{prefix}_{c.name}") for c in columns})  # type: ignore[arg-type]


def prefixed(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Values under the names that `inserting` gives its parameters."""
    return {f"{prefix}_{name}": value for name, value in values.items()}


def write(connection: Connection, writes: Sequence[Write]) -> CursorResult[Any]:
    """Write everything in the caller's transaction, in no order: no write may need what another one changes.

    Returns:
        What the last write returns.
    """
    if connection.dialect.name != "postgresql":
        *others, last = writes
        for one in others:
            connection.execute(one.statement, dict(one.values))
        return connection.execute(last.statement, dict(last.values))
    values = {name: value for one in writes for name, value in one.values.items()}
    return connection.execute(_joined(tuple(one.statement for one in writes)), values)


@lru_cache(64)
def _joined(statements: tuple[Statement, ...]) -> Statement:
    """One statement of PostgreSQL: all but the last in its WITH clause, where they run although nobody reads them."""
    *others, last = statements
    return last.add_cte(*(other.cte(f"write_{number}") for number, other in enumerate(others)))
