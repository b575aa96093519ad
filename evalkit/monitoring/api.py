"""Monitors from Python: ``evalkit.monitor.apply("monitor.yaml")``, ``.run(name)``, ``.history(name)``.

Every function works on the project of the working folder unless `settings` names another. Bad input raises
`InputError` with one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.config import Settings, load_settings
from evalkit.monitoring.cadence import parse_moment
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.engine import Run, Span, prune_monitor
from evalkit.monitoring.records import MonitorRecord, RunReport, StoredSignal, WindowRecord
from evalkit.monitoring.retention import Pruned
from evalkit.monitoring.rollup import Rolled, roll_up
from evalkit.monitoring.running import run_and_record
from evalkit.monitoring.store import MonitorStore
from evalkit.runner.progress import Report
from metrics.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from evalkit.jobs.schedules import Schedule
    from evalkit.monitoring.scheduling import Job, Outcome
    from evalkit.reports.contract import Contract

__all__ = [
    "Applied", "Explained", "apply", "backfill", "contract", "definition", "explain", "history", "jobs",
    "list_monitors", "pause", "prune", "remove", "resume", "roll", "run", "run_due",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Applied:
    """A monitor that was applied; `change` is ``new``, ``changed`` or ``unchanged``; `schedule` is when it will run."""

    monitor: MonitorRecord
    change: str
    checks: Sequence[str]
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """Everything behind a window: its revisions, oldest first, and the signals of the newest one."""

    monitor: MonitorRecord
    revisions: Sequence[WindowRecord]
    signals: Sequence[StoredSignal]


def apply(path: str | Path, *, schedule: bool = True, settings: Settings | None = None) -> Applied:
    """Make a monitor from its file, or change the one of that name; its windows so far stay as they are.

    With `schedule`, workers (``evalkit worker``) run it whenever windows become due; a paused monitor stays paused.
    """
    found = Definition.load(path)
    with open_store(settings) as (resolved, store):
        return put(resolved, store, found, schedule=schedule)


def put(settings: Settings, store: MonitorStore, given: Definition, *, schedule: bool = True) -> Applied:
    """Make a monitor from what was read of it, or change the one of that name."""
    from registry.actors import intent

    if given.spec.contract is not None:
        from evalkit.monitoring.contracts import load_contract

        load_contract(given)
    made, change = store.save(given, intent().actor.name)
    when = None
    if schedule:
        from evalkit.monitoring.scheduling import put_schedule

        when = put_schedule(settings, given)
    return Applied(made, change, tuple(check.address for check in given.checks), when)


def definition(name: str, *, settings: Settings | None = None) -> Definition:
    """A monitor as it was last applied."""
    with open_store(settings) as (_, store):
        return store.definition(store.monitor(name))


def contract(name: str, *, settings: Settings | None = None) -> Contract:
    """Derive a data contract from the windows that a monitor has learnt from so far."""
    from evalkit.monitoring.contracts import from_baseline

    with open_store(settings) as (_, store):
        return from_baseline(store, name)


def pause(name: str, *, settings: Settings | None = None) -> MonitorRecord:
    """Stop running a monitor by itself; `run` still runs it."""
    from evalkit.monitoring import scheduling

    with open_store(settings) as (resolved, store):
        return scheduling.pause(resolved, store, name)


def resume(name: str, *, settings: Settings | None = None) -> MonitorRecord:
    """Run a monitor by itself again; windows of the pause are computed with the next run."""
    from evalkit.monitoring import scheduling

    with open_store(settings) as (resolved, store):
        return scheduling.resume(resolved, store, name)


def remove(name: str, *, settings: Settings | None = None) -> None:
    """Remove a monitor with its schedule, rows, windows, signals and reports."""
    from evalkit.monitoring import scheduling

    with open_store(settings) as (resolved, store):
        scheduling.remove(resolved, store, name)


def run_due(names: Sequence[str] = (), *, now: int | None = None, settings: Settings | None = None) -> list[Outcome]:
    """Run each monitor that is not paused once, or those named; for schedulers that are not evalkit's own."""
    from evalkit.monitoring import scheduling

    with open_store(settings) as (resolved, store):
        return scheduling.run_due(resolved, store, names, now=now)


def jobs(name: str | None = None, *, settings: Settings | None = None) -> list[Job]:
    """Schedules of all monitors, or of one, and what came of their latest firings."""
    from evalkit.monitoring import scheduling

    with open_store(settings) as (resolved, store):
        return scheduling.jobs(resolved, store, name)


def list_monitors(*, settings: Settings | None = None) -> list[tuple[MonitorRecord, WindowRecord | None]]:
    """All monitors by name, each with its newest window."""
    with open_store(settings) as (_, store):
        return [(monitor, next(reversed(store.windows(monitor)), None)) for monitor in store.monitors()]


