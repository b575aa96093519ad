"""Restores a backup: everything is written beside what is there, verified, and only then put in its place."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from evalkit.config import Settings
from evalkit.databases import postgres
from evalkit.databases.backup import ZIP, audit_ends, settle
from evalkit.databases.checks import audit_reports
from evalkit.databases.in_use import check_idle
from evalkit.databases.manifest import MANIFEST, Manifest, check_files, read_manifest
from evalkit.databases.places import PENDING, Place, is_postgres, places
from evalkit.databases.tables import VERSIONS, make_beside, make_store, mlflow_revisions, users_revision
from evalkit.limits import BROKEN_ARCHIVE
from metrics.errors import InputError
from registry import audit, database, triggers
from registry.database import connect, parse_url

Follow = Callable[[str, int, int], None]
"""Told what is being restored, and how many of how many parts are done."""

_STAGED, _OLD = ".restoring", ".before-restore"
_BESIDE = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, and what the audit says of it."""

    manifest: Manifest
    audits: tuple[audit.AuditReport, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be restored, from where, to where."""

    settings: Settings
    found: Sequence[Place]
    folder: Path
    manifest: Manifest
    force: bool
    follow: Follow


def restore(settings: Settings, source: Path, *, force: bool = False, follow: Follow | None = None) -> Restored:
    """Put a backup in the place of a project's databases, and of its folders where the backup has them.

    Args:
        settings: of the project.
        source: what `evalkit.databases.backup` wrote.
        force: whether what is there is replaced.
        follow: told how far it is.

    Raises:
        InputError: no backup, a damaged one, or one of the other kind of database; the project is at work; something
            is there and `force` is not given. Nothing is changed then.
    """
    with _opened(source) as folder:
        manifest = read_manifest(folder)
        kind = "postgresql" if is_postgres(settings.database_url) else "sqlite"
        if manifest.kind != kind:
            raise InputError(f"the backup is one of {manifest.kind}, this project is on {kind}")
        check_files(folder, manifest)
        job = _Job(settings, places(settings), folder, manifest, force, follow or (lambda *_: None))
        return _to_files(job) if kind == "sqlite" else _to_postgres(job)


@contextmanager
def _opened(source: Path) -> Iterator[Path]:
    """The backup as a folder."""
    if source.is_dir():
        yield source.resolve()
        return
    if source.suffix != ZIP or not source.is_file():
        raise InputError(f"{source} is no backup of evalkit: neither a folder nor a .zip")
    with tempfile.TemporaryDirectory(prefix="evalkit-restore-") as scratch:
        folder = Path(scratch) / source.stem
        folder.mkdir()
        try:
            with zipfile.ZipFile(source) as archive:
                _unpack(archive, folder)
        except BROKEN_ARCHIVE as error:
            raise InputError(f"{source.name} is damaged ({type(error).__name__}: {error})") from None
        yield folder


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Take out the manifest, and then no more than what it names, each with the size that it names."""
    names = [entry.filename for entry in archive.infolist()]
    if names.count(MANIFEST) != 1 or len(set(names)) != len(names):
        raise InputError(f"{folder.name}{ZIP} is no backup of evalkit: it has no {MANIFEST}, or names twice")
    _take(archive, MANIFEST, folder, 2**29)
    manifest = read_manifest(folder)
    if odd := sorted(set(names) - set(manifest.files) - {MANIFEST}):
        raise InputError(f"{folder.name}{ZIP}: '{odd[0][:100]}' does not belong into a backup")
    for name, kept in manifest.files.items():
        if name not in names:
            raise InputError(f"{folder.name}{ZIP}: {name} is missing")
        _take(archive, name, folder, kept.bytes)


def _take(archive: zipfile.ZipFile, name: str, folder: Path, most: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as stream, path.open("wb") as written:
        left = most + 1
        while left > 0 and (part := stream.read(min(2**20, left))):
            written.write(part)
            left -= len(part)
    if left <= 0:
        raise InputError(f"{folder.name}{ZIP}: {name} is damaged: it is larger than what was backed up")


def _to_files(job: _Job) -> Restored:
    by_name = {place.name: place for place in job.found}
    if odd := sorted(set(job.manifest.databases) - set(by_name)):
        raise InputError(f"the backup has a database '{odd[0]}', which this project has not: its settings differ")
    there = [place for place in job.found if place.path.exists()]
    # A restore that was killed leaves half of the files old: what their leases say means nothing
    if there and not (job.settings.home / PENDING).exists():
        check_idle(job.settings, there)
    if there and not job.force:
        raise InputError(f"{there[0].path} exists; --force replaces it, and everything else that the backup holds")
    with _staged(job) as staged:
        for done, (name, file) in enumerate(sorted(job.manifest.databases.items())):
            job.follow(name, done, len(job.manifest.databases))
            staged[by_name[name].path] = _stage_file(job.folder / file, by_name[name].path)
        store = staged[job.found[0].path]
        reports = _verified(f"sqlite:///{store}", job.manifest)
        settle(store)
        _exchange(job.settings.home, staged, [place.path for place in there if place.path not in staged])
    return Restored(job.manifest, reports)


@contextmanager
def _staged(job: _Job) -> Iterator[dict[Path, Path]]:
    """The backup's folders beside their places, by place; whatever is not exchanged is removed at the end."""
    places_of = {job.settings.home / name: job.folder / name for name in job.manifest.folders()}
    standing = [target for target in places_of if target.exists()]
    if standing and not job.force:
        raise InputError(f"{standing[0]} exists; --force replaces it, and everything else that the backup holds")
    staged: dict[Path, Path] = {}
    try:
        for done, (target, source) in enumerate(places_of.items()):
            job.follow(target.name, done, len(places_of))
            staged[target] = target.with_name(target.name + _STAGED)
            _remove(staged[target])
            shutil.copytree(source, staged[target])
        yield staged
    finally:
        for path in staged.values():
            _remove(path)


def _stage_file(source: Path, target: Path) -> Path:
    staged = target.with_name(target.name + _STAGED)
    staged.parent.mkdir(parents=True, exist_ok=True)
    _remove(staged)
    shutil.copyfile(source, staged)
    try:
        with closing(sqlite3.connect(staged)) as opened:
            said = [str(row[0]) for row in opened.execute("PRAGMA integrity_check(1)")]
    except sqlite3.DatabaseError as error:
        said = [str(error)]
    if said != ["ok"]:
        _remove(staged)
        raise InputError(f"{source.name} of the backup is a damaged database: {said[0]}")
    with staged.open("rb+") as stream:
        os.fsync(stream.fileno())
    return staged


def _exchange(home: Path, staged: dict[Path, Path], gone: Sequence[Path]) -> None:
    """Put everything staged in its place; where that fails, everything is as it was."""
    home.mkdir(parents=True, exist_ok=True)
    pending = home / PENDING
    pending.write_text("a restore is exchanging files; where this stays, run it again with --force\n", encoding="utf-8")
    undo: list[tuple[Path, Path]] = []
    try:
        for target in [*staged, *gone]:
            for path in _with_companions(target):
                old = path.with_name(path.name + _OLD)
                _remove(old)
                if path.exists():
                    path.rename(old)
                    undo.append((old, path))
        for target, new in staged.items():
            new.rename(target)
            undo.append((target, new))
    except BaseException:
        for now, before in reversed(undo):
            now.rename(before)
        pending.unlink()
        raise
    pending.unlink()
    for target in [*staged, *gone]:
        for path in _with_companions(target):
            _remove(path.with_name(path.name + _OLD))


def _with_companions(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in _BESIDE]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return
    for one in _with_companions(path):
        one.unlink(missing_ok=True)


def _verified(url: str, manifest: Manifest) -> tuple[audit.AuditReport, ...]:
    """Compare the audit with its end in the manifest, and verify it."""
    engine = connect(url)
    try:
        with engine.connect().execution_options(evalkit_reading=True) as connection:
            _check_ends(connection, manifest)
        # Of an older revision the tables have other columns; what reads them upgrades them first
        current, needed = database.revisions(engine)
        return audit_reports(url) if current == needed else ()
    except SQLAlchemyError as error:
        raise InputError(f"the audit of the backup cannot be read: {' '.join(str(error).split())[:200]}") from None
    finally:
        engine.dispose()


def _check_ends(connection: Connection, manifest: Manifest) -> None:
    if audit_ends(connection) != manifest.audit:
        raise InputError("the audit does not end where the backup says: it is damaged, or was put together from two")


def _to_postgres(job: _Job) -> Restored:
    url = job.settings.database_url
    engine = postgres.engine_for(url)
    try:
        with postgres.refusals("nothing was restored"):
            with engine.connect() as connection:
                filled = postgres.first_filled(connection)
            if filled is not None:
                check_idle(job.settings, job.found)
                if not job.force:
                    shown = parse_url(url).render_as_string(hide_password=True)
                    raise InputError(f"{shown} has rows in {filled}; --force replaces everything in it")
            make_store(job.settings, users=job.manifest.revisions.get("users") is not None).dispose()
            make_beside(url)
            _check_revisions(engine, job)
            with _staged(job) as staged:
                with engine.begin() as connection:
                    _load(connection, job)
                _exchange(job.settings.home, staged, [])
    finally:
        engine.dispose()
    return Restored(job.manifest, audit_reports(url))


def _check_revisions(engine: Engine, job: _Job) -> None:
    """Tables of another revision have other columns than those of the backup."""
    now = {"evalkit": database.revisions(engine)[0], "users": users_revision(engine)}
    now |= {} if job.settings.advisory else {"mlflow": mlflow_revisions(engine)[0]}
    for name, then in job.manifest.revisions.items():
        if then is not None and now.get(name) != then:
            raise InputError(
                f"the backup has {name}'s tables at revision {then}, here they are at {now.get(name)}: restore it "
                f"with evalkit {job.manifest.evalkit} into a new database, then upgrade"
            )


def _load(connection: Connection, job: _Job) -> None:
    postgres.lock_all(connection)
    if not job.force and (filled := postgres.first_filled(connection)):
        raise InputError(f"somebody has written to {filled} meanwhile; nothing was restored")
    triggers.remove(connection)
    keys = postgres.drop_foreign_keys(connection)
    postgres.empty_all(connection, VERSIONS)
    known = {f"{schema}.{name}" for schema, names in postgres.tables(connection).items() for name in names}
    wanted = {name: kept for name, kept in job.manifest.tables.items() if name.partition(".")[2] not in VERSIONS}
    for done, (name, kept) in enumerate(wanted.items()):
        job.follow(name, done, len(wanted))
        schema, _, table = name.partition(".")
        if name not in known:
            if kept.rows:
                raise InputError(f"the backup has a table {name[:100]} that is none of MLflow's or evalkit's")
            continue
        rows = postgres.load(connection, schema, table, kept.columns, job.folder / kept.file)
        if rows != kept.rows:
            raise InputError(f"{name}: {rows} rows were read, {kept.rows} were backed up")
        for column, last in kept.given.items():
            postgres.set_sequences(connection, schema, table, [column], last)
    postgres.make_foreign_keys(connection, keys)
    _check_ends(connection, job.manifest)
    triggers.install(connection)
