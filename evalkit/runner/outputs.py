"""The stored outputs of one task: generated once, read by every metric."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.outputs import read_shard
from evalkit.runner.shards import Facts, Rows, ShardFolder, cover
from metrics.base import Batch
from metrics.errors import InputError

SUFFIX = "parquet"
TOKENS = ("prompt", "output")
"""Kinds of tokens that are counted and have a price."""
Produce = Callable[[Rows, Path], None]


@dataclass(slots=True)
class TaskOutputs:
    """Output shards of one outputs digest; `produce` makes the rows that are missing.

    Attributes:
        folder: where the shards lie.
        produce: writes the shard of some rows to a path.
        generated: shards made by this object, for the counters.
    """

    folder: ShardFolder
    produce: Produce
    generated: list[Rows] = field(default_factory=list)

    def ensure(self, wanted: Rows) -> list[tuple[Rows, Facts]]:
        """Make what is missing of the wanted rows; return the runs that cover them with their shard's facts."""
        existing = self.folder.existing(SUFFIX)
        covered: list[tuple[Rows, Facts]] = []
        for run, holding in cover(existing, wanted):
            if holding is not None:
                facts = self._facts(holding)
                if facts is not None:
                    covered.append((run, facts))
                    continue
            covered.append((run, self._make(run)))
        return covered

    def table(self, wanted: Rows) -> pa.Table:
        """Return the wanted rows, in order, making what is missing."""
        self.ensure(wanted)
        parts = []
        for run, holding in cover(self.folder.existing(SUFFIX), wanted):
            if holding is None:
                raise InputError(f"{self.folder.path}: rows {run.start} to {run.stop} vanished; is it being deleted?")
            table, _ = read_shard(self.folder.file(holding, SUFFIX))
            parts.append(table.slice(run.start - holding.start, len(run)))
        return pa.concat_tables(parts).replace_schema_metadata(None)

    def shards(self, wanted: Rows) -> list[tuple[Rows, Facts]]:
        """Return the whole shards that lie within the wanted rows, with their facts."""
        found = []
        for rows in self.folder.existing(SUFFIX):
            if wanted.start <= rows.start and rows.stop <= wanted.stop:
                facts = self._facts(rows)
                if facts is not None:
                    found.append((rows, facts))
        return found

    def _facts(self, rows: Rows) -> Facts | None:
        return self.folder.check(self.folder.file(rows, SUFFIX), lambda path: inspect_outputs(path, rows))

    def _make(self, rows: Rows) -> Facts:
        path = self.folder.file(rows, SUFFIX)
        self.produce(rows, path)
        self.generated.append(rows)
        facts = self._facts(rows)
        if facts is None:
            raise InputError(f"the generator wrote no sound outputs for rows {rows.start} to {rows.stop} ({path})")
        return facts


def inspect_outputs(path: Path, rows: Rows) -> Facts:
    """Read an output shard through; raise ValueError when it is not that of these rows."""
    table, metadata = read_shard(path)
    positions = table.column("position").to_pylist()
    if positions != list(range(rows.start, rows.stop)):
        raise ValueError(f"{path}: positions do not run from {rows.start} to {rows.stop}")
    reasons = Counter(reason for reason in table.column("error").to_pylist() if reason is not None)
    return {
        "rows": len(rows),
        "errors": dict(reasons.most_common(20)),
        "unusable": sum(reasons.values()),
        "empty": _empty(table),
        "only": _single_output(table),
        "timed": table.column("latency").null_count < len(rows),
        "seconds": _number(metadata.get("seconds")),
        "peak_memory": _number(metadata.get("peak_memory")),
        "hardware": metadata.get("hardware") or None,
        "tokens": {name: _tokens(table.column(f"{name}_tokens")) for name in TOKENS},
    }


def mean_tokens(facts: Sequence[Facts]) -> dict[str, float | None]:
    """Mean prompt and output tokens of a sample, over the samples that tell them; None where none does."""
    means: dict[str, float | None] = {}
    for name in TOKENS:
        counts = [shard["tokens"][name] for shard in facts if "tokens" in shard]
        samples = sum(count for _, count in counts)
        means[name] = sum(total for total, _ in counts) / samples if samples else None
    return means


def speed_batch(folder: ShardFolder, wanted: Rows) -> Batch:
    """One entry per whole shard within the wanted rows: samples, seconds and peak memory of its generation."""
    found = []
    for rows in folder.existing(SUFFIX):
        if wanted.start <= rows.start and rows.stop <= wanted.stop:
            facts = folder.check(folder.file(rows, SUFFIX), partial(inspect_outputs, rows=rows))
            if facts is not None:
                found.append((rows.stem, facts))
    columns = {
        "samples": np.array([facts["rows"] for _, facts in found], np.float64),
        "seconds": np.array([_or_nan(facts["seconds"]) for _, facts in found]),
        "peak_memory": np.array([_or_nan(facts["peak_memory"]) for _, facts in found]),
    }
    return Batch(sample_ids=[stem for stem, _ in found], columns=columns)


def quality_warnings(task: str, facts: Sequence[Facts]) -> list[str]:
    """Warnings that the outputs themselves call for: unusable, empty, all the same."""
    rows = sum(f["rows"] for f in facts)
    if rows == 0:
        return []
    unusable = sum(f["unusable"] for f in facts)
    empty = sum(f["empty"] for f in facts)
    warnings = []
    if unusable:
        reasons: Counter[str] = Counter()
        for shard in facts:
            reasons.update(shard["errors"])
        common = reasons.most_common(1)[0][0]
        warnings.append(f"{task}: {unusable} of {rows} outputs are unusable, most often: {common}")
    if empty >= max(1, 0.05 * rows):
        warnings.append(f"{task}: {empty} of {rows} outputs are empty")
    usable = [f for f in facts if f["rows"] > f["unusable"]]
    if rows - unusable > 1 and len({f["only"] for f in usable}) == 1 and usable[0]["only"] is not None:
        warnings.append(f"{task}: all {rows - unusable} usable outputs are identical; the model ignores its input")
    return warnings


def _single_output(table: pa.Table) -> str | None:
    """Digest of the one output that all usable rows share; None where they differ or there is none."""
    usable = table.filter(pc.is_null(table.column("error")))
    for name in ("image", "text"):
        distinct = pc.unique(usable.column(name))
        if len(distinct) == 1 and distinct[0].is_valid:
            value: Any = distinct[0].as_py()
            return hashlib.sha256(value if isinstance(value, bytes) else value.encode()).hexdigest()
    return None


def _empty(table: pa.Table) -> int:
    """Usable outputs that hold no text: white space, or nothing at all."""
    usable = table.filter(pc.is_null(table.column("error"))).column("text")
    return int(pc.sum(pc.equal(pc.utf8_trim_whitespace(usable), "")).as_py() or 0)


def _tokens(column: pa.ChunkedArray) -> tuple[int, int]:
    """Sum, and the number of samples that it is over."""
    return int(pc.sum(column).as_py() or 0), len(column) - column.null_count


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
