"""Raw rows of a monitor: Parquet files by UTC day of the event, each written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evalkit.monitoring.cadence import DAY_MS

if TYPE_CHECKING:
    import pyarrow as pa

_ROW_GROUP = 65_536


class RawStore:
    """The raw rows of one monitor.

    Args:
        folder: where days are kept; made when the first rows are.
        schema: of the rows.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder = folder
        self._schema = schema

    def write(self, table: pa.Table, read: int) -> None:
        """Add the rows of one read; the same read written again replaces what it wrote before."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        days = np.asarray(table["event_time"]) // DAY_MS
        for day in np.unique(days):
            place = self.folder / _day(int(day))
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            rows = table.take(np.flatnonzero(days == day))
            rows = rows.take(pc.sort_indices(rows["event_time"]))
            part = place / f".{read:012d}.{os.getpid()}.part"
            pq.write_table(rows, part, compression="zstd", row_group_size=_ROW_GROUP)
            part.chmod(0o600)  # what users said
            part.replace(place / f"{read:012d}.parquet")

    def read(
        self, start: int, end: int, *, columns: Sequence[str] | None = None, ids: Sequence[str] | None = None
    ) -> pa.Table:
        """Rows with event time in ``[start, end)``, one per id: what came later completes and corrects it.

        They are in the order of time and id, whenever they came in: equal rows give equal states.

        Args:
            start: first moment, UTC milliseconds.
            end: first moment after it.
            columns: only these, with ``id`` and ``event_time`` among them; all by default.
            ids: only rows of these ids.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        inside = (pc.field("event_time") >= start) & (pc.field("event_time") < end)
        if ids is not None:
            inside &= pc.field("id").isin(list(ids))
        schema = self._schema if columns is None else pa.schema([self._schema.field(name) for name in columns])
        parts = []
        for file in self._files(start, end):
            there = None if columns is None else [name for name in columns if name in pq.read_schema(file).names]
            found = pq.read_table(file, columns=there, filters=inside, partitioning=None)
            parts.append(_conformed(found, schema))
        if not parts:
            return schema.empty_table()
        merged = _one_per_id(pa.concat_tables(parts).combine_chunks())
        return merged.sort_by([("event_time", "ascending"), ("id", "ascending")]).combine_chunks()

    def before(self, moment: int) -> list[str]:
        """Names of the days that end before `moment`."""
        return [place.name for place in self._days() if _starts(place.name) + DAY_MS <= moment]

    def forget_before(self, moment: int) -> list[str]:
        """Remove the days that end before `moment`; returns their names."""
        gone = self.before(moment)
        for name in gone:
            shutil.rmtree(self.folder / name)
        return gone

    def _days(self) -> list[Path]:
        return sorted(place for place in self.folder.iterdir() if place.is_dir()) if self.folder.is_dir() else []

    def _files(self, start: int, end: int) -> Iterator[Path]:
        """Files of the days that the span touches, in the order in which they were read from the source."""
        days = [place for place in self._days() if _starts(place.name) < end and _starts(place.name) + DAY_MS > start]
        yield from sorted((file for place in days for file in place.glob("*.parquet")), key=lambda file: file.name)


def _day(number: int) -> str:
    return datetime.fromtimestamp(number * DAY_MS / 1000, UTC).strftime("%Y-%m-%d")


def _starts(name: str) -> int:
    return int(datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000)


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the columns of today's monitor: those of an older one may differ."""
    import pyarrow as pa

    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _one_per_id(table: pa.Table) -> pa.Table:
    """Merge rows of one id: the last value of each column that is there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = np.asarray(pc.dictionary_encode(table["id"].combine_chunks()).indices)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.concatenate(([True], codes[order][1:] != codes[order][:-1]))) if len(order) else order
    counts = np.diff(np.append(starts, len(order)))
    if len(starts) == len(order):
        return table
    single = np.sort(order[starts[counts == 1]])
    repeated = table.take(np.sort(order[np.repeat(counts > 1, counts)]))
    frame = repeated.to_pandas()
    merged = frame.groupby("id", sort=False, as_index=False).last()
    added = pa.Table.from_pandas(merged, preserve_index=False).select(table.column_names)
    return pa.concat_tables([table.take(single), _conformed(added, table.schema)]).combine_chunks()
