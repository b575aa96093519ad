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
    ``limits`` of ``{at, value}`` or one number, ``marks`` of ``{at, label, kind}``, ``title`` of the axis.
    """
    ordinal = bool(data.get("ordinal"))
    x: Any = (
        alt.X("at:O", title=None, sort=None, axis=alt.Axis(grid=False, labelAngle=0, labelOverlap=True))
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
    layers = [band, line, dots]
    limits = data.get("limits")
    if isinstance(limits, list) and limits:
        layers.append(alt.Chart(alt.Data(values=limits)).mark_line(color=_LIMIT, **_DASHED).encode(x=x, y="value:Q"))
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
    ``reference`` a number that they are compared with, or None, ``title`` of the axis.
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
    return alt.layer(*layers).properties(width=WIDTH - 200, height=max(60, 24 * len(data["rows"])))


def columns(data: Data) -> Any:
    """An amount by day. `data`: ``points`` of ``{at, value}`` (``at`` in UTC milliseconds), ``title`` of the axis."""
    bars = alt.Chart(alt.Data(values=data["points"])).mark_bar(color=_MARK, size=8)
    x = alt.X("at:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(grid=False, format="%b %d", tickCount=12))
    told = [
        alt.Tooltip("at:T", title="day", format="%Y-%m-%d", formatType="time"), alt.Tooltip("value:Q", format=".4~g"),
    ]  # fmt: skip
    y = alt.Y("value:Q", title=data.get("title") or None)
    return bars.encode(x=x, y=y, tooltip=told).properties(width=WIDTH, height=140)


KINDS: dict[str, Callable[[Data], Any]] = {"trend": trend, "forest": forest, "columns": columns}


def specification(kind: str, data: Data) -> dict[str, Any]:
    """The Vega-Lite specification of a chart; an unknown kind raises `KeyError`."""
    chart = KINDS[kind](data).configure(
        background="#ffffff00",
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
