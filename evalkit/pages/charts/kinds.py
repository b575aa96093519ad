"""How charts look: one function a kind, from plain numbers and labels to a Vega-Lite specification.

Colours are placeholders that the style of the page replaces, so that one drawing serves light and dark. Only the
process that draws imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import altair as alt

INKS = {
    "#010101": "mark", "#020202": "other", "#030303": "limit", "#040404": "track", "#050505": "ink", "#060606": "soft",
    "#070707": "warn", "#080808": "band",
}  # fmt: skip
"""Placeholder to the name of the colour in the style sheet."""
_MARK, _OTHER, _LIMIT, _TRACK, _INK, _SOFT, _WARN, _BAND = INKS
_DASHED = {"strokeDash": [5, 3], "strokeWidth": 1.5}
WIDTH = 1080
Data = Mapping[str, Any]


def trend(data: Data) -> Any:
    """An estimate over time or over versions, with its interval, the limit, and marks of what happened.

    `data`: ``points`` of ``{at, value, low, high, state}`` (``at`` in UTC milliseconds, or a label where ``ordinal``),
    ``limits`` of ``{at, value, rule}`` (a line for each ``rule``) or one number, ``marks`` of ``{at, label, kind}``,
    ``title`` of the axis.
    """
    ordinal = bool(data.get("ordinal"))
    x: Any = (
        alt.X(
            "at:O",
            title=None,
            sort=None,
            axis=alt.Axis(grid=False, labelAngle=0, labelOverlap=True),
            scale=alt.Scale(domain=list(dict.fromkeys(point["at"] for point in data["points"]))),
        )
        if ordinal
        else alt.X(
            "at:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(grid=False, format="%b %d", tickCount=12)
        )
    )
    points = alt.Chart(alt.Data(values=data["points"]))
    y = alt.Y("value:Q", title=data.get("title") or None, scale=alt.Scale(zero=False))
    told = [
        alt.Tooltip("at:N" if ordinal else "at:T", title="version" if ordinal else "window", **_time(ordinal)),
        *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("value", "low", "high")),
        alt.Tooltip("state:N"),
    ]
    band = points.mark_rule(color=_BAND, strokeWidth=4, opacity=0.75).encode(x=x, y="low:Q", y2="high:Q")
    line = points.mark_line(color=_MARK, strokeWidth=1.2, opacity=0.6).encode(x=x, y=y)
    colour = alt.condition("datum.state == 'alert' || datum.state == 'fail'", alt.value(_LIMIT), alt.value(_MARK))
    dots = points.mark_point(filled=True, size=34, opacity=1).encode(x=x, y=y, color=colour, tooltip=told)
    known = any(point.get("low") is not None for point in data["points"])  # else the scale has no extent
    layers = [*([band] if known else []), line, dots]
    limits = data.get("limits")
    if isinstance(limits, list) and limits:
        drawn = alt.Chart(alt.Data(values=limits))
        layers.append(drawn.mark_line(color=_LIMIT, **_DASHED).encode(x=x, y="value:Q", detail="rule:N"))
        if len({one["at"] for one in limits}) == 1:  # a line through one version has no length
            layers.append(drawn.mark_point(color=_LIMIT, shape="stroke", size=240).encode(x=x, y="value:Q"))
    elif limits is not None and not isinstance(limits, list):
        layers.append(alt.Chart(alt.Data(values=[{"y": limits}])).mark_rule(color=_LIMIT, **_DASHED).encode(y="y:Q"))
    if data.get("marks"):
        events = alt.Chart(alt.Data(values=data["marks"]))
        layers.append(events.mark_rule(color=_SOFT, strokeDash=[2, 2]).encode(x=x, tooltip=["label:N"]))
        layers.append(
            events.mark_text(color=_SOFT, align="left", baseline="top", dx=3, fontSize=10).encode(
                x=x, y=alt.value(0), text="label:N"
            )
        )
    return alt.layer(*layers).properties(width=WIDTH, height=200)


def forest(data: Data) -> Any:
    """Estimates with their intervals, one below the other. `data`: ``rows`` of ``{label, value, low, high, state}``,
    ``reference`` a number that they are compared with, or None, ``title`` of the axis, ``width``.
    """
    rows = alt.Chart(alt.Data(values=data["rows"]))
    x = alt.X("value:Q", title=data.get("title") or None, scale=alt.Scale(zero=False))
    y = alt.Y("label:N", title=None, sort=None, axis=alt.Axis(labelLimit=220))
    told = ["label:N", *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("value", "low", "high"))]
    colour = alt.condition("datum.state == 'alert' || datum.state == 'fail'", alt.value(_LIMIT), alt.value(_MARK))
    layers = [
        rows.mark_rule(strokeWidth=4, color=_BAND, opacity=0.75).encode(x="low:Q", x2="high:Q", y=y),
        rows.mark_point(filled=True, size=44, opacity=1).encode(x=x, y=y, color=colour, tooltip=told),
    ]
    if data.get("reference") is not None:
        line = alt.Chart(alt.Data(values=[{"x": data["reference"]}]))
        layers.append(line.mark_rule(color=_LIMIT, **_DASHED).encode(x="x:Q"))
    width = data.get("width") or WIDTH - 200
    return alt.layer(*layers).properties(width=width, height=max(60, 24 * len(data["rows"])))


def signal(data: Data) -> Any:
    """A monitor's number window by window, with its interval, what it is compared with, and marks of what happened.

    `data`: ``points`` of ``{at, value, low, high, state, href}``, ``levels`` of ``{at, value, rule}``, ``marks``
    of ``{at, label, kind}`` with the kind ``alert`` or ``deployment``, ``title`` of the axis, ``width``. A window in
    which an alert lasts is a red diamond.
    """
    x, layers = _value(data)
    for kind, colour, dash, row in (("alert", _LIMIT, [1, 2], 0), ("deployment", _SOFT, [6, 3], 12)):
        own = [mark for mark in data.get("marks") or () if mark["kind"] == kind]
        if own:
            events = alt.Chart(alt.Data(values=own))
            layers.append(events.mark_rule(color=colour, strokeDash=dash).encode(x=x, tooltip=["label:N"]))
            text = events.mark_text(color=colour, align="left", baseline="top", dx=3, fontSize=10)
            layers.append(text.encode(x=x, y=alt.value(row), text="label:N"))
    return alt.layer(*layers).properties(width=data.get("width") or WIDTH, height=180)


def statistic(data: Data) -> Any:
    """What a rule compares, window by window, with its threshold and its warning.

    `data`: ``points`` of ``{at, statistic, threshold, warning, state, href}``, ``width``.
    """
    return _statistic(data).properties(width=data.get("width") or WIDTH, height=130)


def alert(data: Data) -> Any:
    """What a rule compares with its threshold, above the number that it is about with its level.

    `data`: ``points`` of `statistic` and of `signal` together, ``levels``, ``title``.
    """
    _, layers = _value(data)
    below = alt.layer(*layers).properties(width=WIDTH, height=150)
    return alt.vconcat(_statistic(data).properties(width=WIDTH, height=110), below, spacing=14)


def bars(data: Data) -> Any:
    """A count or a cost by window. `data`: ``points`` of ``{at, end, value, href}``, ``title`` of the axis."""
    points = alt.Chart(alt.Data(values=data["points"]))
    told = [alt.Tooltip("at:T", title="window", **_time(False)), alt.Tooltip("value:Q", format=",.4~g")]
    drawn = points.mark_bar(color=_MARK, opacity=0.75, binSpacing=1).encode(
        x=_when(),
        x2="end:T",
        y=alt.Y("value:Q", title=data.get("title") or None),
        y2=alt.datum(0),
        tooltip=told,
        href="href:N",
    )
    return drawn.properties(width=data.get("width") or WIDTH, height=90)


def _when() -> Any:
    axis = alt.Axis(grid=False, format="%b %d", labelOverlap=True, tickCount=10)
    return alt.X("at:T", title=None, scale=alt.Scale(type="utc"), axis=axis)


def _value(data: Data) -> tuple[Any, list[Any]]:
    x = _when()
    points = alt.Chart(alt.Data(values=data["points"]))
    y = alt.Y("value:Q", title=data.get("title") or None, scale=alt.Scale(zero=False))
    told = [
        alt.Tooltip("at:T", title="window", **_time(False)),
        *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("value", "low", "high")),
        alt.Tooltip("state:N"),
    ]
    alerting = "datum.state == 'alert'"
    dots = points.mark_point(filled=True, opacity=1).encode(
        x=x, y=y, tooltip=told, href="href:N",
        color=alt.condition(alerting, alt.value(_LIMIT), alt.value(_MARK)),
        shape=alt.condition(alerting, alt.value("diamond"), alt.value("circle")),
        size=alt.condition(alerting, alt.value(70), alt.value(32)),
    )  # fmt: skip
    layers = [points.mark_line(color=_MARK, strokeWidth=1.2, opacity=0.6).encode(x=x, y=y), dots]
    if any(one.get("low") is not None for one in data["points"]):
        band = points.mark_rule(color=_BAND, strokeWidth=4, opacity=0.75).encode(x=x, y="low:Q", y2="high:Q")
        layers.insert(0, band)
    if data.get("levels"):
        levels = alt.Chart(alt.Data(values=data["levels"]))
        layers.append(levels.mark_line(color=_LIMIT, **_DASHED).encode(x=x, y="value:Q", detail="rule:N"))
    return x, layers


def _statistic(data: Data) -> Any:
    x = _when()
    points = alt.Chart(alt.Data(values=data["points"]))
    y = alt.Y("statistic:Q", title="statistic")
    told = [
        alt.Tooltip("at:T", title="window", **_time(False)),
        *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("statistic", "threshold")),
        alt.Tooltip("state:N"),
    ]
    alerting = "datum.state == 'alert'"
    dots = points.mark_point(filled=True, opacity=1).encode(
        x=x, y=y, tooltip=told, href="href:N",
        color=alt.condition(alerting, alt.value(_LIMIT), alt.value(_INK)),
        shape=alt.condition(alerting, alt.value("diamond"), alt.value("circle")),
        size=alt.condition(alerting, alt.value(60), alt.value(26)),
    )  # fmt: skip
    return alt.layer(
        points.mark_line(color=_INK, strokeWidth=1.2, opacity=0.7).encode(x=x, y=y),
        points.mark_line(color=_LIMIT, **_DASHED).encode(x=x, y="threshold:Q"),
        points.mark_line(color=_WARN, strokeDash=[2, 3], strokeWidth=1.2).encode(x=x, y="warning:Q"),
        dots,
    )


KINDS: dict[str, Callable[[Data], Any]] = {
    "trend": trend, "forest": forest, "signal": signal, "statistic": statistic, "alert": alert, "bars": bars,
}  # fmt: skip


def specification(kind: str, data: Data) -> dict[str, Any]:
    """The Vega-Lite specification of a chart; an unknown kind raises `KeyError`."""
    chart = KINDS[kind](data).configure(
        background="#ffffff00",
        aria=False,  # a chart is one picture with its words and its table
        font="system-ui, Segoe UI, Roboto, Noto Sans, DejaVu Sans, sans-serif",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            labelColor=_SOFT, titleColor=_SOFT, domainColor=_TRACK, tickColor=_TRACK, gridColor=_TRACK,
            titleFontWeight="normal",
        ),
    )  # fmt: skip
    found: dict[str, Any] = chart.to_dict()
    return found


def _time(ordinal: bool) -> dict[str, Any]:
    return {} if ordinal else {"format": "%Y-%m-%d %H:%M", "formatType": "time"}
