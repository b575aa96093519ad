"""Bootstrap of smooth functions of means, all resamples in one matrix product, with percentile and BCa intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from metrics.base import Estimate, FloatArray
from metrics.errors import InputError
from metrics.statistics.intervals import Interval, tail
from metrics.statistics.moments import cluster_positions

Statistic = Callable[[FloatArray], ArrayLike]
BootstrapMethod = Literal["bca", "percentile"]

FEWEST_UNITS = 50
"""Samples (or clusters) below which the simulated coverage of a BCa interval fell under 92 %."""

_CELLS = 4_000_000


def bootstrap(
    rows: ArrayLike,
    statistic: Statistic | None = None,
    *,
    method: BootstrapMethod = "bca",
    clusters: Sequence[str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    estimand: str = "mean",
) -> Estimate:
    """Bootstrap a function of column means: a mean, ratio, correlation, corpus BLEU from its counts, ...

    Args:
        rows: one row per sample, ``[n]`` or ``[n, k]``; a row that is not finite is left out and lowers the coverage.
        statistic: from means ``[..., k]`` to values ``[...]``, for all resamples at once; the mean by default, which
            needs one column.
        method: ``bca`` (bias corrected and accelerated, Efron 1987) or ``percentile``.
        clusters: one name per row; whole clusters are then resampled.
        resamples: bootstrap resamples, at least 100.
        seed: of `numpy.random.default_rng`; the same seed draws what `scipy.stats.bootstrap` draws.
        confidence: two-sided level.
        estimand: what the statistic estimates.

    Returns:
        The value on all rows and its interval; none with fewer than 50 samples or clusters, where the resamples do
        not vary, or where the statistic is undefined on some of them. `spread` is the standard error.

    Raises:
        InputError: rows that are no matrix of numbers, a statistic of the wrong shape, an unknown method.

    The intervals equal `scipy.stats.bootstrap`'s with the same seed.
    """
    tail(confidence)
    if method not in {"bca", "percentile"}:
        raise InputError(f"bootstrap method {method!r}; expected 'bca' or 'percentile'")
    if resamples < 100:
        raise InputError(f"{resamples} resamples; a bootstrap interval needs at least 100")
    table = _matrix(rows)
    if statistic is None and table.shape[1] != 1:
        raise InputError(f"the rows have {table.shape[1]} columns; give the statistic of their means")
    if clusters is not None and len(clusters) != len(table):
        raise InputError(f"{len(clusters)} cluster names for {len(table)} rows; expected one per row")
    kept: NDArray[np.bool_] = np.all(np.isfinite(table), axis=1)
    names = None if clusters is None else [str(c) for c, keep in zip(clusters, kept, strict=True) if keep]
    units = _units(table[kept], names)
    function = statistic or (lambda means: means[..., 0])
    value = math.nan
    low: float | None = None
    high: float | None = None
    error: float | None = None
    reason = f"no interval: {len(units)} {'samples' if names is None else 'clusters'}, {FEWEST_UNITS} needed"
    if len(units):
        total = units.sum(axis=0)
        value = float(_values(function, total[None], 1)[0])
    if len(units) >= FEWEST_UNITS:
        draws = np.concatenate(list(_replicates(units, function, resamples, np.random.default_rng(seed))))
        interval, reason = _interval(draws, value, units, function, method=method, confidence=confidence)
        if interval is not None:
            (low, high), error = interval, float(draws.std(ddof=1))
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=int(kept.sum()),
        effective_n=float(len(units)),
        coverage=float(kept.mean()) if len(kept) else 0.0,
        spread=error,
        method=reason + (", clustered" if names is not None and low is not None else ""),
        estimand=estimand,
        confidence=confidence,
    )


def _matrix(rows: ArrayLike) -> FloatArray:
    try:
        table = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("the rows have entries that are not numbers; expected an array [n] or [n, k]") from None
    if table.ndim not in {1, 2}:
        raise InputError(f"the rows have shape {table.shape}; expected [n] or [n, k]")
    return table[:, None] if table.ndim == 1 else table


def _units(table: FloatArray, clusters: list[str] | None) -> FloatArray:
    """What is resampled, samples or sums over a cluster ``[units, k + 1]``; the last column counts samples."""
    counted = np.column_stack([table, np.ones(len(table))])
    if clusters is None:
        return counted
    positions, count = cluster_positions(clusters)
    sums = np.zeros((count, counted.shape[1]))
    np.add.at(sums, positions, counted)
    return sums


def _values(function: Statistic, totals: FloatArray, count: int) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(function(totals[:, :-1] / totals[:, -1:]), dtype=np.float64)
    if values.shape != (count,):
        raise InputError(f"the statistic of means {totals[:, :-1].shape} has shape {values.shape}; expected ({count},)")
    return values


def resample_counts(n: int, resamples: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """How often each of `n` units is drawn ``[block, n]``, as many resamples at a time as keep memory bounded."""
    step = max(1, _CELLS // n)
    for start in range(0, resamples, step):
        block = min(step, resamples - start)
        drawn = rng.integers(0, n, (block, n))
        drawn += np.arange(block)[:, None] * n
        counts: NDArray[np.intp] = np.bincount(drawn.ravel(), minlength=block * n)
        yield counts.reshape(block, n).astype(np.float64)


def _replicates(
    units: FloatArray, function: Statistic, resamples: int, rng: np.random.Generator
) -> Iterator[FloatArray]:
    for counts in resample_counts(len(units), resamples, rng):
        yield _values(function, counts @ units, len(counts))


def _interval(
    draws: FloatArray,
    value: float,
    units: FloatArray,
    function: Statistic,
    *,
    method: BootstrapMethod,
    confidence: float,
) -> tuple[Interval | None, str]:
    undefined = int(np.sum(~np.isfinite(draws)))
    if undefined or not math.isfinite(value):
        return None, f"no interval: the statistic is undefined on {undefined} of {len(draws)} resamples"
    if np.ptp(draws) <= 1e-12 * max(abs(value), 1e-300):
        return None, "no interval: the resamples do not vary"
    alpha = tail(confidence)
    levels = np.array([alpha, 1 - alpha])
    if method == "bca":
        left_out = _values(function, units.sum(axis=0) - units, len(units))
        if not np.isfinite(left_out).all():
            return None, "no interval: the statistic is undefined with one sample left out"
        levels = _bca_levels(draws, value, left_out, levels)
    ends = np.quantile(draws, levels)
    name = "BCa" if method == "bca" else "percentile"
    return (float(ends[0]), float(ends[1])), f"{name} bootstrap"


def _bca_levels(draws: FloatArray, value: float, left_out: FloatArray, levels: FloatArray) -> FloatArray:
    """Levels of the bootstrap distribution after Efron's corrections for bias and skewness."""
    below = float(np.sum(draws < value) + np.sum(draws <= value)) / (2 * len(draws))
    below = min(max(below, 0.5 / len(draws)), 1 - 0.5 / len(draws))
    bias = special.ndtri(below)
    gaps = left_out.mean() - left_out
    scale = float(np.sum(gaps**2)) ** 1.5
    acceleration = float(np.sum(gaps**3)) / (6 * scale) if scale > 0 else 0.0
    shifted = bias + special.ndtri(levels)
    corrected: FloatArray = special.ndtr(bias + shifted / (1 - acceleration * shifted))
    return corrected
