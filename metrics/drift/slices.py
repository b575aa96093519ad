"""Drift of a table and of its slices, with one false discovery rate over all columns of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metrics.drift.distribution import as_column
from metrics.drift.two_sample import ColumnVerdict, Found, TableDrift, compared, planned, verdicts
from metrics.errors import InputError

OVERALL = ""
"""Name of the slice that holds all rows."""


@dataclass(frozen=True, slots=True)
class SlicedDrift:
    """Verdicts on every column of every slice.

    Attributes:
        slices: slice to its columns, in the reference's order.
    """

    slices: Mapping[str, TableDrift]

    @property
    def drifted(self) -> tuple[tuple[str, str], ...]:
        """Slice and column of everything that drifted."""
        return tuple((name, column) for name, table in self.slices.items() for column in table.drifted)


def sliced_drift(
    reference: Mapping[str, Mapping[str, Any]],
    current: Mapping[str, Mapping[str, Any]],
    *,
    tests: Mapping[str, str] | str = "auto",
    floors: Mapping[str, float] | None = None,
    least_rows: int = 200,
    confidence: float = 0.95,
) -> SlicedDrift:
    """Compare every column in every slice; the chance of a false discovery is shared over all of them.

    Args:
        reference: slice to table; a table is column name to values, as `table_drift` takes it. `OVERALL` holds all
            rows. Slices overlap with it and with each other, which makes their tests positively dependent: Benjamini
            and Hochberg's procedure holds.
        current: the same; a slice that the current data lack, or whose column there has fewer than `least_rows` rows
            with a value, reads ``insufficient data``, is not tested, and does not cost the others power.
        tests, floors: as in `table_drift`.
        floors: see `tests`.
        least_rows: fewest rows with a value, on both sides; it does not apply to `OVERALL`.
        confidence: one minus the false discovery rate; two-sided level of the intervals.

    A slice that only the current data have is not compared: it has no reference. `InputError` as `table_drift`.
    """
    if least_rows < 1:
        raise InputError(f"least_rows is {least_rows}; expected 1 or more")
    found: dict[tuple[str, str], Found] = {}
    few: dict[tuple[str, str], str] = {}
    for name, table in reference.items():
        now = current.get(name)
        least = 1 if name == OVERALL else least_rows
        for column, test in planned(table, table if now is None else now, tests, floors, confidence).items():
            where = column if name == OVERALL else f"{column}' of slice '{name}"
            rows = 0 if now is None else min(_rows(table[column], where), _rows(now[column], where))
            if now is None or rows < least:
                few[name, column] = f"{rows} rows with a value, {least} needed"
                continue
            found[name, column] = compared(where, table[column], now[column], test, confidence)
    made = verdicts(found, floors, confidence)
    for (name, column), reason in few.items():
        made[name, column] = ColumnVerdict(column, "", {}, float("nan"), "insufficient data", reason)
    return SlicedDrift(
        {name: TableDrift(tuple(made[name, str(column)] for column in table)) for name, table in reference.items()}
    )


def _rows(values: Any, where: str) -> int:
    """Rows with a value of a column; all rows of a matrix."""
    return len(values) if len(getattr(values, "shape", ())) == 2 else as_column(values, f"column '{where}'").n
