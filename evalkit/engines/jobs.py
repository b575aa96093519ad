"""What a stage of a task has not got yet, as jobs for workers; files are written here, on the driver."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.engines.actor import Luggage
from evalkit.engines.parcels import Put, pack, pack_code
from evalkit.engines.pool import Job, Worker
from evalkit.generators.base import Request
from evalkit.generators.process import GeneratorProcess
from evalkit.generators.seeds import unconditional_requests
from evalkit.runner.features import (
    PAIRED,
    REFERENCE_SHARD,
    Arrays,
    FeatureShards,
    load_reference_state,
    output_features,
    paired_reference_features,
    reference_features,
    reference_key,
    text_features,
)
from evalkit.runner.outputs import SUFFIX, inspect_outputs
from evalkit.runner.plan import Extractor
from evalkit.runner.shards import Rows, cover, grid, write_atomically
from evalkit.runner.sources import Reference
from evalkit.runner.task import TaskWork
from metrics.errors import InputError

REFERENCES = "references"
_counting = threading.Lock()


def generation(task: TaskWork, shards: Sequence[Rows], held: contextlib.ExitStack, put: Put) -> list[Job]:
    """Jobs for the outputs that are missing; `held` keeps the model's files as long as they are needed.

    Raises:
        InputError: among others for a model that lives in this process's memory, which no worker can load.
    """
    plan, folder = task.plan, task.outputs.folder
    if plan.product == "stored":
        return []
    sound = [rows for rows in folder.existing(SUFFIX) if _outputs_sound(task, rows)]
    missing = [(shard, run) for shard in shards for run, holding in cover(sound, shard) if holding is None]
    if not missing:
        return []
    assert plan.subject.open is not None
    writer = held.enter_context(plan.subject.open(plan.task))
    if not isinstance(writer, GeneratorProcess):
        raise InputError(f"{plan.subject.name} lives in this process and cannot run on workers; use the local engine")
    load = _GeneratorLoader(writer, put)
    return [
        Job(f"rows {run.start} to {run.stop} of task '{plan.name}'", shard, partial(_generate, task, run, load))
        for shard, run in missing
    ]


def extractor_loader(task: TaskWork, put: Put) -> _ExtractorLoader | None:
    """What loads the task's extractor on a worker; None where no metric reads features."""
    extractor = task.plan.loaded_extractor
    return None if extractor is None else _ExtractorLoader(task, extractor, put)


def references(task: TaskWork, load: _ExtractorLoader) -> list[Job]:
    """Jobs for the features of real images whose states are not kept yet."""
    found: list[Job] = []
    for reference, held_out in ((task.plan.reference, False), (task.plan.held_out, True)):
        if reference is None or not _state_missing(task, reference, load.extractor, held_out):
            continue
        for rows in grid(len(reference.dataset), REFERENCE_SHARD):
            what = f"rows {rows.start} to {rows.stop} of {reference.dataset.name}"
            found.append(Job(what, REFERENCES, partial(_extract_reference, task.home, reference, rows, load)))
    return found


def features(task: TaskWork, shards: Sequence[Rows], load: _ExtractorLoader) -> list[Job]:
    """Jobs for the features that metrics without scores read."""
    found: list[Job] = []
    kept = output_features(task.home, task.outputs, load.extractor)
    for rows in shards:
        missing = [plan for plan in task.plan.metrics if not plan.per_shard and not task.scores(plan).has(rows)]
        what = f"the features of rows {rows.start} to {rows.stop} of task '{task.plan.name}'"
        if any(plan.needs_features for plan in missing):
            found.append(Job(what, rows, partial(_extract_outputs, task, kept, rows, load)))
        named = {name for plan in missing for name in plan.metric.needs if name in PAIRED}
        found += [Job(what, rows, partial(_extract_paired, task, rows, load, name)) for name in sorted(named)]
    return found


class _GeneratorLoader:
    """Loads the task's generator on a worker, with its files where they are not shared."""

    def __init__(self, writer: GeneratorProcess, put: Put) -> None:
        self._recipe, self._put = writer.recipe, put
        # Read when they are sent, kept nowhere: neither in a worker's own environment nor in what starts it
        self._values = {name: os.environ[name] for name in self._recipe.env}
        self._luggage: Luggage | None = None
        self._packing = threading.Lock()

    def __call__(self, worker: Worker) -> None:
        worker.call("load_generator", self._recipe, self._values, None if worker.near else self._packed())

    def _packed(self) -> Luggage:
        with self._packing:
            if self._luggage is None:
                description = self._recipe.description
                model = pack(Path(description["path"]), self._put) if "path" in description else None
                called = description.get("adapter") == "callable"
                self._luggage = Luggage(model, pack_code(self._recipe.cwd, self._put) if called else None)
            return self._luggage


