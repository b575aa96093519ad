"""Short series of random faults over the whole workload, on both databases; `benchmarks.random_faults` runs long ones.

The checks themselves are tried at the end of each series: what is planted then must be found.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from benchmarks import random_faults
from benchmarks.faults import checks
from benchmarks.faults.databases import Disk
from benchmarks.faults.kinds import KINDS, damage, kind_of
from benchmarks.faults.project import KEY, Size
from benchmarks.faults.series import Load, Outcome, run_series
from benchmarks.faults.site import Site, undisturbed
from registry import triggers

SMALL = Size(questions=40, images=60, pause=0.02)
LOAD = Load(SMALL, workers=1, versions=1, releases=1, patience=120.0)


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return undisturbed(LOAD.versions, SMALL)


@pytest.fixture(autouse=True)
def _few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


def _planted(site: Site, reference: dict[str, Any]) -> None:
    """Do by hand what must never happen, and see that it is found."""

    def sql(statement: str) -> None:
        with site.engine.begin() as connection:
            triggers.remove(connection)
            connection.execute(text(statement))

    def finds(words: str, check: Callable[[], list[str]]) -> None:
        assert any(words in line for line in check()), (words, check())

    site.told.acknowledged["never-kept"] = {}
    finds("1 acknowledged rows are lost: never-kept", lambda: checks.quick(site))
    del site.told.acknowledged["never-kept"]
    known = sorted(site.told.sent)[0]
    row = site.told.sent.pop(known)
    finds("never sent", lambda: checks.quick(site))
    site.told.sent[known] = row
    site.told.moves[1, "acknowledged"] += 1000
    finds("version 1 was promoted", lambda: checks.quick(site))
    site.told.moves[1, "acknowledged"] -= 1000
    sql("UPDATE evalkit_evaluations SET status = 'running'")
    finds("its evaluation is not there", lambda: checks._estimates(site, reference))
    sql("UPDATE evalkit_evaluations SET status = 'finished'")
    (name, *_) = site.evaluations.done if site.evaluations else ()
    changed = {name: {key: {**value, "value": 2.0} for key, value in reference[name].items()}}
    finds("instead of", lambda: checks._estimates(site, changed))
    sql("UPDATE evalkit_windows SET rows = rows + 1")
    finds("signals are not those of a clean run", lambda: checks._windows(site))
    sql("UPDATE evalkit_outbox SET done_at = NULL")
    finds("outbox are stuck", lambda: checks._jobs(site))
    site.told.commands.append((1, "", "Traceback (most recent call last):\nOops", False))
    finds("a command showed a traceback", lambda: checks._words(site))
    (site.scratch / "leak.log").write_text(f"the key is {KEY}")
    finds("is in leak.log", lambda: checks._secrets(site))
    sql("UPDATE evalkit_audit SET actor = 'nobody' WHERE seq = 1")
    finds("audit:", lambda: checks.quick(site))


def _series(database: str, faults: int, seed: int, reference: dict[str, Any], **more: Any) -> list[Outcome]:
    told: list[Outcome] = []
    run_series(database, seed, range(faults), load=LOAD, reference=reference, tell=told.append, **more)
    return told


@pytest.mark.slow
def test_six_faults_on_sqlite(reference: dict[str, Any]) -> None:
    only = ("worker killed", "evaluation killed", "database locked", "shard corrupted", "judge 500", "disk full")
    told = _series("sqlite", 6, 3, reference, only=only, look=lambda site: _planted(site, reference))
    assert [line for outcome in told for line in outcome.violations] == []
    assert len(told) == 7


@pytest.mark.slow
@pytest.mark.postgres
def test_four_faults_on_postgresql(reference: dict[str, Any]) -> None:
    only = ("database stopped", "deadlock", "worker killed", "database read-only")
    told = _series("postgresql", 4, 3, reference, only=only)
    assert [line for outcome in told for line in outcome.violations] == []
    assert len(told) == 5


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_each_block_of_faults_has_every_kind_and_a_seed_says_which(database: str) -> None:
    known = [kind for kind in KINDS if database in kind.databases]
    blocks = [
        [kind_of(5, number, database).name for number in range(start, start + len(known))] for start in (0, len(known))
    ]
    assert [sorted(block) for block in blocks] == [sorted(kind.name for kind in known)] * 2
    assert blocks[0] != blocks[1]
    assert blocks[0] == [kind_of(5, number, database).name for number in range(len(known))]


@pytest.mark.parametrize("how", ["flipped", "cut", "emptied", "another digit"])
def test_damage_changes_a_file(tmp_path: Path, how: str) -> None:
    path = tmp_path / "shard"
    path.write_bytes(b"4" * 1000)
    damage(path, how, random.Random(1))
    assert path.read_bytes() != b"4" * 1000


def test_a_full_disk_has_no_room_and_then_has(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", 1)
    if not disk.own:
        pytest.skip("no file system can be mounted here")
    try:
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (disk.path / "more").write_bytes(b"x")
        disk.free()
        (disk.path / "more").write_bytes(b"x")
    finally:
        disk.close()


def test_a_script_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, series = tmp_path / "faults.jsonl", []

    def run(_database: str, _seed: int, faults: range, *, tell: Callable[[Outcome], None], **_: Any) -> None:
        series.append(faults)
        for number in faults:
            if number == 3 and len(series) == 1:
                raise KeyboardInterrupt
            tell(Outcome(number, "worker killed", "", 2.0, ("a row is lost",) if number == 4 else ()))

    monkeypatch.setattr(random_faults, "run_series", run)
    monkeypatch.setattr(random_faults, "undisturbed", lambda *_: {})
    command = ["x", "--database", "sqlite", "--faults", "6", "--seed", "1", "--resume", str(file)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(KeyboardInterrupt):
        random_faults.main()
    with file.open("a") as stream:
        stream.write('{"database": "sqlite", "se')  # the last line was cut
    assert random_faults.main() == 1
    assert series == [range(6), range(3, 6)]
    kept = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    assert [line["number"] for line in kept if "number" in line] == [0, 1, 2, 3, 4, 5]
    assert "worker killed                   6         6      2.0    2.0          1" in capsys.readouterr().out
