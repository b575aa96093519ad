"""Reading a source: rows are redacted, stored by day, and counted for the windows that they come too late for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evalkit.monitoring.cadence import DAY_MS
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import to_table
from evalkit.monitoring.raw import RawStore
from evalkit.monitoring.records import MonitorRecord
from evalkit.monitoring.redaction import Redaction
from evalkit.monitoring.sources.base import Source
from evalkit.monitoring.store import MonitorStore

if TYPE_CHECKING:
    import pyarrow as pa

_TOO_LATE = "older than the raw rows that are kept"
Told = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a read brought.

    Attributes:
        monitor: with its new watermark.
        rows: how many rows were stored.
        refused: reason to rows that were not.
    """

    monitor: MonitorRecord
    rows: int
    refused: Mapping[str, int]


def ingest(
    store: MonitorStore, monitor: MonitorRecord, definition: Definition, source: Source, raw: RawStore,
    *, token: str, now: int, tell: Told,
) -> Ingested:  # fmt: skip
    """Read everything that came into a source since the watermark.

    Rows are stored before the watermark moves: a killed read is repeated, and writes over what it left behind.
    """
    columns = definition.spec.source.columns
    redact = Redaction(definition.spec.redact, definition.folder)
    horizon = now - definition.spec.retention.raw
    total: Counter[str] = Counter()
    rows = 0
    for chunk in source.read(monitor.watermark):
        refused: Counter[str] = Counter()
        settled, moments = None, np.empty(0, dtype=np.int64)
        if chunk.rows.length:
            table = to_table(chunk.rows, columns, now=now, refused=refused)
            table = _in_time(store, monitor, redact(table, refused), horizon, refused)
            if table.num_rows:
                settled, moments = monitor.reads + 1, np.asarray(table["event_time"])
                raw.write(table, settled)
        monitor = store.advance(monitor, chunk.watermark, moments, refused, token=token, settled=settled)
        rows += len(moments)
        total += refused
        tell(rows)
    return Ingested(monitor, rows, total)


def _in_time(
    store: MonitorStore, monitor: MonitorRecord, table: pa.Table, horizon: int, refused: Counter[str]
) -> pa.Table:
    """Leave out rows of computed windows whose other rows are gone: a window is restated from all its rows, or not."""
    moments = np.asarray(table["event_time"])
    old = moments < horizon - horizon % DAY_MS
    if not old.any():
        return table
    lost = np.zeros(len(moments), dtype=bool)
    for window in store.windows(monitor, until=horizon):
        lost |= (moments >= window.start) & (moments < window.end) & old
    if lost.any():
        refused[_TOO_LATE] += int(lost.sum())
        table = table.filter(~lost)
    return table
