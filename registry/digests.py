"""Digests: sha256 over RFC 8785 canonical JSON, and over files and folders."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from pathlib import Path
from typing import Any

import rfc8785


def digest(value: Any) -> str:
    """Digest of a JSON value: the same for equal values whatever the order of keys."""
    return "sha256:" + hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def file_digest(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def short(full: str, length: int = 12) -> str:
    """The first characters of a digest's hexadecimal part, for paths and pages."""
    return full.removeprefix("sha256:")[:length]


def new_id() -> str:
    """Return a UUIDv7: random, and sorted by creation time."""
    value = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def now_ms() -> int:
    """UTC now in integer milliseconds."""
    return time.time_ns() // 1_000_000
