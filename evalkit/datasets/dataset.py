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
import pyarrow.compute as pc
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
_ROWS_AT_ONCE = 1_000
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

    def slice_values(self, name: str, stop: int | None = None) -> list[str]:
        """The values that a slice takes in the first rows (all by default), sorted."""
        distinct = pc.unique(self.rows[SLICE_PREFIX + name].slice(0, stop)).to_pylist()
        return sorted({_MISSING_SLICE if value is None else value for value in distinct})

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

    def column_names(self) -> list[str]:
        """Names of the source's columns."""
        names = dict.fromkeys(self.mapping.values())
        for row in self.extra:
            names.update(dict.fromkeys(row))
        return list(names)

    def column(self, name: str) -> list[Any] | None:
        """A column by its name in the source, or else by the part it plays; None where no row has a value.

        Columns that play a part are in that part's form (a label is text, answers are lists); images are not here.
        """
        part = next((part for part, column in self.mapping.items() if column == name), None)
        if part is None and not any(name in row for row in self.extra):
            part = name
        if part is None:
            return [row.get(name) for row in self.extra]
        part = "sample_id" if part == "id" else part
        if part in {"image", "reference_image"} or part not in SCHEMA.names or not self.has_values(part):
            return None
        values: list[Any] = self.rows[part].to_pylist()
        return values

    def source_rows(self) -> list[dict[str, Any]]:
        """Whole rows under the source's names, images apart; columns that play a part as `column` has them."""
        rows = [dict(row) for row in self.extra]
        for name in self.mapping.values():
            for row, value in zip(rows, self.column(name) or [], strict=False):
                row[name] = value
        return rows

    def find_image(self, position: int, *, column: ImageColumn = "image") -> NDArray[np.uint8] | None:
        """The image of one row, uint8 ``[height, width, 3]`` RGB; None where it has none."""
        if column == "image" and self.pixels is not None:
            image: NDArray[np.uint8] = self.pixels[position]
            return image
        (row,) = self.rows.slice(position, 1).select(["sample_id", column, f"{column}_path"]).to_pylist()
        data, path = row[column], row[f"{column}_path"]
        if data is None and path is None:
            return None
        name = f"{self.name}: sample '{row['sample_id']}'"
        return decode_image(data if data is not None else read_image_bytes(Path(path), name), name)

    def images(
        self, start: int = 0, stop: int | None = None, *, column: ImageColumn = "image"
    ) -> list[NDArray[np.uint8]]:
        """Return uint8 ``[height, width, 3]`` RGB arrays of rows ``start <= i < stop``; a missing image raises."""
        stop = len(self) if stop is None else min(stop, len(self))
        if column == "image" and self.pixels is not None:
            return list(self.pixels[start:stop])
        found = []
        for position in range(start, stop):
            image = self.find_image(position, column=column)
            if image is None:
                sample = self.rows["sample_id"][position].as_py()
                raise InputError(f"{self.name}: sample '{sample}' has no {column}; map it under `columns` of the task")
            found.append(image)
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
        digest = ContentDigest(("sample_id", "prompt", "row"))
        for start in range(0, len(self), _ROWS_AT_ONCE):
            asked = self.requests(0, start, start + _ROWS_AT_ONCE)
            digest.add({"sample_id": one.sample_id, "prompt": one.prompt, "row": one.row} for one in asked)
        return digest.value()


class ContentDigest:
    """Digest of rows of JSON values over canonical JSON lines; None counts as absent."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._hashed = hashlib.sha256(json.dumps(sorted(columns)).encode())

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows after those that are in it."""
        for row in rows:
            line = json.dumps({k: v for k, v in row.items() if v is not None}, sort_keys=True, ensure_ascii=False)
            self._hashed.update(b"\n" + line.encode("utf-8", "surrogatepass"))

    def value(self) -> str:
        """``sha256:`` and the digest of all rows so far."""
        return "sha256:" + self._hashed.hexdigest()
