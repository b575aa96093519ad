"""Charts of the pages: asked for by what they show, drawn once by a process of their own, served by digest.

`kinds` says how a chart looks (Altair), `store` keeps what is to be drawn and what was drawn, `drawing` has it drawn by
`worker`, and `route` serves it: as SVG for every reader, as a Vega-Lite specification for scripts.
"""

from __future__ import annotations

from evalkit.pages.charts.store import Chart, Link, keep

__all__ = ["Chart", "Link", "keep"]
