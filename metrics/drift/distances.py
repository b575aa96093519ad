"""Distances between two columns: plain numbers, without their uncertainty.

Exact on rows, and on the counted values of a sketch as if each were that many rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from metrics.base import FloatArray
from metrics.drift.distribution import Categories, Column, Distribution
from metrics.errors import InputError

BinScheme = Literal["evidently", "deciles"]

VALUE_BINS_UP_TO = 20
"""Distinct reference values up to which Evidently takes each value for a bin."""


def ks_statistic(a: Distribution, b: Distribution) -> float:
    """Largest difference of the two distribution functions, 0 to 1."""
    ranks_a, ranks_b = a.ranks() / a.n, b.ranks() / b.n
    up_to = np.searchsorted(a.values, b.values, side="right")
    below = up_to
    if np.any(a.values[np.maximum(up_to - 1, 0)] == b.values):
        below = np.searchsorted(a.values, b.values, side="left")
    above = (ranks_b[1:] - ranks_a[up_to]).max()
    return float(max(above, (ranks_a[below] - ranks_b[:-1]).max(), 0.0))


@dataclass(frozen=True, slots=True)
class Gap:
    """The step function "distribution function of a minus that of b".

    Attributes:
        heights: its value on each step ``[k]``.
        widths: the steps' widths ``[k]``.
        share_a, share_b: the two distribution functions on each step ``[k]``.
    """

    heights: FloatArray
    widths: FloatArray
    share_a: FloatArray
    share_b: FloatArray

    def integral(self, power: int) -> float:
        """Integral of ``|a - b| ** power`` over the line."""
        size = np.abs(self.heights)
        return float((size if power == 1 else size**power) @ self.widths)


def gap(a: Distribution, b: Distribution) -> Gap:
    """Merge two columns on one axis."""
    points = np.concatenate((a.values, b.values))
    order = np.argsort(points, kind="stable")  # a merge: both halves are sorted
    from_a = np.concatenate((_counts(a), np.zeros(len(b.values))))[order]
    from_b = np.concatenate((np.zeros(len(a.values)), _counts(b)))[order]
    share_a, share_b = np.cumsum(from_a)[:-1] / a.n, np.cumsum(from_b)[:-1] / b.n
    return Gap(share_a - share_b, np.diff(points[order]), share_a, share_b)


def _counts(column: Distribution) -> FloatArray:
    return np.ones(column.n) if column.counts is None else column.counts


def wasserstein_1(a: Distribution, b: Distribution) -> float:
    """First Wasserstein distance, in the column's unit."""
    if a.counts is None and b.counts is None and a.n == b.n:
        return float(np.abs(a.values - b.values).mean())
    return gap(a, b).integral(1)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows per bin: reference and current ``[bins]``, and the name of the bin scheme."""

    reference: FloatArray
    current: FloatArray
    scheme: str

    @property
    def shares(self) -> tuple[FloatArray, FloatArray]:
        """Shares of rows per bin."""
        return self.reference / self.reference.sum(), self.current / self.current.sum()

    @property
    def least_expected(self) -> float:
        """Smallest count that equal distributions would lead one to expect in a cell."""
        pooled = self.reference + self.current
        return float(pooled.min() * min(self.reference.sum(), self.current.sum()) / pooled.sum())


def table(reference: Column, current: Column, bins: BinScheme = "evidently") -> Table:
    """Count both columns in the same bins.

    Args:
        reference: the column that bins are chosen by.
        current: the column to compare.
        bins: for numeric columns ``"evidently"`` (Evidently 0.7: one bin per value up to 20 distinct reference
            values, else equal widths by Sturges' rule over both columns) or ``"deciles"`` (of the reference).
    """
    if bins not in {"evidently", "deciles"}:
        raise InputError(f"bins is {bins!r}; expected 'evidently' or 'deciles'")
    if isinstance(reference, Categories) and isinstance(current, Categories):
        keys = sorted(set(reference.counts) | set(current.counts))
        rows = [np.array([c.counts.get(key, 0) for key in keys], dtype=np.float64) for c in (reference, current)]
        return Table(rows[0], rows[1], f"one bin per category ({len(keys)})")
    if not (isinstance(reference, Distribution) and isinstance(current, Distribution)):
        raise InputError("one column holds numbers and the other categories; give both as numbers or both as text")
    if _few_values(reference) and bins == "evidently":
        keys_ = np.union1d(reference.values, current.values)
        edges = np.append(keys_, np.inf)
        scheme = f"evidently: one bin per value ({len(keys_)})"
    elif bins == "evidently":
        low = min(reference.values[0], current.values[0])
        high = max(reference.values[-1], current.values[-1])
        edges = _sturges(float(low), float(high), reference.n + current.n)
        scheme = f"evidently: {len(edges) - 1} equal widths (Sturges) over both columns"
    else:
        inner = np.unique(reference.quantiles(np.arange(1, 10) / 10))
        edges = np.concatenate(([-np.inf], np.nextafter(inner, np.inf), [np.inf]))
        scheme = f"deciles of the reference ({len(edges) - 1} bins)"
    return Table(_in_bins(reference, edges), _in_bins(current, edges), scheme)


def _few_values(column: Distribution) -> bool:
    changes = np.count_nonzero(np.diff(column.values[: 10_000 if column.counts is None else None]))
    if changes >= VALUE_BINS_UP_TO:
        return False
    return column.exact and len(np.unique(column.values)) <= VALUE_BINS_UP_TO


def _sturges(low: float, high: float, n: int) -> FloatArray:
    """Edges as `numpy.histogram_bin_edges(..., bins="sturges")` draws them, from the range alone."""
    if low == high:
        return np.array([low - 0.5, high + 0.5])
    width = (high - low) / (np.log2(n) + 1.0)
    return np.linspace(low, high, int(np.ceil((high - low) / width)) + 1)


def _in_bins(column: Distribution, edges: FloatArray) -> FloatArray:
    """Counts of half-open bins; the last bin includes its upper edge."""
    at = np.searchsorted(column.values, edges[:-1], side="left")
    last = np.searchsorted(column.values, edges[-1], side="right")
    return np.diff(column.ranks()[np.append(at, last)])


def filled(shares: FloatArray) -> FloatArray:
    """Shares with 0 replaced as Evidently does: 0.0001, or a millionth of the least share if that is no larger."""
    empty = shares == 0
    least = shares[~empty].min(axis=-1) if shares.ndim == 1 else np.where(empty, 2.0, shares).min(axis=-1)
    fill = np.where(least <= 0.0001, least / 10**6, 0.0001)
    return np.where(empty, fill if shares.ndim == 1 else fill[:, None], shares)


def psi(p: FloatArray, q: FloatArray) -> FloatArray:
    """Population stability index of shares ``[..., bins]``; empty bins are filled."""
    p, q = filled(p), filled(q)
    index: FloatArray = ((p - q) * np.log(p / q)).sum(axis=-1)
    return index


def jensen_shannon_divergence(p: FloatArray, q: FloatArray) -> FloatArray:
    """Jensen-Shannon divergence of shares ``[..., bins]`` in nats, 0 to ln 2."""
    from scipy.special import rel_entr

    middle = (p + q) / 2
    nats: FloatArray = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=-1) / 2
    return np.maximum(nats, 0.0)


def phi_squared(p: FloatArray, q: FloatArray, weight: float) -> FloatArray:
    """Chi-square statistic divided by all rows, from shares; `weight` is the reference's share of all rows."""
    middle = weight * p + (1 - weight) * q
    safe = np.where(middle > 0, middle, 1.0)
    value: FloatArray = weight * (1 - weight) * ((p - q) ** 2 / safe).sum(axis=-1)
    return value
