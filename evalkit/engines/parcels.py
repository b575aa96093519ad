"""Files and folders that travel to a machine which does not share them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from metrics.errors import InputError

CHUNK = 64 * 2**20
"""Bytes that are held in memory at a time."""
MOST_CODE = 20 * 2**20
"""Bytes of Python files that travel with a ``call``."""
_NOT_CODE = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})

Put = Callable[[bytes], Any]
Fetch = Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Parcel:
    """Files by their path relative to a folder, each in chunks that `Fetch` resolves.

    Attributes:
        files: relative path with forward slashes, and the file's chunks.
        name: of the one file where the parcel is no folder.
    """

    files: tuple[tuple[str, tuple[Any, ...]], ...]
    name: str | None = None


def pack(path: Path, put: Put) -> Parcel:
    """Pack a file, or a folder with everything below it; links to files are followed."""
    if path.is_file():
        return Parcel(((path.name, _chunks(path, put)),), path.name)
    found = sorted(file for file in path.rglob("*") if file.is_file())
    return Parcel(tuple((file.relative_to(path).as_posix(), _chunks(file, put)) for file in found))


def pack_code(folder: Path, put: Put) -> Parcel:
    """Pack the Python files below a folder, for a ``call`` that imports from there.

    Raises:
        InputError: there is more than anybody writes by hand.
    """
    files = list(_python_files(folder))
    total = sum(file.stat().st_size for file in files)
    if total > MOST_CODE:
        raise InputError(
            f"{folder} has {total / 2**20:.0f} MB of Python files, more than the {MOST_CODE // 2**20} MB that travel "
            "to workers; move the suite into a folder with its own code, or install the code on the workers"
        )
    return Parcel(tuple((file.relative_to(folder).as_posix(), _chunks(file, put)) for file in files))


def unpack(parcel: Parcel, folder: Path, fetch: Fetch) -> Path:
    """Write a parcel below `folder`; returns the packed file's, or the folder's, new path."""
    for name, chunks in parcel.files:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise InputError(f"the file '{name}' leads out of the folder that was sent")
        target = folder / parts
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as stream:
            for chunk in chunks:
                stream.write(fetch(chunk))
    return folder / parcel.name if parcel.name is not None else folder


def _chunks(file: Path, put: Put) -> tuple[Any, ...]:
    with file.open("rb") as stream:
        return tuple(put(chunk) for chunk in iter(lambda: stream.read(CHUNK), b""))


def _python_files(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_CODE)
        yield from (Path(here) / name for name in _sources(files))


def _sources(files: Sequence[str]) -> list[str]:
    return sorted(name for name in files if name.endswith(".py"))
