"""A dataset in memory: canonical columns, a digest over its content, and batches for the runner."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.datasets.columns import USUAL_NAMES
from evalkit.datasets.pictures import decode_image, read_image_bytes
from evalkit.generators.base import Request
from evalkit.generators.seeds import sample_seed
from metrics.base import Batch
from metrics.errors import InputError

SLICE_PREFIX = "slice:"
SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("expected", pa.list_(pa.string())),
        pa.field("context", pa.list_(pa.string())),
        pa.field("text", pa.string()),
        pa.field("output", pa.string()),
        pa.field("image", pa.binary()),  # encoded bytes, where the table holds them
        pa.field("image_path", pa.string()),  # absolute path, where files do
        pa.field("reference_image", pa.binary()),
        pa.field("reference_image_path", pa.string()),
        pa.field("label", pa.string()),
        pa.field("cluster", pa.string()),
        pa.field("weight", pa.float64()),
    ]
)
"""Canonical columns; slices follow as ``slice:<name>`` (string)."""

ImageColumn = Literal["image", "reference_image"]
_MISSING_SLICE = "(none)"
_ANSWERS = frozenset(USUAL_NAMES["expected"] + USUAL_NAMES["output"])


@dataclass(frozen=True)
class Dataset:
    """Rows in a fixed order.

    Attributes:
        name, split: as registered; else the file's name and ``all``.
        digest: sha256 over the source's rows (names, values and the bytes of images, in order), before any mapping of
            columns: the same rows as JSONL, gzip or Parquet have the same digest; CSV too where its cells read alike.
        rows: canonical columns (`SCHEMA`), then ``slice:<name>``.
        mapping: part to source column.
        extra: the source's other columns, one dictionary a row; JSON-ready.
        pixels: uint8 ``[n, height, width, 3]`` where the source is an array.
    """

    name: str
    split: str
    digest: str
    rows: pa.Table
    mapping: Mapping[str, str]
    extra: Sequence[Mapping[str, Any]]
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def has(self, column: str) -> bool:
        """Whether any row has a value in the canonical column (``image`` covers bytes, files and arrays)."""
        if column in {"image", "reference_image"}:
            if column == "image" and self.pixels is not None:
                return True
            return self.has_values(column) or self.has_values(f"{column}_path")
        return self.has_values(column)

    def has_values(self, column: str) -> bool:
        """Whether any row has a value in exactly this column of `rows`."""
        return column in self.rows.column_names and self.rows[column].null_count < len(self)

    def slice_names(self) -> list[str]:
        """Names of the slices."""
        names: list[str] = self.rows.column_names
        return [name.removeprefix(SLICE_PREFIX) for name in names if name.startswith(SLICE_PREFIX)]

    def batch(self, start: int = 0, stop: int | None = None, columns: Mapping[str, Any] | None = None) -> Batch:
        """Return rows ``start <= i < stop`` as a `Batch`: texts, clusters, weights, slices, and `columns` added.

        Batch columns are those of prompt, expected, context, text, output and label that the data has. Weights that
        are missing are 1; a missing slice value is ``(none)``; a row without a cluster is a cluster of its own.
        """
        part = self.rows.slice(start, None if stop is None else stop - start)
        ids = part["sample_id"].to_pylist()
        values = {
            name: part[name].to_pylist()
            for name in ("prompt", "expected", "context", "text", "output", "label")
            if self.has_values(name)
        }
        clusters = weights = None
        if self.has_values("cluster"):
            named = part["cluster"].to_pylist()
            clusters = [f"sample:{i}" if c is None else c for c, i in zip(named, ids, strict=True)]
        if self.has_values("weight"):
            weights = np.array([1.0 if w is None else w for w in part["weight"].to_pylist()], dtype=np.float64)
        slices = {
            name: [_MISSING_SLICE if v is None else v for v in part[SLICE_PREFIX + name].to_pylist()]
            for name in self.slice_names()
        }
        return Batch(ids, {**values, **(columns or {})}, clusters, weights, slices)

    def images(
        self, start: int = 0, stop: int | None = None, *, column: ImageColumn = "image"
    ) -> list[NDArray[np.uint8]]:
        """Return uint8 ``[height, width, 3]`` RGB arrays of rows ``start <= i < stop``; a missing image raises."""
        stop = len(self) if stop is None else min(stop, len(self))
        if column == "image" and self.pixels is not None:
            return list(self.pixels[start:stop])
        part = self.rows.slice(start, stop - start).select(["sample_id", column, f"{column}_path"]).to_pylist()
        found = []
        for row in part:
            name = f"{self.name}: sample '{row['sample_id']}'"
            data, path = row[column], row[f"{column}_path"]
            if data is None and path is None:
                raise InputError(f"{name} has no {column}; map it under `columns` of the task")
            found.append(decode_image(data if data is not None else read_image_bytes(Path(path), name), name))
        return found

    def requests(self, seed: int, start: int = 0, stop: int | None = None) -> list[Request]:
        """Return one request per row: its prompt, its seed, and its other columns and ``text`` under ``row``.

        What is expected, and stored outputs, are not handed to the generator, nor any column that goes by a usual
        name of those: a model that sees the answers needs no evaluation.
        """
        stop = len(self) if stop is None else min(stop, len(self))
        part = (
            self.rows.slice(start, stop - start).select(["sample_id", "prompt", "context", "text", "label"]).to_pylist()
        )
        made = []
        for offset, row in enumerate(part):
            position = start + offset
            shown = {k: row[k] for k in ("context", "text", "label") if row[k] is not None}
            columns = {k: v for k, v in self.extra[position].items() if k not in _ANSWERS} | shown
            made.append(Request(row["sample_id"], position, sample_seed(seed, position), row["prompt"], columns))
        return made

    @cached_property
    def requests_digest(self) -> str:
        """Digest of what `requests` hands to a generator, whatever the seed; expected answers are not in it."""
        asked = self.requests(0)
        return content_digest(
            ("sample_id", "prompt", "row"),
            ({"sample_id": one.sample_id, "prompt": one.prompt, "row": one.row} for one in asked),
        )


def content_digest(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Digest of rows of JSON values over canonical JSON lines; None counts as absent."""
    hashed = hashlib.sha256(json.dumps(sorted(columns)).encode())
    for row in rows:
        line = json.dumps({k: v for k, v in row.items() if v is not None}, sort_keys=True, ensure_ascii=False)
        hashed.update(b"\n" + line.encode("utf-8", "surrogatepass"))
    return "sha256:" + hashed.hexdigest()
