"""Samples of a stored evaluation, for reports: outputs joined with their scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.evidence import StoredResults
from evalkit.reports.samples import Sample, collect
from metrics.base import Scores
from registry.entities import Evaluation
from registry.suite import Suite

if TYPE_CHECKING:
    from registry.store import Registry


def output_folders(home: Path, evaluation: Evaluation) -> dict[str, Path]:
    """Artifact path to folder of the stored outputs of every task."""
    from evalkit.runner.shards import ShardFolder

    tasks = evaluation.details.get("tasks", {})
    return {f"outputs/{name}": ShardFolder.known(home / "outputs", task["outputs"]).path for name, task in tasks.items()}


def stored_samples(home: Path, registry: Registry | None, suite: Suite, evaluation: Evaluation) -> list[Sample]:
    """All samples of all tasks, with the scores of per-sample metrics and the expected answers."""
    from evalkit.runner.sources import read_sources

    results = StoredResults(home, evaluation)
    sources = read_sources(suite, registry)
    samples: list[Sample] = []
    for name, task in evaluation.details.get("tasks", {}).items():
        scores: dict[str, Scores] = {}
        for metric in task["metrics"]:
            rows = results.rows(name, metric)
            if rows is not None and metric != "latency":
                scores[metric] = rows
        data = sources[name].data if name in sources else None
        expected = None
        if data is not None and data.has_values("expected"):
            answers = data.rows["expected"].to_pylist()
            expected = {i: a or () for i, a in zip(data.rows["sample_id"].to_pylist(), answers, strict=True)}
        samples += collect(name, results.outputs(name), scores=scores, expected=expected)
    return samples
