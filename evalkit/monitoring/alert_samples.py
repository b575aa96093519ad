"""The rows that caused an alert, as the monitor kept them: redacted, and for as long as its retention says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.monitoring.fields import schema
from evalkit.monitoring.raw import RawStore
from evalkit.monitoring.store import MonitorStore
from registry.alerts import Alert

_SHOWN = (
    "id", "event_time", "prompt", "output", "context", "version", "latency", "cost", "prompt_tokens", "output_tokens",
    "error",
)  # fmt: skip
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class AlertSamples:
    """Rows behind an alert; `missing` are ids whose rows are no longer kept.

    Attributes:
        rows: one mapping a row, in the order of the alert: what the row has of its id, ``event_time`` (UTC
            milliseconds), texts, version, latency, cost, tokens and slices.
    """

    rows: Sequence[dict[str, Any]]
    missing: Sequence[str]


def samples_of(store: MonitorStore, alert: Alert) -> AlertSamples:
    """Read the rows that an alert names from the window that opened it."""
    if not alert.samples:
        return AlertSamples([], [])
    import pyarrow as pa
    import pyarrow.compute as pc

    monitor = store.monitor(alert.monitor)
    columns = store.definition(monitor).spec.source.columns
    table = RawStore(store.folder(monitor) / "raw", schema(columns)).read(alert.opened_at, alert.opened_until)
    wanted = table.filter(pc.is_in(table["id"], value_set=pa.array(list(alert.samples), pa.string())))
    names = [name for name in wanted.column_names if name in _SHOWN or name.startswith("slice.")]
    found = {str(row["id"]): _told(row) for row in wanted.select(names).to_pylist()}
    return AlertSamples(
        [found[name] for name in alert.samples if name in found], [name for name in alert.samples if name not in found]
    )


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value[:_LONGEST] if isinstance(value, str) else value for name, value in row.items() if value is not None
    }
