"""Schedules: what fires when, once, whatever number of workers there is.

DBOS keeps the schedules and gives each firing an id that all workers agree on. What it leaves to us: firings that fell
into a time without any worker, and work that a dead worker had begun (`evalkit.jobs.host`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypedDict, cast
from zoneinfo import ZoneInfo

from croniter import croniter
from dbos import DBOS

from evalkit.jobs.launching import launch
from metrics.errors import InputError
from registry.digests import now_ms

QUEUE = "evalkit-scheduled"
"""Where firings wait for a worker."""
WORKFLOW = "evalkit.scheduled"
CatchUp = Literal["skip", "latest", "all"]
GRACE = timedelta(seconds=60)
"""A time without workers that is no downtime: a restart. Nothing of it is skipped."""
_LOOK_BACK = timedelta(seconds=120)


class Context(TypedDict):
    """What a firing carries.

    Attributes:
        name: of the schedule.
        kind: which handler of the worker does it.
        target: what it is about, such as a monitor's name.
        since: UTC milliseconds from which firings count: of its making, or of the end of a pause.
        catch_up: which firings of a downtime are made up for.
    """

    name: str
    kind: str
    target: str
    since: int
    catch_up: CatchUp


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it stands; `last` is when it fired last and `next` when it will, UTC."""

    name: str
    cron: str
    timezone: str
    kind: str
    target: str
    catch_up: CatchUp
    paused: bool
    last: datetime | None
    next: datetime | None


class Schedules:
    """The schedules of a store.

    Args:
        store: SQLAlchemy URL of DBOS's store, as `own_url` says it for ``jobs``.
    """

    def __init__(self, store: str) -> None:
        self._store = store

    def apply(
        self, name: str, cron: str, *, kind: str, target: str, timezone: str = "UTC", catch_up: CatchUp = "latest"
    ) -> Schedule:
        """Make or change a schedule; one that stays as it is goes on as it was, and a paused one stays paused.

        Args:
            name: of the schedule.
            cron: five fields, or six with seconds first.
            kind: which handler does the work.
            target: what it works on.
            timezone: in which the fields are read, such as ``Europe/Berlin``.
            catch_up: after a downtime do nothing, the latest missed firing, or all of them.

        Raises:
            InputError: the cron line or the time zone cannot be read.
        """
        check_cron(cron, timezone)
        self._open()
        known = self.get(name)
        if known is not None and (known.cron, known.timezone, known.kind, known.target, known.catch_up) == (
            cron,
            timezone,
            kind,
            target,
            catch_up,
        ):
            return known
        context = Context(name=name, kind=kind, target=target, since=now_ms(), catch_up=catch_up)
        self._put(name, cron, timezone, context)
        return self._one(name)

    def remove(self, name: str) -> None:
        """Delete a schedule; firings under way end as they will."""
        self._one(name)
        DBOS.delete_schedule(name)

    def pause(self, name: str) -> Schedule:
        """Stop firing until `resume`."""
        self._one(name)
        DBOS.pause_schedule(name)
        return self._one(name)

    def resume(self, name: str) -> Schedule:
        """Fire again from now on; what fell into the pause is not made up for."""
        found = self._one(name)
        if found.paused:
            context = Context(name=name, kind=found.kind, target=found.target, since=now_ms(), catch_up=found.catch_up)
            self._put(name, found.cron, found.timezone, context)
            DBOS.resume_schedule(name)
        return self._one(name)

    def trigger(self, name: str) -> str:
        """Fire once now, beside the schedule; returns the firing's key."""
        self._one(name)
        return str(DBOS.trigger_schedule(name).workflow_id)

    def backfill(self, name: str, start: datetime, end: datetime) -> list[str]:
        """Fire what was due in ``start <= t < end`` and did not fire; returns the keys of all firings of that time."""
        self._one(name)
        before = start - timedelta(microseconds=1)  # DBOS leaves the start out
        return [str(handle.workflow_id) for handle in DBOS.backfill_schedule(name, before, end)]

    def get(self, name: str) -> Schedule | None:
        """A schedule by name."""
        launch(self._store)  # reading writes nothing, not even the queue
        found = DBOS.get_schedule(name)
        return None if found is None else _schedule(found)

    def all(self) -> list[Schedule]:
        """All schedules, by name."""
        launch(self._store)  # reading writes nothing, not even the queue
        return sorted((_schedule(found) for found in DBOS.list_schedules()), key=lambda schedule: schedule.name)

    def catch_up(self, now: datetime | None = None) -> None:
        """Queue what was due and did not fire while no worker lived, as each schedule says.

        May be called at any time by any number of workers: a firing that was queued is not queued again.
        """
        self._open()
        for raw in DBOS.list_schedules(status="ACTIVE"):
            for start, end in _missed(raw, now or datetime.now(UTC)):
                if start < end:
                    DBOS.backfill_schedule(raw["schedule_name"], start, end)

    def _open(self) -> None:
        launch(self._store)
        DBOS.register_queue(QUEUE, on_conflict="never_update")  # how many at a time is for the workers to say

    def _put(self, name: str, cron: str, timezone: str, context: Context) -> None:
        from evalkit.jobs.host import scheduled

        DBOS.apply_schedules(
            [
                {
                    "schedule_name": name,
                    "workflow_fn": cast("Any", scheduled),
                    "schedule": cron,
                    "context": dict(context),
                    "cron_timezone": timezone,
                    "queue_name": QUEUE,
                }
            ]
        )

    def _one(self, name: str) -> Schedule:
        self._open()
        found = self.get(name)
        if found is None:
            known = ", ".join(schedule.name for schedule in self.all()) or "none"
            raise InputError(f"there is no schedule '{name}'; known are {known}")
        return found


