"""Monitors, their windows, signals and schedules."""

from __future__ import annotations

from typing import Any

from evalkit.server.api.schema.base import Out


class WindowOut(Out):
    """One revision of a window ``[start, end)``: `ok`, `no data`, `contract` (broken) or `failed`."""

    id: str
    cadence: str
    start: int
    end: int
    revision: int
    status: str
    rows: int
    late: int
    version_digest: str
    notes: list[str]
    usage: dict[str, Any]
    contract: dict[str, Any] | None
    finished_at: int


class MonitorOut(Out):
    """A monitor, with its newest window; `refused` counts rows that could not be taken."""

    id: str
    name: str
    status: str
    model: str | None
    digest: str
    first_event: int | None
    last_event: int | None
    refused: dict[str, int]
    window: WindowOut | None
    text: str | None = None


class SignalOut(Out):
    """One estimate of one window; `slice` is empty for all rows."""

    window: str
    start: int
    end: int
    check: str
    key: str
    slice: str
    estimate: dict[str, Any]
    verdict: str
    reason: str
    samples: list[str]


class FiringOut(Out):
    """One firing of a schedule: `done`, `failed`, or null while it is under way."""

    key: str
    due: int
    attempts: int
    executor: str
    started_at: int
    finished_at: int | None
    outcome: str | None
    error: str | None


class JobOut(Out):
    """A monitor's schedule, null where it has none, and its latest firings; `last` and `next` are ISO 8601."""

    monitor: str
    status: str
    cron: str | None
    timezone: str | None
    catch_up: str | None
    last: str | None
    next: str | None
    firings: list[FiringOut]


class QueuedOut(Out):
    """A run that waits for a worker; `workers` says how many live."""

    key: str
    workers: int
