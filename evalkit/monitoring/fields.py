"""From what a source holds to the table that monitors work on: one typed column per part, times in UTC milliseconds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.monitoring.cadence import DAY_MS
from evalkit.monitoring.logprobs import logprob_sums
from evalkit.monitoring.spec import Columns
from judges.records import text_of, texts_of

if TYPE_CHECKING:
    import pyarrow as pa

TEXTS = ("prompt", "output")
NAMES = ("user", "version", "cluster", "error")
NUMBERS = ("latency", "cost", "prompt_tokens", "output_tokens", "label")
CHANCE, IMAGE = "label_probability", "image"
NATS, TOKENS = "nats", "scored_tokens"
"""What is kept of logged log-probabilities."""
SLICE, FIELD, CATEGORY = "slice.", "field.", "category."
LONGEST = 200_000
"""Characters of a text that are kept; the rest is cut, so that one hostile row cannot fill the memory."""
LARGEST = 1e100
"""Larger numbers are broken ones, and their squares would overflow."""
EARLIEST = 946_684_800_000
"""Times before the year 2000 are missing or broken ones."""

_TRUE, _FALSE = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no"})

Values = Any
"""A column as the source has it: an Arrow array, or a list of Python values."""


@dataclass(frozen=True, slots=True)
class Read:
    """Rows as a source gave them.

    Attributes:
        length: how many.
        get: a field's values by its path; None where no row has it.
    """

    length: int
    get: Callable[[str], Values | None]


def schema(columns: Columns) -> pa.Schema:
    """The Arrow schema of a monitor's rows."""
    import pyarrow as pa

    fields = [("id", pa.string()), ("event_time", pa.int64()), ("read_at", pa.int64())]
    fields += [(name, pa.large_string()) for name in TEXTS]
    fields += [("context", pa.list_(pa.large_string()))]
    fields += [(name, pa.float64()) for name in NUMBERS]
    fields += [(name, pa.float64()) for name in _optional_numbers(columns)]
    fields += [(IMAGE, pa.string())] if columns.image is not None else []
    fields += [(name, pa.string()) for name in NAMES]
    fields += [(SLICE + name, pa.string()) for name in columns.slices]
    fields += [(FIELD + name, pa.float64()) for name in columns.fields]
    fields += [(CATEGORY + name, pa.string()) for name in columns.categories]
    return pa.schema(fields)


def _optional_numbers(columns: Columns) -> list[str]:
    """Numbers that only monitors have that name what they come from."""
    found = [CHANCE] if columns.label is not None or columns.label_probability is not None else []
    return [*found, NATS, TOKENS] if columns.logprobs is not None else found


def to_table(read: Read, columns: Columns, *, now: int, refused: Counter[str]) -> pa.Table:
    """Rows as a table of `schema`; rows without a usable time are left out and counted in `refused`.

    A part that is not mapped is looked up by its own name. A value of another type than its column's is missing.
    """
    import pyarrow as pa

    wanted = schema(columns)
    n = read.length

    def of(path: str | None, default: str) -> Values | None:
        return read.get(path if path is not None else default)

    made: dict[str, Any] = {
        "event_time": times(of(columns.time, "time"), n),
        "read_at": np.full(n, now, dtype=np.int64),
        "context": passages(of(columns.context, "context"), n),
        "label": labels(of(columns.label, "label"), n),
        "error": text_column(read.get("error"), n),
        "id": text_column(of(columns.id, "id"), n),
    }
    for name in (*TEXTS, "user", "version", "cluster"):
        made[name] = text_column(of(getattr(columns, name), name), n)
    for name in NUMBERS[:-1]:
        made[name] = numbers(of(getattr(columns, name), name), n, least=0.0)
    if CHANCE in wanted.names:
        chances = numbers(of(columns.label_probability, CHANCE), n)
        made[CHANCE] = np.where((chances > 0) & (chances <= 1), chances, np.nan)
    if IMAGE in wanted.names:
        made[IMAGE] = text_column(of(columns.image, IMAGE), n)
    if NATS in wanted.names:
        made[NATS], made[TOKENS] = logprob_sums(of(columns.logprobs, "logprobs"), n)
    made |= {SLICE + name: text_column(read.get(name), n) for name in columns.slices}
    made |= {FIELD + name: numbers(read.get(name), n) for name in columns.fields}
    made |= {CATEGORY + name: text_column(read.get(name), n) for name in columns.categories}
    arrays = [_array(made[field.name], field.type) for field in wanted]
    table = pa.Table.from_arrays(arrays, schema=wanted)
    if made["id"].null_count:
        table = _with_identities(table)
    return _with_times(table, now, refused)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.cast(kind)
    return pa.array(values, type=kind, from_pandas=True)  # a NaN is missing


