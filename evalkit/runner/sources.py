"""What a suite's tasks read, and how a registered version is run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from evalkit.config import Settings, load_settings
from evalkit.datasets import Dataset, load_dataset
from evalkit.datasets.dataset import ImageColumn
from evalkit.models import describe_model, portable
from evalkit.outputs import SCHEMA
from evalkit.runner.subjects import ShardWriter, Subject
from metrics.catalogue import metric_class
from metrics.errors import InputError
from registry.digests import digest, new_id
from registry.spec import Columns, Task, Traces, parse_quantity

if TYPE_CHECKING:
    from registry.entities import ModelVersion
    from registry.store import Registry
    from registry.suite import Suite

NO_OUTPUT = "no output"
HELD_OUT = "held_out"
"""Setting of a metric that names real images which the model was not trained on."""
MEASURED = ("latency", "prompt_tokens", "output_tokens", "nll", "tokens", "bytes", "words")
"""Columns of a file of outputs that are taken over under these names."""


@dataclass(frozen=True)
class Reference:
    """What outputs are compared with as a whole: images in `column`, or rows alone where it is None."""

    dataset: Dataset
    column: ImageColumn | None

    @property
    def identity(self) -> dict[str, Any]:
        """What digests cover."""
        return {"data": self.dataset.digest, "column": self.column}


@dataclass(frozen=True)
class StoredOutputs:
    """Outputs that come from a file: rows of `source`, in the order of the task's data.

    Attributes:
        source: the file of outputs.
        places: row of `source` for every row of the task's data; None where there is no output for it.
        data: the task's data, which may be `source` itself.
    """

    source: Dataset
    places: tuple[int | None, ...]
    data: Dataset

    @property
    def digest(self) -> str:
        """Digest of the file's rows."""
        return self.source.digest

    @property
    def timed(self) -> bool:
        """Whether the file tells latencies."""
        return any(row.get("latency") is not None for row in self.source.extra)

    def column(self, name: str) -> list[Any] | None:
        """A column of the file by its name, one entry per row of the task's data; None where it has none."""
        values = self.source.column(name)
        return None if values is None else [None if place is None else values[place] for place in self.places]

    def table(self, start: int, stop: int) -> pa.Table:
        """Rows ``start <= i < stop`` in the schema of output shards."""
        wanted = self.places[start:stop]
        taken = self.source.rows.select(["output", "image", "image_path"]).take(
            pa.array([place for place in wanted if place is not None], pa.int64())
        )
        rows = iter(taken.to_pylist())
        own = self.data.rows.slice(start, stop - start).select(["sample_id", "prompt"]).to_pylist()
        made = []
        for offset, row in enumerate(own):
            position = start + offset
            place = self.places[position]
            if place is None:
                made.append({**row, "position": position, "seed": 0, "error": NO_OUTPUT})
                continue
            found, measured = next(rows), self.source.extra[place]
            image = self._png(place) if found["image"] or found["image_path"] else None
            error = NO_OUTPUT if found["output"] is None and image is None else None
            made.append(
                {
                    **row,
                    **{name: _number(measured.get(name), SCHEMA.field(name).type) for name in MEASURED},
                    "position": position,
                    "seed": 0,
                    "text": found["output"],
                    "image": image,
                    "error": error,
                }
            )
        return pa.Table.from_pylist(made, schema=SCHEMA)

    def _png(self, place: int) -> bytes:
        from evalkit.generators.images import to_png

        (image,) = self.source.images(place, place + 1)
        return to_png(image)


@dataclass(frozen=True)
class TaskSources:
    """What a task reads; None where it reads no such thing."""

    data: Dataset | None = None
    outputs: StoredOutputs | None = None
    reference: Reference | None = None
    held_out: Reference | None = None


def data_labels(dataset: Dataset) -> set[str]:
    """Names under which a model card may list a dataset: its digest, ``name@split`` and its name."""
    return {dataset.digest, f"{dataset.name}@{dataset.split}", dataset.name}


