"""Loads a dataset from a file, a folder of images, an array, or the registry."""

from __future__ import annotations

import hashlib
import math
import re
import tokenize
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit import limits
from evalkit.datasets.columns import list_value, resolve_columns, text_value, weight_value
from evalkit.datasets.dataset import SCHEMA, SLICE_PREFIX, ContentDigest, Dataset
from evalkit.datasets.pictures import SUFFIXES, read_image_bytes
from evalkit.datasets.readers import READERS, Row, Rows, column_names, is_table, iterate_rows, missing
from metrics.errors import InputError
from registry.entities import DatasetRecord
from registry.paths import DATASET, confine
from registry.spec import Columns

_IMAGE_PARTS = ("image", "reference_image")
_ROWS_AT_ONCE = 1_000
_BROKEN_HEADER = (ValueError, KeyError, TypeError, SyntaxError, tokenize.TokenError, MemoryError, OverflowError)
"""What reading an array raises whose header says something else than its bytes."""
_NOTHING: Mapping[str, Any] = {}
"""Shared by all rows without further columns."""
_ALIVE: WeakValueDictionary[tuple[Any, ...], Dataset] = WeakValueDictionary()
"""Datasets of files, as long as somebody holds them."""


class DatasetRegistry(Protocol):
    """What `load_dataset` asks of the registry."""

    def dataset(self, name: str, split: str) -> DatasetRecord:
        """Return the record of a registered dataset; raises `InputError` where there is none."""
        ...


def load_dataset(
    reference: str, *, folder: Path, columns: Columns | None = None, registry: DatasetRegistry | None = None
) -> Dataset:
    """Load a dataset.

    Args:
        reference: a path below `folder` (``.jsonl``, ``.json``, ``.csv``, ``.parquet``, ``.jsonl.gz``, an ``.npz``
            with the array ``images``, a folder of images), or ``name@split`` of a registered dataset.
        folder: where relative paths start and end: none may lead out of it.
        columns: which column plays which part; parts that are not mapped go by their usual names.
        registry: where ``name@split`` is looked up.

    Raises:
        InputError: what cannot be read, with file and line; duplicate ids; a registered dataset whose content changed.
    """
    columns = columns or Columns()
    registered = DATASET.match(reference)
    if registered is None or (folder / reference).exists():
        path = confine(folder, reference, "data")
        return _load(path, columns, path.name, "all")
    if registry is None:
        raise InputError(f"data: '{reference}' names a registered dataset, but no registry is at hand")
    record = registry.dataset(registered["name"], registered["split"])
    dataset = _load(_location(record.location), columns, record.name, record.split)
    if dataset.digest != record.digest:
        raise InputError(
            f"data: '{reference}' changed since it was registered (digest {dataset.digest[:19]}, expected "
            f"{record.digest[:19]}); restore {record.location} or register the new content under another split"
        )
    return dataset


def _location(location: str) -> Path:
    return Path(unquote(urlsplit(location).path)) if location.startswith("file:") else Path(location)


def _load(path: Path, columns: Columns, name: str, split: str) -> Dataset:
    if path.is_dir():
        return dataset_from_rows(_folder_rows(path), path, columns, name, split)
    if not path.exists():
        raise InputError(f"data: there is no file or folder {path}")
    if path.suffix.lower() == ".npz":
        return _from_arrays(path, columns, name, split)
    if not is_table(path):
        raise InputError(
            f"data: {path.name} is of no known kind; expected {', '.join(sorted(READERS))}, .npz or a folder of images"
        )
    return _alive_or_read(path, columns, name, split)


def _alive_or_read(path: Path, columns: Columns, name: str, split: str) -> Dataset:
    """The dataset of an unchanged file that somebody in this process still holds, else what the file says.

    An evaluation asks for its data several times, and twice the rows would take twice the memory. Images that lie in
    files of their own may change by themselves: such data are always read.
    """
    stat = path.stat()
    stamp = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    key = (str(path.resolve()), stamp, columns.model_dump_json(), name, split)
    dataset = _ALIVE.get(key)
    if dataset is None:
        dataset = _from_rows(lambda: iterate_rows(path), path.parent, columns, name, split)
        if not any(dataset.has_values(f"{part}_path") for part in _IMAGE_PARTS):
            _ALIVE[key] = dataset
    return dataset


