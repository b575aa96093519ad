"""`evalkit db backup | restore`: whole or not at all, on both databases."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from evalkit.config import Settings
from evalkit.databases import backup as backing
from evalkit.databases import postgres
from evalkit.databases import restore as restoring
from evalkit.databases.backup import backup
from evalkit.databases.checks import damage
from evalkit.databases.move import move
from evalkit.databases.places import PENDING
from evalkit.databases.restore import restore
from metrics.errors import InputError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def names(project: Path) -> Callable[[], list[str]]:
    """Everything in the project and beside it, hidden files included; but for what SQLite makes and removes itself."""
    root = project.parent
    own = (".db-wal", ".db-shm")
    return lambda: sorted(str(one.relative_to(root)) for one in root.rglob("*") if not one.name.endswith(own))


def dumps(folder: Path) -> dict[str, list[str]]:
    """What the databases of a project hold, as SQL."""
    found = {}
    for path in sorted((folder / ".evalkit").glob("*.db")):
        with closing(sqlite3.connect(path)) as database:
            found[path.name] = list(database.iterdump())
    return found


def spoil(folder: Path) -> None:
    """Change everything that a backup holds."""
    for path in (folder / ".evalkit").glob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE spoilt (a)")
            database.commit()
    shutil.rmtree(folder / ".evalkit" / "artifacts")


class TestFiles:
    @pytest.mark.parametrize("name", ["copy", "copy.zip"])
    def test_there_and_back(self, name: str, settings: Settings, project: Path, names: Any, tmp_path: Path):
        before, artifacts = dumps(project), sorted((project / ".evalkit" / "artifacts").rglob("*"))
        assert artifacts
        manifest = backup(settings, tmp_path / name, artifacts=True)
        assert set(manifest.databases) == {"store", "jobs", "ingest", "judges"}
        assert dumps(project) == before
        listed = names()
        spoil(project)
        (settings.home / "ingest.db").unlink()
        restored = restore(settings, tmp_path / name, force=True)
        assert dumps(project) == before
        assert names() == listed, "something was left over"
        assert [(one.entries, one.intact) for one in restored.audits] == [(manifest.audit[0].entries, True)]

    def test_into_an_empty_project(self, settings: Settings, project: Path, tmp_path: Path):
        before = dumps(project)
        backup(settings, tmp_path / "copy")
        shutil.rmtree(project / ".evalkit")
        restore(settings, tmp_path / "copy")
        assert dumps(project) == before

    def test_what_was_not_there_then_goes(self, settings: Settings, tmp_path: Path):
        late = settings.home / "judges.db"
        late.rename(tmp_path / "later.db")
        backup(settings, tmp_path / "copy")
        (tmp_path / "later.db").rename(late)
        restore(settings, tmp_path / "copy", force=True)
        assert not late.exists()

    def test_what_is_at_work_goes_on_and_is_seen_at_one_moment(self, settings: Settings, tmp_path: Path):
        """Two files that are always written one after the other, never differ by more than one write in a backup."""
        files = [settings.home / "ingest.db", settings.home / "judges.db"]
        opened = [sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None) for path in files]
        for one in opened:
            one.execute("PRAGMA journal_mode=WAL")
            one.execute("CREATE TABLE ticks (n INTEGER)")
        end, done = threading.Event(), [0]

        def write() -> None:
            while not end.is_set():
                for one in opened:
                    one.execute("INSERT INTO ticks VALUES (?)", (done[0],))
                done[0] += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for n in range(3):
                before = done[0]
                backup(settings, tmp_path / f"copy{n}")
                counts = []
                for name in ("ingest", "judges"):
                    with closing(sqlite3.connect(tmp_path / f"copy{n}" / "databases" / f"{name}.db")) as copied:
                        counts.append(copied.execute("SELECT count(*) FROM ticks").fetchone()[0])
                assert counts[0] - counts[1] in {0, 1}
                assert before <= counts[0]
        finally:
            end.set()
            writer.join()
            for one in opened:
                one.close()
        assert done[0] > 0

    def test_nothing_is_overwritten(self, settings: Settings, project: Path, tmp_path: Path):
        (tmp_path / "copy").mkdir()
        with pytest.raises(InputError, match="exists already"):
            backup(settings, tmp_path / "copy")
        backup(settings, tmp_path / "other", artifacts=True)
        before = dumps(project)
        with pytest.raises(InputError, match=r"mlflow.db exists; --force"):
            restore(settings, tmp_path / "other")
        for path in settings.home.glob("*.db*"):
            path.rename(tmp_path / path.name)
        with pytest.raises(InputError, match="artifacts exists; --force"):
            restore(settings, tmp_path / "other")
        assert not list(settings.home.glob("*.db*"))
        for path in tmp_path.glob("*.db*"):
            path.rename(settings.home / path.name)
        assert dumps(project) == before

    @pytest.mark.parametrize("name", ["copy", "copy.zip"])
    @pytest.mark.parametrize("step", ["copy_file", "settle", "_folders", "_write"])
    def test_an_interrupted_backup_leaves_nothing(
        self, step: str, name: str, settings: Settings, names: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        before = names()
        monkeypatch.setattr(backing, step, _dies)
        with pytest.raises(KeyboardInterrupt):
            backup(settings, tmp_path / name, artifacts=True)
        assert names() == before

    def test_a_killed_backup_leaves_nothing_under_its_name(self, settings: Settings, project: Path, tmp_path: Path):
        killed = (
            "import os, signal, sys; from pathlib import Path; from evalkit.config import load_settings; "
            "from evalkit.databases import backup; "
            "backup._write = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
            "backup.backup(load_settings(), Path(sys.argv[1]))"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", killed, str(tmp_path / "copy")], env=environment, check=False)
        assert done.returncode == -9
        assert not (tmp_path / "copy").exists()
        backup(settings, tmp_path / "copy")

    @pytest.mark.parametrize("step", ["_verified", "settle", "_exchange"])
    def test_an_interrupted_restore_changes_nothing(
        self, step: str, settings: Settings, project: Path, names: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        backup(settings, tmp_path / "copy", artifacts=True)
        before, listed = dumps(project), names()
        monkeypatch.setattr(restoring, step, _dies)
        with pytest.raises(KeyboardInterrupt):
            restore(settings, tmp_path / "copy", force=True)
        assert dumps(project) == before
        assert names() == listed

    @pytest.mark.parametrize("at", range(9))
    def test_an_exchange_that_fails_is_taken_back(
        self, at: int, settings: Settings, project: Path, names: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        backup(settings, tmp_path / "copy", artifacts=True)
        spoil(project)
        (settings.home / "artifacts").mkdir()
        before, listed = dumps(project), names()
        rename, seen = Path.rename, []

        def full(path: Path, target: Path) -> Path:
            seen.append(path)
            if len(seen) == at + 1:
                raise OSError("no space left on device")
            return rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", full)
            with pytest.raises(OSError, match="no space"):
                restore(settings, tmp_path / "copy", force=True)
        assert dumps(project) == before
        assert names() == listed

    def test_a_restore_that_was_killed_is_run_again(self, settings: Settings, project: Path, tmp_path: Path):
        before = dumps(project)
        backup(settings, tmp_path / "copy")
        (settings.home / PENDING).touch()
        assert "a restore was killed" in damage(settings).found[0]
        (settings.home / "mlflow.db").rename(settings.home / "mlflow.db.before-restore")
        restore(settings, tmp_path / "copy", force=True)
        assert dumps(project) == before
        assert not (settings.home / PENDING).exists()

    def test_a_project_at_work(self, settings: Settings, project: Path, tmp_path: Path):
        backup(settings, tmp_path / "copy")
        with closing(sqlite3.connect(settings.home / "mlflow.db")) as database:
            database.execute("INSERT INTO evalkit_workers VALUES ('e', 'default', 'h', 7, 1, unixepoch('now') * 1000)")
            database.commit()
        with pytest.raises(InputError, match="worker 7 on h is alive"):
            restore(settings, tmp_path / "copy", force=True)


def change_manifest(folder: Path, change: Callable[[Any], Any]) -> None:
    path = folder / "manifest.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps(change(said) or said))


class TestDamaged:
    @pytest.fixture
    def copy(self, settings: Settings, tmp_path: Path) -> Path:
        backup(settings, tmp_path / "copy", artifacts=True)
        return tmp_path / "copy"

    @pytest.mark.parametrize(
        ("harm", "message"),
        [
            (lambda f: _flip(f / "databases" / "store.db"), "store.db is damaged"),
            (lambda f: _flip(next(p for p in (f / "artifacts").rglob("*") if p.is_file())), "is damaged"),
            (lambda f: (f / "databases" / "jobs.db").unlink(), "jobs.db is missing"),
            (lambda f: (f / "manifest.json").unlink(), "no backup of evalkit"),
            (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is damaged"),
            (lambda f: (f / "manifest.json").write_text("[" * 100_000), "manifest.json is damaged"),
            (lambda f: change_manifest(f, lambda m: m.update(format=2)), "format 2"),
            (lambda f: change_manifest(f, lambda m: m.update(kind="postgresql")), "one of postgresql"),
            (lambda f: change_manifest(f, lambda m: m["databases"].update(other="databases/jobs.db")), "not: its"),
            (lambda f: change_manifest(f, lambda m: m["databases"].update(jobs="../x.db")), "does not belong"),
            (lambda f: change_manifest(f, lambda m: m["databases"].update(x="../x.db")), "tells nothing of"),
            (lambda f: _name(f, "../../evil"), "does not belong"),
            (lambda f: _name(f, "artifacts/../../evil"), "leads out of its folder"),
            (lambda f: _name(f, "/etc/passwd"), "does not belong"),
            (lambda f: change_manifest(f, lambda m: m["audit"][0].update(entries=1)), "does not end where"),
        ],
    )
    def test_is_refused(self, harm: Any, message: str, copy: Path, settings: Settings, project: Path, names: Any):
        harm(copy)
        before, listed = dumps(project), names()
        with pytest.raises(InputError, match=message):
            restore(settings, copy, force=True)
        assert dumps(project) == before
        assert names() == listed

    def test_a_database_that_is_broken_though_its_digest_is_right(self, copy: Path, settings: Settings, project: Path):
        path = copy / "databases" / "store.db"
        content = bytearray(path.read_bytes())
        content[4096 : 4096 * 20] = b"\xff" * (4096 * 19)
        path.write_bytes(content)
        kept = backing.kept(path)
        change_manifest(copy, lambda m: m["files"].update({"databases/store.db": kept.model_dump()}))
        before = dumps(project)
        with pytest.raises(InputError, match="damaged database"):
            restore(settings, copy, force=True)
        assert dumps(project) == before

    def test_a_link_is_no_file(self, copy: Path, settings: Settings, tmp_path: Path):
        path = copy / "databases" / "jobs.db"
        path.rename(tmp_path / "elsewhere.db")
        path.symlink_to(tmp_path / "elsewhere.db")
        with pytest.raises(InputError, match=r"leads out of its folder|is missing"):
            restore(settings, copy, force=True)

    @pytest.mark.parametrize("kind", ["slip", "large", "twice", "cut", "text", "extra"])
    def test_archives(self, kind: str, copy: Path, settings: Settings, project: Path, tmp_path: Path):
        path, extra = tmp_path / "copy.zip", {}
        if kind == "slip":
            _name(copy, "../evil")
        if kind == "extra":
            extra = {"notes.txt": b"x"}
        if kind == "large":
            extra = {"databases/jobs.db": (copy / "databases" / "jobs.db").read_bytes() + b"\0" * 10_000_000}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(one for one in copy.rglob("*") if one.is_file()):
                name = str(file.relative_to(copy))
                archive.writestr(name, extra.pop(name, file.read_bytes()))
                if kind == "twice" and name == "manifest.json":
                    with pytest.warns(UserWarning, match="Duplicate"):
                        archive.writestr(name, b"{}")
            for name, content in extra.items():
                archive.writestr(name, content)
        if kind == "cut":
            path.write_bytes(path.read_bytes()[:-1000])
        if kind == "text":
            path.write_text("no archive")
        before = dumps(project)
        with pytest.raises(InputError):
            restore(settings, path, force=True)
        assert dumps(project) == before
        assert not (tmp_path / "evil").exists()


@pytest.mark.postgres
class TestPostgres:
    @pytest.fixture
    def moved(self, settings: Settings, target: str) -> Settings:
        move(settings, target)
        return Settings(settings.home, target, target, target, advisory=False)

    def contents(self, url: str) -> dict[str, Any]:
        engine = postgres.engine_for(url)
        with engine.connect() as connection:
            found = {
                f"{schema}.{name}": postgres.content(
                    connection, schema, name, postgres.columns(connection, schema, name)
                )
                for schema, tables in postgres.tables(connection).items()
                for name in tables
            }
        engine.dispose()
        return found

    def run(self, url: str, *statements: str) -> None:
        engine = postgres.engine_for(url)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def test_there_and_back(self, moved: Settings, tmp_path: Path):
        before = self.contents(moved.database_url)
        backup(moved, tmp_path / "copy.zip", artifacts=True)
        spoilt = ["DELETE FROM evalkit_ingest.evalkit_ingested", "DELETE FROM metrics", "UPDATE runs SET name = 'x'"]
        self.run(moved.database_url, *spoilt)
        shutil.rmtree(moved.home / "artifacts")
        with pytest.raises(InputError, match=r"has rows in .*--force"):
            restore(moved, tmp_path / "copy.zip")
        restored = restore(moved, tmp_path / "copy.zip", force=True)
        assert self.contents(moved.database_url) == before
        assert [one.intact for one in restored.audits] == [True]
        assert any((moved.home / "artifacts").rglob("*"))
        with pytest.raises(Exception, match="append-only"):
            self.run(moved.database_url, "DELETE FROM evalkit_audit")
        number = (
            "INSERT INTO evalkit_ingest.evalkit_ingested (workspace, stream, key, kind, event_time, ingested_at, body)"
        )
        self.run(moved.database_url, f"{number} VALUES ('w', 's', 'k', 'g', 1, 1, '') ")
        engine = postgres.engine_for(moved.database_url)
        with engine.connect() as connection:
            found = connection.execute(text("SELECT max(seq) FROM evalkit_ingest.evalkit_ingested")).scalar()
        engine.dispose()
        assert found == 6, "a number that was given is given again"

    def test_a_restore_that_fails_changes_nothing(self, moved: Settings, tmp_path: Path, monkeypatch: Any):
        backup(moved, tmp_path / "copy")
        self.run(moved.database_url, "UPDATE runs SET name = 'later'")
        before = self.contents(moved.database_url)
        with monkeypatch.context() as patch:
            patch.setattr(postgres, "make_foreign_keys", _dies)
            with pytest.raises(KeyboardInterrupt):
                restore(moved, tmp_path / "copy", force=True)
        assert self.contents(moved.database_url) == before
        file = tmp_path / "copy" / "databases" / "public.runs.copy"
        file.write_text("no row\n")
        kept = backing.kept(file)
        change_manifest(tmp_path / "copy", lambda m: m["files"].update({f"databases/{file.name}": kept.model_dump()}))
        with pytest.raises(InputError, match="PostgreSQL refused"):
            restore(moved, tmp_path / "copy", force=True)
        assert self.contents(moved.database_url) == before
        change_manifest(tmp_path / "copy", lambda m: m["revisions"].update(evalkit="0003"))
        with pytest.raises(InputError, match="revision 0003"):
            restore(moved, tmp_path / "copy", force=True)

    def test_a_backup_is_of_one_moment(self, moved: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        before = self.contents(moved.database_url)
        dump, url = postgres.dump, moved.database_url

        def disturbed(*arguments: Any) -> int:
            self.run(url, "UPDATE runs SET name = name || 'x'", "DELETE FROM metrics WHERE step = 0")
            return dump(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(postgres, "dump", disturbed)
            backup(moved, tmp_path / "copy")
        assert self.contents(url) != before
        restore(moved, tmp_path / "copy", force=True)
        assert self.contents(url) == before


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _name(folder: Path, name: str) -> None:
    """Let the manifest name a file that is not the backup's to write."""
    entry = {"bytes": 1, "digest": "sha256:" + "0" * 64}
    change_manifest(folder, lambda m: m["files"].update({name: entry}))


def _dies(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_by_command(command: Callable[..., Any], project: Path, tmp_path: Path):
    done = command("backup", str(tmp_path / "copy"), "--json")
    assert done.exception is None, done.output
    assert json.loads(done.stdout)["revisions"]["evalkit"]
    before = dumps(project)
    spoil(project)
    refused = command("restore", str(tmp_path / "copy"))
    assert isinstance(refused.exception, InputError)
    back = command("restore", str(tmp_path / "copy"), "--force")
    assert (back.exception, back.return_value) == (None, 0)
    assert "intact" in back.output
    assert dumps(project) == before