def read_sources(suite: Suite, registry: Registry | None, settings: Settings | None = None) -> dict[str, TaskSources]:
    """Read the data, stored outputs or traces, and reference images of every task.

    Args:
        suite: whose tasks.
        registry: where registered data are looked up.
        settings: of the project in which what was read of traces is kept; without it nothing is.
    """
    return {
        name: _read_task(name, task, suite.folder, registry)
        if task.traces is None
        else _read_traces(task, task.traces, suite.folder, registry, settings)
        for name, task in suite.spec.tasks.items()
    }


def _read_traces(
    task: Task, traces: Traces, folder: Path, registry: Registry | None, settings: Settings | None
) -> TaskSources:
    from evalkit.datasets.traces import TraceReader

    reader = TraceReader(load_settings().tracking_uri) if settings is None else TraceReader.of(settings)
    source = reader.read(traces, task.columns)
    stored = StoredOutputs(source, tuple(range(len(source))), source)
    return TaskSources(source, stored, _reference(task, source, folder, registry))


def _read_task(name: str, task: Task, folder: Path, registry: Registry | None) -> TaskSources:
    columns = task.columns
    if task.outputs is not None and task.data is None:
        source = load_dataset(task.outputs, folder=folder, columns=columns, registry=registry)
        stored = StoredOutputs(source, tuple(range(len(source))), source)
        references = _reference(task, source, folder, registry), _held_out(name, task, folder, registry)
        return TaskSources(source, _checked(name, stored), *references)
    data = None
    if task.data is not None:
        own = columns.model_copy(update={"output": None}) if task.outputs is not None else columns
        data = load_dataset(task.data, folder=folder, columns=own, registry=registry)
    outputs = None
    if task.outputs is not None and data is not None:
        theirs = Columns(id=columns.id, output=columns.output)
        source = load_dataset(task.outputs, folder=folder, columns=theirs, registry=registry)
        outputs = _checked(name, _join(name, data, source))
    references = _reference(task, data, folder, registry), _held_out(name, task, folder, registry)
    return TaskSources(data, outputs, *references)


def given_sources(name: str, task: Task, rows: Path, folder: Path) -> TaskSources:
    """What a task reads whose rows are in the file `rows`, outside of the suite's `folder`."""
    data = load_dataset(rows.name, folder=rows.parent, columns=task.columns)
    outputs = None
    if task.outputs is not None:
        outputs = _checked(name, StoredOutputs(data, tuple(range(len(data))), data))
    return TaskSources(data, outputs, _reference(task, data, folder, None))


def _join(name: str, data: Dataset, source: Dataset) -> StoredOutputs:
    """Match outputs with data by id, or by order where one of them has no ids."""
    if "id" in data.mapping and "id" in source.mapping:
        places = {sample: place for place, sample in enumerate(source.rows["sample_id"].to_pylist())}
        matched = tuple(places.get(sample) for sample in data.rows["sample_id"].to_pylist())
        if all(place is None for place in matched):
            raise InputError(f"task '{name}': no id of {source.name} is among those of {data.name}")
        return StoredOutputs(source, matched, data)
    if len(source) != len(data):
        raise InputError(
            f"task '{name}': {source.name} has {len(source)} outputs for {len(data)} rows of {data.name}; "
            "give both an id"
        )
    return StoredOutputs(source, tuple(range(len(data))), data)


def _checked(name: str, stored: StoredOutputs) -> StoredOutputs:
    if not stored.source.has("output") and not stored.source.has("image"):
        raise InputError(f"task '{name}': {stored.source.name} has no column of outputs; map `output` under `columns`")
    return stored


def _reference(task: Task, data: Dataset | None, folder: Path, registry: Registry | None) -> Reference | None:
    if task.reference is not None:
        return _images(task.reference, task, folder, registry)
    if data is not None and data.has("reference_image"):
        return Reference(data, "reference_image")
    return None


