"""Evidently's drift report of a window against the baseline, as an HTML file beside the monitor's rows."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import CATEGORY, FIELD, SLICE
from evalkit.monitoring.raw import RawStore
from evalkit.monitoring.sampling import hashes
from evalkit.reports.evidently_report import MOST_ROWS, write_evidently_report
from metrics.errors import InputError
from registry.digests import digest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_NUMBERS = ("latency", "cost", "prompt_tokens", "output_tokens")


def report_path(folder: Path, cadence: str, start: int) -> Path:
    """Where the report of a window lies in a monitor's folder; the newest revision's, whether it is there or not."""
    return folder / "reports" / f"{_moment(start)}-{hashlib.sha256(cadence.encode()).hexdigest()[:6]}.html"


def forget_reports(folder: Path, before: int) -> None:
    """Remove the reports of windows that began before a moment, UTC milliseconds."""
    for file in (folder / "reports").glob("*.html"):
        if file.name < _moment(before):
            file.unlink(missing_ok=True)


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H%MZ")


def write_report(
    definition: Definition, folder: Path, raw: RawStore, rows: pa.Table, *, baseline: tuple[int, int], path: Path
) -> list[str]:
    """Write the report of a window; returns the columns in it.

    The rows of the baseline are kept as a sample of their numbers and categories: raw rows are not kept that long.

    Args:
        definition: the monitor.
        folder: of the monitor.
        raw: its rows.
        rows: of the window.
        baseline: first moment of the windows that were learnt from, and the first after them.
        path: the HTML file.

    Raises:
        InputError: nothing to compare, too few rows, or Evidently is not installed.
    """
    names = _compared(definition)
    reference = _reference(definition, folder, raw, baseline, names)
    part = path.with_suffix(".part")
    try:
        columns = write_evidently_report(reference, _sample(rows, names, definition.name), part)
        part.chmod(0o600)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return columns


def _compared(definition: Definition) -> list[str]:
    columns = definition.spec.source.columns
    more = ((SLICE, columns.slices), (FIELD, columns.fields), (CATEGORY, columns.categories))
    return [*_NUMBERS, *(prefix + name for prefix, names in more for name in names)]


def _reference(
    definition: Definition, folder: Path, raw: RawStore, baseline: tuple[int, int], names: list[str]
) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    key = digest({"span": list(baseline), "columns": names, "source": definition.source_digest})
    kept = folder / "reference" / f"{key.removeprefix('sha256:')[:16]}.parquet"
    if kept.exists():
        known: pd.DataFrame = pq.read_table(kept).to_pandas()
        return known
    found = _sample(raw.read(*baseline), names, definition.name)
    if len(found):
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = kept.with_suffix(".part")
        pq.write_table(pa.Table.from_pandas(found, preserve_index=False), part)
        part.chmod(0o600)
        part.replace(kept)
        return found
    raise InputError("the rows of the baseline are gone")


def _sample(table: pa.Table, names: list[str], salt: str) -> pd.DataFrame:
    """Some columns of the rows whose ids have the smallest hashes: the same ones whenever it is asked for."""
    if table.num_rows > MOST_ROWS:
        order = hashes(table["id"].to_pandas().to_numpy(dtype=object), salt).argsort(kind="stable")
        table = table.take(order[:MOST_ROWS])
    frame: pd.DataFrame = table.select(names).to_pandas().dropna(axis="columns", how="all")
    return frame
