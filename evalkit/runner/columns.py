"""Columns that metrics read by name beyond prompts, outputs and answers: where they are found, checked at planning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from evalkit.datasets import Dataset
from evalkit.limits import parse_json
from evalkit.runner.sources import MEASURED, Reference, StoredOutputs
from judges.judged import VERDICT
from metrics.base import Metric
from metrics.errors import InputError, did_you_mean

MADE = frozenset({"output", "prompt", "features", "probabilities", "samples", "seconds", "peak_memory", *MEASURED})
"""Columns that come of running the model and the extractor, whatever the data hold."""
_PARTS = ("expected", "context", "label")
_WHOLE_ROW = {"bbq": "answer_info"}
"""Columns that are the data's row itself, and a column by which such rows are known."""
_SHOWN_NAMES = 12


@dataclass(frozen=True)
class ExtraColumn:
    """A column that a metric reads by name: where it was found, and one value per row of the task's data."""

    source: Literal["data", "outputs"]
    values: Sequence[Any]


class Pictures(Sequence[NDArray[np.uint8] | None]):
    """Images that are decoded when they are asked for, so that a shard of them need not fit into memory."""

    def __init__(self, count: int, decode: Callable[[int], NDArray[np.uint8] | None]) -> None:
        self._count, self._decode = count, decode

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> NDArray[np.uint8] | None: ...

    @overload
    def __getitem__(self, place: slice) -> list[NDArray[np.uint8] | None]: ...

    def __getitem__(self, place: int | slice) -> Any:
        places = range(self._count)[place]
        return [self._decode(i) for i in places] if isinstance(places, range) else self._decode(places)


def find_columns(
    task: str, metrics: Sequence[Metric], data: Dataset | None, outputs: StoredOutputs | None
) -> dict[str, ExtraColumn]:
    """Find what the metrics read by name: in the file of outputs first, since that is what the model said.

    Raises:
        InputError: a column that neither has, or images or prompts that the data lack.
    """
    found: dict[str, ExtraColumn] = {}
    for metric in metrics:
        for name in metric.needs:
            if name in MADE or name in found or name.startswith(VERDICT):
                continue
            if name in {"image", "reference_image", "reference_features", "text_features"}:
                _check_paired(task, metric, name, data, outputs)
            elif name not in _PARTS or data is None or not data.has(name):
                found[name] = _find(task, metric, name, data, outputs)
    return found


def _check_paired(task: str, metric: Metric, name: str, data: Dataset | None, outputs: StoredOutputs | None) -> None:
    what = f"task '{task}': '{metric.spec.name}'"
    if name == "image":
        if outputs is not None and not outputs.source.has("image"):
            raise InputError(f"{what} compares images, but {outputs.source.name} has none; map `image` under `columns`")
        return
    part, kind = ("prompt", "its prompt") if name == "text_features" else ("reference_image", "its reference image")
    if data is None or not data.has(part):
        where = "the task has no `data`" if data is None else f"{data.name} has none"
        raise InputError(f"{what} compares each image with {kind}, but {where}; map `{part}` under `columns`")


def _find(task: str, metric: Metric, name: str, data: Dataset | None, outputs: StoredOutputs | None) -> ExtraColumn:
    if outputs is not None and (values := outputs.column(name)) is not None:
        return ExtraColumn("outputs", parsed(values))
    if data is not None and (values := data.column(name)) is not None:
        return ExtraColumn("data", parsed(values))
    if data is not None and name in _WHOLE_ROW and _WHOLE_ROW[name] in data.column_names():
        return ExtraColumn("data", data.source_rows())
    tables = {t.name: t.column_names() for t in (outputs.source if outputs else None, data) if t is not None}
    raise InputError(
        f"task '{task}': '{metric.spec.name}' needs the column '{name}'{_suggested(name, tables)}; "
        + (_listed(tables) if tables else "samples without `data` have no columns")
        + (f"; map `{name}` under `columns`" if name in _PARTS else "; add it")
        + ", or leave the metric out"
    )


def check_reference(task: str, metric: Metric, reference: Reference) -> None:
    """Check that a reference of rows has the column that a metric compares; raise `InputError` otherwise."""
    dataset = reference.dataset
    for name in metric.needs:
        if dataset.column(name) is None:
            tables = {dataset.name: dataset.column_names()}
            raise InputError(
                f"task '{task}': '{metric.spec.name}' compares the column '{name}' with that of the reference"
                f"{_suggested(name, tables)}; {_listed(tables)}; add it there, or name another `reference`"
            )


def parsed(values: Sequence[Any]) -> Sequence[Any]:
    """A column of texts that are all JSON numbers, booleans or lists as those: CSV knows nothing but text."""
    if not any(isinstance(value, str) for value in values):
        return values
    made = []
    for text in values:
        value = text
        if isinstance(text, str):
            try:
                value = parse_json(text.lower() if text in {"True", "False"} else text, "a cell")
            except ValueError:
                return values
            if not isinstance(value, (bool, int, float, list)):
                return values
        made.append(value)
    return made


def _suggested(name: str, tables: Mapping[str, Sequence[str]]) -> str:
    return did_you_mean(name, [column for columns in tables.values() for column in columns])


def _listed(tables: Mapping[str, Sequence[str]]) -> str:
    shown = []
    for name, columns in tables.items():
        more = ", …" if len(columns) > _SHOWN_NAMES else ""
        shown.append(f"{name} has {', '.join(columns[:_SHOWN_NAMES]) or 'no columns'}{more}")
    return " and ".join(shown)
