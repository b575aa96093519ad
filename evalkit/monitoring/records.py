"""What is known of monitors, windows and signals, as others read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from evalkit.monitoring.cadence import utc_text
from evalkit.monitoring.checks.base import Signal

OK, EMPTY, FAILED = "ok", "no data", "failed"
"""States of a window; a broken contract is one more."""


@dataclass(frozen=True, slots=True)
class MonitorRecord:
    """A monitor.

    Attributes:
        status: ``active`` or ``paused``.
        digest: of what its file says now.
        watermark: how far its source was read.
        reads: how often.
        first_event, last_event: event times that were seen, UTC milliseconds.
        refused: reason to the rows that could not be taken.
    """

    id: str
    name: str
    status: str
    model: str | None
    digest: str
    source_digest: str
    watermark: Mapping[str, Any]
    reads: int
    first_event: int | None
    last_event: int | None
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """One revision of a window ``[start, end)``.

    Attributes:
        status: ``ok``, ``no data``, ``contract`` or ``failed``.
        late: rows that came in after it was computed; the next run restates it.
        usage: what its judges cost.
    """

    id: str
    cadence: str
    start: int
    end: int
    revision: int
    status: str
    rows: int
    late: int
    version_digest: str
    notes: Sequence[str]
    usage: Mapping[str, Any]
    contract: Mapping[str, Any] | None
    finished_at: int
    newest: bool = True


@dataclass(frozen=True, slots=True)
class StoredSignal:
    """A signal with the check and the window that it belongs to."""

    check: str
    window: WindowRecord
    signal: Signal


@dataclass(frozen=True, slots=True)
class WindowResult:
    """A window as a run left it; `signals` by the address of their check."""

    window: WindowRecord
    signals: Mapping[str, Sequence[Signal]] = field(default_factory=dict)
    changed: bool = True


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did.

    Attributes:
        monitor: its name.
        read: rows that came in.
        late: windows that late rows restated.
        windows: those that were computed, oldest first.
        refused: reason to rows that could not be taken, in this run.
    """

    monitor: str
    read: int
    late: int
    windows: Sequence[WindowResult]
    refused: Mapping[str, int]


def signal_json(check: str, signal: Signal) -> dict[str, Any]:
    """A signal, JSON-ready."""
    return {
        "check": check,
        "key": signal.key,
        "slice": signal.slice,
        "estimate": signal.estimate.to_json(),
        "verdict": signal.verdict,
        "reason": signal.reason,
        "samples": list(signal.samples),
    }


def window_json(window: WindowRecord) -> dict[str, Any]:
    """A window, JSON-ready, its times as texts."""
    return asdict(window) | {
        "start": utc_text(window.start),
        "end": utc_text(window.end),
        "finished_at": utc_text(window.finished_at),
    }


def report_json(report: RunReport) -> dict[str, Any]:
    """A run, JSON-ready."""
    return {
        "monitor": report.monitor,
        "read": report.read,
        "late": report.late,
        "refused": dict(report.refused),
        "windows": [
            window_json(result.window)
            | {
                "changed": result.changed,
                "signals": [signal_json(check, s) for check, found in result.signals.items() for s in found],
            }
            for result in report.windows
        ],
    }
