"""Which rows are looked at closely: by a hash of their id, stratified by slice, with weights.

The same rows are drawn whenever a window is computed, on any machine; a smaller sample is part of a larger one. A late
row displaces at most one other of its stratum.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray
from metrics.errors import InputError

FLOOR = 20
"""Rows that each stratum gets before the rest is shared out in proportion."""
MOST_STRATA = 200
"""Strata beyond the largest ones are drawn from together."""

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample of rows.

    Attributes:
        rows: ascending positions ``[k]``.
        weights: rows that each stands for ``[k]``: rows of its stratum / rows drawn from it.
        population: rows that were drawn from.
    """

    rows: Rows
    weights: FloatArray
    population: int

    @property
    def complete(self) -> bool:
        """Whether every row was drawn."""
        return len(self.rows) == self.population

    @property
    def probabilities(self) -> FloatArray:
        """Chance of each row to be drawn ``[k]``."""
        return 1 / self.weights


def hashes(ids: Sequence[str] | NDArray[Any], salt: str) -> NDArray[np.uint64]:
    """A 64-bit number for each id ``[n]``, as good as random and always the same for one salt (SipHash-2-4)."""
    import pandas as pd

    key = hashlib.blake2b(salt.encode(), digest_size=8).hexdigest()  # 16 bytes of ASCII, as pandas asks for
    values = np.asarray(ids, dtype=object)
    found: NDArray[np.uint64] = pd.util.hash_array(values, encoding="utf8", hash_key=key, categorize=False)
    return found


def strata_of(slices: Mapping[str, NDArray[Any]], n: int) -> NDArray[np.int64]:
    """A stratum's number for each row ``[n]``: one for each combination of slices' values, rare ones together."""
    code = np.zeros(n, dtype=np.int64)
    for values in slices.values():
        _, own = np.unique(values.astype(str), return_inverse=True)
        _, code = np.unique(code * (int(own.max(initial=0)) + 1) + own, return_inverse=True)
    counts = np.bincount(code, minlength=1)
    if len(counts) > MOST_STRATA:
        kept = np.sort(np.argsort(-counts, kind="stable")[: MOST_STRATA - 1])
        renamed = np.full(len(counts), len(kept))
        renamed[kept] = np.arange(len(kept))
        code = renamed[code]
    return code


def allocate(counts: NDArray[np.int64], size: int, floor: int = FLOOR) -> NDArray[np.int64]:
    """Rows to draw from each stratum of the given `counts`, `size` in all, or all rows where there are fewer.

    Every stratum first gets `floor` rows (fewer where it has fewer, or where `size` does not go round), and what is
    left is shared out in proportion to the rows that are left, by the largest remainder.
    """
    if size < 0 or floor < 0:
        raise InputError(f"a sample of {size} rows with a floor of {floor}; both must be at least 0")
    total = int(counts.sum())
    if total <= size:
        return counts.astype(np.int64)
    low, high = 0, floor
    while low < high:  # the largest floor that goes round
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(np.minimum(counts, middle).sum()) <= size else (low, middle - 1)
    drawn = np.minimum(counts, low).astype(np.int64)
    left = counts - drawn
    rest = size - int(drawn.sum())
    share = rest * left / max(1, int(left.sum()))
    drawn += np.floor(share).astype(np.int64)
    missing = size - int(drawn.sum())
    order = np.lexsort((np.arange(len(counts)), -(share - np.floor(share))))
    order = order[drawn[order] < counts[order]]
    drawn[order[:missing]] += 1
    return drawn


def draw(hashed: NDArray[np.uint64], strata: NDArray[np.int64], size: int, *, floor: int = FLOOR) -> Drawn:
    """Draw `size` rows: from each stratum those with the smallest hashes.

    Args:
        hashed: `hashes` of the ids ``[n]``.
        strata: stratum of each row ``[n]``.
        size: rows in all; all rows where there are no more.
        floor: rows from each stratum at least, where it has so many.
    """
    if len(hashed) != len(strata):
        raise InputError(f"{len(hashed)} hashes for {len(strata)} strata; expected one each")
    counts = np.bincount(strata, minlength=1)
    taken = allocate(counts, size, floor)
    order = np.lexsort((hashed, strata))
    within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = np.sort(order[within < taken[strata[order]]])
    weights = counts[strata[rows]] / taken[strata[rows]]
    return Drawn(rows, weights.astype(np.float64), len(hashed))


def share_of_day(per_day: int, start: int, length: int) -> int:
    """Rows of a window's share in a number for each day; the shares of a day's windows add up to it."""
    day = 86_400_000
    if length >= day:
        return round(per_day * length / day)
    begin = start % day
    return (begin + length) * per_day // day - begin * per_day // day
