"""Backs a project up while it works: all its databases as they were at one moment, and its artifacts if wanted."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError

from evalkit.config import Settings
from evalkit.databases import postgres, sqlite_files
from evalkit.databases.manifest import FOLDERS, FORMAT, MANIFEST, AuditEnd, KeptFile, KeptTable, Manifest, kept
from evalkit.databases.places import STORE, TRACKING, Place, is_postgres, places
from evalkit.databases.tables import mlflow_revisions, users_revision
from metrics.errors import InputError
from registry import database
from registry.digests import now_ms
from registry.tables import AuditHeadRow

Follow = Callable[[str, int, int], None]
"""Told what is being copied, and how many of how many parts are done."""

ZIP = ".zip"


def backup(settings: Settings, target: Path, *, artifacts: bool = False, follow: Follow | None = None) -> Manifest:
    """Write a backup; what is at work goes on.

    Args:
        settings: of the project.
        target: a folder to be made, or a file that ends in ``.zip``; it is there whole or not at all.
        artifacts: whether the folders of `manifest.FOLDERS` are kept too.
        follow: told how far it is.

    Returns:
        What the backup holds.

    Raises:
        InputError: something is there already, or a database cannot be read.
    """
    target = target.absolute()
    if target.exists() or target.is_symlink():
        raise InputError(f"{target} exists already; give another name")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent} is no folder")
    found = places(settings)
    if not is_postgres(settings.database_url) and not found[0].path.exists():
        raise InputError(f"{found[0].path}: there is no such file, and so nothing to back up")
    with _beside(target) as part:
        folder = part / target.name.removesuffix(ZIP)
        folder.mkdir(mode=0o700)
        (folder / "databases").mkdir()
        tell = follow or (lambda *_: None)
        copy = _of_postgres if is_postgres(settings.database_url) else _of_files
        said = copy(settings, found, folder, tell)
        files = {f"databases/{path.name}": kept(path) for path in sorted((folder / "databases").iterdir())}
        if artifacts:
            files |= _folders(settings.home, folder, tell)
        manifest = Manifest(
            format=FORMAT, evalkit=_version(), made_at=now_ms(), files=files,
            kind="postgresql" if is_postgres(settings.database_url) else "sqlite", **said,
        )  # fmt: skip
        _write(folder / MANIFEST, manifest.model_dump_json(indent=1))
        if target.suffix == ZIP:
            packed = part / target.name
            _pack(folder, packed, manifest)
            packed.chmod(0o600)
            packed.replace(target)
        else:
            folder.replace(target)
        _sync(target.parent)
    return manifest


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder beside the target, gone at the end."""
    part = target.with_name(f".{target.name}.{os.getpid()}.partial")
    part.mkdir(mode=0o700)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _version() -> str:
    try:
        return metadata.version("evalkit")
    except metadata.PackageNotFoundError:
        return "not installed"


def _of_files(settings: Settings, found: list[Place], folder: Path, follow: Follow) -> dict[str, Any]:
    there = [place for place in found if place.path.exists()]
    copies = {}
    with sqlite_files.seen(there) as files:
        for done, place in enumerate(there):
            follow(place.name, done, len(there))
            copies[place.name] = f"databases/{place.name}.db"
            copy_file(files[place.name], folder / copies[place.name])
    engine = database.connect(f"sqlite:///{folder / copies[STORE]}")
    try:
        with engine.connect().execution_options(evalkit_reading=True) as connection:
            said = {"revisions": _revisions(engine, settings), "audit": audit_ends(connection)}
    finally:
        engine.dispose()
    for name in copies.values():
        settle(folder / name)
    return {**said, "databases": copies, "tables": {}}


def copy_file(source: sqlite3.Connection, target: Path) -> None:
    """Copy a database as a connection sees it."""
    with closing(sqlite3.connect(target)) as copied:
        source.backup(copied)
    settle(target)


def settle(path: Path) -> None:
    """Put everything into the one file, and onto the disk."""
    with closing(sqlite3.connect(path, isolation_level=None)) as copied:
        copied.execute("PRAGMA journal_mode=DELETE")
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _of_postgres(settings: Settings, found: list[Place], folder: Path, follow: Follow) -> dict[str, Any]:
    if any(place.name == TRACKING for place in found):
        raise InputError("MLflow's runs and its model registry are in different databases: back each up by itself")
    engine = postgres.engine_for(settings.database_url)
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
            connection.execute(text("SET TRANSACTION READ ONLY"))
            names = [(schema, name) for schema, found in postgres.tables(connection).items() for name in found]
            tables = {}
            for done, (schema, name) in enumerate(names):
                follow(name, done, len(names))
                tables[f"{schema}.{name}"] = _dump(connection, schema, name, folder)
            said = {"revisions": _revisions(engine, settings), "audit": audit_ends(connection)}
    except DBAPIError as error:
        raise InputError(f"the database cannot be read: {' '.join(str(error.orig).split())[:300]}") from None
    finally:
        engine.dispose()
    return {"databases": {}, "tables": tables, **said}


def _dump(connection: Connection, schema: str, name: str, folder: Path) -> KeptTable:
    columns = [column.name for column in postgres.columns(connection, schema, name) if not column.generated]
    file = f"databases/{schema}.{name}.copy"
    rows = postgres.dump(connection, schema, name, columns, folder / file)
    return KeptTable(file=file, columns=columns, rows=rows, given=postgres.given_numbers(connection, schema, name))


def _revisions(engine: Engine, settings: Settings) -> dict[str, str | None]:
    found = {"evalkit": database.revisions(engine)[0], "users": users_revision(engine)}
    return found if settings.advisory else {**found, "mlflow": mlflow_revisions(engine)[0]}


def audit_ends(connection: Connection) -> list[AuditEnd]:
    """Where the audit of every workspace ends."""
    query = select(AuditHeadRow.workspace, AuditHeadRow.seq, AuditHeadRow.hash).order_by(AuditHeadRow.workspace)
    return [AuditEnd(workspace=one, entries=entries, head=head) for one, entries, head in connection.execute(query)]


def _folders(home: Path, folder: Path, follow: Follow) -> dict[str, KeptFile]:
    """Copy the folders; what the databases tell of was there before, so it is copied after them."""
    found = {}
    wanted = {f"{name}/{inner}": path for name in FOLDERS for inner, path in _listed(home / name).items()}
    for done, (name, path) in enumerate(sorted(wanted.items())):
        follow(name.partition("/")[0], done, len(wanted))
        copied = folder / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(path, copied)
        except FileNotFoundError:
            continue  # replaced or removed since it was listed: nothing that is finished
        found[name] = kept(copied)
    return found


def _listed(folder: Path) -> dict[str, Path]:
    """Files below a folder by their path in it; links are left out, they lead to what is not ours."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path for path in found}


def _write(path: Path, content: str) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _pack(folder: Path, target: Path, manifest: Manifest) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in (MANIFEST, *sorted(manifest.files)):
            archive.write(folder / name, name)
    with target.open("rb+") as stream:
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    """Make sure that a new name in a folder survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
