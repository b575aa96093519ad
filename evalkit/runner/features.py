"""Features of images: extracted once per outputs and extractor, kept as shards, handed to metrics by reference."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.datasets import Dataset
from evalkit.extractors.batch_size import batch_size
from evalkit.extractors.batched import Batched, extract_batches
from evalkit.runner import profile
from evalkit.runner.batches import present_images
from evalkit.runner.columns import Pictures, parsed
from evalkit.runner.feature_files import FEATURES, FeatureLoader, load_arrays
from evalkit.runner.memory import give_back
from evalkit.runner.outputs import TaskOutputs
from evalkit.runner.plan import Extracted, Extractor
from evalkit.runner.shards import UNREADABLE, Facts, Rows, ShardFolder, grid, write_atomically
from evalkit.runner.sources import Reference
from evalkit.runner.taking_turns import one_at_a_time
from metrics.base import Batch, Metric, State
from registry.digests import digest, short

Arrays = dict[str, NDArray[Any]]
PROBABILITIES = "probabilities"
REFERENCE_SHARD = 256
PAIRED = {"reference_features": "reference image", "text_features": "prompt"}
"""Columns of features of what each sample is compared with, and what a row without them lacks."""


@dataclass(slots=True)
class FeatureShards:
    """Feature shards of one set of images under one extractor.

    Attributes:
        folder: where they lie; `references` into it start with ``features/``.
        compute: makes the arrays of some rows.
        extracted: shards made by this object, for the counters.
    """

    folder: ShardFolder
    compute: Callable[[Rows], Arrays]
    extracted: list[Rows] = field(default_factory=list)

    def arrays(self, rows: Rows) -> Arrays:
        """Return the arrays of exactly these rows, extracting them where they are missing."""
        path = self.folder.file(rows, "npz")
        if self.folder.check(path, lambda found: _inspect(found, rows)) is None:
            buffer = io.BytesIO()
            named: dict[str, Any] = dict(self.compute(rows))
            np.savez(buffer, **named)
            self.folder.write(path, buffer.getvalue(), {"rows": len(rows)})
            self.extracted.append(rows)
        return load_arrays(path)

    def reference(self, rows: Rows) -> str:
        """The reference under which a metric's state may keep these rows."""
        return f"features/{self.folder.path.name}/{rows.stem}"


def feature_loader(home: Path) -> FeatureLoader:
    """Return the `load` that metric states resolve their references with (``features/<digest>/rows-…``)."""
    return FeatureLoader(home)


def output_features(home: Path, outputs: TaskOutputs, extractor: Extractor) -> FeatureShards:
    """Features of a task's generated images. Rows without an image are NaN."""
    identity = {"outputs": outputs.folder.digest, "extractor": extractor.identity()}

    def compute(rows: Rows) -> Arrays:
        places, images = present_images(outputs.table(rows))
        if not places:
            nothing = np.full((len(rows), 1), np.nan, dtype=np.float32)
            return {FEATURES: nothing, PROBABILITIES: nothing}
        extracted = extract(home, extractor, images)
        return {name: _spread(values, places, len(rows)) for name, values in _named(extracted).items()}

    return FeatureShards(ShardFolder(home / "features", digest(identity), identity), compute)


def reference_features(home: Path, reference: Reference, extractor: Extractor) -> FeatureShards:
    """Features of a task's reference images, shared by all versions."""
    identity = {"images": reference.identity, "extractor": extractor.identity()}

    def compute(rows: Rows) -> Arrays:
        images = Pictures(len(rows), lambda place: reference_image(reference, rows.start + place))
        return _named(extract(home, extractor, images))

    return FeatureShards(ShardFolder(home / "features", digest(identity), identity), compute)


def paired_reference_features(home: Path, data: Dataset, extractor: Extractor) -> FeatureShards:
    """Features of each row's own reference image, shared by all versions. Rows without one are NaN."""
    identity = {"paired": Reference(data, "reference_image").identity, "extractor": extractor.identity()}

    def compute(rows: Rows) -> Arrays:
        own = data.rows.slice(rows.start, len(rows)).select(["reference_image", "reference_image_path"])
        given = pc.or_(pc.is_valid(own["reference_image"]), pc.is_valid(own["reference_image_path"]))
        places = np.flatnonzero(given.to_numpy()).tolist()
        if not places:
            return {FEATURES: np.full((len(rows), 1), np.nan, dtype=np.float32)}
        images = Pictures(
            len(places), lambda place: data.find_image(rows.start + places[place], column="reference_image")
        )
        extracted = extract(home, extractor, images)
        return {FEATURES: _spread(np.asarray(extracted.features), places, len(rows))}

    return FeatureShards(ShardFolder(home / "features", digest(identity), identity), compute)


