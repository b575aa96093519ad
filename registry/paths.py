"""Paths that other people write: confined to the folder they belong to."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from metrics.errors import InputError

DATASET = re.compile(r"^(?P<name>[a-z0-9][a-z0-9_.-]{0,99})@(?P<split>[A-Za-z0-9_.-]{1,60})$")
"""A registered dataset: ``name@split``."""


def confine(folder: Path, given: str, what: str) -> Path:
    """Return the path `given` below `folder`; absolute paths, ``..`` and links that lead out raise `InputError`."""
    if not given or "\0" in given:
        raise InputError(f"{what}: the path is empty or has a zero byte")
    if PurePosixPath(given).is_absolute() or PureWindowsPath(given).drive or PureWindowsPath(given).root:
        raise InputError(f"{what}: '{given}' is absolute; give a path inside its folder")
    root = folder.resolve()
    try:
        resolved = (root / given).resolve()
    except (OSError, RuntimeError):
        raise InputError(f"{what}: '{given}' cannot be followed; give a path inside its folder") from None
    if not resolved.is_relative_to(root):
        raise InputError(f"{what}: '{given}' leads out of its folder; put the file inside it")
    return resolved