def _images(given: str, task: Task, folder: Path, registry: Registry | None) -> Reference:
    """A data set to compare with, its classes mapped only where a metric reads them: others may have none."""
    by_class = any("label" in metric_class(score.metric).spec.needs for score in task.score)
    columns = Columns(image=task.columns.reference_image, label=task.columns.label if by_class else None)
    dataset = load_dataset(given, folder=folder, columns=columns, registry=registry)
    return Reference(dataset, "image" if dataset.has("image") else None)


def _held_out(name: str, task: Task, folder: Path, registry: Registry | None) -> Reference | None:
    for score in task.score:
        given = score.settings.get(HELD_OUT)
        if isinstance(given, str):
            found = _images(given, task, folder, registry)
            if found.column is None:
                raise InputError(f"task '{name}': '{score.metric}': held-out '{found.dataset.name}' has no images")
            return found
    return None


def version_subject(registry: Registry, version: ModelVersion, suite: Suite, *, trust_pickle: bool = False) -> Subject:
    """A registered version as a subject; its model is fetched when outputs are missing."""

    @contextlib.contextmanager
    def open_writer(task: Task) -> Iterator[ShardWriter]:
        from evalkit.generators.process import GeneratorProcess

        with contextlib.ExitStack() as stack:
            if "call" in task.generate:
                description = {"adapter": "callable", "call": str(task.generate["call"]), "settings": {}}
            else:
                description = dict(version.generator)
                if "call" not in description and description.get("adapter") != "openai":
                    model = stack.enter_context(registry.model_folder(version))
                    description = _described(description, model, version)
            process = GeneratorProcess(
                description,
                env=_names(task.generate.get("env", ())),
                time_limit=_seconds(task.generate.get("time_limit")),
                trust_pickle=trust_pickle,
                cwd=suite.folder,
            )
            yield stack.enter_context(process)

    return Subject(
        name=version.reference,
        id=version.id,
        digest=version.artifact_digest,
        generator=portable(version.generator),
        training_data=version.training_data,
        open=open_writer,
    )


def memory_subject(
    model: Any, *, name: str = "model", identity: str | None = None, settings: Mapping[str, Any] | None = None
) -> Subject:
    """A Python object as a subject: whatever `evalkit.generators.catalogue.adapt` takes.

    Its outputs are found again only under the same `identity`; without one every call generates anew.
    """

    @contextlib.contextmanager
    def open_writer(task: Task) -> Iterator[ShardWriter]:
        from evalkit.generators.process import InProcessGenerator

        with InProcessGenerator(model, settings) as generator:
            yield generator

    key = identity or new_id()
    return Subject(name, key, digest({"memory": key}), dict(settings or {}), (), open_writer)


def file_subject(name: str = "outputs") -> Subject:
    """A subject that generates nothing: every task has stored `outputs`."""
    return Subject(name, name, digest({"outputs": name}), {}, (), None)


def _described(description: Mapping[str, Any], model: Path, version: ModelVersion) -> dict[str, Any]:
    """The description with its path on this machine; asked of the model's files where the version has none."""
    if "adapter" not in description:
        return {**describe_model(str(model), version.kind), **description}
    path = (model / str(description.get("path", "."))).resolve()
    if not path.is_relative_to(model.resolve()):
        raise InputError(f"{version.reference}: its generator's path {description['path']!r} leads out of the model")
    return {**description, "path": str(path)}


def _names(given: Any) -> tuple[str, ...]:
    """Names of environment variables, given as a list or as one name."""
    names = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"`env: {given}` cannot be used; expected names of environment variables")
    return names


def _seconds(given: Any) -> float | None:
    """A time limit such as ``90`` or ``2 min``."""
    try:
        return None if given is None else parse_quantity(given)
    except ValueError as error:
        raise InputError(f"`time_limit: {given}`: {error}") from None


def _number(value: Any, kind: pa.DataType) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return None
    return int(value) if pa.types.is_integer(kind) else float(value)
