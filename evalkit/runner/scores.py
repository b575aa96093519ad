"""Scores of one metric: stored per shard, merged into estimates, read again by the gate at its own confidence."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.runner.shards import UNREADABLE, Facts, Rows, ShardFolder, grid, write_atomically
from metrics.base import Batch, Estimate, Loader, Metric, SampleMetric, Scores, State

ROWS = "parquet"
STATES = "states"
_SLICE = "slice."


class MergeTree:
    """States merged in pairs, pairs of pairs and so on, in the order in which they come.

    The shape depends on their number alone, so results repeat to the last bit whatever made the states. A state that
    grows as it is merged, such as a set of n-grams, is copied a logarithmic number of times instead of at every merge.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._waiting: list[tuple[int, State]] = []

    def add(self, state: State) -> None:
        """Put the next state to those before it."""
        height = 0
        while self._waiting and self._waiting[-1][0] == height:
            state = self._metric.merge(self._waiting.pop()[1], state)
            height += 1
        self._waiting.append((height, state))

    def merged(self) -> State:
        """The state of all that were added, of which there has to be one."""
        (_, state), *left = reversed(self._waiting)
        for _, before in left:
            state = self._metric.merge(before, state)
        return state


class MetricScores:
    """What is stored of one metric under one scores digest."""

    def __init__(self, folder: ShardFolder, metric: Metric) -> None:
        self.folder, self.metric = folder, metric
        self.scored: list[Rows] = []

    @property
    def _per_sample(self) -> SampleMetric | None:
        return self.metric if isinstance(self.metric, SampleMetric) else None

    @property
    def from_rows(self) -> bool:
        """Whether all estimates follow from the score rows, so that no states need to be kept."""
        return self._per_sample is not None and type(self._per_sample).batch_components is SampleMetric.batch_components

    @property
    def _suffixes(self) -> tuple[str, ...]:
        return (*((STATES,) if not self.from_rows else ()), *((ROWS,) if self._per_sample is not None else ()))

    def has(self, rows: Rows) -> bool:
        """Whether the shard of these rows is stored and sound."""
        files = [self.folder.file(rows, suffix) for suffix in self._suffixes]
        return all(self.folder.check(file, lambda path: _inspect(path, rows)) is not None for file in files)

    def score(self, rows: Rows, batch: Batch) -> None:
        """Score a batch and store what came of it."""
        if not self.from_rows:
            data = states_to_bytes(_states(self.metric, batch))
            self.folder.write(self.folder.file(rows, STATES), data, {"rows": len(rows)})
        if self._per_sample is not None:
            data = _rows_to_bytes(self._per_sample.score(batch))
            self.folder.write(self.folder.file(rows, ROWS), data, {"rows": len(rows)})
        self.scored.append(rows)

    def rows(self, target: int, shard_size: int) -> Scores:
        """All score rows up to the target, in order; only for per-sample metrics."""
        parts = [read_rows(self.folder.file(rows, ROWS)) for rows in grid(target, shard_size)]
        return Scores.concatenate(parts)

    def some_rows(self, wanted: Rows, target: int, shard_size: int) -> Scores:
        """The score rows of some positions, in order; only shards that hold one of them are read."""
        holders = [rows for rows in grid(target, shard_size) if rows.start < wanted.stop and wanted.start < rows.stop]
        found = Scores.concatenate([read_rows(self.folder.file(rows, ROWS)) for rows in holders])
        return found.select(np.arange(wanted.start, wanted.stop) - holders[0].start)

    def states(self, target: int, shard_size: int) -> dict[str, State]:
        """Merged states of all shards, by slice (``""`` is everything)."""
        trees: dict[str, MergeTree] = {}
        for rows in grid(target, shard_size):
            for name, state in states_from_bytes(self.folder.file(rows, STATES).read_bytes()).items():
                trees.setdefault(name, MergeTree(self.metric)).add(state)
        return {name: tree.merged() for name, tree in trees.items()}

    def estimates(
        self, target: int, shard_size: int, *, confidence: float, load: Loader | None, only: str | None = None
    ) -> dict[str, dict[str, Estimate]]:
        """Estimates by slice (``""`` or ``name=value``) and key; `only` restricts them to one slice."""
        if self._per_sample is not None and self.from_rows:
            scores = self.rows(target, shard_size)
            return {
                name: self._per_sample.summarise(part, confidence=confidence)
                for name, part in slices_of(scores, only).items()
            }
        return {
            name: self.metric.compute(state, confidence=confidence, load=load)
            for name, state in self.states(target, shard_size).items()
            if only is None or name == only
        }

    def stored_estimates(self, target: int, shard_size: int, load: Loader | None) -> dict[str, dict[str, Estimate]]:
        """Estimates at 95 %, computed once per target: kernel and neighbour metrics take their time."""
        path = self.folder.path / f"estimates-{target}-{shard_size}.json"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            content = stored["estimates"]
            if stored["check"] != _check(content):
                raise ValueError("a number is not the one that was written")
            return {
                name: {key: Estimate.from_json(value) for key, value in keys.items()} for name, keys in content.items()
            }
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, KeyError, AttributeError):
            path.unlink(missing_ok=True)
        estimates = self.estimates(target, shard_size, confidence=0.95, load=load)
        content = {name: {key: e.to_json() for key, e in keys.items()} for name, keys in estimates.items()}
        write_atomically(path, json.dumps({"estimates": content, "check": _check(content)}).encode())
        return estimates

    def forget_estimates(self) -> None:
        """Drop cached estimates, because a shard was scored again."""
        for path in self.folder.path.glob("estimates-*.json"):
            path.unlink(missing_ok=True)


