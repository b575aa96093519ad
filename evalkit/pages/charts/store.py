"""What is to be drawn, and what was drawn, in files named by the digest of what they show."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from evalkit.views.kept import write
from registry.digests import digest as digest_of

FORMAT = 3
"""Raised where `kinds` draws differently, so that what was drawn before is not shown."""
_NAME = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Link:
    """A cell of a table that leads somewhere."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart on a page: where it is drawn, and the same as a table.

    Attributes:
        digest: what it is served by; None where nothing can draw it, and the table stands alone.
        title: what it shows, in words.
        header, rows: its table.
    """

    digest: str | None
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    width: int = 1130
    height: int = 240


def keep(
    home: Path, kind: str, data: Mapping[str, Any], *, title: str, header: Sequence[str], rows: Sequence[Sequence[Any]],
    height: int = 240,
) -> Chart:  # fmt: skip
    """Ask for a chart.

    Args:
        home: the project's folder.
        kind, data: a function of `kinds` and what it draws.
        title: what the chart shows, in words: for readers who do not see it.
        header, rows: the same as a table.
        height: room for it on the page, in pixels, before it is there.
    """
    if util.find_spec("altair") is None or util.find_spec("vl_convert") is None:
        return Chart(None, title, header, rows)
    wanted = {"kind": kind, "data": _finite(data), "format": FORMAT}
    digest = digest_of(wanted).removeprefix("sha256:")[:40]
    place = folder(home) / f"{digest}.json"
    if not place.exists():
        write(place, json.dumps(wanted).encode())
    return Chart(digest, title, header, rows, height=height)


def wanted(home: Path, digest: str) -> dict[str, Any] | None:
    """What a digest asks for; None where nobody asked, or too long ago."""
    if _NAME.fullmatch(digest) is None:
        return None
    try:
        found: dict[str, Any] = json.loads((folder(home) / f"{digest}.json").read_bytes())
    except FileNotFoundError:
        return None
    return found


def folder(home: Path) -> Path:
    """Where charts lie."""
    return home / "charts"


def _finite(value: Any) -> Any:
    """The same with None for numbers that JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value
