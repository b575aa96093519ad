"""The parts of a monitor's page: numbers in time, groups beside each other, drift by feature and window, slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from evalkit.monitoring.cadence import DAY_MS, Cadence, utc_text
from evalkit.pages.charts import Chart, Link, keep
from evalkit.pages.rendering import path
from evalkit.reports.numbers import number
from evalkit.views.monitor_data import Event, Point, Range, Said, Window, short

FEATURES = 12
"""Rows of a heat map on one page."""
WORST = 8
HALF = 480
"""Width of a chart that shares its row with another."""
_EITHER = frozenset({"length", "words", "prompt_tokens", "output_tokens", "rows"})
"""Numbers of which neither end is the worse one."""
_DRIFTED = {"drift": ("D", "drift"), "no drift": ("·", "ok")}
_ALERT = ("A", "alert")
_UNKNOWN = ("–", "none")


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart of one number, with what its rules compare where it has any."""

    name: str
    chart: Chart
    statistics: Sequence[Chart] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers by window."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Forest:
    """Groups beside each other for one score, and the largest gap between them."""

    score: str
    chart: Chart
    gaps: Sequence[str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One feature in one window: a mark and its class; no `href` where there is nothing to look into."""

    mark: str
    kind: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Feature:
    """A row of a heat map."""

    key: str
    cells: Sequence[Cell]

    @property
    def name(self) -> str:
        """What people call it."""
        return self.key.removesuffix(".baseline")


@dataclass(frozen=True, slots=True)
class Heat:
    """Features by windows: `spans` are the parts of the time above `columns`."""

    spans: Sequence[tuple[str, int]]
    columns: Sequence[Link]
    rows: Sequence[Feature]
    start: int
    total: int


@dataclass(frozen=True, slots=True)
class Worst:
    """A slice that does worse than all rows."""

    slice: str
    point: Point
    overall: float
    excess: float


@dataclass(frozen=True, slots=True)
class Broken:
    """An expectation of the data contract that windows did not meet."""

    expectation: str
    column: str
    windows: int
    newest: Window
    reason: str


class Addresses:
    """Where things of one monitor are.

    Args:
        name: of the monitor.
        odd: checks that have windows of their own, to their cadence.
    """

    def __init__(self, name: str, odd: Mapping[str, str] | None = None) -> None:
        self.monitor = f"/evalkit/monitors/{path(name)}"
        self._near = path(name)
        self._odd = odd or {}

    def window(self, start: int, **query: str) -> str:
        """A window's page."""
        return f"{self.monitor}/windows/{start}" + self._query(query)

    def near(self, start: int, **query: str) -> str:
        """The same as `window`, from the monitor's own page: large tables have many of them."""
        return f"{self._near}/windows/{start}" + self._query(query)

    def generations(self, start: int, **query: str) -> str:
        """What was said in a window."""
        return f"{self.monitor}/windows/{start}/generations" + self._query(query)

    def _query(self, query: Mapping[str, str]) -> str:
        given = {"cadence": self._odd.get(query.get("check", ""), ""), **query}
        given = {name: value for name, value in given.items() if value}
        return f"?{urlencode(given)}" if given else ""


class Periods(Addresses):
    """Addresses in a chart of longer periods: each leads to the range of its windows.

    Args:
        name: of the monitor.
        period: day, week or month.
        check: which check is shown, with its number and slice.
        key: as above.
        slice_: as above.
    """

    def __init__(self, name: str, period: Cadence, *, check: str, key: str, slice_: str) -> None:
        super().__init__(name)
        self._period, self._shown = period, {"check": check, "key": key, "slice": slice_}

    def window(self, start: int, **_: str) -> str:
        """The windows of the period that begins at `start`."""
        return self.monitor + self._range(start)

    def near(self, start: int, **_: str) -> str:
        """The same, from the monitor's own page."""
        return self._near + self._range(start)

    def _range(self, start: int) -> str:
        since, until = self._period.window(start)
        return self._query({**self._shown, "since": utc_text(since), "until": utc_text(until)})


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one check in one slice: `points` of `keys`, what rules said of them, and what happened meanwhile.

    `unit` is what a point is of: a window, or a longer period, of which it is the mean with the lowest and highest
    window.
    """

    check: str
    slice: str
    keys: Sequence[str]
    points: Sequence[Point]
    heard: Sequence[Said]
    events: Sequence[Event]
    unit: str = "window"

    @property
    def title(self) -> str:
        """The check, and the slice where it is not all rows."""
        return self.check + (f" of {self.slice}" if self.slice else "")


def plots(home: Path, where: Addresses, given: Numbers, *, width: int | None = None) -> list[Plot]:
    """A chart for each number that has any value."""
    found = []
    for key in given.keys:
        points = [one for one in given.points if one.key == key]
        if not points:
            continue
        heard = [one for one in given.heard if one.key == key]
        own = replace(given, points=points, heard=heard)
        found.append(Plot(key, _signal(home, where, key, own, width), _statistics(home, where, key, own)))
    return found


def _signal(home: Path, where: Addresses, key: str, given: Numbers, width: int | None) -> Chart:
    alerting = {one.start for one in given.heard if one.alerting}
    first = given.points[0].start
    data = {
        "points": [
            {
                "at": one.start, "value": one.value, "low": one.low, "high": one.high,
                "state": "alert" if one.start in alerting else one.verdict,
                "href": where.window(one.start, check=given.check, slice=given.slice),
            }
            for one in given.points
        ],
        "levels": [
            {"at": one.start, "value": one.level, "rule": one.rule} for one in given.heard if one.level is not None
        ],
        "marks": [
            {"at": max(one.at, first), "label": one.label, "kind": one.kind}
            for one in given.events
            if one.kind != "alert" or one.key == key
        ],
        "title": key, "width": width,
    }  # fmt: skip
    title = f"{given.title}: {key}, {len(given.points)} {given.unit}s"
    chart = keep(home, "signal", data, title=title, header=(), rows=(), height=250 if width is None else 300)
    return chart if width is None else replace(chart, width=width + 60)


def _statistics(home: Path, where: Addresses, key: str, given: Numbers) -> list[Chart]:
    found = []
    for rule in dict.fromkeys(one.rule for one in given.heard):
        own = [one for one in given.heard if one.rule == rule and one.statistic is not None]
        if own:
            rows = [
                (Link(short(one.start), where.near(one.start, check=given.check)), number(one.statistic),
                 number(one.threshold), "alert" if one.alerting else one.status)
                for one in reversed(own)
            ]  # fmt: skip
            title = f"What the rule '{rule}' of {key} compares"
            header = ("window", "statistic", "threshold", "status")
            data = {"points": statistic_points(where, own, given.check, given.slice)}
            found.append(keep(home, "statistic", data, title=title, header=header, rows=rows, height=190))
    return found


def statistic_points(where: Addresses, heard: Sequence[Said], check: str, slice_: str) -> list[dict[str, Any]]:
    """What a rule compared, as a chart draws it."""
    return [
        {
            "at": one.start, "statistic": one.statistic, "threshold": one.threshold, "warning": one.warning,
            "state": "alert" if one.alerting else one.status,
            "href": where.window(one.start, check=check, slice=slice_),
        }
        for one in heard
    ]  # fmt: skip


def table(where: Addresses, given: Numbers, windows: Sequence[Window]) -> Table:
    """The numbers of several charts, and how many rows the first one was read of; the newest window first."""
    rows_in = {one.start: one.rows for one in windows}
    by_window: dict[int, dict[str, Point]] = {}
    for one in given.points:
        by_window.setdefault(one.start, {})[one.key] = one
    alerting = {(one.start, one.key) for one in given.heard if one.alerting}
    rows = [
        [
            Link(short(start), where.near(start, check=given.check, slice=given.slice)),
            *(_told(own.get(key), alert=(start, key) in alerting) for key in given.keys),
            _read(next((own[key] for key in given.keys if key in own), None), rows_in.get(start)),
        ]
        for start, own in sorted(by_window.items(), reverse=True)
    ]
    of = "" if given.unit == "window" else ": mean of its windows [lowest, highest]"
    return Table(f"{given.title}, by {given.unit}{of}", (given.unit, *given.keys, "rows read"), rows)


def _read(point: Point | None, rows: int | None) -> str:
    if point is None:
        return ""
    return f"{point.n:,}" if point.slice or rows is None else f"{point.n:,} of {rows:,}"


def _told(point: Point | None, *, alert: bool) -> str:
    if point is None:
        return ""
    aside = "alert" if alert else "" if point.verdict == "measured" else point.verdict
    return f"{point.told} ({aside})" if aside else point.told


def forests(home: Path, where: Addresses, points: Sequence[Point]) -> list[Forest]:
    """For each score of a bias check the groups of one window, and the largest gap."""
    groups: dict[str, list[Point]] = {}
    gaps: dict[str, list[str]] = {}
    for one in points:
        score, _, rest = one.key.partition(".")
        kind, _, by = rest.partition(".")
        if not rest:
            groups.setdefault(score, []).append(one)
        elif kind == "gap":
            value = one.told if one.verdict == "measured" else one.verdict
            gaps.setdefault(score, []).append(
                f"largest gap by {by}: {value}" + (f"; {one.reason}" if one.reason else "")
            )
    found = []
    for score, own in groups.items():
        data = {
            "rows": [
                {"label": one.slice, "value": one.value, "low": one.low, "high": one.high, "state": one.verdict}
                for one in own
            ],
            "title": score, "width": HALF - 200,
        }  # fmt: skip
        rows = [
            [Link(one.slice, where.generations(one.start, check=one.check, key=one.key, slice=one.slice)),
             number(one.value), number(one.low), number(one.high), f"{one.n:,}"]
            for one in own
        ]  # fmt: skip
        height = 60 + 24 * len(own)
        chart = keep(
            home, "forest", data, title=f"{score} by group, window {short(own[0].start)}",
            header=("group", "value", "low", "high", "rows"), rows=rows, height=height,
        )  # fmt: skip
        found.append(Forest(score, replace(chart, width=HALF - 80), gaps.pop(score, [])))
    return found


def heat(where: Addresses, shown: Range, points: Sequence[Point], heard: Iterable[Said], *, start: int = 0) -> Heat:
    """Features of one check by windows, those that drifted most often first; `start` skips features."""
    check = points[0].check if points else ""
    alerting = {(one.start, one.key) for one in heard if one.alerting}
    features: dict[str, dict[int, Point]] = {}
    for one in points:
        features.setdefault(one.key, {})[one.start] = one
    windows = shown.windows[-60:]
    begins = [one.start for one in windows]

    def drifted(item: tuple[str, Mapping[int, Point]]) -> int:
        key, own = item
        return -sum(2 * ((at, key) in alerting) + (at in own and own[at].verdict == "drift") for at in begins)

    rows = []
    for key, own in sorted(features.items(), key=drifted)[start : start + FEATURES]:
        cells = []
        for at in begins:
            verdict = own[at].verdict if at in own else ""
            mark, kind = _ALERT if (at, key) in alerting else _DRIFTED.get(verdict, _UNKNOWN)
            cells.append(Cell(mark, kind, where.near(at, check=check) if kind in {"drift", "alert"} else ""))
        rows.append(Feature(key, cells))
    hourly = any(one.end - one.start < DAY_MS for one in windows)
    above, below = ("%b %d", "%H") if hourly else ("%Y-%m", "%d")
    spans = [
        (name, sum(1 for _ in own))
        for name, own in groupby(datetime.fromtimestamp(at / 1000, UTC).strftime(above) for at in begins)
    ]
    columns = [
        Link(datetime.fromtimestamp(at / 1000, UTC).strftime(below), where.near(at, check=check)) for at in begins
    ]
    return Heat(spans, columns, rows, start, len(features))


def worst(points: Sequence[Point]) -> list[Worst]:
    """Slices of one window that do worse than all rows, the clearest first: by the difference in half-intervals."""
    overall = {(one.check, one.key): one.value for one in points if not one.slice}
    found = []
    for one in points:
        level = overall.get((one.check, one.key))
        if not one.slice or level is None or one.value is None or one.low is None or one.high is None:
            continue
        if one.key.partition(".")[0] in _EITHER or one.verdict == "insufficient data":
            continue
        half = (one.high - one.low) / 2
        if one.value > level and half > 0:
            found.append(Worst(one.slice, one, level, (one.value - level) / half))
    return sorted(found, key=lambda item: -item.excess)[:WORST]


def broken(windows: Sequence[Window]) -> list[Broken]:
    """Expectations that windows did not meet, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    newest: dict[tuple[str, str], tuple[Window, str]] = {}
    for window in windows:
        for breach in (window.contract or {}).get("breaches", ()):
            name = str(breach.get("expectation", "")), str(breach.get("column", ""))
            counts[name] += 1
            newest[name] = window, str(breach.get("reason", ""))
    return [Broken(*name, count, *newest[name]) for name, count in counts.most_common()]


def by_window(
    home: Path, where: Addresses, windows: Sequence[Window], title: str, values: Sequence[float | None]
) -> Chart:
    """A count or a cost as bars; a window without one has none."""
    pairs = [(one, value) for one, value in zip(windows, values, strict=True) if value is not None]
    data = {
        "points": [
            {"at": one.start, "end": one.end, "value": value, "href": where.window(one.start)} for one, value in pairs
        ],
        "title": title,
    }  # fmt: skip
    rows = [[Link(short(one.start), where.near(one.start)), number(value)] for one, value in reversed(pairs)]
    return keep(home, "bars", data, title=f"{title} by window", header=("window", title), rows=rows, height=150)
