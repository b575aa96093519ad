"""The small bars of a scorecard on a page: an estimate and its champion on one scale, as an inline drawing.

The scorecard in MLflow has them drawn by vl-convert, which the server's process does not load, or as boxes placed by
style attributes, which the pages' policy forbids.
"""

from __future__ import annotations

from markupsafe import Markup

from evalkit.reports.charts import HEIGHT, WIDTH, plot
from evalkit.reports.html import shown
from evalkit.reports.numbers import interval, number
from evalkit.reports.scorecard import Line

_LANE = HEIGHT // 2


def bar(line: Line) -> Markup:
    """The bar of one line of a scorecard; empty where there is nothing finite to draw."""
    drawn = plot(line)
    if drawn is None:
        return Markup("")
    label = f"{shown(line.label)}: {interval(line.estimate, line.units)}"
    if line.champion is not None:
        label += f"; champion {interval(line.champion, line.units)}"
    for limit in line.limits:
        label += f"; limit {number(limit, line.units)}"

    def x(value: float) -> float:
        return round(drawn.position(value) * WIDTH / 100, 2)

    parts = []
    for lane, (value, low, high) in enumerate(drawn.rows):
        middle = _LANE * lane + _LANE / 2
        marks = Markup('<path class="rail" d="M0 {}H{}"/>').format(middle, WIDTH)
        if low is not None and high is not None:
            marks += Markup('<rect class="range" x="{}" y="{}" width="{}" height="7" rx="3"/>').format(
                x(low), middle - 3.5, round(max(x(high) - x(low), 0.5), 2)
            )
            marks += Markup('<rect x="{}" y="{}" width="3" height="11"/>').format(x(value) - 1.5, middle - 5.5)
        else:
            marks += Markup('<circle class="open" cx="{}" cy="{}" r="3.5"/>').format(x(value), middle)
        parts.append(Markup('<g class="{}">{}</g>').format("other" if lane else "own", marks))
    parts += [Markup('<path class="bound" d="M{} 0V{}"/>').format(x(limit), HEIGHT) for limit in drawn.limits]
    return Markup(
        '<svg class="lanes" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">{}</svg>'
    ).format(label, WIDTH, HEIGHT, WIDTH, HEIGHT, Markup("").join(parts))
