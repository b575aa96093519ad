"""Candidate minus champion from stored rows: paired by sample where both answered the same, else independent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metrics.base import Estimate, FloatArray, Scores
from metrics.errors import InputError
from metrics.statistics.intervals import Interval, constant_interval, t_interval, tail, tango_interval
from metrics.statistics.moments import cluster_positions, moments_of
from metrics.statistics.rows import FEW_OFF_THE_EDGE, Quantity, estimate, mover


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of two versions side by side; `both` marks the pairs that are scored on either side."""

    a: Scores
    b: Scores
    both: NDArray[np.bool_]

    @property
    def scored(self) -> tuple[Scores, Scores]:
        """The pairs that count."""
        rows = np.flatnonzero(self.both)
        return self.a.select(rows), self.b.select(rows)


def pair(candidate: Scores, champion: Scores) -> Pairs | None:
    """Match rows by sample id, in the candidate's order; None when fewer than half of the smaller set is shared.

    A sample id that occurs twice raises `InputError`.
    """
    places = {name: row for row, name in enumerate(champion.sample_ids)}
    for scores, distinct in ((champion, len(places)), (candidate, len(set(candidate.sample_ids)))):
        if distinct != len(scores):
            raise InputError(
                f"{len(scores) - distinct} sample ids occur more than once; samples are paired by their id"
            )
    rows = [row for row, name in enumerate(candidate.sample_ids) if name in places]
    if len(rows) < 2 or 2 * len(rows) < min(len(candidate), len(champion)):
        return None
    a = candidate.select(np.array(rows, dtype=np.intp))
    b = champion.select(np.array([places[name] for name in a.sample_ids], dtype=np.intp))
    if a.clusters is None and b.clusters is not None:
        a = replace(a, clusters=b.clusters)
    finite = [np.isfinite(side.values) & np.isfinite(side.denominators) for side in (a, b)]
    return Pairs(a, b, finite[0] & finite[1])


def compare_rows(
    candidate: Scores, champion: Scores, quantity: Quantity, *, confidence: float = 0.95, independent: bool = False
) -> Estimate:
    """Return candidate minus champion with an interval.

    Paired: Tango's score interval for plain rates, otherwise t on the samples' influence values (so ratios and
    clusters work). Where fewer than 30 pairs differ, t would be too narrow: the improvements and the losses
    then get intervals of their own, combined by MOVER. Not paired: MOVER from the two intervals.
    """
    tail(confidence)
    pairs = None if independent else pair(candidate, champion)
    if pairs is None:
        sides = [
            estimate(moments_of(s, low=quantity.low, high=quantity.high), quantity, confidence=confidence)
            for s in (candidate, champion)
        ]
        return independent_difference(*sides)
    a, b = pairs.scored
    n = len(a)
    value, influence, effective = math.nan, np.empty(0), None
    if n and a.denominators.any() and b.denominators.any():
        value, influence = _influence(a, b, quantity)
    if n < max(2, quantity.fewest):
        interval, method = None, f"no interval: {n} scored pairs, {max(2, quantity.fewest)} needed"
    elif math.isnan(value):
        interval, method = None, "no interval: the denominators are all 0"
    else:
        interval, method, effective = _paired_interval(a, b, quantity, value, influence, confidence=confidence)
    worst = _worst(pairs, quantity)
    return Estimate(
        value=value,
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        n=n,
        effective_n=effective,
        coverage=n / len(pairs.both),
        worst_low=None if worst is None else worst[0],
        worst_high=None if worst is None else worst[1],
        method=f"paired, {method}",
        estimand=_difference_of(quantity.estimand),
        confidence=confidence,
    )


def independent_difference(a: Estimate, b: Estimate) -> Estimate:
    """Return ``a - b`` for estimates from independent samples, by MOVER (Zou and Donner 2008).

    No interval where either has none. `InputError` when their confidences differ. `n` is the smaller n.
    """
    interval = mover(a, b)
    missing = "candidate" if not a.has_interval else "other version"
    worst = None not in (a.worst_low, a.worst_high, b.worst_low, b.worst_high)
    effective = [e for e in (a.effective_n, b.effective_n) if e is not None]
    return Estimate(
        value=a.value - b.value,
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        n=min(a.n, b.n),
        effective_n=min(effective) if len(effective) == 2 else None,
        coverage=min(a.coverage, b.coverage),
        worst_low=a.worst_low - b.worst_high if worst else None,  # type: ignore[operator]
        worst_high=a.worst_high - b.worst_low if worst else None,  # type: ignore[operator]
        method="independent, MOVER" if interval else f"no interval: the {missing}'s value has none",
        estimand=_difference_of(a.estimand),
        confidence=a.confidence,
    )


