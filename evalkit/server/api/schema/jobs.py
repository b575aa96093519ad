"""Schedules, their firings, workers and what waits for them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evalkit.server.api.schema.base import Number, Out
from evalkit.server.api.schema.monitors import FiringOut

State = Literal["overdue", "failed", "running", "ok", "waiting", "paused"]


class ScheduleFiringOut(FiringOut):
    """A firing with its schedule; `seconds` is null while it runs, `error` says why it failed."""

    schedule: str
    seconds: Number


class ScheduleOut(Out):
    """A schedule: `waiting` never fired; `overdue` has missed a firing, or one hangs."""

    name: str
    kind: str = Field(description="`monitor`.")
    target: str = Field(description="What it runs: the monitor's name.")
    cron: str
    timezone: str
    catch_up: str
    state: State
    next: int | None
    latest: ScheduleFiringOut | None = Field(description="The firing that was due last.")


class WorkerOut(Out):
    """A worker process that was heard of in the last days."""

    executor: str
    host: str
    pid: int
    started_at: int
    heartbeat_at: int
    alive: bool


class WaitingOut(Out):
    """Work of one kind: what is not done, the oldest of it, and what failed in the last 30 days."""

    kind: str
    open: int
    oldest: int | None
    failed: int


class AttemptOut(Out):
    """An attempt that ended."""

    at: int
    outcome: str
    detail: str


class WorkItemOut(Out):
    """One thing that workers do, or did; `outcome` is null until it is done."""

    id: str
    workspace: str
    kind: str
    about: str = Field(description="The version, or what else it is about.")
    body: dict[str, Any] | None = Field(description="All of that, where an admin has asked for it.")
    created_at: int
    due_at: int
    attempts: int
    running: bool
    done_at: int | None
    outcome: str | None
    log: list[AttemptOut]
