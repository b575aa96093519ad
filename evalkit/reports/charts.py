"""Small interval charts: a line's estimate, its champion and the gate's limits, on one scale.

Drawn from Altair specifications by vl-convert, offline and without a script; where those are not installed the
page falls back on positioned boxes (`Plot.position`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from evalkit.reports.scorecard import Line
from metrics.base import Estimate

WIDTH = 200
HEIGHT = 30
_LEAST_SPAN = 0.25

_INKS = {"#010101": "var(--mark)", "#020202": "var(--other)", "#030303": "var(--limit)", "#040404": "var(--track)"}
_MARK, _OTHER, _LIMIT, _TRACK = _INKS


@dataclass(frozen=True, slots=True)
class Plot:
    """What a chart shows: numbers only, so that no text of a model can get into a drawing.

    Attributes:
        low, high: the ends of the scale.
        rows: (value, low, high) of this version and, if there is one, of the champion.
        limits: the gate's absolute limits.
    """

    low: float
    high: float
    rows: tuple[tuple[float, float | None, float | None], ...]
    limits: tuple[float, ...]

    def position(self, value: float) -> float:
        """Place of a value on the scale in percent, kept within it."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 3)


def plot(line: Line) -> Plot | None:
    """Choose the scale of a line's chart; None where there is nothing finite to draw."""
    estimates = [e for e in (line.estimate, line.champion) if e is not None and math.isfinite(e.value)]
    if not estimates or not math.isfinite(line.estimate.value):
        return None
    values = [v for e in estimates for v in (e.value, e.low, e.high) if v is not None and math.isfinite(v)]
    values += line.limits
    low, high = min(values), max(values)
    # A scale narrower than a quarter of the value would make a hair's breadth look like a gulf.
    margin = max(0.08 * (high - low), (_LEAST_SPAN * max(abs(low), abs(high)) - (high - low)) / 2) or 0.5
    return Plot(low - margin, high + margin, tuple(map(_row, estimates)), line.limits)


def svg(drawn: Plot) -> str | None:
    """The chart as an SVG element with CSS variables for colours; None without Altair and vl-convert."""
    try:
        return _svg(drawn)
    except ImportError:
        return None


@lru_cache(maxsize=512)
def _svg(drawn: Plot) -> str:
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(json.dumps(_specification(drawn)), allowed_base_urls=[])
    for ink, variable in _INKS.items():
        text = text.replace(f'"{ink}"', f'"{variable}"')
    return text[text.index("<svg") :]


def _specification(drawn: Plot) -> dict[str, Any]:
    import altair as alt

    x = alt.X("value:Q", scale=alt.Scale(domain=[drawn.low, drawn.high], nice=False, zero=False), axis=None)
    lanes = ["this", "champion"][: len(drawn.rows)]
    y = alt.Y("lane:N", scale=alt.Scale(domain=lanes), axis=None)
    inks = [_MARK, _OTHER]
    layers = []
    for lane, ink, (value, low, high) in zip(lanes, inks, drawn.rows, strict=False):
        track = alt.Data(values=[{"lane": lane, "value": drawn.low, "end": drawn.high}])
        layers.append(alt.Chart(track).mark_rule(color=_TRACK, strokeWidth=1).encode(x=x, x2="end:Q", y=y))
        point = alt.Data(values=[{"lane": lane, "value": value}])
        if low is not None and high is not None:
            span = alt.Data(values=[{"lane": lane, "value": low, "end": high}])
            bar = alt.Chart(span).mark_bar(color=ink, height=7, opacity=0.38, cornerRadius=3)
            layers.append(bar.encode(x=x, x2="end:Q", y=y))
            layers.append(alt.Chart(point).mark_tick(color=ink, thickness=3, size=12, opacity=1).encode(x=x, y=y))
        else:
            mark = alt.Chart(point).mark_point(color=ink, filled=False, size=42, strokeWidth=1.6, opacity=1)
            layers.append(mark.encode(x=x, y=y))
    for limit in drawn.limits:
        rule = alt.Chart(alt.Data(values=[{"value": limit}])).mark_rule(
            color=_LIMIT, strokeWidth=1.5, strokeDash=[4, 3]
        )
        layers.append(rule.encode(x=x))
    chart = alt.layer(*layers, width=WIDTH, height=HEIGHT, padding=0, background="transparent")
    specification: dict[str, Any] = chart.configure_view(stroke=None).to_dict()
    return specification


def _row(estimate: Estimate) -> tuple[float, float | None, float | None]:
    bounds = [b if b is not None and math.isfinite(b) else None for b in (estimate.low, estimate.high)]
    return estimate.value, bounds[0], bounds[1]
