"""Rows that stay where they are stored and are read a block at a time, so that a feature set need not fit into memory.

`RowSource` is what block-by-block computations ask of a matrix: a NumPy array is one, `StoredRows` is another. A loader
that can read parts of a shard has a method ``open_rows(reference) -> RowSource`` beside being called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray

_BLOCK_CELLS = 4_000_000
"""Numbers that a pass over all rows holds at once."""


class RowSource(Protocol):
    """A matrix ``[n, d]`` of which some rows at a time are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and dimensions."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of the rows that are read."""
        ...

    def __len__(self) -> int:
        """Rows."""
        ...

    def __getitem__(self, at: Any, /) -> Any:
        """Rows at a position, a slice or an array of positions, as an array."""
        ...


OpenRows = Callable[[str], RowSource]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One shard: its rows, and the positions of those that count; None where all do."""

    rows: RowSource
    kept: NDArray[np.intp] | None

    def __len__(self) -> int:
        """Rows that count."""
        return len(self.rows) if self.kept is None else len(self.kept)

    def read(self, at: Any) -> NDArray[Any]:
        """Those at a slice or array of positions among the ones that count."""
        found: NDArray[Any] = self.rows[at if self.kept is None else self.kept[at]]
        return found


class StoredRows:
    """Shards one after another as one matrix; float32 or float64, whatever they are stored as."""

    def __init__(self, parts: Sequence[StoredPart], width: int) -> None:
        self._parts = list(parts)
        self._edges = np.cumsum([0, *(len(part) for part in parts)])
        kinds = [np.result_type(part.rows.dtype, np.float32) for part in parts]
        self._kind = np.result_type(np.float32, *kinds)
        self._width = width

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and dimensions."""
        return len(self), self._width

    @property
    def dtype(self) -> Any:
        """float32, or float64 where a shard has it."""
        return self._kind

    def __len__(self) -> int:
        """Rows."""
        return int(self._edges[-1])

    def __getitem__(self, at: Any) -> NDArray[Any]:
        """Rows at a position, a slice or an array of positions, read anew each time."""
        if isinstance(at, slice):
            places = range(len(self))[at]
            if places.step == 1:
                return self._run(places.start, places.stop)
            at = np.arange(places.start, places.stop, places.step)
        if np.ndim(at) == 0:
            place = range(len(self))[int(at)]
            row: NDArray[Any] = self._run(place, place + 1)[0]
            return row
        return self._listed(np.asarray(at, np.intp))

    def _run(self, start: int, stop: int) -> NDArray[Any]:
        made = np.empty((max(stop - start, 0), self._width), self._kind)
        first = int(np.searchsorted(self._edges, start, side="right")) - 1
        at = start
        for part, begin in zip(self._parts[first:], self._edges[first:], strict=False):
            if at >= stop:
                break
            until = min(stop, int(begin) + len(part))
            made[at - start : until - start] = part.read(slice(at - int(begin), until - int(begin)))
            at = until
        return made

    def _listed(self, places: NDArray[np.intp]) -> NDArray[Any]:
        made = np.empty((len(places), self._width), self._kind)
        holders = np.searchsorted(self._edges, places, side="right") - 1
        for holder in np.unique(holders):
            mine = np.flatnonzero(holders == holder)
            made[mine] = self._parts[holder].read(places[mine] - self._edges[holder])
        return made


@dataclass(frozen=True, slots=True)
class _Reordered:
    """Rows of a source in another order, or some of them."""

    rows: RowSource
    order: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.order), self.rows.shape[1]

    @property
    def dtype(self) -> Any:
        return self.rows.dtype

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, at: Any) -> NDArray[Any]:
        found: NDArray[Any] = self.rows[self.order[at]]
        return found


def reordered(rows: RowSource, order: NDArray[np.intp]) -> RowSource:
    """``rows[order]``, copied where it is an array and read when asked for where it is stored."""
    return rows[order] if isinstance(rows, np.ndarray) else _Reordered(rows, order)


def blocks(rows: RowSource) -> Iterator[slice]:
    """Runs of rows of a size that a pass over all of them can hold."""
    step = max(1, _BLOCK_CELLS // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        yield slice(start, min(start + step, len(rows)))


def column_means(rows: RowSource) -> FloatArray:
    """Mean of every column in float64, ``[d]``; the same whether the rows are in memory or stored."""
    total = np.zeros(rows.shape[1])
    for at in blocks(rows):
        total += rows[at].sum(axis=0, dtype=np.float64)
    return total / len(rows)


def largest_entry(*sets: RowSource) -> float:
    """The largest absolute value in any of the sets."""
    found = 0.0
    for rows in sets:
        for at in blocks(rows):
            part = rows[at]
            found = max(found, float(part.max()), -float(part.min()))
    return found
