"""What a gated call does no more than it must, and still must: statements, policies read before the lock, files."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event, select, text

from registry import audit, binding
from registry.actors import ROLES, Actor, acting
from registry.artifacts import folder_digest
from registry.database import connect, writing
from registry.digests import now_ms
from registry.mlflow_store import build_store, files
from registry.mlflow_store import store as gate
from registry.mlflow_store.files import FolderDigests
from registry.policy import Policy, set_policy
from registry.store import Registry
from registry.suite import Suite
from registry.tables import PolicyRow

LONG_AGO = 10**18
CLOCKS = (binding, gate)


@pytest.fixture
def url(database_url: str, empty_store: Path) -> str:
    if database_url.startswith("sqlite"):
        shutil.copyfile(empty_store, database_url.removeprefix("sqlite:///"))
    return database_url


@pytest.fixture
def store(url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A store with the model `m`, whose versions 1 and 2 are registered."""
    monkeypatch.chdir(tmp_path)
    made = build_store(f"evalkit+{url}")
    registry = Registry(url, artifact_root=tmp_path / "artifacts")
    for output in ("a", "b"):
        (folder / "outputs.jsonl").write_text(
            f'{{"id": "1", "output": "{output}", "expected": ["a"], "language": "en"}}'
        )
        registry.register("m", model=str(folder / "outputs.jsonl"), suite=Suite.load(folder / "suite.yaml"))
    registry.close()
    yield made
    made.engine.dispose()


@pytest.fixture
def registry(store: Any, url: str, tmp_path: Path) -> Iterator[Registry]:
    """A registry on the store's database."""
    made = Registry(url, artifact_root=tmp_path / "artifacts")
    yield made
    made.close()


def rule(url: str, **changes: Any) -> None:
    engine = connect(url)
    set_policy(engine, Policy("m", **changes), actor="admin")
    engine.dispose()


def promote(store: Any, version: str) -> None:
    with acting(Actor("ann", ROLES), override="measured"):
        store.set_registered_model_alias("m", "champion", version)


def sent(store: Any) -> list[str]:
    """The statements that a store sends from now on."""
    seen: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    event.listen(store.engine, "commit", lambda _: seen.append("COMMIT"))
    return seen


@pytest.mark.slow
def test_few_statements(store: Any, url: str):
    rule(url)
    promote(store, "1")
    seen = sent(store)
    promote(store, "2")
    each_alone = url.startswith("sqlite")  # where a statement is no round trip
    assert len(seen) == (8 if each_alone else 3), seen  # one question, one write of six rows, and the end
    assert seen[-1] == "COMMIT"


@pytest.mark.slow
def test_few_statements_for_a_new_version(store: Any, url: str):
    store.create_model_version("m", "s3://bucket/m")
    seen = sent(store)
    store.create_model_version("m", "s3://bucket/m")
    free = len(seen)
    rule(url)
    seen.clear()
    store.create_model_version("m", "s3://bucket/m")
    each_alone = url.startswith("sqlite")
    assert len(seen) == free + (3 if each_alone else 1), seen  # the lock, and head and entry


@pytest.mark.slow
@pytest.mark.parametrize("alias", ["champion", "other"])
def test_a_model_without_policy_is_asked_about_once(store: Any, alias: str):
    seen = sent(store)
    store.set_registered_model_alias("m", alias, "1")
    assert len([statement for statement in seen if "evalkit_" in statement]) == 1


def before_the_lock(monkeypatch: pytest.MonkeyPatch, happens: Any) -> None:
    """Have something happen once, after the gate looked and before the lock is its own."""
    left = [happens]

    def after_it(real: Any) -> Any:
        def late(*given: Any, **named: Any) -> Any:
            if left:
                left.pop()()
            return real(*given, **named)

        return late

    for name in ("lock", "advance"):
        monkeypatch.setattr(audit, name, after_it(getattr(audit, name)))


@pytest.mark.slow
def test_a_policy_that_changes_before_the_lock_rules(store: Any, url: str, monkeypatch: pytest.MonkeyPatch):
    rule(url, aliases=("production",))
    promote(store, "1")
    before_the_lock(monkeypatch, lambda: rule(url, aliases=("production", "champion")))
    with pytest.raises(MlflowException, match="evalkit refuses"):
        store.set_registered_model_alias("m", "champion", "2")
    assert int(store.get_model_version_by_alias("m", "champion").version) == 1


def count(url: str, table: str) -> int:
    engine = connect(url)
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    engine.dispose()
    return int(found)