def image_files(folder: Path) -> list[Path]:
    """Image files below `folder` in the order of their names, with numbers in names counted as numbers."""
    files = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not p.is_symlink()]

    def key(path: Path) -> list[tuple[int, int, str]]:
        parts = re.split(r"(\d+)", path.relative_to(folder).as_posix())
        return [(1, int(part), part) if part.isdigit() else (0, 0, part) for part in parts]

    return sorted(files, key=key)


def _folder_rows(folder: Path) -> Rows:
    files = image_files(folder)
    if not files:
        raise InputError(f"data: the folder {folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    rows: Rows = []
    for file in files:
        relative = file.relative_to(folder)
        row = {"id": relative.with_suffix("").as_posix(), "image": relative.as_posix()}
        rows.append(row | ({"label": relative.parts[0]} if len(relative.parts) > 1 else {}))
    if len({row["id"] for row in rows}) < len(rows):  # a.png beside a.jpg
        rows = [row | {"id": row["image"]} for row in rows]
    return rows


def dataset_from_rows(rows: Rows, base: Path, columns: Columns, name: str, split: str) -> Dataset:
    """A dataset of rows at hand; images are looked up below `base`."""
    return _from_rows(lambda: rows, base, columns, name, split)


def _from_rows(read: Callable[[], Iterable[Row]], base: Path, columns: Columns, name: str, split: str) -> Dataset:
    """Rows are read twice, for their columns and in chunks: as Python objects they take several times the table."""
    available = column_names(read())
    mapping = resolve_columns(columns, available, name)
    digest, tables, extra = ContentDigest(available), [], list[Mapping[str, Any]]()
    rows = iter(read())
    while chunk := list(islice(rows, _ROWS_AT_ONCE)):
        first = len(extra) + 1
        table = _canonical(chunk, mapping, columns.slices, name, first)
        hashes = {}
        for part in _IMAGE_PARTS:
            found = _Pictures(base, name, mapping.get(part), chunk, first)
            table = _with(table, part, pa.array(found.data, pa.binary()))
            table = _with(table, f"{part}_path", pa.array(found.paths, pa.string()))
            if found.column is not None:
                hashes[found.column] = found.hashes
        digest.add(
            {c: hashes[c][i] if c in hashes else _normal(row.get(c)) for c in available} for i, row in enumerate(chunk)
        )
        tables.append(table)
        extra += _extra(chunk, mapping)
    table = pa.concat_tables(tables)
    _check_ids(table["sample_id"], name)
    return Dataset(name, split, digest.value(), table, mapping, extra)


def _extra(rows: Rows, mapping: Mapping[str, str]) -> list[Mapping[str, Any]]:
    used = set(mapping.values())
    return [{c: v for c, v in row.items() if c not in used and _jsonable(v)} or _NOTHING for row in rows]


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), SCHEMA.field(name), values)


def _canonical(rows: Rows, mapping: Mapping[str, str], slices: Sequence[str], name: str, first: int = 1) -> pa.Table:
    """The table of rows of which the first has this number; ids are still to be compared."""

    def cells(part: str) -> list[Any]:
        column = mapping.get(part)
        return [None] * len(rows) if column is None else [row.get(column) for row in rows]

    values: dict[str, list[Any]] = {"sample_id": _ids(cells("id"), "id" in mapping, name, first)}
    for part in ("prompt", "text", "output", "label", "cluster"):
        values[part] = [text_value(cell) for cell in cells(part)]
    for part in ("expected", "context"):
        values[part] = [list_value(cell) for cell in cells(part)]
    weights = enumerate(cells("weight"), start=first)
    values["weight"] = [weight_value(cell, f"{name}, row {row}") for row, cell in weights]
    arrays = [pa.array(values.get(f.name, [None] * len(rows)), f.type) for f in SCHEMA]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    for column in slices:
        cut = [text_value(row.get(column)) for row in rows]
        table = table.append_column(SLICE_PREFIX + column, pa.array(cut, pa.string()))
    return table


def _ids(cells: Sequence[Any], mapped: bool, name: str, first: int) -> list[str]:
    if not mapped:
        return [str(first - 1 + position) for position in range(len(cells))]
    ids = []
    for number, cell in enumerate(cells, start=first):
        text = text_value(cell)
        if text is None or not text.strip():
            raise InputError(f"{name}, row {number}: has no id")
        ids.append(text)
    return ids


def _check_ids(ids: pa.ChunkedArray, name: str) -> None:
    """Raise where an id is there twice."""
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    seen: dict[str, int] = {}
    for number, text in enumerate(ids.to_pylist(), start=1):
        if text in seen:
            raise InputError(f"{name}: id '{text}' is in row {seen[text]} and again in row {number}; ids must differ")
        seen[text] = number


