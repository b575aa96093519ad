"""Stored outputs and scores of one task of an evaluation, read a page at a time.

`evalkit.evidence` reads them whole, as a gate must; a page shows two dozen samples and reads the shards that hold them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evalkit.errors import NotFoundError
from evalkit.evidence import results_home
from evalkit.runner.outputs import SUFFIX
from evalkit.runner.scores import ROWS
from evalkit.runner.shards import UNREADABLE, Rows, ShardFolder, cover, grid
from evalkit.runner.verdicts import FOLDER as VERDICTS
from evalkit.runner.verdicts import read_verdicts
from judges.base import Verdict
from registry.entities import Evaluation

_SLICE = "slice."
_SHARDS, _AT_ONCE = 128, 8
_KEPT_BYTES = 32 * 2**20
"""Shards of images that are larger are not kept in memory, and read up to the image that is wanted."""
_one_at_a_time = threading.Lock()
"""A browser asks for several images at once, and each needs as much memory as a page of its shard."""


class GoneError(NotFoundError):
    """What an evaluation stood on is no longer stored here."""


@dataclass(frozen=True, slots=True)
class StoredTask:
    """What is stored of a task.

    Attributes:
        home: folder with the shards.
        name: of the task.
        record: what the evaluation says about the task.
    """

    home: Path
    name: str
    record: Mapping[str, Any]

    @property
    def target(self) -> int:
        """How many samples it has."""
        return int(self.record["target"])

    @property
    def pictures(self) -> bool:
        """Whether its outputs are looked at as images."""
        return self.record["extractor"] is not None

    def metrics(self) -> list[str]:
        """Metrics that have a score for each sample, in the suite's order."""
        first = grid(self.target, self.record["shard_size"])[:1]
        return [
            name
            for name, record in self.record["metrics"].items()
            if not record["per_shard"] and first and self._scores(name).file(first[0], ROWS).exists()
        ]

    def scores(self, metric: str, columns: Sequence[str] = ("value", "denominator", "reason")) -> pa.Table:
        """Scores of all samples, in order; slices by their name after ``slice.``."""
        folder = self._scores(metric)
        parts = [_table(folder.file(rows, ROWS)) for rows in grid(self.target, self.record["shard_size"])]
        return pa.concat_tables([part.select([*columns]) for part in parts])

    def slice_names(self, metric: str) -> list[str]:
        """Names of the slices that samples have."""
        (first, *_) = grid(self.target, self.record["shard_size"])
        names = _table(self._scores(metric).file(first, ROWS)).column_names
        return [name.removeprefix(_SLICE) for name in names if name.startswith(_SLICE)]

    def slice_values(self, metric: str, name: str) -> NDArray[Any]:
        """What each sample is in a slice, as text."""
        return np.asarray(self.scores(metric, [_SLICE + name])[_SLICE + name].to_pylist(), dtype=object)

    def scores_at(self, metric: str, places: Iterable[int]) -> dict[int, tuple[float | None, str | None]]:
        """Score and reason of samples by their place."""
        folder = self._scores(metric)
        found: dict[int, tuple[float | None, str | None]] = {}
        for rows, within in self._by_shard(places).items():
            table = _table(folder.file(rows, ROWS)).select(["value", "denominator", "reason"]).take(within)
            for offset, row in zip(within, table.to_pylist(), strict=True):
                value, below = row["value"], row["denominator"]
                scored = value is not None and np.isfinite(value) and below > 0
                found[rows.start + offset] = (float(value / below) if scored else None, row["reason"])
        return found

    def verdicts_at(self, metric: str, places: Iterable[int]) -> dict[int, Verdict]:
        """What a judge said of samples, by their place; nothing where its verdicts are not stored here."""
        digest = self.record["metrics"][metric].get("verdicts")
        if digest is None:
            return {}
        folder = ShardFolder.known(self.home / VERDICTS, digest)
        found: dict[int, Verdict] = {}
        for rows, within in self._by_shard(places).items():
            try:
                verdicts = read_verdicts(folder.file(rows, "parquet"))
            except UNREADABLE:
                continue
            found |= {rows.start + offset: verdicts[offset] for offset in within if offset < len(verdicts)}
        return found

    def outputs_at(self, places: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Outputs by their place, without images."""
        found: dict[int, dict[str, Any]] = {}
        for place in sorted(set(places)):
            path, offset = self._holding(place)
            names = ["sample_id", "seed", "prompt", "text", "latency", "error"]
            (found[place],) = _table(path, tuple(names)).slice(offset, 1).to_pylist()
        return found

    def place_of(self, sample_id: str) -> int | None:
        """Where a sample stands; None where the task has no such sample."""
        for run, holding in self._runs():
            if holding is None:
                continue
            names = _table(self._outputs().file(holding, SUFFIX), ("sample_id",))["sample_id"]
            position = names.index(pa.scalar(sample_id, pa.string())).as_py()
            if position >= 0 and holding.start + position in range(run.start, run.stop):
                return holding.start + int(position)
        return None

    def image_at(self, place: int) -> bytes | None:
        """The image as it was stored; None where there is none."""
        path, offset = self._holding(place)
        try:
            small = path.stat().st_size <= _KEPT_BYTES
        except OSError:
            raise self._gone() from None
        if not small:
            return _one_image(path, offset)
        found: bytes | None = _images(path, _stamp(path))["image"][offset].as_py()
        return found

    def _scores(self, metric: str) -> ShardFolder:
        record = self.record["metrics"].get(metric)
        if record is None:
            raise GoneError(f"the evaluation has no '{self.name}/{metric}'")
        return ShardFolder.known(self.home / "scores", record["scores"])

    def _outputs(self) -> ShardFolder:
        return ShardFolder.known(self.home / "outputs", self.record["outputs"])

    def _runs(self, wanted: Rows | None = None) -> Iterable[tuple[Rows, Rows | None]]:
        return cover(self._outputs().existing(SUFFIX), wanted or Rows(0, self.target))

    def _holding(self, place: int) -> tuple[Path, int]:
        ((_, holding),) = self._runs(Rows(place, place + 1))
        if holding is None:
            raise self._gone()
        return self._outputs().file(holding, SUFFIX), place - holding.start

    def _by_shard(self, places: Iterable[int]) -> dict[Rows, list[int]]:
        size: int = self.record["shard_size"]
        found: dict[Rows, list[int]] = {}
        for place in sorted(set(places)):
            start = place // size * size
            found.setdefault(Rows(start, min(start + size, self.target)), []).append(place - start)
        return found

    def _gone(self) -> GoneError:
        return GoneError(f"outputs of '{self.name}' are no longer stored here")


def stored_task(home: Path, evaluation: Evaluation, name: str) -> StoredTask | None:
    """What is stored of a task of an evaluation; None where it has no such task."""
    record = evaluation.details.get("tasks", {}).get(name)
    return None if record is None else StoredTask(results_home(home, evaluation), name, record)


def _table(path: Path, columns: tuple[str, ...] | None = None) -> pa.Table:
    """A shard, or columns of it; kept, since a shard is only ever replaced as a whole."""
    return _read(path, _stamp(path), columns)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        raise GoneError("stored outputs or scores are no longer here; evaluate again") from None
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=_SHARDS)
def _read(path: Path, _: tuple[int, int], columns: tuple[str, ...] | None) -> pa.Table:
    try:
        return pq.read_table(path, columns=list(columns) if columns else None)
    except UNREADABLE as error:
        raise GoneError("a shard of stored outputs or scores is damaged; evaluate again") from error


@lru_cache(maxsize=2)
def _images(path: Path, _: tuple[int, int]) -> pa.Table:
    try:
        return pq.read_table(path, columns=["image"])
    except UNREADABLE as error:
        raise GoneError("a shard of stored outputs is damaged; evaluate again") from error


def _one_image(path: Path, offset: int) -> bytes | None:
    """One image of a large shard, without the others in memory."""
    try:
        with _one_at_a_time:
            shard = pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
            batch = next(islice(shard.iter_batches(_AT_ONCE, columns=["image"]), offset // _AT_ONCE, None))
            found: bytes | None = batch.column(0)[offset % _AT_ONCE].as_py()
    except (*UNREADABLE, StopIteration, IndexError) as error:
        raise GoneError("a shard of stored outputs is damaged; evaluate again") from error
    return found