@pytest.mark.slow
def test_a_grant_is_spent_by_the_write_that_it_let_through(store: Any, url: str):
    rule(url)
    promote(store, "1")  # a new row
    assert count(url, "evalkit_grants") == 0
    promote(store, "2")  # a changed one
    assert count(url, "evalkit_grants") == 0
    store.delete_registered_model_alias("m", "champion")
    assert count(url, "evalkit_grants") == count(url, "registered_model_aliases") == 0


@pytest.mark.slow
def test_a_protection_that_falls_before_the_lock_leaves_no_grant(store: Any, url: str, monkeypatch: pytest.MonkeyPatch):
    rule(url)
    before_the_lock(monkeypatch, lambda: rule(url, aliases=("production",)))
    promote(store, "2")
    assert int(store.get_model_version_by_alias("m", "champion").version) == 2
    assert count(url, "evalkit_grants") == 0
    assert count(url, "evalkit_promotions") == 0
    assert count(url, "evalkit_holders") == 0


@pytest.mark.slow
def test_a_decision_before_the_lock_counts(
    store: Any, registry: Registry, decided: Any, monkeypatch: pytest.MonkeyPatch
):
    url = str(store.db_uri)
    rule(url)
    version = registry.version("models:/m/2")
    decided(version)
    before_the_lock(monkeypatch, lambda: decided(version, "fail"))
    with pytest.raises(MlflowException, match="evalkit refuses \\(decision\\)"):
        store.set_registered_model_alias("m", "champion", "2")
    assert [count(url, table) for table in ("evalkit_grants", "evalkit_promotions", "registered_model_aliases")] == [
        0
    ] * 3
    decided(version)
    store.set_registered_model_alias("m", "champion", "2")
    assert int(store.get_model_version_by_alias("m", "champion").version) == 2


@pytest.mark.slow
def test_an_entry_of_somebody_else_before_the_lock_turns_no_pass_away(
    store: Any, url: str, monkeypatch: pytest.MonkeyPatch
):
    rule(url)
    before_the_lock(monkeypatch, lambda: rule(url, expires_after=10**9))
    promote(store, "2")
    assert int(store.get_model_version_by_alias("m", "champion").version) == 2
    engine = connect(url)
    assert [entry["kind"] for entry in audit.export(engine)][-2:] == ["policy.set", "override"]
    assert audit.verify(engine).intact
    engine.dispose()


@pytest.mark.slow
def test_a_decision_that_expires_before_the_lock_does_not_count(
    store: Any, registry: Registry, decided: Any, monkeypatch: pytest.MonkeyPatch
):
    url = str(store.db_uri)
    rule(url, expires_after=3_600_000)
    ends = now_ms() + 3_600_000
    decided(registry.version("models:/m/2"), created_at=ends - 3_600_000)
    # Whoever had the lock wrote nothing, so the chain tells of no change
    before_the_lock(monkeypatch, lambda: [monkeypatch.setattr(place, "now_ms", lambda: ends) for place in CLOCKS])
    with pytest.raises(MlflowException, match="evalkit refuses \\(expiry\\)"):
        store.set_registered_model_alias("m", "champion", "2")
    assert count(url, "evalkit_promotions") == count(url, "registered_model_aliases") == 0


@pytest.mark.slow
def test_a_lock_that_is_not_kept_is_told(store: Any, url: str, monkeypatch: pytest.MonkeyPatch):
    rule(url)
    monkeypatch.setattr(audit, "advance", lambda *_, **__: None)
    with pytest.raises(MlflowException, match="did not keep the lock"):
        promote(store, "2")
    assert count(url, "registered_model_aliases") == 0


@pytest.mark.slow
def test_an_alias_that_moves_before_the_lock_is_the_previous_one(store: Any, url: str, monkeypatch: pytest.MonkeyPatch):
    rule(url)
    promote(store, "1")
    other = build_store(f"evalkit+{url}")

    def elsewhere() -> None:
        with ThreadPoolExecutor(1) as pool:  # a thread of its own is not within our transaction
            pool.submit(promote, other, "2").result(20)

    before_the_lock(monkeypatch, elsewhere)
    promote(store, "2")
    other.engine.dispose()
    engine = connect(url)
    moves = [entry["facts"] for entry in audit.export(engine) if entry["kind"] == "override"]
    assert [(move["version"], move["previous_version"]) for move in moves] == [(1, None), (2, 1), (2, 2)]
    assert audit.verify(engine).intact
    engine.dispose()


