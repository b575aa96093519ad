"""Parquet files that somebody else wrote, read a few rows at a time: equal values take no room in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evalkit import limits
from metrics.errors import InputError

_TIMES, _FREE = 1000, 256 * limits.MiB  # a column of equal values may well take no room
_ROWS = 64
"""Rows that are unpacked before their size is looked at: a text that all rows share is in the file once."""


def batches(path: Path, *, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield a file's tables of about `rows` rows.

    Args:
        path: the file.
        rows: of a table; fewer where they are large.
        columns: names of the columns to read; all by default. Those that the file lacks are left out.

    Raises:
        InputError: it is no Parquet file, or over a limit of `evalkit.limits`.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check(file, path.name)
            there = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            held: list[pa.RecordBatch] = []
            size = length = total = 0
            packed = path.stat().st_size
            for batch in file.iter_batches(batch_size=_ROWS, columns=there):
                unpacked = sum(_bytes(column) for column in batch.columns)
                _check_values(batch, unpacked, path.name)
                held.append(batch)
                size, length, total = size + unpacked, length + batch.num_rows, total + unpacked
                if total > limits.TABLE_BYTES:
                    raise InputError(f"{path.name}: unpacks to more than {limits.TABLE_BYTES:,} bytes; split it")
                limits.check_ratio(total, packed, path.name, times=_TIMES, free=_FREE)
                if length >= rows or size > limits.LINE_BYTES:
                    yield pa.Table.from_batches(held)
                    held, size, length = [], 0, 0
            if held:
                yield pa.Table.from_batches(held)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path.name}: not a readable Parquet file ({error})") from None


def _check(file: pq.ParquetFile, name: str) -> None:
    meta: Any = file.metadata
    groups = [meta.row_group(place) for place in range(meta.num_row_groups)]
    if meta.num_columns > limits.TABLE_COLUMNS:
        raise InputError(f"{name}: {meta.num_columns:,} columns; at most {limits.TABLE_COLUMNS:,} are read")
    size = sum(group.total_byte_size for group in groups)
    if size > limits.TABLE_BYTES or meta.num_rows > limits.TABLE_ROWS:
        raise InputError(f"{name}: {meta.num_rows:,} rows of {size:,} bytes are too many; split it")
    values = sum(group.column(place).num_values for group in groups for place in range(group.num_columns))
    if values > limits.TABLE_CELLS:
        raise InputError(f"{name}: {values:,} values; at most {limits.TABLE_CELLS:,} are read; split it")
    doubled = {one for one in file.schema_arrow.names if file.schema_arrow.names.count(one) > 1}
    if doubled:
        raise InputError(f"{name}: has several columns '{min(doubled)}'; names must differ")


def _check_values(batch: pa.RecordBatch, unpacked: int, name: str) -> None:
    values = sum(_leaves(column) for column in batch.columns)
    if values > limits.BATCH_CELLS or unpacked > limits.CHUNK_BYTES:
        raise InputError(f"{name}: {batch.num_rows} rows hold {values:,} values of {unpacked:,} bytes; split it")


def _bytes(array: pa.Array) -> int:
    """Bytes of an array's values as rows hold them: a text of a dictionary once for each row that has it."""
    kind = array.type
    if pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        lengths = pc.take(pc.binary_length(array.dictionary), array.indices)
        return int(array.indices.nbytes) + int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_struct(kind) and kind.num_fields:
        return sum(_bytes(array.field(place)) for place in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _bytes(array.keys) + _bytes(array.items)
    if pa.types.is_nested(kind) and hasattr(array, "flatten"):
        return _bytes(array.flatten())
    return int(array.nbytes)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    )  # fmt: skip


def _leaves(array: pa.Array) -> int:
    """Values in an array, those in lists too."""
    kind = array.type
    if pa.types.is_struct(kind):
        return sum(_leaves(array.field(place)) for place in range(kind.num_fields)) or len(array)
    if pa.types.is_map(kind):
        return _leaves(array.keys) + _leaves(array.items)
    if pa.types.is_nested(kind) and hasattr(array, "flatten"):
        return _leaves(array.flatten())
    return len(array)
