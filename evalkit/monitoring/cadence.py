"""Half-open windows in event time: ``hour``, ``day at 06:00 Europe/Berlin``, ``week``, ``month`` or cron."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from metrics.errors import InputError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_AGE = re.compile(r"^\s*(?P<number>\d+)\s*(?P<unit>s|min|m|h|d|w)\s*$")
_UNITS = {"s": 1000, "m": 60_000, "min": 60_000, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_LONGEST = 36_500 * DAY_MS
_YEARS = range(1970, 9000)
_WORD = re.compile(
    r"^(?P<word>hour|day|week|month)(?:\s+at\s+(?P<at>\d{1,2}:\d{2}))?(?:\s+(?P<zone>[A-Za-z_+\-/0-9]+))?$"
)
_FORMS = "`hour`, `day`, `day at 06:00 Europe/Berlin`, `week`, `month`, or five fields of cron such as `0 * * * *`"
Unit = Literal["hour", "day", "week", "month", "cron"]


def parse_span(given: object) -> int:
    """Turn ``90s``, ``30m``, ``1h``, ``30d`` or ``2w`` into milliseconds; `ValueError` for anything else."""
    match = _AGE.match(given) if isinstance(given, str) else None
    if match is None:
        raise ValueError(f"expected a span such as 30m, 1h or 30d, got {given!r}")
    span = int(match["number"][:20]) * _UNITS[match["unit"]]  # longer numbers are too long in any unit
    if span > _LONGEST:
        raise ValueError(f"expected a span of at most {_LONGEST // DAY_MS}d, got {given!r:.40}")
    return span


def utc_text(ms: int) -> str:
    """A moment as ``2026-05-01T06:00Z``; seconds where there are any."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ" if moment.second else "%Y-%m-%dT%H:%MZ")


def parse_moment(text: str) -> int:
    """UTC milliseconds of an ISO 8601 date or time (UTC where it names no zone).

    Raises:
        InputError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"'{text}' is no date or time; write 2026-05-01 or 2026-05-01T06:00Z") from None
    if moment.year not in _YEARS:
        raise InputError(f"'{text}' is no time of a window; years are {_YEARS[0]} to {_YEARS[-1]}")
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@dataclass(frozen=True)
class Cadence:
    """How event time is cut into windows; windows touch, and never overlap.

    Attributes:
        text: as people write it.
        unit: what a window is.
        at: local time at which days, weeks (on Mondays) and months (on the first) begin.
        zone: time zone of that; hours and cron are UTC.
    """

    text: str
    unit: Unit
    at: time = time()
    zone: str = "UTC"

    @classmethod
    def parse(cls, text: str) -> Cadence:
        """Read `text`; `ValueError` says which forms there are."""
        plain = " ".join(text.split())
        match = _WORD.match(plain)
        if match is None:
            return cls._cron(plain)
        unit: Unit = match["word"]  # type: ignore[assignment]
        if unit == "hour" and (match["at"] or match["zone"]):
            raise ValueError(f"an hour has no time of day, got {text!r}; write `hour`")
        zone = match["zone"] or "UTC"
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone '{zone}'; write one such as Europe/Berlin") from None
        try:
            at = time.fromisoformat((match["at"] or "00:00").zfill(5))
        except ValueError:
            raise ValueError(f"'{match['at']}' is no time of day; write 06:00") from None
        return cls(plain, unit, at, zone)

    @classmethod
    def _cron(cls, plain: str) -> Cadence:
        from croniter import croniter

        if len(plain.split(" ")) != 5 or not croniter.is_valid(plain):
            raise ValueError(f"cannot read {plain!r}; expected {_FORMS}")
        made = cls(plain, "cron")
        try:
            made.window(0)
        except ValueError:
            raise ValueError(f"{plain!r} never fires: there is no such day") from None
        return made

    def window(self, moment: int) -> tuple[int, int]:
        """Start and end, UTC milliseconds, of the window that holds `moment`."""
        if self.unit == "hour":
            start = moment - moment % HOUR_MS
            return start, start + HOUR_MS
        if self.unit == "cron":
            return self._fired(moment, back=True), self._fired(moment, back=False)
        local = datetime.fromtimestamp(moment / 1000, self._zone)
        day = self._first_day(local.date())
        if self._begin(day) > moment:
            day = self._first_day(day - timedelta(days=1))
        return self._begin(day), self._begin(self._next_day(day))

    def windows(self, first: int, until: int) -> Iterator[tuple[int, int]]:
        """The windows from the one that holds `first` on whose end is at most `until`."""
        start, end = self.window(first)
        while end <= until:
            yield start, end
            start, end = self.window(end)

    def length(self) -> int:
        """Milliseconds of a usual window: budgets a day are shared out by it."""
        if self.unit == "cron":
            start, end = self.window(0)
            return max(1, end - start)
        return {"hour": HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS, "month": 30 * DAY_MS}[self.unit]

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def _first_day(self, day: date) -> date:
        if self.unit == "week":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self.unit == "month" else day

    def _next_day(self, day: date) -> date:
        if self.unit == "month":
            return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
        return day + timedelta(days=7 if self.unit == "week" else 1)

    def _begin(self, day: date) -> int:
        # Local midnights are 23 or 25 hours apart when clocks change: the zone's own arithmetic, not 24 hours
        return int(datetime.combine(day, self.at, self._zone).timestamp() * 1000)

    def _fired(self, moment: int, *, back: bool) -> int:
        from croniter import croniter

        # `get_prev` is strictly before, and a window holds its own start
        clock = croniter(self.text, datetime.fromtimestamp(moment / 1000 + (0.001 if back else 0), UTC))
        fired: datetime = clock.get_prev(datetime) if back else clock.get_next(datetime)
        return int(fired.timestamp() * 1000)
