"""What a table holds, said so that SQLite and PostgreSQL say the same: values by kind, and a digest over all rows.

The digest does not depend on the order of rows: it is the sum of the rows' sha256 modulo 2^256, so that a row which is
there twice counts twice.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import types

from metrics.errors import InputError

Value = bool | int | float | str | bytes | None
_MODULUS = 2**256


class UnfitError(InputError):
    """A value that the other database cannot hold; the message names table and column."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as PostgreSQL declares it.

    Attributes:
        name: of the column.
        kind: ``boolean``, ``integer``, ``float``, ``decimal``, ``text``, ``json``, ``jsonb``, ``bytes`` or ``date``.
        length: characters at most, of a text.
        generated: whether the database computes it.
    """

    name: str
    kind: str
    length: int | None = None
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """Number of rows, and the digest of all of them."""

    rows: int
    digest: str


class Digest:
    """Takes rows in any order."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._kinds = [column.kind for column in columns]
        self._sum = self._rows = 0

    def add(self, row: Sequence[Value]) -> None:
        """Take one row, its values as `fitting` gives them."""
        said = json.dumps([_plain(value, kind) for value, kind in zip(row, self._kinds, strict=True)])
        self._sum = (self._sum + int.from_bytes(hashlib.sha256(said.encode()).digest())) % _MODULUS
        self._rows += 1

    def content(self) -> Content:
        """What was taken so far."""
        return Content(self._rows, f"sum256:{self._sum:064x}")


def _plain(value: Value, kind: str) -> Any:
    """A value whose JSON is different for different values, kinds included."""
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, bytes):
        return {"bytes": hashlib.sha256(value).hexdigest()}
    if kind == "jsonb" and isinstance(value, str):
        return json.dumps(json.loads(value), sort_keys=True)
    if kind == "decimal" and isinstance(value, str):
        return f"{Decimal(value).normalize():f}"
    return value


def kind_of(declared: types.TypeEngine[Any], where: str) -> str:
    """The kind of a reflected type; `where` names table and column.

    Raises:
        InputError: it is none that the tables of MLflow, DBOS or evalkit have.
    """
    name = declared.__visit_name__.upper()
    if name in {"JSON", "JSONB"}:
        return name.lower()
    for known, kind in (
        (types.Boolean, "boolean"),
        (types.Integer, "integer"),
        (types.Float, "float"),
        (types.Numeric, "decimal"),
        (types.String, "text"),
        (types.LargeBinary, "bytes"),
        (types.Date, "date"),
    ):
        if isinstance(declared, known):
            return kind
    raise InputError(f"{where} has the type {declared}, which this version of evalkit does not know")


def fitting(table: str, columns: Sequence[Column]) -> Callable[[Sequence[Any]], list[Value]]:
    """Return what turns a row as SQLite gives it into one that PostgreSQL holds without a change.

    It raises `UnfitError` where a value is of another kind than its column, too long, or holds a zero byte.
    """
    converters = [_converter(column) for column in columns]

    def fit(row: Sequence[Any]) -> list[Value]:
        try:
            return [None if value is None else convert(value) for value, convert in zip(row, converters, strict=True)]
        except (ValueError, TypeError):
            pass
        for value, convert, column in zip(row, converters, columns, strict=True):
            try:
                _ = None if value is None else convert(value)
            except (ValueError, TypeError) as error:
                raise UnfitError(f"{table}.{column.name}: {error}") from None
        raise AssertionError("unreachable")

    return fit


def _converter(column: Column) -> Callable[[Any], Value]:
    if column.kind == "text" and column.length is not None:
        return _text_of(column.length)
    return _CONVERTERS[column.kind]


def _boolean(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(f"{value!r:.40} is neither true nor false")
    return bool(value)


def _integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int):
        raise TypeError(f"{value!r:.40} is no whole number")
    return value


def _float(value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r:.40} is no number")
    return float(value)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else str(value) if isinstance(value, (int, float)) else None
    if text is None:
        raise TypeError(f"{value!r:.40} is no text")
    if "\0" in text:
        raise ValueError("a text holds a zero byte, which PostgreSQL cannot keep")
    return text


def _text_of(length: int) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        text = _text(value)
        if len(text) > length:
            raise ValueError(f"a text of {len(text)} characters, where PostgreSQL keeps {length}")
        return text

    return convert


def _json(value: Any) -> str:
    text = _text(value)
    try:
        json.loads(text)
    except ValueError:
        raise ValueError("a text that is no JSON") from None
    if any(name in text for name in ("NaN", "Infinity")):
        json.loads(text, parse_constant=_no_constant)
    return text


def _no_constant(name: str) -> None:
    raise ValueError(f"JSON with {name}, which PostgreSQL refuses")


def _decimal(value: Any) -> str:
    try:
        return str(Decimal(_text(value)))
    except InvalidOperation:
        raise ValueError(f"{value!r:.40} is no number") from None


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, bytes):
        raise TypeError(f"{value!r:.40} are no bytes")
    return value


def _date(value: Any) -> str:
    return datetime.date.fromisoformat(_text(value)).isoformat()


_CONVERTERS: dict[str, Callable[[Any], Value]] = {
    "boolean": _boolean,
    "integer": _integer,
    "float": _float,
    "decimal": _decimal,
    "text": _text,
    "json": _json,
    "jsonb": _json,
    "bytes": _bytes,
    "date": _date,
}


def fitted(table: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Iterator[list[Value]]:
    """Rows of SQLite, as PostgreSQL holds them."""
    fit = fitting(table, columns)
    return map(fit, rows)
