"""Stored model outputs: the Parquet schema of a shard, written once and read by every scorer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),  # place in the task's order, from 0
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("text", pa.string()),  # what a text model wrote
        pa.field("image", pa.binary()),  # PNG, 8-bit RGB
        pa.field("latency", pa.float64()),  # seconds the caller waited for this sample
        pa.field("prompt_tokens", pa.int64()),
        pa.field("output_tokens", pa.int64()),
        pa.field("nll", pa.float64()),  # nats, summed over the sample's tokens
        pa.field("tokens", pa.int64()),  # tokens that nll sums over
        pa.field("bytes", pa.int64()),  # UTF-8 bytes of the scored text
        pa.field("words", pa.int64()),
        pa.field("error", pa.string()),  # why there is no usable output
    ]
)
"""One row per sample. File metadata (all strings): ``seconds`` (busy time of the generator for this shard),
``peak_memory`` (bytes of the generator's process), ``hardware`` (hardware class)."""


def write_shard(table: pa.Table, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a shard so that it exists whole or not at all."""
    stamped = table.cast(SCHEMA).replace_schema_metadata({f"evalkit.{key}": value for key, value in metadata.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as stream:
        pq.write_table(stamped, stream, compression="zstd")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def read_shard(path: Path, columns: Sequence[str] | None = None) -> tuple[pa.Table, dict[str, str]]:
    """Return a shard's rows (of some columns alone where they are named) and its metadata."""
    table = pq.read_table(path, columns=None if columns is None else list(columns))
    raw = table.schema.metadata or {}
    prefix = b"evalkit."
    metadata = {
        key.removeprefix(prefix).decode(): value.decode() for key, value in raw.items() if key.startswith(prefix)
    }
    return table, metadata