@pytest.mark.slow
def test_a_version_that_is_tried_again_is_chained_under_the_lock(store: Any, url: str, monkeypatch: pytest.MonkeyPatch):
    rule(url)
    create, tries = SqlAlchemyStore.create_model_version, []

    def lost(self: Any, name: str, *more: Any, **named: Any) -> Any:
        with self.ManagedSessionMaker(read_only=False) as session:
            session.rollback()  # as MLflow does where a stock server took the number
        tries.append(name)
        rule(url, approvals=1)  # another entry, while nobody holds the lock
        return create(self, name, *more, **named)

    monkeypatch.setattr(SqlAlchemyStore, "create_model_version", lost)
    store.create_model_version("m", "s3://bucket/m")
    engine = connect(url)
    kinds = [entry["kind"] for entry in audit.export(engine)]
    assert tries == ["m"]
    assert kinds[-2:] == ["policy.set", "version.created"]
    assert audit.verify(engine).intact
    engine.dispose()


@pytest.mark.slow
def test_a_policy_that_changes_while_the_lock_is_waited_for_rules(store: Any, url: str):
    rule(url)
    engine = connect(url)
    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as session:
            audit.lock(session)
            waiting = pool.submit(store.create_model_version, "m", "s3://bucket/m")
            time.sleep(0.5)  # it sees the old policy, and waits
            row = session.scalars(select(PolicyRow)).one()
            row.rules = {**row.rules, "auto": "evaluate"}
            audit.append(session, "policy.set", actor="admin", rows=[row])
        waiting.result(20)
    assert count(url, "evalkit_outbox") == 1
    assert audit.verify(engine).intact
    engine.dispose()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    place.mkdir()
    (place / "weights.bin").write_bytes(b"0123")
    return place


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One item for each time that files are read."""
    counted: list[int] = []
    real = files.artifact_digest
    monkeypatch.setattr(files, "artifact_digest", lambda **given: counted.append(1) or real(**given))
    return counted


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_SETTLED_NS", -LONG_AGO)


def test_files_at_rest_are_read_once(model: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch):
    settle(monkeypatch)
    digests = FolderDigests()
    assert digests(model) == digests(model) == folder_digest(model)
    assert len(readings) == 1


def test_files_just_written_are_not_remembered(model: Path, readings: list[int]):
    digests = FolderDigests()
    assert digests(model) == digests(model)
    assert len(readings) == 2


def rewrite(model: Path) -> None:
    """Other bytes of the same length in the same file, with its old time of modification put back."""
    file = model / "weights.bin"
    before = file.stat()
    time.sleep(0.02)  # file systems count in steps; outside a test only files at rest for long are remembered
    with file.open("r+b") as stream:
        stream.write(b"4567")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_ino, file.stat().st_size, file.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )


CHANGES = {
    "rewritten": rewrite,
    "added": lambda model: (model / "more.bin").write_bytes(b"1"),
    "removed": lambda model: (model / "other.bin").unlink(),
    "renamed": lambda model: (model / "other.bin").rename(model / "another.bin"),
    "replaced": lambda model: shutil.copy2(model / "weights.bin", model / "t").rename(model / "other.bin"),
    "linked": lambda model: ((model / "other.bin").unlink(), (model / "other.bin").symlink_to(model / "weights.bin")),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(model: Path, change: str, monkeypatch: pytest.MonkeyPatch):
    settle(monkeypatch)
    (model / "other.bin").write_bytes(b"8901")
    digests = FolderDigests()
    before = digests(model)
    CHANGES[change](model)
    assert digests(model) == folder_digest(model) != before


def test_a_file_that_changes_while_it_is_read_is_not_remembered(model: Path, monkeypatch: pytest.MonkeyPatch):
    settle(monkeypatch)
    real, digests = files.artifact_digest, FolderDigests()

    def slow(**given: Any) -> str:
        found = real(**given)
        rewrite(model)
        return found

    monkeypatch.setattr(files, "artifact_digest", slow)
    digests(model)
    monkeypatch.setattr(files, "artifact_digest", real)
    assert digests(model) == folder_digest(model)


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("sub/MLmodel", True),
        ("sub/evalkit/suite.yaml", True),
        ("registered_model_meta/hidden.bin", True),
        ("evalkit/suite.yaml", False),
        (".git/config", False),
        ("sub/.DS_Store", False),
    ],
)
def test_which_files_count(model: Path, path: str, counts: bool):
    before = folder_digest(model)
    (model / path).parent.mkdir(parents=True, exist_ok=True)
    (model / path).write_text("a: 1")
    assert (folder_digest(model) != before) is counts


def test_few_folders_are_remembered(tmp_path: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch):
    settle(monkeypatch)
    monkeypatch.setattr(files, "_REMEMBERED", 2)
    digests = FolderDigests()
    for name in ("a", "b", "c", "c", "b", "a"):
        place = tmp_path / name
        if not place.exists():
            place.mkdir()
            (place / "weights.bin").write_text(name)
        digests(place)
    assert len(readings) == 4
