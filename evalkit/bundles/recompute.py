"""Computes the estimates of a bundle anew from its scores and states: what is stored is the server's own result."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from evalkit.bundles.manifest import BundledEstimate, Details
from evalkit.bundles.verify import MismatchError
from evalkit.evidence import StoredResults
from evalkit.runner.features import feature_loader
from evalkit.runner.scores import MetricScores
from evalkit.runner.shards import ShardFolder, grid
from metrics.base import Estimate
from metrics.errors import InputError
from registry.entities import Evaluation, StoredEstimate

_REL, _ABS = 1e-6, 1e-9
"""Sums in another order, on another processor, differ by less."""
_NUMBERS = ("value", "low", "high", "n", "effective_n", "coverage", "worst_low", "worst_high", "spread", "confidence")
_BROKEN = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, OSError, EOFError, MemoryError,
    RuntimeError, pa.ArrowException, zipfile.BadZipFile,
)  # fmt: skip
"""What made-up scores and states can raise in a metric."""


class Claims(Protocol):
    """What says of itself which estimates it has, and how they were made."""

    @property
    def details(self) -> Details:
        """What the evaluation recorded about its tasks."""

    @property
    def estimates(self) -> Sequence[BundledEstimate]:
        """At 95 %."""


def recompute(
    home: Path, manifest: Claims, evaluation: Evaluation, *, outputs: bool = True
) -> tuple[StoredEstimate, ...]:
    """All estimates at 95 %, computed from the unpacked bundle in `home`.

    Args:
        home: folder with the shards.
        manifest: what was claimed.
        evaluation: the record of it.
        outputs: whether outputs lie there; without them, times of generation stand as they were claimed.

    Raises:
        MismatchError: files are missing or damaged, or what was submitted is not what comes out.
    """
    results = StoredResults(home, evaluation)
    claimed = {(item.task, item.metric, item.key, item.slice): item.stored() for item in manifest.estimates}
    found: list[StoredEstimate] = []
    for task, record in manifest.details.tasks.items():
        if outputs:
            _check_samples(results, manifest, task)
        for name, metric in record.metrics.items():
            if metric.per_shard and not outputs:
                found += [claimed.pop(key) for key in [key for key in claimed if key[:2] == (task, name)]]
                continue
            try:
                found += _of_metric(home, results, manifest, task, name)
            except MismatchError:
                raise
            except _BROKEN as error:
                what = str(error) if isinstance(error, InputError) else type(error).__name__
                raise MismatchError(f"{task}/{name}", f"its scores cannot be read ({what[:200]})") from None
    for item in found:
        known = claimed.pop((item.task, item.metric, item.key, item.slice), None)
        if known is None or not _close(known.estimate, item.estimate) or known.scores_digest != item.scores_digest:
            raise MismatchError("estimates", f"{item.name} {item.slice} is not what its scores give".replace("  ", " "))
    if claimed:
        task, name, key, _ = next(iter(claimed))
        raise MismatchError("estimates", f"there are no scores behind {task}/{name}.{key}")
    return tuple(found)


def _of_metric(home: Path, results: StoredResults, manifest: Claims, task: str, name: str) -> Iterator[StoredEstimate]:
    record = manifest.details.tasks[task]
    metric = record.metrics[name]
    if metric.per_shard:
        by_slice: Mapping[str, Mapping[str, Estimate]] = {"": results.estimates(task, name, "", 0.95) or {}}
    else:
        stored = MetricScores(ShardFolder.known(home / "scores", metric.scores), results.metric(task, name))
        for rows in grid(record.target, record.shard_size):
            if not stored.has(rows):
                raise MismatchError(f"{task}/{name}", f"scores of rows {rows.start} to {rows.stop} are missing")
        by_slice = stored.estimates(record.target, record.shard_size, confidence=0.95, load=feature_loader(home))
        labels = {f"{slice_name}={value}" for slice_name, values in record.slices.items() for value in values}
        if set(by_slice) - {""} != labels:
            raise MismatchError(f"{task}/{name}", "its slices are not those that the record names")
    for slice_name, keys in by_slice.items():
        for key, estimate in keys.items():
            yield StoredEstimate(task, name, key, slice_name, estimate, metric.scores)


def _check_samples(results: StoredResults, manifest: Claims, task: str) -> None:
    """Every sample once, and the same ones for all metrics: a sample counted twice would narrow each interval."""
    try:
        ids = results.outputs(task).column("sample_id").to_pylist()
        own = [
            list(rows.sample_ids)
            for name in manifest.details.tasks[task].metrics
            if (rows := results.rows(task, name)) is not None
        ]
    except _BROKEN as error:
        what = str(error) if isinstance(error, InputError) else type(error).__name__
        raise MismatchError(task, f"its outputs or scores cannot be read ({what[:200]})") from None
    if len(set(ids)) != len(ids) or len(ids) != manifest.details.tasks[task].target:
        raise MismatchError(task, "its outputs are not one for each sample")
    if any(samples != ids for samples in own):
        raise MismatchError(task, "its scores are of other samples than its outputs")


def _close(given: Estimate, made: Estimate) -> bool:
    made = Estimate.from_json(made.to_json())  # what is not finite does not survive a file
    for name in _NUMBERS:
        a, b = getattr(given, name), getattr(made, name)
        if (a is None) != (b is None):
            return False
        if a is None or b is None or (math.isnan(a) and math.isnan(b)):
            continue
        if not math.isclose(a, b, rel_tol=_REL, abs_tol=_ABS):
            return False
    return True
