"""What the statistics look like without drift, at the actual sizes, and how far sampling moves a distance.

Permutation where it is affordable, Brownian bridges (its limit) beyond; p-values are ``(1 + b) / (1 + P)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray
from metrics.drift.distances import Gap, Table, gap
from metrics.drift.distribution import Distribution

Statistic = Callable[[FloatArray, FloatArray], FloatArray]
"""A statistic of the two columns' shares ``[..., bins]``."""

PERMUTATIONS = 999
"""Draws from a null distribution; the smallest p-value is 0.001."""

PERMUTED_ROWS = 2000
"""Rows of both columns together up to which labels are permuted; beyond, bridges on a grid."""

_GRID = 256
_TABLE_CELLS = 2_000_000


def permutation_p(observed: float, null: FloatArray) -> float:
    """Share of the null draws, the observed value among them, that are at least the observed value; never 0."""
    tolerance = 1e-12 * max(1.0, abs(observed))
    return float((1 + np.count_nonzero(null >= observed - tolerance)) / (1 + len(null)))


@lru_cache(maxsize=4)
def _labels(m: int, n: int, draws: int, seed: int) -> NDArray[np.int8]:
    """Random labellings ``[draws, m + n]``: 1 for the reference's rows."""
    row = np.concatenate((np.ones(m, np.int8), np.zeros(n, np.int8)))
    return np.random.default_rng(seed).permuted(np.tile(row, (draws, 1)), axis=1)


@lru_cache(maxsize=8)
def _normals(draws: int, steps: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((draws, steps))


def bridges(times: FloatArray, draws: int, seed: int) -> FloatArray:
    """Brownian bridges at ascending `times` ``[k]`` in 0 to 1: ``[draws, k]``."""
    edges = np.concatenate(([0.0], times, [1.0]))
    steps = _normals(draws, len(edges) - 1, seed) * np.sqrt(np.maximum(np.diff(edges), 0.0))
    paths: FloatArray = np.cumsum(steps, axis=1)
    return paths[:, :-1] - paths[:, -1:] * times


def line_null(a: Distribution, b: Distribution, power: int, *, draws: int = PERMUTATIONS, seed: int = 0) -> FloatArray:
    """Null draws ``[draws]`` of the integral of ``|F_a - F_b| ** power``, had both columns one distribution.

    Up to `PERMUTED_ROWS` rows the labels of the pooled rows are permuted, which is exact; beyond, the difference
    is a Brownian bridge in pooled rank, taken on a grid of at most 256 quantiles.
    """
    if a.n + b.n <= PERMUTED_ROWS and a.counts is None and b.counts is None:
        widths = np.diff(np.sort(np.concatenate((a.values, b.values))))
        ones = np.cumsum(_labels(a.n, b.n, draws, seed), axis=1, dtype=np.int32)[:, :-1]
        zeros = np.arange(1, a.n + b.n, dtype=np.int32) - ones
        heights = np.abs(ones / a.n - zeros / b.n)
    else:
        steps = _coarse(a, b)
        widths = steps.widths
        pooled = (steps.share_a * a.n + steps.share_b * b.n) / (a.n + b.n)
        heights = np.abs(bridges(pooled, draws, seed)) * math.sqrt(1 / a.n + 1 / b.n)
    null: FloatArray = (heights if power == 1 else heights**power) @ widths
    return null


def line_error(a: Distribution, b: Distribution, power: int, *, draws: int = PERMUTATIONS, seed: int = 0) -> FloatArray:
    """Draws ``[draws]`` of the L1 or L2 norm of the sampling error of ``F_a - F_b``.

    By the triangle inequality no distance between the columns is off by more than this norm, drift or none; its
    quantile gives an interval that covers at least what it says once the bridges describe both columns.
    """
    steps = _coarse(a, b)
    error = bridges(steps.share_a, draws, seed) / math.sqrt(a.n)
    error -= bridges(steps.share_b, draws, seed + 1) / math.sqrt(b.n)
    size = np.abs(error)
    norm: FloatArray = size @ steps.widths if power == 1 else np.sqrt((size * size) @ steps.widths)
    return norm


def _coarse(a: Distribution, b: Distribution) -> Gap:
    """The step function on at most `_GRID` steps between quantiles of both columns, each at its middle."""
    if len(a.values) + len(b.values) <= _GRID:
        return gap(a, b)
    points = np.unique(np.concatenate([_picked(column.values, _GRID // 2) for column in (a, b)]))
    shares = [column.ranks()[np.searchsorted(column.values, points, side="right")] / column.n for column in (a, b)]
    share_a, share_b = ((share[1:] + share[:-1]) / 2 for share in shares)
    return Gap(share_a - share_b, np.diff(points), share_a, share_b)


def _picked(values: FloatArray, count: int) -> FloatArray:
    """At most `count` of the values, evenly by rank, both ends among them."""
    return values[np.linspace(0, len(values) - 1, min(count, len(values))).astype(np.intp)]


def table_null(
    counts: Table,
    statistic: Callable[[FloatArray, FloatArray], FloatArray],
    *,
    draws: int = PERMUTATIONS,
    seed: int = 0,
) -> FloatArray:
    """Null draws of a statistic of two share vectors: rows dealt out again between the two columns, bins fixed.

    Fewer draws, 99 at least, where bins are so many that all draws would not fit in memory.
    """
    pooled = np.rint(counts.reference + counts.current).astype(np.int64)
    m = round(float(counts.reference.sum()))
    draws = max(99, min(draws, _TABLE_CELLS // len(pooled)))
    rng = np.random.default_rng(seed)
    reference = rng.multivariate_hypergeometric(pooled, m, size=draws, method="marginals")
    return statistic(reference / m, (pooled - reference) / (pooled.sum() - m))