class _ExtractorLoader:
    """Loads the task's extractor on a worker, and makes sure that it is the same one as here."""

    def __init__(self, task: TaskWork, extractor: Extractor, put: Put) -> None:
        assert task.plan.task.extractor is not None
        self.extractor = extractor
        self._name, self._folder, self._put = task.plan.task.extractor, task.plan.folder, put

    def __call__(self, worker: Worker) -> None:
        program = self._folder / self._name
        source = self._folder if worker.near or not program.is_file() else pack(program, self._put)
        found = worker.call("load_extractor", self._name, source)
        if found != self.extractor.identity():
            raise InputError(
                f"the extractor '{self._name}' of a worker is not the one of this machine; install the same version "
                "of evalkit and the same weights on all of them"
            )


@dataclass(frozen=True)
class _RemoteExtractor:
    """A worker's extractor with the interface of the one here."""

    worker: Worker
    load: _ExtractorLoader

    @property
    def name(self) -> str:
        """The extractor's name."""
        return str(getattr(self.load.extractor, "name", ""))

    def identity(self) -> dict[str, Any]:
        """What the features depend on."""
        return self.load.extractor.identity()

    def extract(self, images: Sequence[NDArray[np.uint8]]) -> _Extracted:
        """Features of images."""
        self.worker.use(self.load)
        return _Extracted(*self.worker.call("extract", list(images)))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[Any]:
        """Features of texts."""
        self.worker.use(self.load)
        embedded: NDArray[Any] = self.worker.call("embed_texts", list(texts))
        return embedded


@dataclass(frozen=True)
class _Extracted:
    features: NDArray[Any]
    probabilities: NDArray[Any] | None


def _generate(task: TaskWork, rows: Rows, load: _GeneratorLoader, worker: Worker) -> None:
    worker.use(load)
    plan, folder = task.plan, task.outputs.folder
    data = worker.call("generate", _requests(task, rows), dict(plan.settings), plan.product)
    path = folder.file(rows, SUFFIX)
    write_atomically(path, data)
    if not _outputs_sound(task, rows):
        raise InputError(f"the generator wrote no sound outputs for rows {rows.start} to {rows.stop} ({path})")
    _count(task, {"generated_shards": 1})


def _requests(task: TaskWork, rows: Rows) -> list[Request]:
    data, seed = task.plan.data, task.plan.seed
    if data is None:
        return unconditional_requests(seed, rows.start, rows.stop)
    return data.requests(seed, rows.start, rows.stop)


def _outputs_sound(task: TaskWork, rows: Rows) -> bool:
    folder = task.outputs.folder
    return folder.check(folder.file(rows, SUFFIX), partial(inspect_outputs, rows=rows)) is not None


def _extract_outputs(task: TaskWork, kept: FeatureShards, rows: Rows, load: _ExtractorLoader, worker: Worker) -> None:
    def compute(wanted: Rows) -> Arrays:
        worker.use(load)
        table = task.outputs.table(wanted)
        arrays: Arrays = worker.call("output_features", task.outputs.folder.digest, table, wanted.start)
        return arrays

    shards = replace(kept, compute=compute, extracted=[])
    shards.arrays(rows)
    _count(task, {"extracted_shards": len(shards.extracted)})


def _extract_paired(task: TaskWork, rows: Rows, load: _ExtractorLoader, column: str, worker: Worker) -> None:
    made = paired_reference_features if column == "reference_features" else text_features
    assert task.plan.data is not None
    shards = made(task.home, task.plan.data, _RemoteExtractor(worker, load))
    shards.arrays(rows)
    _count(task, {"extracted_shards": len(shards.extracted)})


def _extract_reference(home: Path, reference: Reference, rows: Rows, load: _ExtractorLoader, worker: Worker) -> None:
    reference_features(home, reference, _RemoteExtractor(worker, load)).arrays(rows)


def _state_missing(task: TaskWork, reference: Reference, extractor: Extractor, held_out: bool) -> bool:
    """Whether a metric has to see the features of these real images."""
    shards = reference_features(task.home, reference, extractor)
    return any(
        load_reference_state(task.home, reference_key(plan.metric, reference, shards)) is None
        for plan in task.plan.metrics
        if plan.needs_features and plan.metric.spec.uses_reference and (plan.held_out or not held_out)
    )


def _count(task: TaskWork, made: Mapping[str, int]) -> None:
    with _counting:
        task.counts.update(made)
