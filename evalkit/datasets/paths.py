"""Keeps paths that people and files name inside the folder they belong to."""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError


def confined(folder: Path, given: str, what: str) -> Path:
    """Resolve `given` below `folder`; absolute paths, ``..`` and links that lead out raise `InputError`."""
    root = folder.resolve()
    if not given or "\0" in given or Path(given).is_absolute():
        raise InputError(f"{what}: '{given}' must be a relative path below {root}")
    path = (root / given).resolve()
    if not path.is_relative_to(root):
        raise InputError(f"{what}: '{given}' leads out of its folder {root}")
    return path
