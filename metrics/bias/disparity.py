"""Differences between groups: each group's mean and every gap, with intervals that hold together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import Batch, Estimate
from metrics.errors import InputError
from metrics.scoring import rows
from metrics.statistics.intervals import tail
from metrics.statistics.moments import Moments, moments_of
from metrics.statistics.pairing import compare_rows, independent_difference
from metrics.statistics.rows import Quantity, estimate


@dataclass(frozen=True, slots=True)
class Disparity:
    """Means by group, and gaps between groups.

    Attributes:
        groups: group to the mean of its scores.
        gaps: ``(a, b)``, in the order of the names, to the mean of a minus the mean of b.
        largest: the gap furthest from 0, turned to be positive; None with fewer than two scored groups.
        ratio: smallest mean / largest mean; NaN where the largest is not positive.

    All intervals of `groups` hold together with the confidence asked for (Bonferroni), and so do all of `gaps`: the
    largest gap, though picked after seeing the data, keeps its level.
    """

    groups: Mapping[str, Estimate]
    gaps: Mapping[tuple[str, str], Estimate]
    largest: Estimate | None
    ratio: float


def group_disparity(
    scores: ArrayLike,
    groups: Sequence[str],
    *,
    clusters: Sequence[str] | None = None,
    low: float | None = 0.0,
    high: float | None = 1.0,
    confidence: float = 0.95,
) -> Disparity:
    """Compare the mean score of groups of independent samples.

    Args:
        scores: ``[n]``; NaN is unscored and lowers its group's coverage.
        groups: group of each sample.
        clusters: one name per sample, where samples are not independent; clusters may not span groups.
        low, high: range of a score; None is unbounded.
        high: see `low`.
        confidence: level at which all intervals hold together.

    Values agree with Fairlearn's ``MetricFrame(metrics=mean)``: `by_group`, `difference()` and `ratio()`.
    """
    values = np.asarray(scores, dtype=np.float64)
    names = [str(group) for group in groups]
    if values.ndim != 1 or len(names) != len(values) or (clusters is not None and len(clusters) != len(values)):
        raise InputError(f"scores have shape {list(values.shape)} for {len(names)} groups; expected one of each")
    if clusters is not None and len({(c, g) for c, g in zip(clusters, names, strict=True)}) != len(set(clusters)):
        raise InputError("a cluster has samples of several groups; use counterfactual_gaps for paired samples")
    ids = [str(i) for i in range(len(values))]
    batch = Batch(ids, {}, None if clusters is None else [str(c) for c in clusters])
    table = rows(batch, values, [None if np.isfinite(v) else "no score" for v in values])
    distinct = sorted(set(names))
    places = {name: np.flatnonzero([other == name for other in names]) for name in distinct}
    parts = {name: moments_of(table.select(at), low=low, high=high) for name, at in places.items()}
    return disparity_of(parts, Quantity(low, high, estimand="mean score of the group"), confidence=confidence)


def disparity_of(parts: Mapping[str, Moments], quantity: Quantity, *, confidence: float = 0.95) -> Disparity:
    """Compare groups by the moments of their scores, as windows and shards keep them.

    Args:
        parts: group to the moments of its independent samples; groups share no cluster.
        quantity: range and meaning of a score.
        confidence: level at which all intervals hold together.
    """
    distinct = sorted(parts)
    pairs = list(combinations(distinct, 2))
    shared = _shared(confidence, len(distinct))
    between = _shared(confidence, len(pairs))
    found = {name: estimate(parts[name], quantity, confidence=shared) for name in distinct}
    sides = {name: estimate(parts[name], quantity, confidence=between) for name in distinct}
    gaps = {(a, b): independent_difference(sides[a], sides[b]) for a, b in pairs}
    return _disparity(found, gaps)


def counterfactual_gaps(
    scores: Mapping[str, ArrayLike],
    *,
    clusters: Sequence[str] | None = None,
    low: float | None = 0.0,
    high: float | None = 1.0,
    confidence: float = 0.95,
) -> Disparity:
    """Compare groups on the same prompts, prompt by prompt: only the group's name differs within a pair.

    Args:
        scores: group to the scores ``[n]`` of its variant of each prompt, in the same order; NaN is unscored.
        clusters: one name per prompt: its template, since prompts of one template are alike.
        low, high: range of a score; None is unbounded (length, say).
        high: see `low`.
        confidence: level at which all intervals hold together.
    """
    values = {str(name): np.asarray(side, dtype=np.float64) for name, side in scores.items()}
    shapes = {side.shape for side in values.values()}
    if len(values) < 2 or len(shapes) != 1 or any(side.ndim != 1 for side in values.values()):
        raise InputError(f"scores have shapes {sorted(map(list, shapes))}; expected [n], of two groups or more")
    n = len(next(iter(values.values())))
    names = None if clusters is None else [str(name) for name in clusters]
    if names is not None and len(names) != n:
        raise InputError(f"{len(names)} clusters for {n} prompts; expected one each")
    batch = Batch([str(i) for i in range(n)], {}, names)
    table = {
        name: rows(batch, side, [None if np.isfinite(v) else "no score" for v in side]) for name, side in values.items()
    }
    quantity = Quantity(low, high, estimand="mean score of the group")
    pairs = list(combinations(sorted(table), 2))
    shared, between = _shared(confidence, len(table)), _shared(confidence, len(pairs))
    found = {
        name: estimate(moments_of(side, low=low, high=high), quantity, confidence=shared)
        for name, side in table.items()
    }
    gaps = {(a, b): compare_rows(table[a], table[b], quantity, confidence=between) for a, b in pairs} if n else {}
    return _disparity(found, gaps)


def _disparity(found: Mapping[str, Estimate], gaps: Mapping[tuple[str, str], Estimate]) -> Disparity:
    means = [e.value for e in found.values() if e.n]
    ratio = min(means) / max(means) if means and max(means) > 0 else float("nan")
    return Disparity(groups=found, gaps=gaps, largest=_largest(gaps), ratio=ratio)


def _shared(confidence: float, count: int) -> float:
    """Bonferroni: the level of each of `count` intervals."""
    return 1 - 2 * tail(confidence) / max(1, count)


def _largest(gaps: Mapping[tuple[str, str], Estimate]) -> Estimate | None:
    known = [gap for gap in gaps.values() if np.isfinite(gap.value)]
    if not known:
        return None
    gap = max(known, key=lambda e: abs(e.value))
    if gap.value >= 0:
        return gap

    def turned(end: float | None) -> float | None:
        return None if end is None else -end

    return replace(
        gap,
        value=-gap.value,
        low=turned(gap.high),
        high=turned(gap.low),
        worst_low=turned(gap.worst_high),
        worst_high=turned(gap.worst_low),
    )
