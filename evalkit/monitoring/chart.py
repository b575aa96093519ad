"""The picture of an alert: the statistic with its threshold, above the number with its interval and level.

Drawn from what is stored of each window, so that what people see is what was compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from registry.alerts import Reading

_WIDTH, _HEIGHT = 560, 130
_INK, _BAND, _LIMIT, _WARN = "#1f5c99", "#9dbbd8", "#b3261e", "#b07d1a"


def chart_png(readings: Sequence[Reading], *, title: str) -> bytes | None:
    """A PNG of a rule's windows, oldest first; None without a number to draw, or without Altair and vl-convert.

    Args:
        readings: of one rule.
        title: in the picture; it comes from the monitor's file.
    """
    if not any(one.value is not None for one in readings):
        return None
    try:
        import vl_convert

        specification = _specification(readings, title)
    except ImportError:
        return None
    made: bytes = vl_convert.vegalite_to_png(json.dumps(specification), scale=1.5, allowed_base_urls=[])
    return made


def rows_of(readings: Sequence[Reading]) -> list[dict[str, float | None]]:
    """What is drawn: one row a window, None where it has no number."""
    names = ("statistic", "threshold", "warning", "level", "value", "low", "high")
    return [{"start": one.start, **{name: _finite(getattr(one, name)) for name in names}} for one in readings]


def _specification(readings: Sequence[Reading], title: str) -> dict[str, Any]:
    import altair as alt

    data = alt.Data(values=rows_of(readings))
    time = alt.X("start:T", title=None, scale=alt.Scale(type="utc"))
    base = alt.Chart(data)

    def line(field: str, name: str, colour: str, **how: Any) -> Any:
        y = alt.Y(f"{field}:Q", title=name, scale=alt.Scale(zero=False))
        return base.mark_line(color=colour, **how).encode(x=time, y=y)

    dashed = {"strokeDash": [5, 3], "strokeWidth": 1.5}
    statistic = alt.layer(
        line("statistic", "statistic", _INK, point={"color": _INK, "size": 18}),
        line("threshold", "statistic", _LIMIT, **dashed),
        line("warning", "statistic", _WARN, **dashed),
    ).properties(width=_WIDTH, height=_HEIGHT, title=title)
    y = alt.Y("low:Q", title="value", scale=alt.Scale(zero=False))
    value = alt.layer(
        base.mark_rule(color=_BAND, strokeWidth=3).encode(x=time, y=y, y2="high:Q"),
        line("value", "value", _INK, point={"color": _INK, "size": 18}, strokeWidth=1),
        line("level", "value", _LIMIT, **dashed),
    ).properties(width=_WIDTH, height=_HEIGHT)
    chart = alt.vconcat(statistic, value, background="white")
    found: dict[str, Any] = chart.to_dict()
    return found


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