def text_features(home: Path, data: Dataset, extractor: Any) -> FeatureShards:
    """Features of the data's prompts, shared by all versions. Rows without a prompt are NaN."""
    identity = {"prompts": data.requests_digest, "extractor": extractor.identity()}

    def compute(rows: Rows) -> Arrays:
        prompts = data.rows["prompt"].slice(rows.start, len(rows)).to_pylist()
        places = [place for place, prompt in enumerate(prompts) if prompt is not None]
        if not places:
            return {FEATURES: np.full((len(rows), 1), np.nan, dtype=np.float32)}
        embedded = np.asarray(extractor.embed_texts([prompts[place] for place in places]))
        return {FEATURES: _spread(embedded, places, len(rows))}

    return FeatureShards(ShardFolder(home / "features", digest(identity), identity), compute)


def extract(home: Path, extractor: Extractor, pictures: Pictures) -> Extracted:
    """Features of images, none of which is missing: decoded ahead, in batches of a size that memory allows."""
    images = cast("Sequence[NDArray[np.uint8]]", pictures)
    if isinstance(extractor, Batched):
        return extract_batches(extractor, images, batch=batch_size(extractor, images, home))
    with profile.span("decode", rows=len(images)):
        decoded = list(images)
    with profile.span("network forward", rows=len(images)):
        return extractor.extract(decoded)


def reference_image(reference: Reference, position: int) -> NDArray[np.uint8]:
    """One of the reference's images; a row without raises `InputError`."""
    assert reference.column is not None
    (image,) = reference.dataset.images(position, position + 1, column=reference.column)
    return image


def same_width(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two feature arrays; one without a single row takes the other's width, which it could not know."""
    if first.shape[1] != second.shape[1]:
        if np.isnan(first).all():
            first = np.full_like(second, np.nan)
        elif np.isnan(second).all():
            second = np.full_like(first, np.nan)
    return first, second


def reference_state(home: Path, metric: Metric, reference: Reference, features: FeatureShards) -> State:
    """The metric's state of the reference images, cached and shared by all versions."""
    key = reference_key(metric, reference, features)
    stored = load_reference_state(home, key)
    if stored is not None:
        return stored
    # Versions that are evaluated at once share their reference: one process extracts it, whatever the metric
    lock = home / "locks" / f"{features.folder.path.name}.lock"
    with one_at_a_time(lock, features.folder.path):
        stored = load_reference_state(home, key)
        return stored if stored is not None else _make_reference_state(home, key, metric, reference, features)


def _make_reference_state(home: Path, key: str, metric: Metric, reference: Reference, features: FeatureShards) -> State:
    state = metric.init()
    for rows in grid(len(reference.dataset), REFERENCE_SHARD):
        give_back()
        columns: dict[str, Any] = dict(features.arrays(rows))
        if "label" in metric.needs:
            columns["label"] = reference.dataset.batch(rows.start, rows.stop).columns["label"]
        ids = [str(position) for position in range(rows.start, rows.stop)]
        state = metric.update(state, Batch(sample_ids=ids, columns=columns, source=features.reference(rows)))
    write_atomically(_state_path(home, key), state.to_bytes())
    return state


def row_reference_state(home: Path, metric: Metric, reference: Reference) -> State:
    """The metric's state of the reference's column, cached and shared by all versions."""
    key = row_reference_key(metric, reference)
    stored = load_reference_state(home, key)
    if stored is not None:
        return stored
    dataset = reference.dataset
    columns = {name: parsed(dataset.column(name) or []) for name in metric.needs}
    batch = Batch(dataset.rows["sample_id"].to_pylist(), columns)
    state = metric.update(metric.init(), batch)
    write_atomically(_state_path(home, key), state.to_bytes())
    return state


def row_reference_key(metric: Metric, reference: Reference) -> str:
    """Digest under which a metric's state of the reference's column is kept."""
    return digest({"rows": reference.dataset.digest, "metric": metric.identity()})


def reference_key(metric: Metric, reference: Reference, features: FeatureShards) -> str:
    """Digest under which a metric's reference state is kept."""
    labels = {"label": reference.dataset.mapping.get("label")} if "label" in metric.needs else {}
    return digest({"features": features.folder.digest, "metric": metric.identity(), **labels})


def load_reference_state(home: Path, key: str) -> State | None:
    """Read a kept reference state; None where it is missing or damaged."""
    path = _state_path(home, key)
    try:
        return State.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except UNREADABLE:
        path.unlink(missing_ok=True)
        return None


def _state_path(home: Path, key: str) -> Path:
    return home / "references" / f"{short(key, 32)}.npz"


def _named(extracted: Extracted) -> Arrays:
    arrays: Arrays = {FEATURES: np.asarray(extracted.features)}
    if extracted.probabilities is not None:
        arrays[PROBABILITIES] = np.asarray(extracted.probabilities)
    return arrays


def _spread(values: NDArray[Any], places: list[int], rows: int) -> NDArray[Any]:
    """Put the rows that could be extracted at their places; the others are NaN."""
    spread = np.full((rows, *values.shape[1:]), np.nan, dtype=values.dtype)
    spread[places] = values
    return spread


def _inspect(path: Path, rows: Rows) -> Facts:
    for name, values in load_arrays(path).items():
        if len(values) != len(rows):
            raise ValueError(f"{path}: {name} has {len(values)} rows, not {len(rows)}")
    return {"rows": len(rows)}
