"""A person's rows in files: snapshots of traces, stored outputs and verdicts, labels, reports."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from evalkit.monitoring.records import WindowRecord
from metrics.errors import InputError

_BLANKED = {
    "outputs": ("prompt", "text", "image", "error"),
    "verdicts": ("reason", "label", "rationale", "details", "flags"),
}
"""Folders of shards, and the columns in them that hold what was said."""


def erase_snapshots(folder: Path, user: str, ids: Collection[str], *, dry_run: bool) -> int:
    """Remove rows from the snapshots of traces that evaluations read: by id, or where they name the person."""
    return sum(
        _rewritten(file, lambda row: row.get("id") in ids or user in row.values(), dry_run=dry_run)
        for file in sorted(folder.glob("*.jsonl"))
    )


def erase_labels(file: Path, ids: Collection[str], *, dry_run: bool) -> int:
    """Remove the labels of samples from a file of labels.

    Raises:
        InputError: it is not one.
    """
    with file.open(encoding="utf-8") as stream:
        try:
            head = json.loads(stream.readline() or "null")
        except ValueError:
            head = None
    if not isinstance(head, dict) or not {"design", "sample_id"} & head.keys():
        raise InputError(f"{file.name} is no file of labels; expected one that `evalkit judge label` has written")
    return _rewritten(file, lambda row: row.get("sample_id") in ids, dry_run=dry_run)


def _rewritten(file: Path, theirs: Any, *, dry_run: bool) -> int:
    lines = file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not _matches(line, theirs)]
    erased = len(lines) - len(kept)
    if erased and not dry_run:
        _replace(file, "".join(f"{line}\n" for line in kept).encode())
    return erased


def _matches(line: str, theirs: Any) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False  # cut short by a crash; whoever reads it leaves it out
    return isinstance(row, dict) and bool(theirs(row))


def erase_outputs(home: Path, ids: Collection[str], *, dry_run: bool) -> int:
    """Blank the texts of samples in stored outputs and verdicts; their scores stay, which are numbers. How many rows.

    Only ids of traces are looked for: those of other sources may be another sample's in another evaluation.
    """
    if not ids:
        return 0
    homes = [home, *(place for place in (home / "submitted").glob("*") if place.is_dir())]
    return sum(
        _blanked(file, columns, ids, dry_run=dry_run)
        for place in homes
        for kind, columns in _BLANKED.items()
        for file in sorted((place / kind).glob("*/rows-*.parquet"))
    )


def _blanked(file: Path, columns: Iterable[str], ids: Collection[str], *, dry_run: bool) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from evalkit.runner.shards import reseal

    hit = pc.is_in(pq.read_table(file, columns=["sample_id"], partitioning=None)["sample_id"], pa.array(sorted(ids)))
    erased = int(pc.sum(hit).as_py() or 0)
    if not erased or dry_run:
        return erased
    table = pq.read_table(file, partitioning=None)
    for name in columns:
        if name in table.column_names:
            place, kind = table.schema.get_field_index(name), table.schema.field(name)
            blank = pc.if_else(hit, pa.scalar("erased" if name == "error" else None, kind.type), table[name])
            table = table.set_column(place, kind, blank)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    reseal(file, buffer.getvalue())
    return erased


def report_files(folder: Path, concerned: Sequence[WindowRecord], others: Sequence[WindowRecord]) -> list[Path]:
    """Reports that may show a person's rows: all but those that are named after a window without any."""
    if not concerned or not folder.is_dir():
        return []
    clean = {window.id for window in others} - {window.id for window in concerned}
    return [file for file in sorted(folder.rglob("*")) if file.is_file() and not any(key in file.name for key in clean)]


def _replace(file: Path, content: bytes) -> None:
    stat = file.stat()
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    part.touch(mode=0o600)
    with part.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.chmod(stat.st_mode & 0o777)
    os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # a snapshot is as old as it was
    part.replace(file)
