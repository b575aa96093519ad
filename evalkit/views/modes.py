"""The images behind a rule on a whole set: what of the reference is missed, near-duplicates, and copies.

Found once from stored features, then kept in a file: what it stands on never changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.reports.html import reencoded
from evalkit.runner.feature_files import FEATURES, load_arrays
from evalkit.runner.features import feature_loader, load_reference_state
from evalkit.runner.shards import UNREADABLE, ShardFolder, grid, write_atomically
from evalkit.views.stored import GoneError, StoredTask
from metrics.errors import InputError
from registry.digests import digest, short

if TYPE_CHECKING:
    from evalkit.project import Project
    from registry.entities import Evaluation, ModelVersion

FORMAT = 1
"""Raised where another choice of images is made, so that what was kept is not shown."""
KEY = re.compile(r"[0-9a-f]{32}")
_MOST_ROWS = 1_536
_MOST_BYTES = 256 * 2**20
_SIDE = 96


@dataclass(frozen=True, slots=True)
class MissedView:
    """Like images of the reference that no output comes near.

    Attributes:
        share: of the reference.
        images: places of kept images; empty where the reference is not at hand.
    """

    share: float
    images: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    """Outputs that hardly differ; `closeness` is relative to the distances between reference images."""

    generated: tuple[int, ...]
    closeness: float


@dataclass(frozen=True, slots=True)
class CopyView:
    """An output and the reference image that it is nearest to (None where that is not at hand).

    `closeness` is relative to the distance from that image to its own neighbour.
    """

    generated: int
    image: int | None
    closeness: float


@dataclass(frozen=True, slots=True)
class Modes:
    """What is shown; `key` finds the kept images."""

    key: str
    missed: tuple[MissedView, ...]
    groups: tuple[GroupView, ...]
    copies: tuple[CopyView, ...]

    @property
    def places(self) -> set[int]:
        """Places of all outputs that are shown."""
        return {place for group in self.groups for place in group.generated} | {one.generated for one in self.copies}

    @property
    def share(self) -> float:
        """Share of the reference that no output comes near."""
        return sum(group.share for group in self.missed)


def modes_of_task(project: Project, version: ModelVersion, evaluation: Evaluation, task: StoredTask) -> Modes | None:
    """What the outputs of a task miss and where they repeat; None where it has no features of a reference.

    Raises:
        GoneError: its features are no longer stored.
    """
    kept = next((record["reference_state"] for record in task.record["metrics"].values() if _has_state(record)), None)
    if kept is None or not task.pictures:
        return None
    key = _key(task)
    place = _folder(project.settings.home, key) / "modes.json"
    try:
        return _read(key, json.loads(place.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        found = _find(project, version, evaluation, task, kept)
        if found is not None:
            write_atomically(place, json.dumps(found).encode())
        return _read(key, found) if found is not None else None


def reference_image(home: Path, key: str, place: int) -> bytes | None:
    """An image of a reference that was kept; None where there is none."""
    if KEY.fullmatch(key) is None:
        return None
    try:
        return (_folder(home, key) / f"{place}.png").read_bytes()
    except FileNotFoundError:
        return None


def _find(
    project: Project, version: ModelVersion, evaluation: Evaluation, task: StoredTask, kept: str
) -> dict[str, Any] | None:
    from metrics.image.examples import closest_copies, missed_groups, repetitions

    generated, places = _generated(task)
    reference, origins = _reference(task, kept)
    if len(reference) < 20 or len(generated) < 2 or reference.shape[1] != generated.shape[1]:
        return None
    missed = missed_groups(reference, generated)
    copies = closest_copies(reference, generated)
    wanted = [origins[i] for group in missed for i in group.reference] + [origins[one.reference] for one in copies]
    images = _keep_images(project, version, evaluation, task, wanted)
    return {
        "missed": [[group.share, [origins[i] for i in group.reference if origins[i] in images]] for group in missed],
        "groups": [[[places[i] for i in one.generated], one.closeness] for one in repetitions(reference, generated)],
        "copies": [
            [places[one.generated], place if (place := origins[one.reference]) in images else None, one.closeness]
            for one in copies
        ],
    }


def _read(key: str, found: Mapping[str, Any]) -> Modes:
    missed = tuple(MissedView(share, tuple(images)) for share, images in found["missed"])
    groups = tuple(GroupView(tuple(its), closeness) for its, closeness in found["groups"])
    return Modes(key, missed, groups, tuple(CopyView(*one) for one in found["copies"]))


def _has_state(record: Mapping[str, Any]) -> bool:
    return record.get("reference_state") is not None


def _generated(task: StoredTask) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Features of the first outputs, and the place of each."""
    identity = {"outputs": task.record["outputs"], "extractor": task.record["extractor"]}
    folder = ShardFolder.known(task.home / "features", digest(identity))
    parts: list[np.ndarray[Any, Any]] = []
    places: list[int] = []
    for rows in grid(task.target, task.record["shard_size"]):
        if len(places) >= _MOST_ROWS:
            break
        try:
            features = load_arrays(folder.file(rows, "npz"))[FEATURES]
        except UNREADABLE:
            raise GoneError(f"the features of '{task.name}' are no longer stored here") from None
        sound = np.flatnonzero(np.isfinite(features).all(axis=1))
        parts.append(features[sound])
        places += [rows.start + int(i) for i in sound]
    width = max((part.shape[1] for part in parts if len(part)), default=0)
    return np.concatenate([part for part in parts if part.shape[1] == width] or [np.empty((0, 0))]), places