def _check(content: object) -> str:
    """Digest of values that JSON holds: a digit that a disk has changed would still be a number."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def slices_of(scores: Scores, only: str | None = None) -> dict[str, Scores]:
    """Scores by slice, ``""`` being everything."""
    found = {"": scores} if only in {None, ""} else {}
    for name, values in scores.slices.items():
        for value, places in _by_value(values).items():
            label = f"{name}={value}"
            if only is None or only == label:
                found[label] = scores.select(places)
    return found


def read_rows(path: Path) -> Scores:
    """Read a shard of per-sample scores."""
    table = pq.read_table(path)
    names = [name.removeprefix(_SLICE) for name in table.column_names if name.startswith(_SLICE)]
    return Scores(
        sample_ids=table.column("sample_id").to_pylist(),
        values=table.column("value").to_numpy(),
        denominators=table.column("denominator").to_numpy(),
        weights=table.column("weight").to_numpy(),
        clusters=table.column("cluster").to_pylist() if "cluster" in table.column_names else None,
        reasons=table.column("reason").to_pylist(),
        slices={name: table.column(_SLICE + name).to_pylist() for name in names},
    )


def states_to_bytes(states: Mapping[str, State]) -> bytes:
    """Several states in one archive with checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.json", json.dumps(list(states)))
        for place, state in enumerate(states.values()):
            archive.writestr(f"{place}.npz", state.to_bytes())
    return buffer.getvalue()


def states_from_bytes(data: bytes) -> dict[str, State]:
    """Read what `states_to_bytes` wrote; raises ValueError when it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = json.loads(archive.read("index.json"))
            return {name: State.from_bytes(archive.read(f"{place}.npz")) for place, name in enumerate(names)}
    except UNREADABLE as error:
        raise ValueError(f"damaged states: {error}") from None


def _rows_to_bytes(scores: Scores) -> bytes:
    columns: dict[str, Any] = {
        "sample_id": pa.array(list(scores.sample_ids), pa.string()),
        "value": np.asarray(scores.values, np.float64),
        "denominator": np.asarray(scores.denominators, np.float64),
        "weight": np.asarray(scores.weights, np.float64),
        "reason": pa.array(list(scores.reasons), pa.string()),
    }
    if scores.clusters is not None:
        columns["cluster"] = pa.array(list(scores.clusters), pa.string())
    for name, values in scores.slices.items():
        columns[_SLICE + name] = pa.array([str(value) for value in values], pa.string())
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def _inspect(path: Path, rows: Rows) -> Facts:
    """Read a shard of scores through; raise ValueError when it is not that of these rows."""
    if path.suffix == f".{STATES}":
        states_from_bytes(path.read_bytes())
    elif len(read_rows(path)) != len(rows):
        raise ValueError(f"{path}: not {len(rows)} scores")
    return {"rows": len(rows)}


def _states(metric: Metric, batch: Batch) -> dict[str, State]:
    states = {"": metric.update(metric.init(), batch)}
    for name, values in batch.slices.items():
        for value, places in _by_value(values).items():
            states[f"{name}={value}"] = metric.update(metric.init(), batch.select(places))
    return states


def _by_value(values: Any) -> dict[str, Any]:
    """Row positions by slice value, sorted by value."""
    places: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(str(value), []).append(place)
    return {value: np.asarray(places[value], dtype=np.intp) for value in sorted(places)}
