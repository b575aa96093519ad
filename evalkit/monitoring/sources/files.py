"""A Parquet, CSV or JSONL file, or a folder of them; files that grow or are added are read on from where they were."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from evalkit.datasets.readers import is_table, iterate_rows
from evalkit.monitoring.fields import needed, rows_of, table_of
from evalkit.monitoring.sources.base import Chunk, Watermark
from evalkit.monitoring.spec import Columns
from metrics.errors import InputError
from registry.paths import confine

_ROWS = 50_000


class FileReader:
    """Reads files below a monitor's folder.

    The watermark has, for each file, its size, its time of change and the rows read. A file that was appended to is
    read on; one that was rewritten is read again, and rows that are the same change nothing.

    Args:
        folder: the monitor's folder.
        given: the file or folder in it.
        columns: which fields are needed.
    """

    def __init__(self, folder: Path, given: str, columns: Columns) -> None:
        self._root = folder.resolve()
        self._path = confine(folder, given, "`files`")
        self._columns = columns

    def read(self, watermark: Watermark) -> Iterator[Chunk]:
        """Yield new rows, file by file in the order of their last change."""
        known: dict[str, dict[str, Any]] = dict(watermark.get("files", {}))
        for file in self._files():
            name = str(file.relative_to(self._root))
            stat = file.stat()
            seen = known.get(name)
            skip = 0
            if seen is not None:
                same = (seen["size"], seen["changed"]) == (stat.st_size, stat.st_mtime_ns)
                if same and not seen["open"]:
                    continue
                skip = _read_before(file, seen, same=same)
            mark = {"size": stat.st_size, "changed": stat.st_mtime_ns, "rows": skip, "open": True}
            for rows in _chunks(file, skip, self._columns):
                mark = {**mark, "rows": mark["rows"] + rows.length}
                known[name] = mark
                yield Chunk(rows, {"files": dict(known)})
            known[name] = {**mark, "open": False}
            yield Chunk(rows_of([]), {"files": dict(known)})

    def _files(self) -> list[Path]:
        if self._path.is_file():
            return [self._path]
        if not self._path.is_dir():
            raise InputError(f"there is no file or folder {self._path}")
        found = [file for file in self._path.rglob("*") if file.is_file() and is_table(file)]
        inside = [file for file in found if file.resolve().is_relative_to(self._root)]  # no links that lead out
        return sorted(inside, key=lambda file: (file.stat().st_mtime_ns, str(file)))


def _read_before(file: Path, seen: dict[str, Any], *, same: bool) -> int:
    """Rows to skip: those read before, unless the file was written anew."""
    grown = file.stat().st_size > seen["size"] and not _is_parquet(file)
    return int(seen["rows"]) if same or grown else 0


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() == ".parquet"


def _chunks(file: Path, skip: int, columns: Columns) -> Iterator[Any]:
    if file.stat().st_size == 0:
        return
    if _is_parquet(file):
        yield from _parquet(file, skip, columns)
        return
    rows = islice(_complete(file), skip, None)
    while part := list(islice(rows, _ROWS)):
        yield rows_of(part)


def _complete(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of a text file; a last line that is still being written is left for the next read."""
    try:
        yield from iterate_rows(file)
    except InputError as error:
        lines, newest = 0, b""
        with file.open("rb") as stream:
            while part := stream.read(2**20):
                lines, newest = lines + part.count(b"\n"), part
        if newest.endswith(b"\n") or f"{file.name}:{lines + 1}:" not in str(error):
            raise


def _parquet(file: Path, skip: int, columns: Columns) -> Iterator[Any]:
    from evalkit.datasets.parquet import batches

    wanted = needed(columns)
    roots = {name.partition(".")[0] for name in wanted}
    for part in batches(file, rows=_ROWS, columns=sorted(wanted | roots)):
        if skip >= part.num_rows:
            skip -= part.num_rows
            continue
        yield table_of(part.slice(skip))
        skip = 0
