"""Stored outputs and dataset rows put side by side: the `Batch` that metrics read."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.datasets import Dataset
from evalkit.runner.shards import Rows
from metrics.base import Batch

_NUMBERS = ("latency", "nll", "tokens", "bytes", "words", "prompt_tokens", "output_tokens")
_FROM_DATA = ("expected", "context", "label")
Images = list[NDArray[np.uint8]]


def build_batch(
    table: pa.Table, rows: Rows, data: Dataset | None, features: dict[str, NDArray[Any]] | None, source: str | None
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
    rest = data.batch(rows.start, rows.stop) if data is not None else None
    if rest is not None:
        columns.update({name: rest.columns[name] for name in _FROM_DATA if name in rest.columns})
    columns.update(features or {})
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

    A call is a run of equal latencies; timers are fine enough that two calls do not tie.
    """
    latency = np.asarray(batch.columns["latency"], np.float64)
    starts = np.concatenate([[True], latency[1:] != latency[:-1]]) if len(latency) else np.empty(0, bool)
    calls = [f"{batch.sample_ids[0]}:{call}" for call in np.cumsum(starts)]
    return replace(batch, clusters=calls)


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
