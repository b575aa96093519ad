"""The scorecard as one HTML file: no script, no request, everything that a model wrote escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

from evalkit.reports import charts
from evalkit.reports.numbers import interval, number, percent
from evalkit.reports.samples import Sample
from evalkit.reports.scorecard import Line, Scorecard, explanation
from metrics.base import Estimate

_MAX_PIXELS = 16_000_000
_MAX_SIDE = 192
_MAX_TEXT = 2_000


def render(card: Scorecard) -> str:
    """Return the scorecard as a self-contained HTML page (UTF-8).

    It makes no request and carries no script; images are decoded and encoded again; its content security policy
    forbids everything else.
    """
    return _environment().get_template("scorecard.html").render(card=card)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evalkit.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "interval": interval,
        "number": number,
        "percent": percent,
        "chart": _chart,
        "picture": _picture,
        "explanation": explanation,
        "why_none": why_none,
    }
    environment.globals |= {"score_of": _score_of, "champion_note": champion_note}
    return environment


def shown(text: str | None) -> str:
    """Text of a model as a page may show it: without control characters, cut at 2,000 characters."""
    kept = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in (text or ""))
    return kept if len(kept) <= _MAX_TEXT else f"{kept[:_MAX_TEXT]} … ({len(kept):,} characters)"


def _chart(line: Line) -> Markup:
    drawn = charts.plot(line)
    if drawn is None:
        return Markup("")
    label = shown(line.label) + f": {interval(line.estimate, line.units)}"
    if line.champion is not None:
        label += f"; champion {interval(line.champion, line.units)}"
    for limit in line.limits:
        label += f"; limit {number(limit, line.units)}"
    drawing = charts.svg(drawn)
    body = Markup(drawing) if drawing is not None else _boxes(drawn)  # noqa: S704 (numbers only, see charts.Plot)
    return Markup('<div class="chart" role="img" aria-label="{}">{}</div>').format(label, body)


def _boxes(drawn: charts.Plot) -> Markup:
    """The chart as positioned boxes, where no drawing library is installed."""
    parts = []
    for position, (value, low, high) in enumerate(drawn.rows):
        kind = "other" if position else "mark"
        if low is not None and high is not None:
            left, right = drawn.position(low), drawn.position(high)
            span = Markup('<i class="span" style="left:{}%;width:{}%"></i>').format(left, round(right - left, 3))
        else:
            span = Markup("")
        tick = Markup('<i class="tick" style="left:{}%"></i>').format(drawn.position(value))
        parts.append(Markup('<span class="lane {}">{}{}</span>').format(kind, span, tick))
    limits = [Markup('<i class="limit" style="left:{}%"></i>').format(drawn.position(v)) for v in drawn.limits]
    return Markup('<span class="boxes">{}</span>').format(Markup("").join(parts + limits))


def _picture(sample: Sample) -> Markup:
    """An image as a data URI, decoded and encoded again so that nothing but its pixels gets into the page."""
    label = shown(f"output {sample.sample_id} of task {sample.task}")
    encoded = reencoded(sample.image or b"")
    if encoded is None:
        return Markup('<span class="unreadable">not a readable image</span>')
    data, tiny = encoded
    source = "data:image/png;base64," + base64.b64encode(data).decode()
    return Markup('<img src="{}" alt="{}" class="{}">').format(source, label, "tiny" if tiny else "photo")


def reencoded(data: bytes, side: int = _MAX_SIDE, least: int = 0) -> tuple[bytes, bool] | None:
    """A stored image as a PNG of our own making, at most `side` pixels wide and high, and whether it is tiny.

    A tiny one is enlarged to at least about `least` pixels, without smoothing.

    None for what is no PNG, or has too many pixels to be decoded.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None
            pixels = image.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    tiny = max(pixels.size) <= 64
    pixels.thumbnail((side, side))
    if tiny and least > max(pixels.size):
        times = -(-least // max(pixels.size))
        pixels = pixels.resize((pixels.width * times, pixels.height * times), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    pixels.save(buffer, "PNG", optimize=True)
    return buffer.getvalue(), tiny


def champion_note(line: Line) -> Sequence[str]:
    """For ``versus`` rules: the difference that the gate compared."""
    found = [rule for rule in line.rules if rule.against is not None and rule.difference is not None]
    return [
        f"difference from {rule.against}: {interval(rule.difference, signed=True)}"
        for rule in found
        if rule.difference is not None
    ]


def why_none(estimate: Estimate) -> str:
    """Why there is no interval; most methods say so themselves."""
    method = estimate.method
    if method.startswith("no "):
        return method
    return f"no interval: {method}" if method else "no interval"


def _score_of(sample: Sample, metric: str | None) -> str:
    value = sample.scores.get(metric) if metric is not None else None
    if value is not None:
        return f"{metric} {number(value)}"
    return shown(f"unscored: {sample.reason}") if sample.reason else ""
