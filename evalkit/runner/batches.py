"""Stored outputs and dataset rows put side by side: the `Batch` that metrics read."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalkit.datasets import Dataset
from evalkit.runner.columns import Pictures
from evalkit.runner.plan import TaskPlan
from evalkit.runner.shards import Rows
from metrics.base import Batch

_NUMBERS = ("latency", "nll", "tokens", "bytes", "words", "prompt_tokens", "output_tokens")
_FROM_DATA = ("expected", "context", "label")
Images = list[NDArray[np.uint8]]


def build_batch(
    table: pa.Table,
    rows: Rows,
    data: Dataset | None,
    features: Mapping[str, NDArray[Any]],
    source: str | None,
    *,
    extra: Mapping[str, Sequence[Any]],
) -> Batch:
    """Join the outputs of some rows with their data.

    Args:
        table: the outputs of these rows.
        rows: which rows of the task they are.
        data: the task's data.
        features: the extractor's arrays where it ran.
        source: reference under which the features are stored.
        extra: further columns of these rows, which stand above those of the data.
    """
    columns: dict[str, Any] = {
        "output": table.column("text").to_pylist(),
        "prompt": table.column("prompt").to_pylist(),
    }
    for name in _NUMBERS:
        column = table.column(name)
        if column.null_count < len(column):
            columns[name] = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    errors = table.column("error").to_pylist()
    rest = data.batch(rows.start, rows.stop) if data is not None else None
    if rest is not None:
        columns.update({name: rest.columns[name] for name in _FROM_DATA if name in rest.columns})
    columns.update(features)
    columns.update(extra)
    return Batch(
        sample_ids=table.column("sample_id").to_pylist(),
        columns=columns,
        clusters=rest.clusters if rest is not None else None,
        weights=rest.weights if rest is not None else None,
        slices=rest.slices if rest is not None else {},
        source=source,
        errors=errors if any(error is not None for error in errors) else None,
    )


def by_call(batch: Batch) -> Batch:
    """The batch with samples of one generator call as a cluster: they share its wall time.

    A call is what has one latency; timers are fine enough that two calls do not tie. Its samples need not be
    neighbours, since texts are generated in the order of their lengths.
    """
    latency = np.asarray(batch.columns["latency"], np.float64)
    numbers = np.unique(latency, return_inverse=True, equal_nan=False)[1]
    calls = [f"{batch.sample_ids[0]}:{call}" for call in numbers]
    return replace(batch, clusters=calls)


def present_images(table: pa.Table) -> tuple[list[int], Pictures]:
    """Positions within the table of the rows that have an image, and those images, decoded when asked for."""
    pictures = output_pictures(table)
    usable = pc.and_(pc.is_valid(table.column("image")), pc.is_null(table.column("error")))
    places = np.flatnonzero(usable.to_numpy()).tolist()
    return places, Pictures(len(places), lambda place: pictures[places[place]])


def output_pictures(table: pa.Table) -> Pictures:
    """The rows' images, uint8 ``[height, width, 3]``; None where there is none, or an error."""
    from PIL import Image

    images, errors = table.column("image"), table.column("error")

    def decode(place: int) -> NDArray[np.uint8] | None:
        png = images[place].as_py()
        if png is None or errors[place].is_valid:
            return None
        with Image.open(io.BytesIO(png)) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)

    return Pictures(len(table), decode)


def task_columns(plan: TaskPlan, names: Collection[str], rows: Rows, table: pa.Table) -> dict[str, Sequence[Any]]:
    """The columns among `names` that the plan found by name, and images where they are asked for."""
    columns: dict[str, Sequence[Any]] = {
        name: column.values[rows.start : rows.stop] for name, column in plan.extra.items() if name in names
    }
    if "image" in names:
        columns["image"] = output_pictures(table)
    data = plan.data
    if "reference_image" in names and data is not None:
        columns["reference_image"] = Pictures(
            len(rows), lambda place: data.find_image(rows.start + place, column="reference_image")
        )
    return columns


def unscored_without(batch: Batch, columns: Mapping[str, str]) -> Batch:
    """The batch with an error for rows that are NaN in an array column; `columns` has what they lack by name."""
    errors = list(batch.errors or [None] * len(batch))
    for name, what in columns.items():
        for row in np.flatnonzero(np.isnan(batch.columns[name]).all(axis=1)):
            errors[row] = errors[row] or f"no {what}"
    return replace(batch, errors=errors)
