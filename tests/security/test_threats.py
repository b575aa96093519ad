"""The table of threats names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
ROW = re.compile(r"^\| .+ \| .+ \| `(?P<file>tests/[\w/]+\.py)::(?P<test>test_\w+)` \|$")


def rows() -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("| threat | measure | test |") + 2
    end = next(place for place in range(start, len(lines)) if not lines[place].startswith("|"))
    return lines[start:end]


def names_in(file: Path) -> set[str]:
    """Test functions at the top of a module or of a class in it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return {node.name for body in bodies for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def missing(lines: list[str]) -> list[str]:
    found = []
    for line in lines:
        match = ROW.match(line)
        if match is None or not (ROOT / match["file"]).is_file() or match["test"] not in names_in(ROOT / match["file"]):
            found.append(line)
    return found


def test_each_threat_has_a_test_that_exists() -> None:
    assert len(rows()) > 50
    assert missing(rows()) == []
    assert len(set(rows())) == len(rows())


def test_a_test_that_is_gone_would_be_noticed() -> None:
    gone = (
        "| a | b | `tests/security/test_threats.py::test_gone` |", "| a | b | `tests/gone.py::test_x` |", "| a | b | |",
    )  # fmt: skip
    assert missing(list(gone)) == list(gone)


def test_limits_on_the_page_are_those_of_the_code() -> None:
    from evalkit import limits
    from evalkit.bundles.unpack import Limits
    from evalkit.datasets import pictures
    from evalkit.ingest.records import MAX_TEXT
    from evalkit.server.api import records, routes
    from evalkit.server.guard import FORM_LIMIT, JSON_LIMIT

    mib, page = 2**20, PAGE.read_text(encoding="utf-8")
    told = [
        f"{limits.TABLE_BYTES // 2**30} GiB unpacked, {limits.TABLE_ROWS:,} rows; Parquet {limits.TABLE_COLUMNS:,} "
        f"columns and {limits.TABLE_CELLS:,} values",
        f"one row | {limits.LINE_BYTES // mib} MiB, {limits.DEPTH} levels",
        f"JSON document | {limits.DOCUMENT_BYTES // mib} MiB",
        f"image | {pictures.MAX_BYTES // mib} MiB, {pictures.MAX_PIXELS:,} pixels",
        f"unpacked, {limits.MEMBERS:,} members",
        f"{Limits().packed // 2**30} GiB packed, {Limits().unpacked // 2**30} GiB unpacked, {Limits().file // mib} MiB",
        f"API | {routes.JSON_LIMIT // mib} MiB; records {records.MAX_BODY // mib} MiB unpacked and "
        f"{records.MAX_RECORDS:,} a time, {records.MAX_A_MINUTE // 2**30} GiB a minute",
        f"form of a page | {FORM_LIMIT // mib} MiB",
        f"MLflow's API | {JSON_LIMIT // mib} MiB",
        f"generation | {MAX_TEXT:,} characters",
    ]
    assert [text for text in told if text not in page] == []
