"""Monitors on schedules: made, paused and removed together with the monitor, run by workers or by other schedulers."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from evalkit.config import Settings
from evalkit.jobs.schedules import Schedule, Schedules
from evalkit.monitoring.cadence import utc_text
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.engine import Run
from evalkit.monitoring.fields import utc_now
from evalkit.monitoring.lease import drop_silent
from evalkit.monitoring.records import FAILED, MonitorRecord, RunReport
from evalkit.monitoring.running import run_and_record
from evalkit.monitoring.store import ACTIVE, PAUSED, MonitorStore
from evalkit.monitoring.timetable import timetable
from evalkit.own_database import own_url
from metrics.errors import InputError
from registry.firings import Firing, FiringRecord
from registry.firings import history as firings
from registry.leases import LeaseHeldError

KIND = "monitor"
"""Of the schedules of monitors."""
PATIENCE = 600.0
"""Seconds that a firing waits for another process that runs the monitor."""

_log = logging.getLogger("evalkit.monitoring")


@dataclass(frozen=True, slots=True)
class Job:
    """A monitor's schedule.

    Attributes:
        schedule: None where the monitor was applied without one.
        latest: its firing that was due last.
    """

    monitor: MonitorRecord
    schedule: Schedule | None
    latest: FiringRecord | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of running a monitor; `error` is None where all went well."""

    monitor: str
    report: RunReport | None
    error: str | None


def schedule_name(monitor: str) -> str:
    """Name of a monitor's schedule."""
    return f"{KIND}:{monitor}"


def schedules_of(settings: Settings) -> Schedules:
    """The project's schedules."""
    return Schedules(own_url(settings, "jobs"))


def put_schedule(settings: Settings, definition: Definition) -> Schedule:
    """Make a monitor's schedule, or change it to what its file says now."""
    when = timetable(definition)
    return schedules_of(settings).apply(
        schedule_name(definition.name), when.cron, kind=KIND, target=definition.name, timezone=when.timezone,
        catch_up=definition.spec.catch_up,
    )  # fmt: skip


def pause(settings: Settings, store: MonitorStore, name: str) -> MonitorRecord:
    """Stop running a monitor by itself; asked for, it still runs."""
    paused = store.set_status(name, PAUSED)
    schedules = schedules_of(settings)
    if schedules.get(schedule_name(name)) is not None:
        schedules.pause(schedule_name(name))
    return paused


def resume(settings: Settings, store: MonitorStore, name: str) -> MonitorRecord:
    """Run a monitor by itself again; windows of the pause are computed with the next run."""
    put_schedule(settings, store.definition(store.monitor(name)))
    schedules_of(settings).resume(schedule_name(name))
    return store.set_status(name, ACTIVE)


def remove(settings: Settings, store: MonitorStore, name: str) -> None:
    """Remove a monitor with its schedule, rows, windows, signals and reports."""
    store.monitor(name)
    schedules = schedules_of(settings)
    if schedules.get(schedule_name(name)) is not None:
        schedules.remove(schedule_name(name))
    store.remove(name)


def trigger(settings: Settings, store: MonitorStore, name: str) -> str:
    """Queue a run for whichever worker is free; returns the firing's key.

    Raises:
        InputError: no such monitor, or it is paused.
    """
    monitor = store.monitor(name)
    if monitor.status == PAUSED:
        raise InputError(f"the monitor '{name}' is paused; `evalkit monitor resume {name}` first")
    schedules = schedules_of(settings)
    if schedules.get(schedule_name(name)) is None:
        put_schedule(settings, store.definition(monitor))
    return schedules.trigger(schedule_name(name))


def jobs(settings: Settings, store: MonitorStore, name: str | None = None) -> list[Job]:
    """Monitors with their schedules and what came of the latest firing, by name."""
    monitors = store.monitors() if name is None else [store.monitor(name)]
    known = {schedule.name: schedule for schedule in schedules_of(settings).all()}
    found = []
    for monitor in monitors:
        title = schedule_name(monitor.name)
        latest = next(iter(firings(store.engine, schedule=title, limit=1)), None)
        found.append(Job(monitor, known.get(title), latest))
    return found


def run_due(
    settings: Settings, store: MonitorStore, names: Sequence[str] = (), *, now: int | None = None
) -> list[Outcome]:
    """Run each monitor that is not paused once, or those named; one that fails leaves the others their run."""
    for name in names:
        store.monitor(name)
    chosen = [one for one in store.monitors() if one.status == ACTIVE and (not names or one.name in names)]
    return [_outcome(settings, store, one.name, now) for one in chosen]


def _outcome(settings: Settings, store: MonitorStore, name: str, now: int | None) -> Outcome:
    try:
        report = run_and_record(settings, store, name, Run.due, now=now)
    except Exception as error:  # told, and the exit code says so; the other monitors are not to blame
        if not isinstance(error, InputError):
            _log.exception("the monitor '%s' failed", name)
        return Outcome(name, None, str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
    return Outcome(name, report, failure(report))


def failure(report: RunReport) -> str | None:
    """What went wrong in the windows of a run; None where nothing did."""
    failed = [result.window for result in report.windows if result.window.status == FAILED]
    if not failed:
        return None
    first = failed[0]
    why = first.notes[0] if first.notes else "no check could be computed"
    return f"{len(failed)} of {len(report.windows)} windows failed; that of {utc_text(first.start)}: {why}"


class MonitorFirings:
    """What workers do when a monitor's schedule fires.

    A window is stored under the monitor's lease, together with the check that the lease still stands, and a window that
    is there already is not due. So a firing that is taken over doubles nothing: whoever still works on it has lost the
    lease, and its windows are refused.

    Args:
        settings: of the project.
        engine: the registry's database.
        patience: seconds to wait for another process that runs the monitor.
    """

    def __init__(self, settings: Settings, engine: Engine, *, patience: float = PATIENCE) -> None:
        self._settings, self._patience = settings, patience
        self._store = MonitorStore(engine, settings.home)

    def __call__(self, firing: Firing, target: str) -> None:
        """Run the monitor that a firing names; raises `InputError` where windows failed."""
        monitor = self._store.monitor(target)
        if monitor.status == PAUSED:
            return
        problem = failure(self._run(monitor, firing))
        if problem is not None:
            raise InputError(problem)

    def _run(self, monitor: MonitorRecord, firing: Firing) -> RunReport:
        end = time.monotonic() + self._patience
        while True:
            drop_silent(self._store.engine, firing.workspace, monitor.lease_key)
            try:
                # A clock that is behind that of the schedule must not leave the window for another cadence
                now = max(utc_now(), firing.due)
                return run_and_record(self._settings, self._store, monitor.name, Run.due, now=now)
            except LeaseHeldError:
                if time.monotonic() >= end:
                    raise


def job_json(job: Job) -> dict[str, Any]:
    """A job, JSON-ready; times as ISO 8601 texts."""
    schedule, latest = job.schedule, job.latest
    return {
        "monitor": job.monitor.name,
        "status": job.monitor.status,
        "cron": None if schedule is None else schedule.cron,
        "timezone": None if schedule is None else schedule.timezone,
        "catch_up": None if schedule is None else schedule.catch_up,
        "last": None if schedule is None else _moment(schedule.last),
        "next": None if schedule is None else _moment(schedule.next),
        "latest": None if latest is None else asdict(latest),
    }


def _moment(given: datetime | None) -> str | None:
    return None if given is None else given.isoformat().replace("+00:00", "Z")
