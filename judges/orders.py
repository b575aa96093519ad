"""Verdicts on pairs that were shown in both orders: how they are kept, and how they become one verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from judges.base import Verdict

ORDERS = ("original", "swapped")
"""Keys under `Verdict.details`["orders"]: in the original order the judged output was shown first."""

INCONSISTENT = "inconsistent order"
TIE = 0.5


def orders_verdict(
    sample_id: str, original: float | None, swapped: float | None, *, details: Mapping[str, Any] | None = None
) -> Verdict:
    """One verdict from both orders: 1 a win of the judged output, 0 a loss, 0.5 a tie.

    Args:
        sample_id: the pair.
        original: the judged output's result where it was shown first; None where no verdict could be read.
        swapped: its result where it was shown second.
        details: more to keep.

    A pair whose verdict flips is a tie and flagged; a pair without a verdict in either order is unscored.
    """
    kept = {**(details or {}), "orders": {ORDERS[0]: original, ORDERS[1]: swapped}}
    if original is None or swapped is None:
        lost = " and ".join(name for name, value in zip(ORDERS, (original, swapped), strict=True) if value is None)
        return Verdict(sample_id, None, f"no verdict in the {lost} order", details=kept)
    value = (original + swapped) / 2
    flips = (original > TIE) != (swapped > TIE) or (original < TIE) != (swapped < TIE)
    if flips:
        value = TIE
    label = "tie" if value == TIE else ("win" if value > TIE else "loss")
    return Verdict(sample_id, value, label=label, flags=(INCONSISTENT,) if flips else (), details=kept)


def both_orders(verdict: Verdict) -> tuple[float | None, float | None] | None:
    """Results in the original and the swapped order; None where the verdict is not on a pair shown in both.

    Of several pairs (`details`["pairs"]) or repeats (`details`["repeats"]), each with ``orders`` of its own, the mean
    of those that have both.
    """
    return _of_details(verdict.details)


def each_pair(details: Mapping[str, Any]) -> Iterator[tuple[int, float, float]]:
    """Place among the pairs that were asked, result in the original and in the swapped order; of every repeat."""
    for repeat in details.get("repeats", [details]):
        for place, pair in enumerate(repeat.get("pairs", [repeat])):
            shown = pair.get("orders", {})
            original, swapped = shown.get(ORDERS[0]), shown.get(ORDERS[1])
            if original is not None and swapped is not None:
                yield place, original, swapped


def _of_details(details: Mapping[str, Any]) -> tuple[float | None, float | None] | None:
    shown = details.get("orders")
    if isinstance(shown, Mapping) and set(ORDERS) <= set(shown):
        return _number(shown[ORDERS[0]]), _number(shown[ORDERS[1]])
    for several in ("pairs", "repeats"):
        if isinstance(parts := details.get(several), list):
            return _mean([_of_details(part) for part in parts if isinstance(part, Mapping)])
    return None


def _mean(found: list[tuple[float | None, float | None] | None]) -> tuple[float, float] | None:
    sides = [(first, second) for first, second in filter(None, found) if first is not None and second is not None]
    if not sides:
        return None
    return math.fsum(first for first, _ in sides) / len(sides), math.fsum(second for _, second in sides) / len(sides)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