def run(
    name: str, *, window: str | None = None, now: int | None = None, progress: Report | None = None,
    settings: Settings | None = None,
) -> RunReport:  # fmt: skip
    """Read what is new and compute the windows that are due, and restate those that late rows belong to.

    Args:
        name: of the monitor.
        window: compute the windows that hold this moment instead, as ``2026-05-01`` or ``2026-05-01T06:00Z``.
        now: what time it is, UTC milliseconds; for replays.
        progress: told after each window.
        settings: of another project.

    Raises:
        InputError: no such monitor, a source that cannot be read, another process that runs it now.
    """
    moment = None if window is None else parse_moment(window)

    def choose(one: Run) -> Sequence[Span]:
        return one.due() if moment is None else one.holding(moment)

    with open_store(settings) as (resolved, store):
        return run_and_record(resolved, store, name, choose, now=now, progress=progress)


def backfill(
    name: str, start: str, end: str, *, again: bool = False, now: int | None = None, progress: Report | None = None,
    settings: Settings | None = None,
) -> RunReport:  # fmt: skip
    """Compute the windows in ``[start, end)`` that are missing or are of an older version of the monitor.

    Args:
        name: of the monitor.
        start: as ``2026-05-01`` or ``2026-05-01T06:00Z``.
        end: likewise; the first moment after the range.
        again: compute all of them.
        now: what time it is, UTC milliseconds; for replays.
        progress: told after each window.
        settings: of another project.
    """
    first, last = parse_moment(start), parse_moment(end)
    if last <= first:
        raise InputError(f"the range ends ({end}) before it begins ({start})")
    with open_store(settings) as (resolved, store):
        return run_and_record(
            resolved, store, name, lambda one: one.within(first, last, again=again), now=now, progress=progress
        )


def history(
    name: str, *, check: str | None = None, key: str | None = None, slice_: str | None = "", since: str | None = None,
    until: str | None = None, settings: Settings | None = None,
) -> list[StoredSignal]:  # fmt: skip
    """Signals over time, oldest first; of all rows unless `slice_` names a slice (None: all slices)."""
    with open_store(settings) as (_, store):
        monitor = store.monitor(name)
        if check is not None:
            _check_named(store.definition(monitor), check)
        return store.signals(
            monitor, check=check, key=key, slice_=slice_,
            since=None if since is None else parse_moment(since), until=None if until is None else parse_moment(until),
        )  # fmt: skip


def roll(
    name: str, level: str, *, check: str = "operational", since: str | None = None, until: str | None = None,
    settings: Settings | None = None,
) -> list[Rolled]:  # fmt: skip
    """Signals of a check over longer windows (``day``, ``week``, ``month``), from states alone: no row is read."""
    with open_store(settings) as (_, store):
        return rolled(store, name, level, check, since=since, until=until)


def rolled(
    store: MonitorStore, name: str, level: str, check: str, *, since: str | None = None, until: str | None = None
) -> list[Rolled]:
    """Signals of a check of a store's monitor over longer windows."""
    monitor = store.monitor(name)
    found = store.definition(monitor)
    number = _check_named(found, check)
    return roll_up(
        store, monitor, found.checks[number], level,
        since=None if since is None else parse_moment(since), until=None if until is None else parse_moment(until),
    )  # fmt: skip


def prune(
    name: str | None = None, *, dry_run: bool = False, now: int | None = None, settings: Settings | None = None
) -> list[Pruned]:
    """Drop raw rows and states that are older than monitors keep them; of all monitors unless one is named.

    Args:
        name: of a monitor.
        dry_run: say what would be dropped; nothing changes.
        now: what time it is, UTC milliseconds; for replays.
        settings: of another project.
    """
    with open_store(settings) as (resolved, store):
        names = [one.name for one in store.monitors()] if name is None else [name]
        return [prune_monitor(resolved, store, one, dry_run=dry_run, now=now) for one in names]


def explain(name: str, window: str, *, settings: Settings | None = None) -> list[Explained]:
    """What is behind the windows that hold a moment: one entry for each cadence of the monitor."""
    with open_store(settings) as (_, store):
        return explained(store, name, window)


def explained(store: MonitorStore, name: str, window: str) -> list[Explained]:
    """What is behind the windows of a monitor of a store that hold a moment."""
    moment = parse_moment(window)
    monitor = store.monitor(name)
    cadences = {check.cadence.text: check.cadence for check in store.definition(monitor).checks}
    found = []
    for cadence in cadences.values():
        start, _end = cadence.window(moment)
        span = {"cadence": cadence.text, "since": start, "until": start + 1}
        revisions = store.windows(monitor, revisions=True, **span)  # type: ignore[arg-type]
        if revisions:
            found.append(Explained(monitor, revisions, store.signals(monitor, **span)))  # type: ignore[arg-type]
    if not found:
        raise InputError(f"no window of '{name}' that holds {window} was computed; see `evalkit monitor history`")
    return found


@contextmanager
def open_store(settings: Settings | None = None) -> Iterator[tuple[Settings, MonitorStore]]:
    """The monitors of a project, for as long as the context lasts."""
    from evalkit.session import open_database

    resolved = settings or load_settings()
    resolved.home.mkdir(parents=True, exist_ok=True)
    with open_database(resolved) as engine:
        yield resolved, MonitorStore(engine, resolved.home)


def _check_named(definition: Definition, address: str) -> int:
    known = [check.address for check in definition.checks]
    if address not in known:
        raise InputError(f"no check '{address}'{did_you_mean(address, known)}; the monitor has {', '.join(known)}")
    return known.index(address)
