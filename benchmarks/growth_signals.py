"""Stores with many signals, made in bulk: hourly windows of 40 signals each, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Engine, text

from benchmarks.pages_store import CHECKS, KEYS
from evalkit.monitoring.levels import restate
from registry.database import writing
from registry.tables import DEFAULT_WORKSPACE
from registry.tables_monitoring import MonitorRow, WindowRow

HOUR = 3_600_000
YEARS = 2
WINDOWS = YEARS * 365 * 24
"""Of each monitor: two years of hours."""
END = 1_790_000_000_000 // HOUR * HOUR
EACH = len(CHECKS) * KEYS


def _numbers() -> Iterator[str]:
    """The 40 numbers of a window as rows of SQL."""
    for position in range(EACH):
        check, key = CHECKS[position // KEYS], position % KEYS
        name = check if key == 0 else f"{check}.{key}" if key < 3 else check
        slice_ = "" if key < 3 else f"language={('de', 'en')[key - 3]}"
        yield f"SELECT {position} AS position, '{check}' AS name, '{name}' AS key, '{slice_}' AS slice"


_COLUMNS = (
    'id, workspace, created_at, monitor_id, window_id, start, position, "check", key, slice, value, low, high, n, '
    "coverage, verdict, reason, p_value, record, samples"
)
_RECORD = json.dumps({
    "value": 0.05, "low": 0.03, "high": 0.07, "n": 5000, "effective_n": None, "coverage": 1.0, "worst_low": 0.05,
    "worst_high": 0.05, "spread": None, "method": "wilson", "estimand": "rate", "confidence": 0.95,
})  # fmt: skip
_SAMPLES = json.dumps([f"row-{i}" for i in range(5)])


def add_monitors(engine: Engine, names: list[str], windows: int, template: MonitorRow) -> list[str]:
    """Monitors of so many hourly windows up to `END`, with all their signals and levels; return their keys."""
    keys = []
    for name in names:
        key = f"growth-{name}"
        with writing(engine) as session:
            columns = {c.key: getattr(template, c.key) for c in MonitorRow.__table__.columns}
            session.add(MonitorRow(**{**columns, "id": key, "name": name, "last_event": END}))
            session.flush()
            rows = [_window(key, number, windows) for number in range(windows)]
            session.execute(WindowRow.__table__.insert(), rows)  # type: ignore[attr-defined]
            session.execute(
                text(_insert(engine.dialect.name)), {"monitor": key, "record": _RECORD, "samples": _SAMPLES}
            )
        with writing(engine) as session:
            restate(session, key, "hour", rows[-1]["start"])
        keys.append(key)
    return keys


def _insert(dialect: str) -> str:
    numbers = " UNION ALL ".join(_numbers())
    value = "0.05 + 0.0001 * ((w.rows + p.position) % 100)"
    record, samples = (
        (":record", ":samples") if dialect == "sqlite" else ("CAST(:record AS JSON)", "CAST(:samples AS JSON)")
    )
    return (  # only our own words
        f"INSERT INTO evalkit_signals ({_COLUMNS}) SELECT w.id || '-' || p.position, w.workspace, w.created_at, "
        f"w.monitor_id, w.id, w.start, p.position, p.name, p.key, p.slice, {value}, {value} - 0.02, "
        f"{value} + 0.02, 5000, 1.0, 'measured', '', NULL, {record}, {samples} "
        f"FROM evalkit_windows w CROSS JOIN ({numbers}) p WHERE w.monitor_id = :monitor"
    )


def _window(monitor: str, number: int, windows: int) -> dict[str, object]:
    start = END - (windows - number) * HOUR
    return {
        "id": f"{monitor[-12:]}-{number:08d}", "workspace": DEFAULT_WORKSPACE, "created_at": start + HOUR,
        "monitor_id": monitor, "version_digest": "sha256:growth", "cadence": "hour", "start": start,
        "end": start + HOUR, "revision": 1, "newest": True, "status": "ok", "rows": 5_000 + number % 97, "late": 0,
        "watermark": {}, "contract": None, "notes": [], "usage": {}, "finished_at": start + HOUR,
    }  # fmt: skip
