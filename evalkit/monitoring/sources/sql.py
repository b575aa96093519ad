"""A table or query of any database that SQLAlchemy reads: read-only, parameterised, in chunks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from evalkit.monitoring.fields import Read
from evalkit.monitoring.sources.base import Chunk, Watermark
from evalkit.monitoring.spec import Columns, SqlSource
from metrics.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Select

_READS = re.compile(r"^\s*(select|with)\b", re.IGNORECASE)


class SqlReader:
    """Reads a table or a query in the order of its ingestion column.

    The watermark is the last value of that column with the ids that had it, so that rows of the same moment that come
    later are neither lost nor read twice. The column must not go back: a row that becomes visible with an older value
    than the watermark is not seen.

    Args:
        source: where and what.
        columns: `ingested`, else `time`, is what reading goes by.
    """

    def __init__(self, source: SqlSource, columns: Columns) -> None:
        self._source, self._columns = source, columns
        mark = columns.ingested or columns.time
        assert mark is not None
        self._mark = mark
        if source.query is not None and (not _READS.match(source.query) or ";" in source.query):
            raise InputError("`query` is one SELECT without a semicolon")

    def read(self, watermark: Watermark) -> Iterator[Chunk]:
        """Yield new rows by the ingestion column."""
        from sqlalchemy.exc import SQLAlchemyError

        engine = self._connect()
        try:
            with engine.connect() as connection:
                _read_only(connection)
                yield from self._rows(connection, watermark)
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise InputError(f"the source's database says: {' '.join(str(cause).split())[:300]}") from None
        finally:
            engine.dispose()

    def _connect(self) -> Engine:
        from sqlalchemy import create_engine, make_url
        from sqlalchemy.exc import ArgumentError

        url = os.environ.get(self._source.url)
        if not url:
            raise InputError(f"the environment variable {self._source.url} is not set; it holds the database's URL")
        try:
            parsed = make_url(url)
            if parsed.drivername == "postgresql":
                parsed = parsed.set(drivername="postgresql+psycopg")
            return create_engine(parsed)
        except (ArgumentError, ModuleNotFoundError) as error:
            raise InputError(f"the URL in {self._source.url} cannot be used ({type(error).__name__})") from None

    def _rows(self, connection: Connection, watermark: Watermark) -> Iterator[Chunk]:
        last, seen = _value(watermark.get("value")), set(watermark.get("seen", ()))
        result = connection.execution_options(stream_results=True).execute(
            self._select(connection, last), self._source.parameters
        )
        names = list(result.keys())
        if self._mark not in names:
            raise InputError(f"the source has no column '{self._mark}'; it has {', '.join(names)}")
        at = names.index(self._mark)
        key = names.index(self._columns.id) if self._columns.id in names else None
        while part := result.fetchmany(self._source.chunk):
            fresh = [row for row in part if row[at] is not None and not (row[at] == last and _key(row, key) in seen)]
            if not fresh:
                continue
            newest = fresh[-1][at]
            seen = {_key(row, key) for row in fresh if row[at] == newest} | (seen if newest == last else set())
            last = newest
            yield Chunk(_read(names, fresh), {"value": _json(last), "seen": sorted(seen)})

    def _select(self, connection: Connection, last: Any) -> Select[Any]:
        from sqlalchemy import MetaData, Table, column, select, text
        from sqlalchemy.exc import NoSuchTableError

        if self._source.table is not None:
            schema, _, name = self._source.table.rpartition(".")
            try:
                table = Table(name, MetaData(), schema=schema or None, autoload_with=connection)
            except NoSuchTableError:
                raise InputError(f"the source's database has no table '{self._source.table}'") from None
            if self._mark not in table.columns:
                raise InputError(f"the table has no column '{self._mark}'; it has {', '.join(table.columns.keys())}")
            chosen = select(table)
            mark: ColumnElement[Any] = table.columns[self._mark]
        else:
            # The query is the operator's own, and stands in brackets: a statement that writes is not valid there
            inner = text(self._source.query or "").columns().subquery("generations")
            chosen = select(text("*")).select_from(inner)
            mark = column(self._mark)
        if last is not None:
            chosen = chosen.where(mark >= last)
        return chosen.order_by(mark)


def _read_only(connection: Connection) -> None:
    """Let the database refuse writes, where it can be told to."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    elif connection.dialect.name in {"mysql", "mariadb"}:
        connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")


def _read(names: Sequence[str], rows: Sequence[Any]) -> Read:
    columns = dict(zip(names, ([_plain(value) for value in column] for column in zip(*rows, strict=True)), strict=True))
    return Read(len(rows), columns.get)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _key(row: Any, at: int | None) -> str:
    """What tells rows of one moment apart; a digest, since the watermark is stored and rows are not for that."""
    text = str(tuple(row)) if at is None else str(row[at])
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).hexdigest()


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    return float(value) if isinstance(value, Decimal) else value


def _value(given: Any) -> Any:
    if isinstance(given, dict):
        ((kind, text),) = given.items()
        return datetime.fromisoformat(text) if kind == "datetime" else date.fromisoformat(text)
    return given
