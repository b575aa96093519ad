"""Files of a run in MLflow's artifact store, wherever that is: uploads that go on where they were cut off, and
downloads that are verified.

Beside the files lies `MANIFEST`, which has the length and sha256 of every file that arrived whole. It is written every
few files and when an upload ends, also in an error, so that a killed upload repeats a few files at most and one that is
repeated uploads nothing. A file counts as arrived when the manifest has its digest and the store has its length.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from metrics.errors import InputError
from registry.digests import file_digest
from registry.paths import confine

if TYPE_CHECKING:
    from mlflow import MlflowClient

MANIFEST = "manifest.json"
_FILES_BETWEEN = 16
_BYTES_BETWEEN = 64 * 2**20
"""Uploads after which the manifest is written: what a kill can cost."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that arrived whole: its sha256 (``sha256:…``) and its length in bytes."""

    sha256: str
    bytes: int


@dataclass(slots=True)
class Uploaded:
    """What an upload did, by path within the run."""

    sent: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)


def upload(client: MlflowClient, run_id: str, files: Mapping[str, Path]) -> Uploaded:
    """Put files into a run, except for those that are there with the same content.

    Args:
        client: of the tracking server, through which the artifact store is reached.
        run_id: whose artifacts they become.
        files: path within the run to local file.
    """
    done, wanted = Uploaded(), dict(files)
    manifest = read_manifest(client, run_id) if wanted else {}
    present = {path: size for path, size in _present(client, run_id, wanted) if path in manifest}
    waiting = waiting_bytes = 0
    try:
        for path, local in wanted.items():
            entry = Entry(file_digest(local), local.stat().st_size)
            if manifest.get(path) == entry and present.get(path) == entry.bytes:
                done.there.append(path)
                continue
            manifest.pop(path, None)
            parent = PurePosixPath(path).parent.as_posix()
            _send(client, run_id, local, path, None if parent == "." else parent)
            manifest[path] = entry
            done.sent.append(path)
            waiting, waiting_bytes = waiting + 1, waiting_bytes + entry.bytes
            if waiting >= _FILES_BETWEEN or waiting_bytes >= _BYTES_BETWEEN:
                _write_manifest(client, run_id, manifest)
                waiting = waiting_bytes = 0
    finally:
        if waiting:
            _write_manifest(client, run_id, manifest)
    return done


def download(client: MlflowClient, run_id: str, folder: Path, *, below: str = "") -> list[Path]:
    """Fetch what the manifest lists (below a path of the run alone, where one is given), and verify every file.

    Files that are in `folder` with the right digest are not fetched again.

    Raises:
        InputError: no manifest, a file that is gone from the store, or one whose content is not what was uploaded; no
            such file is left in `folder`.
    """
    manifest = read_manifest(client, run_id)
    prefix = f"{below.rstrip('/')}/" if below else ""
    wanted = {path: entry for path, entry in manifest.items() if path.startswith(prefix)}
    if not wanted:
        raise InputError(f"run {run_id} has no {MANIFEST} that lists files below '{below}'; nothing can be verified")
    return [_fetch(client, run_id, folder, path, entry) for path, entry in wanted.items()]


def read_manifest(client: MlflowClient, run_id: str) -> dict[str, Entry]:
    """What arrived, by path; nothing where there is no manifest, or one that cannot be read."""
    if MANIFEST not in {one.path for one in client.list_artifacts(run_id)}:
        return {}
    with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
        local = Path(client.download_artifacts(run_id, MANIFEST, folder))
        try:
            listed = json.loads(local.read_text(encoding="utf-8"))["files"]
            return {str(path): Entry(str(one["sha256"]), int(one["bytes"])) for path, one in listed.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}  # cut off while it was written: everything is sent again


def _write_manifest(client: MlflowClient, run_id: str, manifest: Mapping[str, Entry]) -> None:
    listed = {path: {"sha256": entry.sha256, "bytes": entry.bytes} for path, entry in sorted(manifest.items())}
    client.log_text(run_id, json.dumps({"version": 1, "files": listed}, indent=1), MANIFEST)


def _send(client: MlflowClient, run_id: str, local: Path, path: str, parent: str | None) -> None:
    """Upload a file; under another name than its own, by way of a link."""
    name = PurePosixPath(path).name
    if local.name == name:
        client.log_artifact(run_id, str(local), parent)
        return
    with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
        linked = Path(folder) / name
        linked.symlink_to(local.resolve())
        client.log_artifact(run_id, str(linked), parent)


def _present(client: MlflowClient, run_id: str, wanted: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Path and length of what the store has in the folders of the wanted files."""
    for parent in {PurePosixPath(path).parent.as_posix() for path in wanted}:
        for one in client.list_artifacts(run_id, None if parent == "." else parent):
            if not one.is_dir:
                yield one.path, int(one.file_size or 0)


def _fetch(client: MlflowClient, run_id: str, folder: Path, path: str, entry: Entry) -> Path:
    target = confine(folder, path, f"run {run_id}")
    if target.is_file() and file_digest(target) == entry.sha256:
        return target
    from mlflow.exceptions import MlflowException

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".evalkit-", dir=target.parent) as there:
        try:
            got = Path(client.download_artifacts(run_id, path, there))
        except (MlflowException, OSError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"run {run_id}: '{path}' is listed but cannot be fetched ({reason})") from None
        found = file_digest(got)
        if found != entry.sha256:
            raise InputError(
                f"run {run_id}: '{path}' has the digest {found[:19]}, but {entry.sha256[:19]} was uploaded; it was "
                "changed in the artifact store. Evaluate again to upload it anew"
            )
        got.replace(target)
    return target
