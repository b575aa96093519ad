"""Folders of shards: files named by the rows that they hold, whole or absent, each with a seal that proves it.

A shard's existence is the truth about finished work. Beside it lies its seal: length, sha256 and a few facts. A shard
without a seal (the process died between the two) is read through and adopted; one that does not match is set
aside and made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from metrics.errors import InputError
from registry.digests import short

Facts = dict[str, Any]
Inspect = Callable[[Path], Facts]
UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What reading a damaged file raises."""

_NAME = re.compile(r"^rows-(\d{9})-(\d{9})\.[a-z]+$")


@dataclass(frozen=True, slots=True, order=True)
class Rows:
    """The half-open range of row positions that a shard holds."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def stem(self) -> str:
        """File name without suffix."""
        return f"rows-{self.start:09d}-{self.stop:09d}"


def grid(rows: int, size: int) -> list[Rows]:
    """Cut `rows` rows into shards of `size`; the last one holds the rest."""
    return [Rows(start, min(start + size, rows)) for start in range(0, rows, size)]


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it exists whole or not at all, also after a power cut; threads may write the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


class ShardFolder:
    """The shards of one digest, in a folder named by its first characters."""

    def __init__(self, parent: Path, digest: str, describes: Mapping[str, Any]) -> None:
        self.digest = digest
        self.path = parent / short(digest)
        self._sealed: dict[Path, tuple[int, int, Facts]] = {}
        meta = self.path / "meta.json"
        try:
            recorded = json.loads(meta.read_text(encoding="utf-8"))["digest"]
        except FileNotFoundError:
            recorded = None
        except (ValueError, KeyError, TypeError):
            recorded = None
        if recorded not in {None, digest}:
            raise InputError(
                f"{self.path} holds results of {recorded}, but those of {digest} were expected; move the folder away"
            )
        if recorded is None:
            write_atomically(meta, json.dumps({"digest": digest, "describes": describes}, indent=1).encode())

    @classmethod
    def known(cls, parent: Path, digest: str) -> Self:
        """The folder of a digest, only to read what others have put there."""
        folder = cls.__new__(cls)
        folder.digest, folder.path, folder._sealed = digest, parent / short(digest), {}
        return folder

    def file(self, rows: Rows, suffix: str) -> Path:
        """Where the shard of these rows lies."""
        return self.path / f"{rows.stem}.{suffix}"

    def existing(self, suffix: str) -> list[Rows]:
        """Ranges of all shards with this suffix, in order; unchecked."""
        matches = (_NAME.match(path.name) for path in self.path.glob(f"rows-*.{suffix}"))
        return sorted(Rows(int(match[1]), int(match[2])) for match in matches if match)

    def check(self, path: Path, inspect: Inspect) -> Facts | None:
        """Return the facts of a sound shard; None where there is none (a damaged one is removed)."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        known = self._sealed.get(path)
        if known is not None and known[:2] == (stat.st_mtime_ns, stat.st_size):
            return known[2]
        facts = self._sealed_facts(path, stat.st_size)
        if facts is None:
            try:
                facts = inspect(path)
            except UNREADABLE:
                path.unlink(missing_ok=True)
                _seal_path(path).unlink(missing_ok=True)
                return None
            self.seal(path, facts)
        self._sealed[path] = (stat.st_mtime_ns, stat.st_size, facts)
        return facts

    def seal(self, path: Path, facts: Facts) -> None:
        """Record length, sha256 and facts of a finished shard."""
        write_atomically(_seal_path(path), _seal(path.read_bytes(), facts))
        stat = path.stat()
        self._sealed[path] = (stat.st_mtime_ns, stat.st_size, facts)

    def write(self, path: Path, data: bytes, facts: Facts) -> None:
        """Write and seal a shard."""
        write_atomically(path, data)
        self.seal(path, facts)

    def _sealed_facts(self, path: Path, size: int) -> Facts | None:
        """The seal's facts when file and seal agree. A seal that does not match condemns the shard."""
        try:
            seal = json.loads(_seal_path(path).read_text(encoding="utf-8"))
            expected, length, facts = seal["sha256"], seal["length"], seal["facts"]
            if seal["check"] != _check(facts):
                return None  # the facts are damaged, or of an older version: the shard is read through
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return None
        if length == size and hashlib.sha256(path.read_bytes()).hexdigest() == expected:
            return dict(facts)
        path.unlink(missing_ok=True)
        _seal_path(path).unlink(missing_ok=True)
        return None


def cover(existing: list[Rows], wanted: Rows) -> Iterator[tuple[Rows, Rows | None]]:
    """Split `wanted` into runs, each with the existing shard that holds it, or None where rows are missing."""
    at = wanted.start
    while at < wanted.stop:
        holding = max((r for r in existing if r.start <= at < r.stop), key=lambda r: r.stop, default=None)
        if holding is not None:
            run = Rows(at, min(holding.stop, wanted.stop))
        else:
            following = min((r.start for r in existing if r.start > at), default=wanted.stop)
            run = Rows(at, min(following, wanted.stop))
        yield run, holding
        at = run.stop


def reseal(path: Path, data: bytes) -> None:
    """Replace what a shard holds, with the facts of its seal; without one, it is inspected when it is next read."""
    seal = _seal_path(path)
    try:
        facts = json.loads(seal.read_text(encoding="utf-8"))["facts"]
    except (OSError, ValueError, KeyError, TypeError):
        facts = None
    # Between the two writes a seal that does not match would condemn the shard
    seal.unlink(missing_ok=True)
    write_atomically(path, data)
    if facts is not None:
        write_atomically(seal, _seal(data, facts))


def _seal(data: bytes, facts: Facts) -> bytes:
    facts = json.loads(json.dumps(facts))  # as they are read again
    told = {"length": len(data), "sha256": hashlib.sha256(data).hexdigest(), "facts": facts, "check": _check(facts)}
    return json.dumps(told).encode()


def _check(facts: Facts) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _seal_path(path: Path) -> Path:
    return path.with_name(path.name + ".seal")
