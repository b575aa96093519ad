"""Feature shards as files: whole arrays of one, or some rows of it, without ever unpickling."""

from __future__ import annotations

import io
import os
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from metrics.errors import InputError

FEATURES = "features"
_OPEN_FILES = 256
"""Shards that are kept open; every process may have some 1,000 files."""
_LOCAL_HEADER = 30
"""Bytes before the names in a member's own header (APPNOTE.TXT 4.3.7)."""


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read a feature shard; never unpickles."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


class FeatureLoader:
    """Reads arrays of feature shards below a home by reference, ``features/<digest>/rows-…`` or with ``#name``."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._files: OrderedDict[Path, io.FileIO] = OrderedDict()

    def __call__(self, reference: str) -> NDArray[Any]:
        """The whole array.

        Raises:
            InputError: a reference that leads elsewhere, or to a shard that is gone.
        """
        path, name = self._find(reference)
        try:
            with np.load(path, allow_pickle=False) as archive:
                found: NDArray[Any] = archive[name]
        except (FileNotFoundError, KeyError):
            raise _gone(reference) from None
        return found

    def open_rows(self, reference: str) -> FileRows | NDArray[Any]:
        """The array, to be read some rows at a time; as a whole where its file was written in another way."""
        path, name = self._find(reference)
        try:
            place = _locate(path, f"{name}.npy")
        except (FileNotFoundError, KeyError):
            raise _gone(reference) from None
        if place is None:
            return self(reference)
        offset, shape, kind = place
        return FileRows(self, path, offset, shape, kind)

    def file(self, path: Path) -> io.FileIO:
        """An open file; the one that was not read for longest is closed when there are too many."""
        stream = self._files.pop(path, None) or io.FileIO(path)
        self._files[path] = stream
        if len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return stream

    def _find(self, reference: str) -> tuple[Path, str]:
        stem, _, name = reference.partition("#")
        path = (self._home / f"{stem}.npz").resolve()
        if not path.is_relative_to((self._home / "features").resolve()):
            raise InputError(f"'{reference}' does not point into the feature store")
        return path, name or FEATURES


@dataclass(frozen=True, slots=True)
class FileRows:
    """A stored array ``[n, d]`` in a file, of which rows are read when they are asked for."""

    loader: FeatureLoader
    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        """Rows."""
        return self.shape[0]

    def __getitem__(self, at: Any) -> NDArray[Any]:
        """Rows at a position, a slice or an array of positions."""
        if isinstance(at, slice):
            places = range(len(self))[at]
            if places.step == 1:
                return self._read(np.empty((len(places), *self.shape[1:]), self.dtype), places.start)
            at = np.arange(places.start, places.stop, places.step)
        if np.ndim(at) == 0:
            one: NDArray[Any] = self._read(np.empty((1, *self.shape[1:]), self.dtype), range(len(self))[int(at)])[0]
            return one
        found = np.empty((len(at), *self.shape[1:]), self.dtype)
        for row, place in zip(found[:, None], np.asarray(at).tolist(), strict=True):
            self._read(row, range(len(self))[place])
        return found

    def _read(self, into: NDArray[Any], first: int) -> NDArray[Any]:
        """Fill an array with the rows from `first` on."""
        if not into.size:
            return into
        size = into.itemsize * self.shape[1]
        wanted = into.data.cast("B")
        stream = self.loader.file(self.path)
        stream.seek(self.offset + first * size)
        while wanted:
            got = stream.readinto(wanted)
            if not got:
                raise InputError(f"the feature shard {self.path} was cut off; evaluate again to extract it")
            wanted = wanted[got:]
        return into


def _locate(path: Path, member: str) -> tuple[int, tuple[int, ...], np.dtype[Any]] | None:
    """Offset of a member's numbers in an archive, their shape and type; None where they do not lie in rows."""
    with path.open("rb") as stream:
        with zipfile.ZipFile(stream) as archive:
            info = archive.getinfo(member)
        stream.seek(info.header_offset)
        header = stream.read(_LOCAL_HEADER)
        stream.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), os.SEEK_CUR)
        if info.compress_type != zipfile.ZIP_STORED or npy.read_magic(stream) != (1, 0):
            return None
        shape, fortran, kind = npy.read_array_header_1_0(stream)
        if fortran or kind.hasobject or len(shape) != 2:
            return None
        return stream.tell(), shape, kind


def _gone(reference: str) -> InputError:
    return InputError(f"the feature shard '{reference}' is gone; evaluate again to extract it")
