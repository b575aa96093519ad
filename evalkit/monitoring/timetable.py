"""When a monitor's schedule fires: as cron, from its windows and their lateness."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.monitoring.cadence import Cadence
from evalkit.monitoring.definition import Definition

_MINUTE_MS = 60_000
_HOUR, _DAY = 60, 24 * 60
_UTC = "UTC"


@dataclass(frozen=True, slots=True)
class Timetable:
    """A cron line and the time zone that it is read in."""

    cron: str
    timezone: str


def timetable(definition: Definition) -> Timetable:
    """When windows of the monitor become due; where checks have windows of their own, the shortest ones count."""
    cadence = min((check.cadence for check in definition.checks), key=lambda one: one.length())
    late = -(-definition.spec.lateness // _MINUTE_MS)
    # Local clocks go forward now and then: what was not due yet then is due an hour later
    again = _HOUR if cadence.zone != _UTC else 0
    return Timetable(_shifted(_cron(cadence), late, again), cadence.zone)


def _cron(cadence: Cadence) -> str:
    """The starts of windows."""
    if cadence.unit == "cron":
        return cadence.text
    if cadence.unit == "hour":
        return "0 * * * *"
    days = {"day": "* * *", "week": "* * 1", "month": "1 * *"}[cadence.unit]
    return f"{cadence.at.minute} {cadence.at.hour} {days}"


def _shifted(cron: str, late: int, again: int) -> str:
    """A line that fires so many minutes after each time of `cron`, and `again` minutes later; now and then in between.

    A line of cron is a product of sets, and a shifted one need not be: the smallest product that holds all its times is
    taken. A firing at which nothing is due reads the source and does nothing else.
    """
    from croniter import croniter

    minutes, hours = (_values(field, most) for field, most in zip(croniter.expand(cron)[0], (60, 24), strict=False))
    at = {hour * _HOUR + minute + late + more for hour in hours for minute in minutes for more in (0, again)}
    days = cron.split()[2:]
    if max(at) >= _DAY:
        days = ["*", "*", "*"]  # the day after a day of cron is none of its days
    shown = (_field({moment % _HOUR for moment in at}, 60), _field({moment // _HOUR % 24 for moment in at}, 24))
    return " ".join((*shown, *days))


def _values(expanded: list[int | str], most: int) -> list[int]:
    return list(range(most)) if "*" in expanded else [int(value) for value in expanded]


def _field(values: set[int], most: int) -> str:
    return "*" if len(values) == most else ",".join(str(value) for value in sorted(values))
