"""Reads tables from JSONL, JSON, CSV and Parquet, with limits and with messages that name file and line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from evalkit import limits
from metrics.errors import InputError

_PARQUET_ROWS = 1_000
Row = dict[str, Any]
Rows = list[Row]


class Reader(Protocol):
    """Reads the rows of one format."""

    def __call__(self, path: Path) -> Iterator[Row]:
        """Yield the rows in order."""
        ...


def read_rows(path: Path) -> Rows:
    """Return the rows of a table file; the suffix tells the format."""
    return list(iterate_rows(path))


def iterate_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a table file one at a time; only a ``.json`` file is in memory as a whole."""
    reader = _reader_of(path)
    if reader is None:
        raise InputError(f"{path.name}: unknown kind of file; expected {', '.join(sorted(READERS))}")
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    empty = True
    try:
        for row in reader(path):
            empty = False
            limits.check_depth(row, path.name)
            yield row
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error})") from None
    if empty:
        raise InputError(f"{path.name}: holds no rows")


def is_table(path: Path) -> bool:
    """Whether the suffix is one of a table file."""
    return _reader_of(path) is not None


def _reader_of(path: Path) -> Reader | None:
    name = path.name.lower()
    return next((reader for suffix, reader in READERS.items() if name.endswith(suffix)), None)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; a compressed file is read as a stream, and no further than the limits."""
    number = total = 0
    packed = path.name.lower().endswith(".gz")
    try:
        with path.open("rb") as plain:
            stream: io.BufferedIOBase = gzip.GzipFile(fileobj=plain) if packed else plain
            while line := stream.readline(limits.LINE_BYTES + 1):
                number, total = number + 1, total + len(line)
                if packed:
                    limits.check_ratio(total, plain.tell(), path.name)
                if total > limits.TABLE_BYTES or number > limits.TABLE_ROWS:
                    raise InputError(
                        f"{path.name}: more than {limits.TABLE_BYTES:,} bytes or {limits.TABLE_ROWS:,} rows; split it"
                    )
                if len(line) > limits.LINE_BYTES:
                    raise InputError(f"{path.name}:{number}: a row of more than {limits.LINE_BYTES:,} bytes")
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path.name}: broken gzip data ({error})") from None


def _read_jsonl(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path.name}:{number}: not valid JSON ({error})") from None
        yield _object(row, f"{path.name}:{number}")


def _read_json(path: Path) -> Iterator[Row]:
    if path.stat().st_size > limits.DOCUMENT_BYTES:
        raise InputError(f"{path.name}: larger than {limits.DOCUMENT_BYTES:,} bytes; write it as JSON lines (.jsonl)")
    content = limits.parse_json(path.read_bytes().decode("utf-8-sig"), path.name)
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        content = content.get("rows", content.get("data", lists[0] if len(lists) == 1 else content))
    if not isinstance(content, list):
        raise InputError(f"{path.name}: expected a list of objects, got {type(content).__name__}")
    for number, row in enumerate(content, start=1):
        yield _object(row, f"{path.name}, row {number}")


def _object(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object with named fields, got {type(row).__name__}")
    return row


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(2**27)
    reader = csv.reader((line for _, line in _lines(path)), delimiter="\t" if ".tsv" in path.name.lower() else ",")
    try:
        header = next(reader, [])
        if len(set(header)) != len(header) or not all(header):
            raise InputError(f"{path.name}:1: column names must be there and differ, got {header}")
        for values in reader:
            if not values:
                continue
            if len(values) != len(header):
                raise InputError(f"{path.name}:{reader.line_num}: {len(values)} fields; expected {len(header)}")
            # CSV has no missing value but the empty field.
            yield {name: value if value != "" else None for name, value in zip(header, values, strict=True)}
    except csv.Error as error:
        raise InputError(f"{path.name}:{reader.line_num}: not valid CSV ({error})") from None


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa

    from evalkit.datasets.parquet import batches

    for part in batches(path, rows=_PARQUET_ROWS):
        try:
            yield from part.to_pylist()
        except (pa.ArrowException, ValueError, OverflowError) as error:  # a time beyond the year 9999, a zone unknown
            raise InputError(f"{path.name}: has a value that cannot be read ({error})") from None


READERS: dict[str, Reader] = {
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
}


def column_names(rows: Iterable[Row]) -> list[str]:
    """Names of all columns, in order of first appearance."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    return list(names)


def missing(value: Any) -> bool:
    """Whether a value stands for nothing: None or not-a-number."""
    return value is None or (isinstance(value, float) and math.isnan(value))
