"""Images that were made elsewhere: a folder, with or without a manifest of prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.datasets.load import image_files
from evalkit.datasets.pictures import decode_image, read_image_bytes
from evalkit.datasets.readers import read_rows
from evalkit.generators.base import Generation, Modality, Request
from metrics.errors import InputError
from registry.paths import confine

MANIFESTS = ("manifest.jsonl", "manifest.csv", "manifest.parquet")
_FILE_COLUMNS = ("file", "file_name", "image", "path")
_ID_COLUMNS = ("sample_id", "id")


@dataclass(frozen=True, slots=True)
class _Entry:
    file: Path
    identity: str | None = None
    prompt: str | None = None
    latency: float = math.nan  # not measured: reading the file says nothing about the model


class ImageFolder:
    """Hands out stored images: with ids in the manifest by id, else by position.

    The manifest (``manifest.jsonl``, ``.csv`` or ``.parquet``) has a column ``file`` and, optionally, ``prompt``,
    ``id`` and ``latency`` (seconds). Without one the images go by name. Where manifest and request both have a prompt
    and they differ, the sample is an error: the folder belongs to other data.
    """

    modality: Modality = "image"

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        del settings  # stored images have none
        self.name = folder.name
        if not folder.is_dir():
            raise InputError(f"there is no folder of images {folder}")
        manifest = next((folder / name for name in MANIFESTS if (folder / name).is_file()), None)
        self._entries = _read_manifest(manifest) if manifest else [_Entry(file) for file in image_files(folder)]
        if not self._entries:
            raise InputError(f"the folder {folder} holds no images")
        with_id = [entry for entry in self._entries if entry.identity is not None]
        self._by_id = {entry.identity: entry for entry in with_id}
        if len(self._by_id) < len(with_id):
            raise InputError(f"{self.name}: the manifest has an id more than once")

    @classmethod
    def from_description(cls, description: Mapping[str, Any], *, trust_pickle: bool = False) -> ImageFolder:
        """Open ``path``."""
        del trust_pickle  # images are never unpickled
        return cls(Path(str(description.get("path", ""))))

    def __len__(self) -> int:
        return len(self._entries)

    def generate(self, requests: Sequence[Request], settings: Mapping[str, Any]) -> list[Generation]:
        """Return the stored image of each request; a missing or broken one is an error of its sample."""
        del settings
        return [self._find(request) for request in requests]

    def _find(self, request: Request) -> Generation:
        if self._by_id:
            entry = self._by_id.get(request.sample_id)
        else:
            entry = self._entries[request.position] if request.position < len(self._entries) else None
        if entry is None:
            return Generation(error=f"no image for sample '{request.sample_id}'")
        if entry.prompt is not None and request.prompt is not None and entry.prompt != request.prompt:
            return Generation(error="the manifest's prompt differs from the data's")
        name = entry.file.name
        try:
            image = decode_image(read_image_bytes(entry.file, name), name)
        except InputError as bad:
            return Generation(error=str(bad))
        return Generation(image=image, latency=entry.latency)


def _read_manifest(manifest: Path) -> list[_Entry]:
    entries = []
    for number, row in enumerate(read_rows(manifest), start=1):
        where = f"{manifest.name}, row {number}"
        given = next((row[name] for name in _FILE_COLUMNS if row.get(name)), None)
        if not isinstance(given, str):
            raise InputError(f"{where}: no file; expected a column 'file' with a path below {manifest.parent.name}")
        identity = next((row[name] for name in _ID_COLUMNS if row.get(name) is not None), None)
        prompt = row.get("prompt")
        entries.append(
            _Entry(
                file=confine(manifest.parent, given, where),
                identity=None if identity is None else str(identity),
                prompt=None if prompt is None else str(prompt),
                latency=_seconds(row.get("latency"), where),
            )
        )
    return entries


def _seconds(given: Any, where: str) -> float:
    if given is None:
        return math.nan
    try:
        return float(given)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: latency {str(given)[:60]!r} is not a number of seconds") from None
