"""The samples that a report shows: outputs with their scores, the worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from metrics.base import Direction, Scores

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Sample:
    """One stored output with its scores.

    Attributes:
        task, sample_id: what it belongs to.
        prompt, text: what was asked and what a text model wrote; None where there is none.
        image: the output as PNG bytes; None for text.
        expected: accepted answers.
        scores: metric name to score; None where the sample is unscored.
        reason: why there is no usable output, or why the first unscored metric has no score.
        seed: the seed that the output was made from.
    """

    task: str
    sample_id: str
    prompt: str | None = None
    text: str | None = None
    image: bytes | None = None
    expected: tuple[str, ...] = ()
    scores: Mapping[str, float | None] = field(default_factory=dict)
    reason: str | None = None
    seed: int | None = None


def worst_first(samples: Iterable[Sample], metric: str | None, direction: Direction) -> list[Sample]:
    """Order samples by one metric's score, the worst first and unscored ones before all.

    Without a metric, or for one without a direction, samples without a usable output come first and the rest
    keep their order.
    """

    def rank(sample: Sample) -> tuple[int, float]:
        score = sample.scores.get(metric) if metric else None
        if sample.reason is not None and score is None:
            return 0, 0.0
        if score is None or direction == "none":
            return 2, 0.0
        return 1, score if direction == "higher" else -score

    return sorted(samples, key=rank)


def collect(
    task: str,
    table: pa.Table,
    *,
    scores: Mapping[str, Scores] | None = None,
    expected: Mapping[str, Sequence[str]] | None = None,
) -> list[Sample]:
    """Join a table of stored outputs (`evalkit.outputs.SCHEMA`) with per-sample scores.

    Args:
        task: the task's name.
        table: rows of output shards.
        scores: metric name to its per-sample scores.
        expected: sample id to its accepted answers.
    """
    by_metric: dict[str, dict[str, tuple[float | None, str | None]]] = {}
    for metric, columns in (scores or {}).items():
        with_denominator = zip(columns.values, columns.denominators, strict=True)
        values = [
            float(value / denominator) if math.isfinite(value) and denominator > 0 else None
            for value, denominator in with_denominator
        ]
        pairs = zip(values, columns.reasons, strict=True)
        by_metric[metric] = dict(zip(columns.sample_ids, pairs, strict=True))
    samples = []
    for row in table.to_pylist():
        sample_id = row["sample_id"]
        found = {metric: rows[sample_id] for metric, rows in by_metric.items() if sample_id in rows}
        reasons = [row["error"], *(reason for _, reason in found.values())]
        samples.append(
            Sample(
                task=task,
                sample_id=sample_id,
                prompt=row["prompt"],
                text=row["text"],
                image=row["image"],
                expected=tuple((expected or {}).get(sample_id, ())),
                scores={metric: value for metric, (value, _) in found.items()},
                reason=next((reason for reason in reasons if reason), None),
                seed=row["seed"],
            )
        )
    return samples
