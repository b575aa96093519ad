"""What is read at most of files that somebody else wrote, and how broken archives show themselves.

Everything is checked while it is read, before it fills the memory: headers may lie.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from typing import Any

from metrics.errors import InputError

MiB = 2**20
TABLE_BYTES = 4096 * MiB
"""Of a table, unpacked."""
TABLE_ROWS = 20_000_000
TABLE_COLUMNS = 10_000
TABLE_CELLS = 400_000_000
"""Values of a Parquet file, those in lists too: a run of equal values takes no bytes."""
BATCH_CELLS = 10_000_000
"""Values of a few rows of it."""
LINE_BYTES = 64 * MiB
"""Of one row of JSON lines or CSV."""
CHUNK_BYTES = 1024 * MiB
"""Of the texts of the rows that are unpacked at once."""
DOCUMENT_BYTES = 512 * MiB
"""Of a JSON document, which is in memory as a whole."""
DEPTH = 100
"""Levels of lists and objects inside a row or a document."""
MEMBERS = 200_000
"""Files in an archive."""
_RATIO, _FREE = 200, 64 * MiB

BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, NotImplementedError, RuntimeError)
"""What reading a broken, encrypted or exotic archive raises."""


def check_ratio(unpacked: int, packed: int, where: str, *, times: int = _RATIO, free: int = _FREE) -> None:
    """Raise `InputError` where bytes unpack into far more than such files do: a bomb.

    Args:
        unpacked: bytes so far; up to `free` are always read.
        packed: bytes that they came from.
        where: for the message.
        times: how much more is a bomb.
        free: bytes.
    """
    if unpacked > free and unpacked > times * packed:
        raise InputError(f"{where}: unpacks into more than {times} times its size; unpack it yourself if you trust it")


def parse_json(text: str | bytes, where: str) -> Any:
    """Parse a JSON document; `InputError` where it is none, or is nested more than `DEPTH` levels."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{where}: not valid JSON ({said})") from None
    check_depth(content, where)
    return content


def check_depth(value: Any, where: str) -> None:
    """Raise `InputError` where lists and objects are nested more than `DEPTH` levels."""
    level = [value]
    for _ in range(DEPTH + 1):
        level = [
            item
            for holder in level
            if isinstance(holder, (dict, list))
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise InputError(f"{where}: lists and objects are nested more than {DEPTH} levels deep")