def _influence(a: Scores, b: Scores, quantity: Quantity) -> tuple[float, FloatArray]:
    """Difference of the values, and what each pair adds to it (first order); the latter sums to 0."""
    values, influences = [], []
    for side in (a, b):
        total = float(side.weights @ side.denominators)
        ratio = float(side.weights @ side.values) / total
        slope = math.exp(min(ratio, 700.0)) if quantity.scale == "log" else 1.0
        values.append(slope if quantity.scale == "log" else ratio)
        influences.append(slope * side.weights * (side.values - ratio * side.denominators) / total)
    return values[0] - values[1], influences[0] - influences[1]


def _paired_interval(
    a: Scores, b: Scores, quantity: Quantity, value: float, influence: FloatArray, *, confidence: float
) -> tuple[Interval | None, str, float | None]:
    n = len(a)
    means = bool(np.all(a.denominators == 1) and np.all(b.denominators == 1) and np.array_equal(a.weights, b.weights))
    bounds = quantity.range if means and quantity.scale == "identity" else None
    weighted = bool(np.ptp(a.weights) > 0)
    suffix = (", clustered" if a.clusters is not None else "") + (", weighted" if weighted else "")
    differences = a.values - b.values
    binary = bounds == (0.0, 1.0) and not np.any((a.values % 1) + (b.values % 1))
    if binary and a.clusters is None and not weighted:
        wins, losses = int(np.sum(differences > 0)), int(np.sum(differences < 0))
        return tango_interval(wins, losses, n, confidence=confidence), "Tango score", float(n)
    if a.clusters is not None and len(set(a.clusters)) < 2:
        return None, "no interval: all samples share one cluster", None
    width = None if bounds is None else bounds[1] - bounds[0]
    if width is not None and np.count_nonzero(differences) < FEW_OFF_THE_EDGE:
        return _parts_interval(a, differences, width, confidence), "gains and losses apart" + suffix, float(n)
    variance, degrees = influence_variance(influence, a)
    rows = float(influence @ influence) * n / (n - 1)
    effective = min(float(n), n * rows / variance) if 0 < variance < math.inf else degrees + 1
    if np.ptp(differences) <= 1e-12 * max(float(np.abs(differences).max()), width or 0.0) or variance == 0:
        if width is None:
            return None, "no interval: all differences are equal and unbounded", effective
        interval = constant_interval(value, degrees + 1, -width, width, confidence=confidence)
        return interval, "bound on unseen differences (all are equal)" + suffix, effective
    if not math.isfinite(variance):
        return None, "no interval: one cluster holds all the weight", effective
    low, high = t_interval(value, math.sqrt(variance), degrees, confidence=confidence)
    if width is not None:
        low, high = max(low, -width), min(high, width)
    return (low, high), ("t" if means else "t, delta method") + suffix, effective


def influence_variance(influence: FloatArray, rows: Scores) -> tuple[float, float]:
    """Variance of a sum of influence values and its degrees of freedom, with CR2 clusters where rows have them."""
    n = len(influence)
    if rows.clusters is None:
        return float(influence @ influence) * n / (n - 1), n - 1
    positions, count = cluster_positions(rows.clusters)
    sums = np.bincount(positions, weights=influence, minlength=count)
    mass = np.bincount(positions, weights=rows.weights * rows.denominators, minlength=count)
    left = 1 - mass / mass.sum()
    return (math.inf if np.any(left <= 0) else float(np.sum(sums**2 / left))), count - 1


def _parts_interval(rows: Scores, differences: FloatArray, width: float, confidence: float) -> Interval:
    part = Quantity(low=0.0, high=width)
    gains, losses = (
        estimate(
            moments_of(replace(rows, values=np.maximum(sign * differences, 0.0)), low=0.0, high=width),
            part,
            confidence=confidence,
        )
        for sign in (1, -1)
    )
    interval = mover(gains, losses)
    if interval is None:  # a range and two clusters or pairs are enough for either part
        raise InputError(f"no interval of the differences: {gains.method}; {losses.method}")
    return max(interval[0], -width), min(interval[1], width)


def _worst(pairs: Pairs, quantity: Quantity) -> Interval | None:
    bounds = quantity.range
    units = np.nan_to_num(pairs.a.denominators, nan=1.0), np.nan_to_num(pairs.b.denominators, nan=1.0)
    if bounds is None or quantity.scale == "log" or np.any(units[0] != 1) or np.any(units[1] != 1):
        return None
    ends = []
    for own, other in (bounds, bounds[::-1]):
        a = np.where(np.isfinite(pairs.a.values), pairs.a.values, own)
        b = np.where(np.isfinite(pairs.b.values), pairs.b.values, other)
        ends.append(float(np.average(a, weights=pairs.a.weights) - np.average(b, weights=pairs.b.weights)))
    return ends[0], ends[1]


def _difference_of(estimand: str) -> str:
    return f"difference of {estimand}" if estimand else "difference"