class _Pictures:
    """One column of images: bytes in the table, or files beside it. Every file is read once, for its digest."""

    def __init__(self, base: Path, name: str, column: str | None, rows: Rows, first: int) -> None:
        self.column = column
        self.data: list[bytes | None] = []
        self.paths: list[str | None] = []
        self.hashes: list[str | None] = []
        for number, row in enumerate(rows, start=first):
            self._add(base, f"{name}, row {number}", None if column is None else row.get(column))

    def _add(self, base: Path, where: str, cell: Any) -> None:
        if isinstance(cell, Mapping):  # the form of Hugging Face datasets: {"bytes": ..., "path": ...}
            cell = cell.get("bytes") or cell.get("path")
        data, path = None, None
        if isinstance(cell, bytes):
            data = content = cell
        elif isinstance(cell, str):
            file = confine(base, cell, where)
            content, path = read_image_bytes(file, f"{where}: {cell}"), str(file)
        elif missing(cell):
            content = None
        else:
            raise InputError(f"{where}: an image must be bytes or the path of a file, got {type(cell).__name__}")
        self.data.append(data)
        self.paths.append(path)
        self.hashes.append(None if content is None else "sha256:" + hashlib.sha256(content).hexdigest())


def _normal(value: Any) -> Any:
    """A value as the digest sees it: formats differ in their types, not in what people read."""
    if isinstance(value, bytes):
        return "sha256:" + hashlib.sha256(value).hexdigest()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return [_normal(item) for item in value]
    if isinstance(value, Mapping):
        return {str(k): _normal(v) for k, v in value.items() if not missing(v)}
    return text_value(value)


def _jsonable(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(item is None or _jsonable(item) for item in value)  # a first token has no log-probability, say
    if isinstance(value, Mapping):
        return all(_jsonable(item) for item in value.values())
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))


def _from_arrays(path: Path, columns: Columns, name: str, split: str) -> Dataset:
    arrays = _read_npz(path)
    if "images" not in arrays:
        raise InputError(f"{path.name}: no array 'images'; it has {', '.join(arrays) or 'none'}")
    pixels = _as_rgb(arrays.pop("images"), path.name)
    rows: Rows = [{"id": str(i)} for i in range(len(pixels))]
    for column, values in arrays.items():
        if values.shape != (len(pixels),):
            raise InputError(f"{path.name}: '{column}' has shape {list(values.shape)}; expected [{len(pixels)}]")
        for row, value in zip(rows, values.tolist(), strict=True):
            row["label" if column == "labels" else column] = value
    available = column_names(rows)
    mapping = resolve_columns(columns, available, name)
    table = _canonical(rows, mapping, columns.slices, name)
    _check_ids(table["sample_id"], name)
    hashes = ["sha256:" + hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]
    shape = "x".join(map(str, pixels.shape[1:]))
    normal = [
        {**{c: _normal(v) for c, v in row.items()}, "image": f"{shape}:{hashed}"}
        for row, hashed in zip(rows, hashes, strict=True)
    ]
    digest = ContentDigest([*available, "image"])
    digest.add(normal)
    return Dataset(name, split, digest.value(), table, mapping, _extra(rows, mapping), pixels)


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            size, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
        if size > limits.TABLE_BYTES or len(infos) > limits.TABLE_COLUMNS:
            raise InputError(f"{path.name}: unpacks to {size:,} bytes; at most {limits.TABLE_BYTES:,} are read")
        limits.check_ratio(size, packed, path.name)
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if isinstance(archive[name], np.ndarray)}
    except (*limits.BROKEN_ARCHIVE, *_BROKEN_HEADER) as error:
        if isinstance(error, InputError):
            raise
        hint = "; pickled objects are never read" if "pickle" in str(error).lower() else ""
        raise InputError(f"{path.name}: not a readable .npz file ({str(error)[:200]}){hint}") from None


def _as_rgb(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Images as uint8 ``[n, height, width, 3]``."""
    if images.dtype != np.uint8:
        raise InputError(f"{name}: 'images' holds {images.dtype}; expected uint8 (0 to 255)")
    if images.ndim == 3:
        images = images[:, :, :, None]
    if images.ndim == 4 and images.shape[3] not in {1, 3} and images.shape[1] in {1, 3}:
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[3] not in {1, 3} or images.size == 0:
        raise InputError(f"{name}: 'images' has shape {list(images.shape)}; expected [n, height, width, 3 or none]")
    return np.ascontiguousarray(np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images)
