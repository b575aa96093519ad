"""Writes a bundle: what a gate needs to recompute the bounds of a finished evaluation, and no more.

Outputs go along for their times and texts, without their pictures; features only where a metric's state refers to them.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from evalkit.bundles.manifest import MANIFEST, SUITE_FOLDER, BundledEstimate, Details, Manifest, judge_files
from evalkit.outputs import read_shard, write_shard
from evalkit.runner.outputs import SUFFIX
from evalkit.runner.plan import EvaluationPlan
from evalkit.runner.scores import ROWS, STATES, states_from_bytes
from evalkit.runner.shards import Rows, ShardFolder, cover, grid
from metrics.base import State
from metrics.errors import InputError
from registry.digests import file_digest, short
from registry.entities import Evaluation
from registry.paths import confine


def pack(home: Path, plan: EvaluationPlan, evaluation: Evaluation, artifact_digest: str, target: Path) -> Manifest:
    """Write the bundle of a finished evaluation to the file `target`; return what its manifest says.

    Args:
        home: the ``.evalkit`` folder with the shards.
        plan: of the evaluation; says what the digests were made of.
        evaluation: finished, with its estimates.
        artifact_digest: of the version's files.
        target: the file to write; it exists whole or not at all.

    Raises:
        InputError: shards are gone, or the evaluation is not finished.
    """
    if evaluation.status != "finished":
        raise InputError(f"the evaluation is {evaluation.status}; only a finished one is submitted")
    part = target.with_name(f".{target.name}.{os.getpid()}.partial")
    files: dict[str, str] = {}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="evalkit-") as folder,
            zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            for name, path in sorted(_files(home, plan, evaluation, Path(folder))):
                if name not in files:
                    archive.write(path, name)
                    files[name] = file_digest(path)
            manifest = _manifest(home, plan, evaluation, artifact_digest, files)
            archive.writestr(
                MANIFEST, json.dumps(manifest.model_dump(mode="json", exclude_unset=True), ensure_ascii=False)
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return manifest


def _manifest(
    home: Path, plan: EvaluationPlan, evaluation: Evaluation, artifact_digest: str, files: Mapping[str, str]
) -> Manifest:
    recorded = evaluation.details["tasks"]
    identities: dict[str, Any] = {}
    for record in recorded.values():
        identities[record["outputs"]] = _described(home / "outputs", record["outputs"])
        for metric in record["metrics"].values():
            if not metric["per_shard"]:
                identities[metric["scores"]] = _described(home / "scores", metric["scores"])
    estimates = [
        BundledEstimate(
            task=item.task, metric=item.metric, key=item.key, slice=item.slice,
            scores_digest=item.scores_digest, estimate=item.estimate.to_json(),
        )
        for item in evaluation.estimates
    ]  # fmt: skip
    return Manifest(
        format=1, id=evaluation.id, version_id=evaluation.version_id, artifact_digest=artifact_digest,
        suite_digest=evaluation.suite_digest, digest=evaluation.digest, look=evaluation.look,
        preset=evaluation.preset, targets=dict(evaluation.targets), started_at=evaluation.started_at,
        finished_at=evaluation.finished_at or evaluation.started_at,
        warnings=[warning[:2000] for warning in evaluation.warnings], run_id=evaluation.run_id,
        details=Details.model_validate(
            _plain({key: evaluation.details[key] for key in ("seed", "design", "counts", "tasks")})
        ),
        designs=_plain({task.name: task.design() for task in plan.tasks}), identities=identities,
        estimates=estimates, files=dict(files),
    )  # fmt: skip


def _files(home: Path, plan: EvaluationPlan, evaluation: Evaluation, scratch: Path) -> Iterator[tuple[str, Path]]:
    for record in evaluation.details["tasks"].values():
        for name, path in stored_outputs(home, record):
            yield name, _without_pictures(path, scratch / name)
        yield from stored_scores(home, record)
    for name in judge_files(plan.suite):
        yield f"{SUITE_FOLDER}/{name}", confine(plan.suite.folder, name, "`judge`")


def stored_outputs(home: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Names and files of a task's outputs; raises `InputError` where some are gone."""
    folder = ShardFolder.known(home / "outputs", record["outputs"])
    for run, holding in cover(folder.existing(SUFFIX), Rows(0, record["target"])):
        if holding is None:
            raise InputError(f"outputs {run.start} to {run.stop} are gone from {folder.path}; evaluate again")
        path = folder.file(holding, SUFFIX)
        yield path.relative_to(home).as_posix(), path


def _without_pictures(path: Path, scratch: Path) -> Path:
    table, metadata = read_shard(path)
    if table.column("image").null_count == len(table):
        return path
    place = table.schema.get_field_index("image")
    empty = pa.nulls(len(table), pa.binary())
    write_shard(table.set_column(place, "image", empty).replace_schema_metadata(None), scratch, metadata)
    return scratch


def stored_scores(home: Path, record: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Names and files of a task's scores, and of what they refer to; raises `InputError` where some are gone."""
    for name, metric in record["metrics"].items():
        yield from _scores(home, name, record, metric)


def _scores(home: Path, name: str, record: Mapping[str, Any], metric: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for key in (metric.get("reference_state"), metric.get("held_out_state")):
        if key is not None:
            path = home / "references" / f"{short(key, 32)}.npz"
            yield path.relative_to(home).as_posix(), _there(path, name)
            yield from _features(home, State.from_bytes(path.read_bytes()), name)
    if metric["per_shard"]:
        return
    folder = ShardFolder.known(home / "scores", metric["scores"])
    for rows in grid(record["target"], record["shard_size"]):
        found = [path for suffix in (ROWS, STATES) if (path := folder.file(rows, suffix)).exists()]
        if not found:
            raise InputError(f"scores of '{name}' are gone from {folder.path}; evaluate again")
        for path in found:
            yield path.relative_to(home).as_posix(), path
            if path.suffix == f".{STATES}":
                for state in states_from_bytes(path.read_bytes()).values():
                    yield from _features(home, state, name)


def _features(home: Path, state: State, name: str) -> Iterator[tuple[str, Path]]:
    """Feature shards that a state refers to instead of holding them."""
    for part in state.facts.get("parts", ()):
        if "source" in part:
            path = home / f"{part['source'].partition('#')[0]}.npz"
            yield path.relative_to(home).as_posix(), _there(path, name)


def _there(path: Path, name: str) -> Path:
    if not path.is_file():
        raise InputError(f"what '{name}' refers to is gone ({path}); evaluate again")
    return path


def _described(parent: Path, key: str) -> dict[str, Any]:
    meta = ShardFolder.known(parent, key).path / "meta.json"
    try:
        found: dict[str, Any] = json.loads(meta.read_text(encoding="utf-8"))["describes"]
    except (OSError, ValueError, KeyError):
        raise InputError(f"{meta} cannot be read; evaluate again") from None
    return found


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