def check_cron(cron: str, timezone: str = "UTC") -> None:
    """Raise `InputError` where a cron line or a time zone cannot be read."""
    if len(cron.split()) not in {5, 6} or not croniter.is_valid(cron, second_at_beginning=True):
        raise InputError(f"cron '{cron}' cannot be read; expected five fields such as '0 6 * * *' (six with seconds)")
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise InputError(f"there is no time zone '{timezone}'; write it like Europe/Berlin") from None


def due_times(cron: str, timezone: str, start: datetime, end: datetime) -> list[datetime]:
    """When a cron line is due in ``start <= t < end``, UTC."""
    walk = croniter(cron, (start - timedelta(microseconds=1)).astimezone(ZoneInfo(timezone)), second_at_beginning=True)
    found: list[datetime] = []
    while (moment := walk.get_next(datetime)) < end:
        found.append(moment.astimezone(UTC))
    return found


def due_after(cron: str, timezone: str, after: datetime) -> datetime:
    """When a cron line is due next after a moment, UTC.

    What was found is remembered: it stays true until that moment has passed, and a list of hundreds of schedules would
    otherwise spend most of its time on it.
    """
    known = _DUE.setdefault((cron, timezone), [])
    for since, due in known:
        if since <= after < due:
            return due
    walk = croniter(cron, after.astimezone(ZoneInfo(timezone)), second_at_beginning=True)
    found = cast("datetime", walk.get_next(datetime)).astimezone(UTC)
    known[:] = [(after, found), *known[: _REMEMBERED - 1]]
    if len(_DUE) > _LINES:
        _DUE.clear()
    return found


_DUE: dict[tuple[str, str], list[tuple[datetime, datetime]]] = {}
_REMEMBERED, _LINES = 8, 5_000
"""Spans that are remembered of one cron line, and cron lines."""


def _schedule(raw: Mapping[str, Any]) -> Schedule:
    context = _context(raw)
    paused = raw["status"] != "ACTIVE"
    ahead = due_after(raw["schedule"], raw["cron_timezone"] or "UTC", datetime.now(UTC))
    return Schedule(
        name=raw["schedule_name"],
        cron=raw["schedule"],
        timezone=raw["cron_timezone"] or "UTC",
        kind=context["kind"],
        target=context["target"],
        catch_up=context["catch_up"],
        paused=paused,
        last=_moment(raw.get("last_fired_at")),
        next=None if paused else ahead,
    )


def _context(raw: Mapping[str, Any]) -> Context:
    given = raw["context"]
    return cast("Context", json.loads(given) if isinstance(given, str) else given)


def _moment(given: str | None) -> datetime | None:
    return None if given is None else datetime.fromisoformat(given).astimezone(UTC)


def _missed(raw: Mapping[str, Any], now: datetime) -> list[tuple[datetime, datetime]]:
    """Times in which firings are made up for; those that did fire are known by their ids."""
    context = _context(raw)
    since = datetime.fromtimestamp(context["since"] / 1000, UTC)
    last = max(since, _moment(raw.get("last_fired_at")) or since)
    # A worker that was killed right after its start may have left out what was due while it started
    base = max(since, last - _LOOK_BACK)
    if now - last <= GRACE or context["catch_up"] == "all":
        return [(base, now)]
    if context["catch_up"] == "skip":
        return [(base, last)]
    zone = ZoneInfo(raw["cron_timezone"] or "UTC")
    latest: datetime = croniter(raw["schedule"], now.astimezone(zone), second_at_beginning=True).get_prev(datetime)
    return [(base, last), (max(last, latest.astimezone(UTC) - timedelta(microseconds=1)), now)]