def _with_times(table: pa.Table, now: int, refused: Counter[str]) -> pa.Table:
    import pyarrow.compute as pc

    given = table["event_time"]
    kept = pc.fill_null(pc.and_(pc.greater_equal(given, EARLIEST), pc.less(given, now + DAY_MS)), False)
    found = table.filter(kept)
    if found.num_rows < table.num_rows:
        missing = given.null_count
        refused["no time"] += missing
        refused["time before 2000 or in the future"] += table.num_rows - found.num_rows - missing
        for reason in [reason for reason, rows in refused.items() if not rows]:
            del refused[reason]
    return found


def _with_identities(table: pa.Table) -> pa.Table:
    """Give rows without an id the digest of their content: a row that is read twice stays one row."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    content = table.drop_columns(["id", "read_at", "context"]).to_pandas()
    hashed = pd.util.hash_pandas_object(content, index=False).to_numpy()
    made = pa.array([f"{value:016x}" for value in hashed.tolist()])
    filled = pc.coalesce(table["id"], made)
    return table.set_column(table.schema.get_field_index("id"), "id", filled)


def text_column(values: Values | None, n: int) -> pa.Array:
    """Texts ``[n]``; numbers as their text, structures as JSON, overlong texts cut."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if values is None:
        return pa.nulls(n, pa.large_string())
    if isinstance(values, pa.Array | pa.ChunkedArray):
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if not pa.types.is_nested(array.type) and not pa.types.is_binary(array.type):
            text = array.cast(pa.large_string())
            if (pc.max(pc.utf8_length(text)).as_py() or 0) > LONGEST:
                text = pc.utf8_slice_codeunits(text, 0, LONGEST)
            return pc.replace_substring(text, "\0", "") if pc.any(pc.match_substring(text, "\0")).as_py() else text
        values = array.to_pylist()
    return pa.array([_text(value) for value in values], type=pa.large_string())


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else text_of(value)
    # A lone surrogate cannot be stored as UTF-8, nor a zero byte in PostgreSQL
    return None if text is None else text[:LONGEST].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def passages(values: Values | None, n: int) -> pa.Array:
    """Lists of texts ``[n]``: the passages that an answer was given."""
    import pyarrow as pa

    if values is None:
        return pa.nulls(n, pa.list_(pa.large_string()))
    kind = getattr(values, "type", None)
    if kind is not None and pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return values.cast(pa.list_(pa.large_string()))
    given = values.to_pylist() if kind is not None else values
    lists = [[_text(text) for text in texts_of(value)] or None for value in given]
    return pa.array(lists, type=pa.list_(pa.large_string()))


