"""The files behind a version, as the server reads them."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from metrics.errors import InputError
from registry.actors import serving
from registry.artifacts import artifact_digest, folder_digest, list_files
from registry.binding import Held, RefusedError

PROXIED = {"mlflow-artifacts", "http", "https"}
_ROUTE = "/api/2.0/mlflow-artifacts/artifacts/"

_REMEMBERED = 256
_SETTLED_NS = 2_000_000_000
"""Younger than this a file may be written again without its time of change telling: file systems count in steps."""

_Mark = tuple[str, int, int, int, int, int]


def proxied_path(location: str) -> str | None:
    """Path below the server's artifact root of a location that clients reach through the server; None for others."""
    parts = urlsplit(location)
    if parts.scheme == "mlflow-artifacts":
        return parts.path.strip("/")
    if parts.scheme in {"http", "https"} and _ROUTE in parts.path:
        return parts.path.split(_ROUTE, 1)[1].strip("/")
    return None


def digest_of(held: Held) -> str:
    """Digest of a version's files as they are now where clients download them.

    Files on this machine are read again only when one of them changed: see `FolderDigests`.

    Raises:
        RefusedError: it cannot be read, or on a server lies where clients write past the server.
    """
    location = held.location
    if serving() and proxied_path(location) is None:
        raise RefusedError(
            "artifacts",
            f"{held.reference}: its files lie where clients write past the server, and the policy wants artifacts "
            "that went through it; "
            "register the model with a proxied artifact location, or set the policy to `--artifacts load`",
        )
    from mlflow.exceptions import MlflowException

    try:
        with _folder(location) as (folder, stays):
            return _digests(folder) if stays else folder_digest(folder)
    except (InputError, MlflowException, OSError) as error:
        raise RefusedError(
            "artifacts", f"{held.reference}: its files cannot be read: {str(error).splitlines()[0][:200]}"
        ) from error


class FolderDigests:
    """Digests of folders on this machine, remembered for as long as no file in them was added, removed or touched.

    What tells is each file's device, inode, size, time of modification and time of change. The last is the system's
    own: no call sets it, so bytes of the same length with an old time of modification put back are noticed. Only
    files that have been at rest are remembered, and only where they were at rest while they were read. Who can reach
    past this (root, a raw device, a mapping held open) can as well change the files after the alias has moved, which
    no digest taken before shows; `evalkit.load` does, and it always reads.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[_Mark, ...], str] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, folder: Path) -> str:
        """The folder's digest, as `registry.artifacts.folder_digest` has it."""
        files = list_files(folder)
        marks, now = _marks(files), time.time_ns()
        with self._lock:
            if marks in self._known:
                self._known.move_to_end(marks)
                return self._known[marks]
        found = artifact_digest(files=files)
        at_rest = all(mark[-1] < now - _SETTLED_NS for mark in marks)
        if os.name == "posix" and at_rest and marks == _marks(list_files(folder)):
            with self._lock:
                self._known[marks] = found
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return found


_digests = FolderDigests()


def _marks(files: Mapping[str, Path]) -> tuple[_Mark, ...]:
    # A link counts as the file that it names, as it does for the digest
    stats = ((name, file.stat()) for name, file in files.items())
    return tuple((name, s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in stats)


@contextmanager
def _folder(location: str) -> Iterator[tuple[Path, bool]]:
    """The files of a location on this machine, and whether they stay there."""
    from mlflow.artifacts import download_artifacts
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    path = proxied_path(location)
    if location.startswith(("file:///", "/")):
        yield Path(unquote(location.removeprefix("file://"))), True
        return
    repository = None
    if path is not None and serving():
        from mlflow.server.constants import ARTIFACTS_DESTINATION_ENV_VAR

        repository = get_artifact_repository(os.environ[ARTIFACTS_DESTINATION_ENV_VAR])
        here = repository.get_local_path(path)
        if here is not None:
            yield Path(here), True
            return
    with tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
        if repository is not None:
            yield Path(repository.download_artifacts(path, scratch)), False
        else:
            yield Path(download_artifacts(location, dst_path=scratch)), False
