"""What a backup holds: every file with its size and digest, and where each belongs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metrics.errors import InputError
from registry.digests import file_digest
from registry.paths import confine

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
FOLDERS = (
    "artifacts", "features", "labels", "monitors", "outputs", "references", "scores", "submitted", "verdicts"
)  # fmt: skip
"""Folders of a project's state that are kept with ``--artifacts``: what pages show."""

_LARGEST = 512 * 2**20
_NAMES = re.compile(r"^databases/[a-z_]{1,60}(?:\.[A-Za-z0-9_]{1,63})?\.(?:db|copy)\Z")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class KeptFile(_Part):
    """A file of the backup."""

    bytes: Annotated[int, Field(ge=0)]
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class KeptTable(_Part):
    """A table on PostgreSQL: its columns in the order of the file, and the last numbers that its sequences gave."""

    file: str
    columns: list[str]
    rows: Annotated[int, Field(ge=0)]
    given: dict[str, int]


class AuditEnd(_Part):
    """The end of an audit's chain."""

    workspace: str
    entries: int
    head: str


class Manifest(_Part):
    """A backup as a whole.

    Attributes:
        made_at: UTC milliseconds.
        revisions: of the tables, by whose they are: ``evalkit``, ``mlflow``, ``users``, ``jobs``.
        databases: on SQLite, name of the database to its file.
        tables: on PostgreSQL, ``schema.table`` to what was kept of it.
        files: path inside the backup to size and digest; all of them, but for the manifest.
    """

    format: Literal[1]
    evalkit: str
    made_at: int
    kind: Literal["sqlite", "postgresql"]
    revisions: dict[str, str | None]
    databases: dict[str, str]
    tables: dict[str, KeptTable]
    files: dict[str, KeptFile]
    audit: list[AuditEnd]

    def folders(self) -> list[str]:
        """Names of the folders that were kept."""
        found = {name.partition("/")[0] for name in self.files}
        return [name for name in FOLDERS if name in found]


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest; raises `InputError` where it is none, or names files that do not belong."""
    path = folder / MANIFEST
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise InputError(f"{folder.name} is no backup of evalkit: it has no {MANIFEST}")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(said, dict) and said.get("format", FORMAT) != FORMAT:
            raise InputError(f"{folder.name} has format {said['format']}; this version of evalkit reads {FORMAT}")
        found = Manifest.model_validate(said)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        where = ".".join(map(str, error.errors()[0]["loc"])) if isinstance(error, ValidationError) else "it"
        raise InputError(f"{folder.name}: its {MANIFEST} is damaged ({where} cannot be read)") from None
    named = {*found.databases.values(), *(table.file for table in found.tables.values())}
    for name in found.files:
        allowed = name in named and _NAMES.match(name) if name.startswith("databases/") else True
        if not allowed or name.partition("/")[0] not in {"databases", *FOLDERS}:
            raise InputError(f"{folder.name}: '{name[:100]}' does not belong into a backup")
        confine(folder, name, folder.name)
    if odd := sorted(named - set(found.files)):
        raise InputError(f"{folder.name}: its {MANIFEST} tells nothing of {odd[0][:100]}")
    return found


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its digest; raises `InputError` at the first one that is gone or damaged."""
    for name, kept in manifest.files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise InputError(f"{folder.name}: {name} is missing")
        if path.stat().st_size != kept.bytes or file_digest(path) != kept.digest:
            raise InputError(f"{folder.name}: {name} is damaged: it is not what was backed up")


def kept(path: Path) -> KeptFile:
    """Size and digest of a file."""
    return KeptFile(bytes=path.stat().st_size, digest=file_digest(path))
