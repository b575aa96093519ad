"""The data contract of a monitor: derived from its baseline, and met by every window before its checks are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.monitoring.cadence import HOUR_MS
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import CHANCE, rows_of, schema, to_table, utc_now
from evalkit.monitoring.raw import RawStore
from evalkit.monitoring.records import OK
from evalkit.monitoring.spec import Columns
from evalkit.monitoring.store import MonitorStore
from evalkit.reports.contract import Contract, check_contract, derive_contract
from metrics.errors import InputError
from registry.paths import confine

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from evalkit.monitoring.rows import WindowRows

_OURS = ("id", "event_time", "read_at")
_CHANGING = ("label", CHANCE, "user", "version", "cluster", "error")
"""Columns that nothing is derived of: labels come late, and users, versions and errors come and go."""
_PRIVATE = ("prompt", "output", "context", "user", "cluster", "image")
"""Columns whose values are not kept with a breach: windows outlive what was said in them."""
_MOST_ROWS = 200_000
"""Rows that a contract is derived from at most: the last ones."""
_ROOM = 3


def load_contract(definition: Definition) -> Contract | None:
    """The contract that a monitor names; None where it names none.

    Raises:
        InputError: its file is not there or cannot be read.
    """
    given = definition.spec.contract
    return None if given is None else Contract.load(confine(definition.folder, given, "`contract`"))


def meet(contract: Contract, rows: WindowRows) -> Mapping[str, Any]:
    """How a window met a contract, JSON-ready: ``checked`` and ``breaches``, empty where all held."""
    newest = int(np.max(rows.table["event_time"].to_numpy())) if len(rows) else None
    result = check_contract(contract, _frame(rows.table), newest=newest, end=rows.end)
    breaches = [
        {**asdict(breach), "examples": [] if breach.column in _PRIVATE else list(breach.examples)}
        for breach in result.breaches
    ]
    return {"contract": contract.contract, "checked": result.checked, "breaches": breaches}


def explain(met: Mapping[str, Any]) -> list[str]:
    """One line for people on each breach."""
    return [
        f"contract: {' of '.join(filter(None, (one['expectation'], one['column'])))}: {one['reason']}"
        for one in met["breaches"]
    ]


def from_baseline(store: MonitorStore, name: str) -> Contract:
    """Derive a contract from the windows that a monitor has learnt from so far.

    Raises:
        InputError: there are none, or their rows are gone.
    """
    monitor = store.monitor(name)
    definition = store.definition(monitor)
    spec = definition.spec
    windows = [one for one in store.windows(monitor, cadence=spec.cadence.text) if one.status == OK]
    if not windows:
        raise InputError(f"'{name}' has no windows to derive a contract from; `evalkit monitor run {name}` first")
    end = windows[0].start + spec.baseline
    windows = [one for one in windows if one.start < end]
    table = RawStore(store.folder(monitor) / "raw", schema(spec.source.columns)).read(windows[0].start, windows[-1].end)
    gaps = _gaps(table, [(one.start, one.end) for one in windows])
    return _derived(name, table, [one.rows for one in windows], gaps, min(one.end - one.start for one in windows))


def from_file(path: Path, name: str, columns: Columns | None = None) -> Contract:
    """Derive a contract from reference rows in a Parquet, CSV or JSONL file, read as a monitor with `columns` would."""
    from evalkit.datasets.readers import iterate_rows

    refused: Counter[str] = Counter()
    given = rows_of(list(iterate_rows(path)))
    table = to_table(given, columns or Columns(), now=utc_now(), refused=refused)
    if refused and not table.num_rows:
        raise InputError(f"{path.name}: no row can be read: {', '.join(refused)}")
    return _derived(name, table, [], [], 0)


def _derived(name: str, table: pa.Table, sizes: Sequence[int], gaps: Sequence[int], shortest: int) -> Contract:
    latest = table.slice(max(0, table.num_rows - _MOST_ROWS))
    latest = latest.drop_columns([name for name in _CHANGING if name in latest.column_names])
    frame = _frame(latest).dropna(axis="columns", how="all")
    hours = -(-_ROOM * max(gaps) // HOUR_MS) if gaps else 0
    # A window without rows breaks the volume; hours as long as the window would ask for nothing
    fresh = hours if 0 < hours * HOUR_MS < shortest else None
    return derive_contract(name, frame, per_window=sizes, freshness=fresh)


def _gaps(table: pa.Table, windows: Sequence[tuple[int, int]]) -> list[int]:
    """Milliseconds between each window's newest row and its end."""
    moments = np.sort(table["event_time"].to_numpy())
    ends = np.array([end for _, end in windows])
    at = np.searchsorted(moments, ends) - 1
    return [int(end - moments[place]) for end, place in zip(ends, at, strict=True) if place >= 0]


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.drop_columns(list(_OURS)).to_pandas()
    return frame
