"""What applications told of their generations: the ingest buffer, in the order in which it came in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.config import Settings
from evalkit.ingest.buffer import Buffer, BufferedRow
from evalkit.monitoring.fields import CHANCE, rows_of
from evalkit.monitoring.sources.base import Chunk, Watermark
from evalkit.monitoring.spec import Columns

_ROWS = 10_000
_MOST_WAITING = 10_000
"""Feedback that came before its generation and is looked at again; the oldest is given up first."""


class StreamReader:
    """Reads a stream of the project's ingest buffer.

    The watermark is the place of the last record that was read, and the places of feedback whose generation had not
    come by then. Feedback completes the row of its generation, and so restates its window. Of feedback, what `columns`
    calls `label` and `fields` is taken; a label only where it says with which probability its generation was drawn for
    labelling: what users report by themselves says nothing about the others.

    Args:
        settings: of the project.
        stream: its name.
        columns: which fields are needed.
    """

    def __init__(self, settings: Settings, stream: str, columns: Columns) -> None:
        self._settings, self._stream = settings, stream
        self._label, self._fields = columns.label, frozenset(columns.fields)

    def read(self, watermark: Watermark) -> Iterator[Chunk]:
        """Yield new records."""
        seq, waiting = int(watermark.get("seq", 0)), list(watermark.get("waiting", ()))
        buffer = Buffer.of(self._settings)
        try:
            while part := buffer.read(self._stream, after=seq, limit=_ROWS):
                seq = part[-1].seq
                told = [row for row in part if row.kind == "feedback" and self._wanted(row)]
                told = [*buffer.at(self._stream, waiting), *told]
                times = buffer.times(self._stream, sorted({str(row.values["of"]) for row in told}))
                waiting = [row.seq for row in told if row.values["of"] not in times][-_MOST_WAITING:]
                rows = [_generation(row) for row in part if row.kind == "generation"]
                rows += [self._feedback(row, times[row.values["of"]]) for row in told if row.values["of"] in times]
                yield Chunk(rows_of(rows), {"seq": seq, "waiting": waiting})
        finally:
            buffer.close()

    def _wanted(self, row: BufferedRow) -> bool:
        name = row.values["name"]
        if name == self._label:
            return "probability" in row.values
        return name in self._fields

    def _feedback(self, row: BufferedRow, time: int) -> Mapping[str, Any]:
        """What completes the row of a generation; a label brings the chance of its draw along."""
        name = row.values["name"]
        chance = {CHANCE: row.values["probability"]} if name == self._label else {}
        return {"id": row.values["of"], "time": time, name: row.values["value"], **chance}


def prune(settings: Settings, stream: str, watermarks: Sequence[Watermark], before: int) -> int:
    """Delete records that came before a moment (UTC milliseconds) and that all monitors of the stream have read."""
    if not all("seq" in watermark for watermark in watermarks):
        return 0
    buffer = Buffer.of(settings)
    try:
        # Feedback that waits in vain must not keep the rest
        return buffer.prune(stream, until=min(int(watermark["seq"]) for watermark in watermarks), before=before)
    finally:
        buffer.close()


def _generation(row: BufferedRow) -> Mapping[str, Any]:
    values = row.values
    slices = values.get("slices") or {}
    return {
        **slices, **values, "id": row.id, "time": row.event_time, "user": row.user, "version": values.get("model"),
        "ingested": row.ingested_at,
    }  # fmt: skip
