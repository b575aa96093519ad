"""Files of results, read within limits: JSON documents, tables, and the zip archives of Inspect."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evalkit import limits
from evalkit.datasets.readers import Rows, is_table, read_rows
from metrics.errors import InputError

MAX_DOCUMENT = limits.DOCUMENT_BYTES
"""Bytes of one JSON document, also after unpacking."""
MAX_UNPACKED = limits.TABLE_BYTES
"""Bytes of all members of an archive that are unpacked."""
_ZSTANDARD = 93
"""Method of compression that `zipfile` lists but cannot read before Python 3.14."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")


@dataclass(frozen=True)
class ResultsFile:
    """A file of results as it was read.

    Attributes:
        path: the file.
        kind: ``document`` (JSON), ``rows`` (JSONL, CSV, Parquet) or ``archive``.
        content: the parsed JSON, the rows, or the names of an archive's members, which are read one by one.
    """

    path: Path
    kind: Literal["document", "rows", "archive"]
    content: Any

    @property
    def document(self) -> Mapping[str, Any]:
        """The JSON object; empty where the file is none."""
        return self.content if self.kind == "document" and isinstance(self.content, dict) else {}

    @property
    def rows(self) -> Rows:
        """Rows of a table, or of a JSON list."""
        if self.kind == "rows" or (self.kind == "document" and isinstance(self.content, list)):
            return [row for row in self.content if isinstance(row, dict)]
        return []


def read_file(path: Path) -> ResultsFile:
    """Read a file of results; raises `InputError` where it cannot be read or is too large."""
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    if zipfile.is_zipfile(path) and path.suffix.lower() != ".parquet":
        return ResultsFile(path, "archive", _names(path))
    if path.suffix.lower() == ".json":
        return ResultsFile(path, "document", _document(path))
    if is_table(path):
        return ResultsFile(path, "rows", read_rows(path))
    raise InputError(f"{path.name}: unknown kind of file; expected .json, .jsonl, .csv, .parquet or .eval")


def members(path: Path, prefix: str) -> Iterator[tuple[str, Any]]:
    """Names and parsed content of an archive's JSON members whose name starts with `prefix`, in archive order.

    Raises:
        InputError: a broken archive, too many members, or more bytes than are unpacked at most.
    """
    total = 0
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            infos = archive.infolist()
            if len(infos) > limits.MEMBERS:
                raise InputError(f"{path.name}: {len(infos):,} members; at most {limits.MEMBERS:,} are read")
            latest = {info.filename: info for info in infos}  # a member that was written again stands last
            for name, info in latest.items():
                if not (name.startswith(prefix) and name.endswith(".json")):
                    continue
                data = _unpack(archive, info, raw, f"{path.name}: {name}")
                total += len(data)
                limits.check_ratio(total, path.stat().st_size, path.name)
                if total > MAX_UNPACKED:
                    raise InputError(f"{path.name}: unpacks to more than {MAX_UNPACKED:,} bytes; split it")
                yield name, _parse(data, f"{path.name}: {name}")
    except limits.BROKEN_ARCHIVE as error:
        raise InputError(f"{path.name}: not a readable archive ({error})") from None


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except limits.BROKEN_ARCHIVE as error:
        raise InputError(f"{path.name}: not a readable archive ({error})") from None


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, raw: io.BufferedReader, where: str) -> bytes:
    """A member's bytes; never more than the limit, whatever its header says."""
    if info.compress_type == _ZSTANDARD:
        data = _unpack_zstandard(info, raw)
    else:
        with archive.open(info) as member:
            data = member.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        raise InputError(f"{where}: unpacks to more than {MAX_DOCUMENT:,} bytes")
    if info.compress_type == _ZSTANDARD and zlib.crc32(data) != info.CRC:
        raise InputError(f"{where}: broken (its checksum differs)")
    return data


def _unpack_zstandard(info: zipfile.ZipInfo, raw: io.BufferedReader) -> bytes:
    import pyarrow as pa

    raw.seek(info.header_offset)
    magic, name_length, extra_length = _LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))
    if magic != b"PK\x03\x04":
        raise zipfile.BadZipFile("a member does not start where the directory says")
    raw.seek(name_length + extra_length, io.SEEK_CUR)
    packed = raw.read(min(info.compress_size, MAX_DOCUMENT))
    try:
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            data: bytes = stream.read(MAX_DOCUMENT + 1)
    except pa.ArrowException as error:
        raise zipfile.BadZipFile(str(error)) from None
    return data


def _document(path: Path) -> Any:
    if path.stat().st_size > MAX_DOCUMENT:
        raise InputError(f"{path.name}: larger than {MAX_DOCUMENT:,} bytes; export fewer results")
    try:
        return _parse(path.read_bytes(), path.name)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})") from None


def _parse(data: bytes, where: str) -> Any:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not valid JSON (no UTF-8 text, byte {error.start})") from None
    return limits.parse_json(text, where)
