"""Files that hold what was computed once: written whole or not at all, the oldest removed where there are too many."""

from __future__ import annotations

import os
import time
from pathlib import Path

from evalkit.runner.shards import write_atomically

MOST = 4_000
"""Files of a folder that are kept; the oldest go first, and come back with what asks for them."""


def write(place: Path, content: bytes) -> None:
    """Write a file whole or not at all, and make room for it."""
    write_atomically(place, content)
    _make_room(place.parent)


def _make_room(where: Path) -> None:
    names = os.listdir(where)
    if len(names) <= MOST:
        return
    ages = []
    for name in names:
        try:
            ages.append((where.joinpath(name).stat().st_mtime, name))
        except FileNotFoundError:
            continue  # another process made room as well
    young = time.time() - 60
    for age, name in sorted(ages)[: len(names) - MOST // 2]:
        if age < young:
            where.joinpath(name).unlink(missing_ok=True)
