"""The rows of one window as checks read them: columns as arrays, positions by slice, and a shared sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.monitoring.fields import SLICE
from evalkit.monitoring.sampling import Drawn, Rows, draw, hashes, share_of_day, strata_of
from metrics.base import FloatArray
from metrics.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

ALL = ""
"""The slice of all rows."""
OTHER = "(other)"
MISSING = "(none)"
LONGEST_VALUE = 100
"""Characters of a slice's value that tell it apart."""
MOST_VALUES = 50
"""Values of a slice that have signals of their own; the rows of rarer ones count as `OTHER`."""


class WindowRows:
    """Rows of a window.

    Args:
        table: rows in the schema of `evalkit.monitoring.fields`, one per id.
        start: first moment of the window, UTC milliseconds.
        end: first moment after it.
        salt: of the sample; the monitor's name.
    """

    def __init__(self, table: pa.Table, start: int, end: int, *, salt: str) -> None:
        self.table = table
        self.start, self.end = start, end
        self._salt = salt
        self._kept: dict[Any, Any] = {}

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def numbers(self, name: str) -> FloatArray:
        """A numeric column ``[n]``; NaN where a value is missing."""
        found: FloatArray = self.once(("number", name), lambda: self._numbers(name))
        return found

    def _numbers(self, name: str) -> FloatArray:
        values = self.table[name].to_numpy().astype(np.float64)
        return np.where(np.isfinite(values), values, np.nan)

    def texts(self, name: str) -> pa.Array:
        """A text column ``[n]`` as an Arrow array."""
        return self.once(("text", name), self.table[name].combine_chunks)

    def lists(self, name: str, rows: Rows) -> list[Any]:
        """Values of some rows as Python objects."""
        found: list[Any] = self.table[name].take(rows).to_pylist()
        return found

    def has(self, name: str) -> bool:
        """Whether any row has a value in the column."""
        column = self.table[name]
        return bool(column.null_count < len(column))

    @cached_property
    def ids(self) -> NDArray[Any]:
        """Ids of the rows ``[n]``."""
        return np.asarray(self.table["id"].to_numpy(), dtype=object)

    @cached_property
    def slice_values(self) -> Mapping[str, NDArray[Any]]:
        """Slice to the value of each row, rare values as `OTHER` and missing ones as `MISSING`."""
        names = [name for name in self.table.column_names if name.startswith(SLICE)]
        return {name.removeprefix(SLICE): self._common(name) for name in names}

    def _common(self, name: str) -> NDArray[Any]:
        import pyarrow.compute as pc

        column = pc.utf8_slice_codeunits(self.table[name].fill_null(MISSING), 0, LONGEST_VALUE)
        values = column.to_numpy().astype(str)
        distinct, code, counts = np.unique(values, return_inverse=True, return_counts=True)
        if len(distinct) > MOST_VALUES:
            kept = np.argsort(-counts, kind="stable")[:MOST_VALUES]
            rare = np.ones(len(distinct), dtype=bool)
            rare[kept] = False
            distinct = np.where(rare, OTHER, distinct)
        return distinct[code]

    def groups(self, names: tuple[str, ...] | None = None) -> Mapping[str, Rows]:
        """Slice (``language=de``; all rows under `ALL`) to its rows' positions; `names` chooses slices."""
        wanted = tuple(self.slice_values) if names is None else names
        found: Mapping[str, Rows] = self.once(("groups", wanted), lambda: self._groups(wanted))
        return found

    def _groups(self, names: tuple[str, ...]) -> dict[str, Rows]:
        found = {ALL: np.arange(len(self))}
        for name in names:
            values = self.slice_values[name]
            distinct, code = np.unique(values, return_inverse=True)
            order = np.argsort(code, kind="stable")
            parts = np.split(order, np.cumsum(np.bincount(code, minlength=len(distinct)))[:-1]) if len(code) else []
            found |= {f"{name}={value}": part for value, part in zip(distinct, parts, strict=True)}
        return found

    @cached_property
    def clusters(self) -> NDArray[Any] | None:
        """Cluster of each row ``[n]``; None where no row names one. A row without one is a cluster of its own."""
        if not self.has("cluster"):
            return None
        values = np.asarray(self.table["cluster"].to_numpy(zero_copy_only=False), dtype=object)
        alone = np.array([value is None for value in values], dtype=bool)
        values[alone] = self.ids[alone]
        return values

    def sample(self, per_day: int, *, floor: int | None = None) -> Drawn:
        """The window's share of a number of rows for each day; a smaller sample is part of a larger one."""
        size = share_of_day(per_day, self.start, self.end - self.start)
        found: Drawn = self.once(("sample", size, floor), lambda: self._draw(size, floor))
        return found

    def _draw(self, size: int, floor: int | None) -> Drawn:
        if not len(self):
            return Drawn(np.empty(0, dtype=np.intp), np.empty(0), 0)
        strata = self.once("strata", lambda: strata_of(self.slice_values, len(self)))
        return draw(self.hashes, strata, size, **({} if floor is None else {"floor": floor}))

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """Hash of each row's id ``[n]``."""
        return hashes(self.ids, self._salt)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns, computed at most once for a window: several checks read the same verdicts."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def slice_name(key: str) -> str:
    """``language`` of ``language=de``; raises `InputError` for the slice of all rows."""
    name, equals, _ = key.partition("=")
    if not equals:
        raise InputError(f"'{key}' names no slice")
    return name
