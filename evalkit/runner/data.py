"""The rows of a task and the images it is compared with, as the runner reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray

Images = list[NDArray[np.uint8]]
LoadImages = Callable[[int, int], Images]


@dataclass(frozen=True)
class TaskData:
    """Rows of a task's `data` or `outputs`, in the order in which samples are numbered.

    Attributes:
        name: for people, e.g. ``golden.jsonl`` or ``digits@test``.
        digest: of the content, whatever the file format.
        labels: further names under which a model card may list these data.
        sample_ids: one per row, unique.
        columns: ``prompt``, ``text``, ``expected``, ``context``, ``output``, ``latency``, ``output_tokens`` ...; one entry
            per row, None where it is missing.
        outputs_digest: of the stored outputs alone, where they come from a file of their own.
        clusters, weights, slices: as in `metrics.base.Batch`.
        rows: what a generator may see of each row besides the prompt (never the expected answers).
    """

    name: str
    digest: str
    sample_ids: Sequence[str]
    columns: Mapping[str, Sequence[Any]]
    labels: tuple[str, ...] = ()
    outputs_digest: str | None = None
    clusters: Sequence[str] | None = None
    weights: FloatArray | None = None
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] | None = None

    def __len__(self) -> int:
        return len(self.sample_ids)


@dataclass(frozen=True)
class ReferenceImages:
    """Images that generated ones are compared with.

    Attributes:
        name, digest, labels: as for `TaskData`.
        count: how many there are.
        load: images of a half-open range of positions, uint8 ``[height, width, 3]``.
    """

    name: str
    digest: str
    count: int
    load: LoadImages
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskSources:
    """What a task reads."""

    data: TaskData | None = None
    reference: ReferenceImages | None = None
