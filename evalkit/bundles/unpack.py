"""Opens a bundle that somebody sent: every limit and every name is checked before a byte is written."""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evalkit.bundles.manifest import ALLOWED, MANIFEST, Manifest, read_manifest
from evalkit.limits import BROKEN_ARCHIVE
from metrics.errors import InputError

_MiB = 2**20
_RATIO = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What a bundle may be at most, in bytes and files."""

    packed: int = 1024 * _MiB
    unpacked: int = 4096 * _MiB
    file: int = 512 * _MiB
    manifest: int = 32 * _MiB
    files: int = 50_000


class TooLargeError(InputError):
    """A bundle is over a limit."""


@contextmanager
def opened(path: Path, limits: Limits | None = None) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """Open a bundle and read its manifest; nothing is written.

    Raises:
        TooLargeError: it is over a limit.
        InputError: it is no bundle: not a zip, other files, files that are not those of the manifest.
    """
    limits = limits or Limits()
    if path.stat().st_size > limits.packed:
        raise TooLargeError(f"the bundle has more than {limits.packed // _MiB} MiB")
    with _readable():
        archive = zipfile.ZipFile(path)
    with archive:
        with _readable():
            entries = check_members(archive, limits, ALLOWED)
            with archive.open(entries[MANIFEST]) as stream:
                manifest = read_manifest(read_bounded(stream, limits.manifest))
        if set(manifest.files) != set(entries) - {MANIFEST}:
            odd = sorted(set(manifest.files) ^ (set(entries) - {MANIFEST}))[0]
            raise InputError(f"the bundle's files are not those of its manifest: {odd!a}")
        yield archive, manifest


def extract(archive: zipfile.ZipFile, manifest: Manifest, target: Path, limits: Limits | None = None) -> None:
    """Write the files of an opened bundle below `target`, each compared with the manifest's digest.

    Raises:
        InputError: a file is not the one that the manifest names, or would unpack into far more than it says.
    """
    extract_files(archive, {name: (name, expected) for name, expected in manifest.files.items()}, target, limits)


def extract_files(
    archive: zipfile.ZipFile,
    files: Mapping[str, tuple[str, str]],
    target: Path,
    limits: Limits | None = None,
) -> None:
    """Write members below `target`: each by its name there to its name in the archive and its digest.

    Raises:
        InputError: a file is not the one that the manifest names, or would unpack into far more than it says.
    """
    limits = limits or Limits()
    for place, (name, expected) in files.items():
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        sha, written = hashlib.sha256(), 0
        with _readable(name):
            stream = archive.open(name)
        with stream, path.open("xb") as out:
            while block := _read(stream, name):
                written += len(block)
                if written > limits.file:
                    raise TooLargeError(f"{name}: more than {limits.file // _MiB} MiB")
                sha.update(block)
                out.write(block)
        if f"sha256:{sha.hexdigest()}" != expected:
            raise InputError(f"{name} is not the file that the manifest names; it was changed or damaged on the way")
        _check_content(path, name, limits)


@contextmanager
def _readable(member: str = "") -> Iterator[None]:
    try:
        yield
    except (*BROKEN_ARCHIVE, UnicodeDecodeError) as error:
        what = f"{member} was damaged on the way" if member else "the bundle is no readable zip"
        raise InputError(f"{what} ({str(error)[:100]}); send it again") from None


def _read(stream: IO[bytes], member: str) -> bytes:
    with _readable(member):
        return stream.read(_MiB)


def check_members(archive: zipfile.ZipFile, limits: Limits, allowed: re.Pattern[str]) -> Mapping[str, zipfile.ZipInfo]:
    """Members by name; names, kinds and sizes are checked before a byte of them is read.

    Raises:
        InputError: a name that is not allowed, twice the same, a link, an encrypted member, or no manifest.
        TooLargeError: more, larger or more tightly packed than the limits.
    """
    infos = archive.infolist()
    if len(infos) > limits.files + 1:
        raise TooLargeError(f"the bundle has {len(infos)} files; at most {limits.files} are taken")
    entries: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in infos:
        name = info.filename
        if name != MANIFEST and not allowed.match(name):
            raise InputError(f"the bundle holds {name[:100]!a}, which is no part of an evaluation")
        if name in entries:
            raise InputError(f"the bundle holds {name[:100]!a} twice")
        mode = info.external_attr >> 16
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            raise InputError(f"the bundle's {name[:100]!a} is not a plain file")
        if info.flag_bits & 0x1:
            raise InputError("the bundle is encrypted; send a plain one")
        limit = limits.manifest if name == MANIFEST else limits.file
        if info.file_size > limit:
            raise TooLargeError(f"{name}: more than {limit // _MiB} MiB")
        if info.file_size > _MiB and info.file_size > _RATIO * max(info.compress_size, 1):
            raise TooLargeError(f"{name} unpacks into more than {_RATIO} times its size")
        total += info.file_size
        entries[name] = info
    if total > limits.unpacked:
        raise TooLargeError(f"the bundle unpacks into more than {limits.unpacked // _MiB} MiB")
    if MANIFEST not in entries:
        raise InputError(f"the bundle has no {MANIFEST}; send one that evalkit wrote")
    return entries


def read_bounded(stream: IO[bytes], limit: int) -> bytes:
    """Read a manifest of at most so many bytes."""
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise TooLargeError(f"{MANIFEST}: more than {limit // _MiB} MiB")
    return data


def _check_content(path: Path, name: str, limits: Limits) -> None:
    """Refuse a file that is itself packed, and unpacks into far more than was measured outside."""
    try:
        if path.suffix == ".parquet":
            _check_table(path, name, limits)
        elif path.suffix == ".npz":
            _check_arrays(path, name, limits)
        elif path.suffix == ".states":
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    if info.file_size > _RATIO * max(info.compress_size, 1024):
                        raise TooLargeError(f"{name} unpacks into far more than it holds")
                    with archive.open(info) as inner:
                        if info.filename.endswith(".npz"):
                            _check_arrays(inner, name, limits)
    except (*BROKEN_ARCHIVE, pa.ArrowException):
        raise InputError(f"{name} is damaged; write and send it again") from None


def _check_table(path: Path, name: str, limits: Limits) -> None:
    start, stop = (int(part) for part in path.stem.split("-")[1:])
    with pq.ParquetFile(path) as file:
        found = file.metadata
        if found.num_rows > max(stop - start, 0):
            raise InputError(f"{name} has {found.num_rows} rows, more than its name says")
        size = sum(found.row_group(place).total_byte_size for place in range(found.num_row_groups))
        texts = [f.name for f in file.schema_arrow if pa.types.is_string(f.type) or pa.types.is_binary(f.type)]
    if size > limits.file or _text_bytes(path, texts) > limits.file:
        raise TooLargeError(f"{name} unpacks into far more than it holds")


def _text_bytes(path: Path, columns: list[str]) -> int:
    """Bytes of all texts: one that a thousand rows share is stored once, and read a thousand times."""
    table = pq.read_table(path, columns=columns, read_dictionary=columns)
    total = 0
    for column in table.columns:
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary).fill_null(0).to_numpy()
            places = chunk.indices.drop_null().to_numpy()
            total += int(lengths[places].sum())
    return total


def _check_arrays(file: Path | IO[bytes], name: str, limits: Limits) -> None:
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        packed = sum(info.compress_size for info in infos)
        unpacked = sum(info.file_size for info in infos)
        if unpacked > limits.file or unpacked > _RATIO * max(packed, 1024):
            raise TooLargeError(f"{name} unpacks into far more than it holds")
        if any(not info.filename.endswith(".npy") for info in infos):
            raise InputError(f"{name} holds something else than arrays")