def _reference(task: StoredTask, kept: str) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Features of the first reference images, and the position of each in the reference."""
    state = load_reference_state(task.home, kept)
    if state is None:
        raise GoneError(f"the reference of '{task.name}' is no longer stored here")
    load = feature_loader(task.home)
    parts: list[np.ndarray[Any, Any]] = []
    origins: list[int] = []
    for part in state.facts.get("parts", ()):
        if "source" not in part or len(origins) >= _MOST_ROWS:
            break
        try:
            rows = load(part["source"])
        except InputError as error:
            raise GoneError(str(error)) from None
        start = int(re.sub(r".*rows-(\d+)-.*", r"\1", part["source"]))
        left = [i for i in range(len(rows)) if i not in set(part["skip"])]
        parts.append(rows[left])
        origins += [start + i for i in left]
    return np.concatenate(parts or [np.empty((0, 0))]), origins


def _keep_images(
    project: Project, version: ModelVersion, evaluation: Evaluation, task: StoredTask, wanted: Sequence[int]
) -> set[int]:
    """Keep small copies of reference images; nothing where the reference is not at hand, or is another one by now."""
    from evalkit.generators.images import to_png
    from evalkit.runner.sources import read_sources

    suite = project.registry.suite(version)
    told, spec = task.record["reference"], suite.spec.tasks.get(task.name)
    if told is None or spec is None or spec.traces is not None or evaluation.details.get("submission") is not None:
        return set()
    file = suite.folder / (spec.reference or "")
    if file.is_file() and file.stat().st_size > _MOST_BYTES:
        return set()
    alone = replace(suite, spec=suite.spec.model_copy(update={"tasks": {task.name: spec}}))
    kept: set[int] = set()
    folder = _folder(project.settings.home, _key(task))
    try:
        read = read_sources(alone, project.registry, project.settings)[task.name].reference
        if read is None or read.column is None or read.dataset.digest != told["digest"]:
            return set()
        for place in dict.fromkeys(wanted):
            pixels = read.dataset.find_image(place, column=read.column)
            encoded = reencoded(to_png(pixels), _SIDE) if pixels is not None else None
            if encoded is not None:
                write_atomically(folder / f"{place}.png", encoded[0])
                kept.add(place)
    except (InputError, OSError):
        return kept
    return kept


def _key(task: StoredTask) -> str:
    """Digest of everything that the choice of images depends on."""
    named = {name: task.record[name] for name in ("outputs", "target", "reference", "extractor")}
    return short(digest({**named, "format": FORMAT}), 32)


def _folder(home: Path, key: str) -> Path:
    return home / "pages" / "modes" / key
