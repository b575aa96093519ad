"""The process that draws: a line of JSON in, a line of JSON out; Altair and its engine are only here.

{"what": "svg", "kind": "trend", "data": {…}}  ->  {"text": "<svg …"} or {"error": "…"}
"""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

LIGHT = {
    "mark": "#1f5fa8", "other": "#7a7f88", "limit": "#a8321f", "track": "#e3e1dc", "ink": "#1d1f23", "soft": "#5c6068",
    "warn": "#7a5200", "band": "#a9c4e4",
}  # fmt: skip
DARK = {
    "mark": "#78aef0", "other": "#9aa0a9", "limit": "#f0836f", "track": "#363b42", "ink": "#e8e6e1", "soft": "#a5a9b0",
    "warn": "#f0c465", "band": "#34557c",
}  # fmt: skip
"""Colours of drawings, as the style sheet has them."""


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        try:
            answer = {"text": _drawn(json.loads(line))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _drawn(request: dict[str, Any]) -> str:
    import vl_convert

    if request["what"] == "vega":
        bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
        return bundle
    from evalkit.pages.charts.kinds import specification

    made = json.dumps(specification(request["kind"], request["data"]))
    if request["what"] == "spec":
        return made
    return themed(vl_convert.vegalite_to_svg(made, allowed_base_urls=[]))


def themed(svg: str) -> str:
    """The drawing with colours that follow what its reader prefers."""
    from evalkit.pages.charts.kinds import INKS

    for ink, name in INKS.items():
        svg = svg.replace(f'"{ink}"', f'"var(--{name})"')
    light, dark = (";".join(f"--{name}:{value}" for name, value in theme.items()) for theme in (LIGHT, DARK))
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    start = svg.index(">", svg.index("<svg")) + 1
    return svg[:start] + style + svg[start:]


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr  # nothing that a library prints gets among the answers
    serve(sys.stdin, answers)
