"""Rows of the database as the records that monitoring hands out."""

from __future__ import annotations

from evalkit.monitoring.checks.base import Signal, Verdict
from evalkit.monitoring.records import MonitorRecord, WindowRecord
from metrics.base import Estimate
from registry.tables_monitoring import MonitorRow, SignalRow, WindowRow


def monitor_record(row: MonitorRow) -> MonitorRecord:
    """A monitor as its row has it."""
    return MonitorRecord(
        row.id, row.name, row.status, row.model, row.digest, row.source_digest, dict(row.watermark), row.reads,
        row.first_event, row.last_event, dict(row.refused),
    )  # fmt: skip


def window_record(row: WindowRow) -> WindowRecord:
    """A window as its row has it."""
    return WindowRecord(
        row.id, row.cadence, row.start, row.end, row.revision, row.status, row.rows, row.late, row.version_digest,
        list(row.notes), dict(row.usage), row.contract, row.finished_at, row.newest,
    )  # fmt: skip


def signal_record(row: SignalRow) -> Signal:
    """A signal as its row has it."""
    verdict: Verdict = row.verdict  # type: ignore[assignment]
    return Signal(
        row.key, row.slice, Estimate.from_json(row.record), verdict, row.reason, tuple(row.samples), row.p_value
    )
