"""Columns as the drift statistics read them: ascending values with counts, or category counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.base import FloatArray
from metrics.errors import InputError


@dataclass(frozen=True, slots=True)
class Distribution:
    """A numeric column, sorted.

    Attributes:
        values: ascending float64 ``[k]``.
        counts: rows behind each value ``[k]``; None where every value stands for one row.
        n: rows with a value.
        offered: rows including those without one.
        exact: whether the values are the rows' own, and not the centroids of a sketch.
        dependent: whether rows share clusters.
    """

    values: FloatArray
    counts: FloatArray | None
    n: int
    offered: int
    exact: bool = True
    dependent: bool = False

    @property
    def coverage(self) -> float:
        """Rows with a value / rows offered."""
        return self.n / self.offered if self.offered else 0.0

    def ranks(self) -> FloatArray:
        """Rows below the first value, up to and including each value: ``[k + 1]``, from 0 to n."""
        if self.counts is None:
            return np.arange(self.n + 1, dtype=np.float64)
        return np.concatenate(([0.0], np.cumsum(self.counts)))

    def mean(self) -> float:
        """Mean of the rows."""
        return float(np.average(self.values, weights=self.counts))

    def deviation(self) -> float:
        """Standard deviation of the rows (ddof 0)."""
        return float(np.sqrt(np.average((self.values - self.mean()) ** 2, weights=self.counts)))

    def quantiles(self, levels: FloatArray) -> FloatArray:
        """Smallest values below or at which the given shares of rows lie."""
        at = np.searchsorted(self.ranks()[1:], levels * self.n * (1 - 1e-12), side="left")
        return self.values[np.minimum(at, len(self.values) - 1)]


@dataclass(frozen=True, slots=True)
class Categories:
    """A column of categories: rows per category, and as `Distribution` for the rest."""

    counts: Mapping[str, int]
    offered: int
    dependent: bool = False

    @property
    def n(self) -> int:
        """Rows with a value."""
        return sum(self.counts.values())

    @property
    def coverage(self) -> float:
        """Rows with a value / rows offered."""
        return self.n / self.offered if self.offered else 0.0


Column = Distribution | Categories


def numeric_array(values: Any, what: str) -> FloatArray:
    """Return a float64 vector; None becomes NaN, infinity raises `InputError`."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what}: expected numbers; hand categories in as text") from None
    if array.ndim != 1:
        raise InputError(f"{what}: expected one number per row, got shape {list(array.shape)}")
    infinite = np.flatnonzero(np.isinf(array))
    if infinite.size:
        raise InputError(f"{what}: row {infinite[0]} is infinite ({infinite.size} such rows); give None where missing")
    return array


def numeric_column(values: Any, what: str = "column") -> Distribution:
    """Sort a numeric column ``[n]``, NumPy, torch, pandas or a list; None and NaN are missing rows."""
    array = numeric_array(values, what)
    ordered = np.sort(array)  # NaN sorts last
    kept = len(ordered)
    if kept and np.isnan(ordered[-1]):
        kept = int(np.searchsorted(ordered, np.nan))
    return Distribution(ordered[:kept], None, kept, len(array))


def category_column(values: Any) -> Categories:
    """Count a column of categories; None and NaN are missing rows, anything else counts as its text."""
    tally = Counter(values.tolist() if isinstance(values, np.ndarray) else values)
    counts: Counter[str] = Counter()
    for value, rows in tally.items():
        if not is_missing(value):
            counts[str(value)] += rows
    return Categories(dict(sorted(counts.items())), len(values))


def is_missing(value: Any) -> bool:
    """None, NaN and pandas' NA."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"


def looks_numeric(values: Any) -> bool:
    """Whether a column holds numbers: a numeric array or tensor, or a list whose present values are numbers."""
    if hasattr(values, "detach"):
        return True
    kind = getattr(getattr(values, "dtype", None), "kind", None)
    if kind in {"i", "u", "f"}:
        return True
    if kind in {"b", "U", "S"}:
        return False
    present = (v for v in values if not is_missing(v))
    first = next(present, None)
    return _is_number(first) and all(map(_is_number, present))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def as_column(values: Any, what: str = "column") -> Column:
    """Return a numeric or a category column, whichever the values are; columns pass through."""
    if isinstance(values, Distribution | Categories):
        return values
    return numeric_column(values, what) if looks_numeric(values) else category_column(values)
