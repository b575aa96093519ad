"""The cubic polynomial kernel between all pairs of rows, tile by tile in bounded memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray
from metrics.image.features import Matrix
from metrics.image.products import Multiplier
from metrics.image.stored import RowSource, column_means, largest_entry

_BLOCK_CELLS = 1_000_000
_KEPT_CELLS = 12_000_000
"""Numbers in shifted rows that are kept for the next tiles; a run's own stay in any case."""
_STRIP_CELLS = 64_000
"""What the steps after a product work on at once, so that it stays in the cache."""
_LARGEST_SINGLE = 1e5
"""Features up to which sums of kernels, their sixth power, stay far from float32's largest number."""
_FARTHEST_SINGLE = 1000.0
"""Kernel of the middle with itself up to which float32 holds what is left without it: a mean feature of 3."""


@dataclass(frozen=True, slots=True)
class _Shifted:
    """Rows about a common middle, as their multiplier takes them, and ``[n]`` what the shift takes from products."""

    rows: Any
    offsets: FloatArray


class KernelPairs:
    """Tiles of the kernels within and between two sets.

    Products are float32 about the reference's mean where both sets are no finer (rounding those was as large an error),
    else float64.

    Args:
        x: reference rows ``[m, d]``, float32 or float64.
        y: generated rows ``[n, d]``.
        operations: of all the products that will be asked for.

    Attributes:
        kind: type of `centred` kernels; float64 also where float32 would overflow or lose the differences.
        multiplier: what makes the products.
    """

    def __init__(self, x: RowSource, y: RowSource, operations: float) -> None:
        single = max(x.dtype.itemsize, y.dtype.itemsize) <= 4
        largest = largest_entry(x, y)
        middle = column_means(x)
        self._middle = middle.astype(np.float32 if single else np.float64)
        self._typical = float(middle @ middle / len(middle) + 1.0) ** 3
        fits = single and largest < _LARGEST_SINGLE and self._typical < _FARTHEST_SINGLE
        self.kind = np.float32 if fits else np.float64
        self.multiplier = Multiplier(operations if single else 0)
        self._kept: dict[tuple[int, int], _Shifted] = {}

    def _shifted(self, rows: RowSource, at: slice | NDArray[np.intp]) -> _Shifted:
        if not isinstance(at, slice):
            return self._shift(rows[at])
        place = (id(rows), at.start)
        shifted = self._kept.pop(place, None) or self._shift(rows[at])
        self._kept[place] = shifted  # the last one used
        if len(self._kept) > max(2, _KEPT_CELLS // (len(shifted.offsets) * rows.shape[1])):
            del self._kept[next(iter(self._kept))]
        return shifted

    def _shift(self, rows: Matrix) -> _Shifted:
        middle = self._middle
        shifted = np.subtract(rows, middle, dtype=middle.dtype)
        wide = middle.astype(np.float64)
        offsets = (np.einsum("ij,j->i", shifted, wide) + wide @ wide / 2) / len(middle)
        return _Shifted(self.multiplier.operand(shifted), offsets)

    def between(self, x: RowSource, i: Any, y: RowSource, j: Any) -> FloatArray:
        """Float64 ``(a . b / d + 1)^3`` of some rows of two sets, or of one with itself."""
        return self._kernel(x, i, y, j, less=0.0, kind=np.float64)

    def centred(self, x: RowSource, i: Any, y: RowSource, j: Any) -> Matrix:
        """The same less the kernel of the middle with itself, which leaves enough digits in the type of the products.

        Sums over pairs within and between sets, each divided by their number, lose that constant when subtracted.
        """
        return self._kernel(x, i, y, j, less=self._typical, kind=self.kind)

    def _kernel(self, x: RowSource, i: Any, y: RowSource, j: Any, *, less: float, kind: Any) -> Matrix:
        a = self._shifted(x, i)
        b = a if x is y and i is j else self._shifted(y, j)
        values = self.multiplier.product(a.rows, b.rows)
        products = values
        if values.dtype != kind:
            values = np.empty(products.shape, kind)
        step = max(1, _STRIP_CELLS // max(1, products.shape[1]))
        shift = b.offsets + 1.0
        for start in range(0, len(products), step):
            at = slice(start, start + step)
            strip = np.multiply(products[at], 1.0 / len(self._middle), dtype=np.float64)
            strip += shift
            strip += a.offsets[at, None]
            np.subtract(strip * strip * strip, less, out=values[at], casting="same_kind")
        return values

    def chosen_sums(self, first: Matrix, block: Matrix, second: Matrix) -> FloatArray:
        """Sum of a tile over each subset's rows and columns, ``[subsets]``; subsets are 0/1 ``[subsets, rows]``."""
        sums: FloatArray = np.einsum("si,si->s", self.multiplier.plain(first, block), second, dtype=np.float64)
        return sums

    def within(self, x: RowSource, kernel: Callable[..., Matrix]) -> Iterator[tuple[slice, slice, Matrix]]:
        """Tiles of a set with itself, on and above the diagonal, which is 0; those above count twice."""
        for i, j in itertools.combinations_with_replacement(tiles(len(x)), 2):
            block = kernel(x, i, x, j)
            if i is j:
                np.fill_diagonal(block, 0.0)
            yield i, j, block


def tiles(n: int) -> list[slice]:
    """Runs of rows, of which two make a tile."""
    edge = max(1, math.isqrt(_BLOCK_CELLS))
    return [slice(start, min(start + edge, n)) for start in range(0, n, edge)]
