"""Monitors, their windows, signals and schedules."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from evalkit.server.api.schema.base import In, Out


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


class MonitorIn(In):
    """A monitor's file, and the texts that it names: its contract, files of judges, tables of pairs."""

    text: str = Field(max_length=1_000_000, description="YAML.")
    files: dict[str, str] = Field(default_factory=dict, max_length=50, description="Name in the monitor to text.")


class ScheduleOut(Out):
    """When workers run a monitor."""

    cron: str
    timezone: str
    catch_up: str
    paused: bool


class AppliedOut(Out):
    """A monitor that was applied: `new`, `changed` or `unchanged`."""

    monitor: MonitorOut
    change: str
    checks: list[str]
    schedule: ScheduleOut


class ContractOut(Out):
    """A data contract that was derived."""

    text: str = Field(description="YAML, for people to edit.")
    expectations: int


class ExplainedOut(Out):
    """A window with all its revisions, oldest first, and the signals of the newest one."""

    revisions: list[WindowOut]
    signals: list[SignalOut]


class RolledSignalOut(Out):
    """One estimate of a longer window; `slice` is empty for all rows."""

    check: str
    key: str
    slice: str
    estimate: dict[str, Any]
    verdict: str
    reason: str
    samples: list[str]


class RolledOut(Out):
    """A longer window ``[start, end)`` that is made of the monitor's own."""

    start: int
    end: int
    rows: int = Field(description="Of the windows that were counted.")
    parts: int = Field(description="Windows that it is made of.")
    missing: int = Field(description="Windows with rows whose states are gone.")
    stored: bool = Field(description="Rolled up before states were dropped.")
    signals: list[RolledSignalOut]


class PruneIn(In):
    """What to drop."""

    dry_run: bool = Field(default=False, description="Say what would be dropped; nothing changes.")


class PrunedOut(Out):
    """What was dropped, or would be."""

    monitor: str
    days: list[str] = Field(description="UTC days whose raw rows go.")
    windows: int = Field(description="Windows that lose their states.")
    rolled: int = Field(description="Longer windows that are stored in their place.")
