"""Numbers as people read them, the same in every report."""

from __future__ import annotations

import math

from metrics.base import Estimate


def number(value: float | None, units: str = "") -> str:
    """Three to four significant digits with a fitting unit; ``n/a`` for a missing value."""
    if value is None or not math.isfinite(value):
        return "n/a"
    if units in {"bytes", "B"}:
        return _scaled(value, ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")), "B")
    if units == "s" and value != 0 and abs(value) < 1:
        return _scaled(value, ((1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")), "s")
    return _digits(value) + (f" {units}" if units else "")


def interval(estimate: Estimate, units: str = "", *, signed: bool = False) -> str:
    """``0.842 [0.811, 0.869]``, the unit once where all three numbers have it; or the value with ``no interval``."""
    sign = "+" if signed and math.isfinite(estimate.value) and estimate.value > 0 else ""
    value = sign + number(estimate.value, units)
    if estimate.low is None or estimate.high is None:
        return value if value == "n/a" else f"{value} (no interval)"
    texts = [value, number(estimate.low, units), number(estimate.high, units)]
    unit = value.partition(" ")[2]
    if unit and all(text.endswith(f" {unit}") for text in texts):
        texts = [text.removesuffix(f" {unit}") for text in texts]
    else:
        unit = ""
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" + (f" {unit}" if unit else "")


def percent(share: float) -> str:
    """A share as a percentage that says 100 % only when nothing is missing."""
    if 0.999 <= share < 1:
        return ">99.9 %"
    if 0 < share < 0.001:
        return "<0.1 %"
    return f"{100 * share:.3g} %"


def _scaled(value: float, steps: tuple[tuple[float, str], ...], base: str) -> str:
    for size, unit in steps:
        if abs(value) >= size:
            return f"{_digits(value / size)} {unit}"
    return f"{_digits(value)} {base}"


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    if abs(value) >= 10:
        return f"{value:.4g}"
    return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.3f}".rstrip("0").rstrip(".")
