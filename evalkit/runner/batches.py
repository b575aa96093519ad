"""Stored outputs and dataset rows put side by side: the `Batch` that metrics read."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.runner.data import Images, TaskData
from evalkit.runner.shards import Rows
from metrics.base import Batch

_NUMBERS = ("latency", "nll", "tokens", "bytes", "words", "prompt_tokens", "output_tokens")
_FROM_DATA = ("expected", "context", "label")


def build_batch(
    table: pa.Table, rows: Rows, data: TaskData | None, features: dict[str, NDArray[Any]] | None, source: str | None
) -> Batch:
    """Join the outputs of some rows with their data; `features` has the extractor's arrays where it ran."""
    columns: dict[str, Any] = {
        "output": table.column("text").to_pylist(),
        "prompt": table.column("prompt").to_pylist(),
    }
    for name in _NUMBERS:
        column = table.column(name)
        if column.null_count < len(column):
            columns[name] = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    errors = table.column("error").to_pylist()
    within = slice(rows.start, rows.stop)
    if data is not None:
        for name in _FROM_DATA:
            if name in data.columns:
                columns[name] = data.columns[name][within]
    columns.update(features or {})
    return Batch(
        sample_ids=table.column("sample_id").to_pylist(),
        columns=columns,
        clusters=None if data is None or data.clusters is None else data.clusters[within],
        weights=None if data is None or data.weights is None else data.weights[within],
        slices={} if data is None else {name: values[within] for name, values in data.slices.items()},
        source=source,
        errors=errors if any(error is not None for error in errors) else None,
    )


def decode_images(table: pa.Table) -> tuple[list[int], Images]:
    """Positions within the table of the rows that have an image, and the images, uint8 ``[height, width, 3]``."""
    from PIL import Image

    places, images = [], []
    for place, (png, error) in enumerate(
        zip(table.column("image").to_pylist(), table.column("error").to_pylist(), strict=True)
    ):
        if png is None or error is not None:
            continue
        with Image.open(io.BytesIO(png)) as picture:
            images.append(np.asarray(picture.convert("RGB"), dtype=np.uint8))
        places.append(place)
    return places, images