def numbers(values: Values | None, n: int, *, least: float = -LARGEST) -> NDArray[np.float64]:
    """Numbers ``[n]`` from `least` to `LARGEST`; NaN where there is none."""
    import pandas as pd
    import pyarrow as pa

    if values is None:
        return np.full(n, np.nan)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_pandas()
    elif any(isinstance(value, list | dict) for value in values):
        values = [None if isinstance(value, list | dict) else value for value in values]
    found = pd.to_numeric(pd.Series(values, dtype=None), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where((found >= least) & (found <= LARGEST), found, np.nan)


def labels(values: Values | None, n: int) -> NDArray[np.float64]:
    """People's verdicts ``[n]``: 1, 0, or NaN where there is none that can be read."""
    found = np.full(n, np.nan)
    if values is None:
        return found
    texts = text_column(values, n).to_pylist()
    for row, text in enumerate(texts):
        word = "" if text is None else text.strip().lower()
        if word in _TRUE or word in _FALSE:
            found[row] = float(word in _TRUE)
    return found


def times(values: Values | None, n: int) -> pa.Array:
    """UTC milliseconds ``[n]`` of times, ISO 8601 texts, or seconds or milliseconds since 1970."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    if values is None:
        return pa.nulls(n, pa.int64())
    if isinstance(values, pa.Array | pa.ChunkedArray):
        if pa.types.is_timestamp(values.type):
            return values.cast(pa.timestamp("ms", tz=values.type.tz), safe=False).cast(pa.int64())
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            return _since_1970(values.to_numpy(zero_copy_only=False))
        values = values.to_pylist()
    plain = [v if isinstance(v, int | float) and not isinstance(v, bool) else math.nan for v in values]
    texts = [v.isoformat() if isinstance(v, datetime) else v if isinstance(v, str) else None for v in values]
    counted = _since_1970(np.array(plain, dtype=np.float64))
    if not any(texts):
        return counted
    moments = pd.to_datetime(pd.Series(texts, dtype="object"), utc=True, format="ISO8601", errors="coerce")
    whole = moments.to_numpy(dtype="datetime64[ms]")
    written = pa.array(np.where(np.isnat(whole), 0, whole.astype(np.int64)), mask=np.isnat(whole))
    return pc.coalesce(counted, written)


def _since_1970(given: NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    moments = given.astype(np.float64)
    moments = np.where(np.abs(moments) < 1e11, moments * 1000, moments)  # seconds until the year 5138
    broken = ~(np.abs(moments) < 9e15)
    return pa.array(np.where(broken, 0, moments).astype(np.int64), mask=broken)


def rows_of(rows: Sequence[Mapping[str, Any]]) -> Read:
    """Rows as dictionaries; a path is a key, or keys joined by dots."""

    def get(path: str) -> list[Any] | None:
        values = [_follow(row, path) for row in rows]
        return values if any(value is not None for value in values) else None

    return Read(len(rows), get)


def _follow(value: Any, path: str) -> Any:
    """The value under keys joined by dots; a key may have dots in it."""
    if not isinstance(value, Mapping):
        return None
    if path in value:
        return value[path]
    head, dot, rest = path.partition(".")
    while dot:
        if head in value and (found := _follow(value[head], rest)) is not None:
            return found
        step, dot, rest = rest.partition(".")
        head = f"{head}.{step}"
    return None


def table_of(table: pa.Table) -> Read:
    """An Arrow table; a path is a column, or a column of structures and its fields."""
    import pyarrow.compute as pc

    def get(path: str) -> Values | None:
        names = table.column_names
        if path in names:
            return table[path].combine_chunks()
        head, dot, rest = path.partition(".")
        while dot:
            if head in names:
                try:
                    return pc.struct_field(table[head].combine_chunks(), rest.split("."))
                except (KeyError, ValueError, TypeError):
                    return None
            step, dot, rest = rest.partition(".")
            head = f"{head}.{step}"
        return None

    return Read(table.num_rows, get)


def needed(columns: Columns) -> set[str]:
    """Fields at the top that may be read: what a columnar source has to load."""
    plain = ("id", "time", "error", "context", "label", CHANCE, *TEXTS, "user", "version", "cluster", *NUMBERS[:-1])
    mapped = [value for value in columns.model_dump(exclude={"slices", "fields", "categories"}).values() if value]
    return {*plain, *mapped, *columns.slices, *columns.fields, *columns.categories}


def utc_now() -> int:
    """UTC now in milliseconds."""
    return int(datetime.now(UTC).timestamp() * 1000)
