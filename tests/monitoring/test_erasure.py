"""Forgetting a person: nothing of them is left anywhere, everybody else's rows are."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.ingest.buffer import Buffer
from evalkit.ingest.records import Feedback, Generation
from evalkit.judging.ledger import open_ledger
from evalkit.monitoring import api, erasure
from evalkit.monitoring.erasure import forget
from evalkit.monitoring.erasure_journal import FOLDER, KEY_FILE
from evalkit.monitoring.erasure_rows import GONE
from evalkit.own_database import own_url
from judges.clients.base import Reply
from judges.ledger import Entry
from metrics.errors import InputError
from registry.audit import export, verify
from registry.database import connect, reading, upgrade
from registry.tables_monitoring import SignalRow

DAY, HOUR = 86_400_000, 3_600_000
START = 1_777_593_600_000
PERSON = "ann-4711@example.org"
SECRET = "my kidney stone"
MONITOR = """\
monitor: prod
source:
  files: generations
  columns: {id: id, time: time, prompt: question, output: answer, latency: seconds, user: user, slices: [language]}
baseline: 1d
minimum: 20
checks:
  - {drift: [output, latency], against: [baseline]}
"""


def rows(day: int, n: int = 40, person: str = PERSON, secret: str = SECRET) -> list[dict[str, Any]]:
    """A day's generations; every tenth is the person's, and slow."""
    return [
        {
            "id": f"{day}-{row}",
            "time": START + day * DAY + row * (DAY // n),
            "question": secret if row % 10 == 0 else f"question {row}",
            "answer": f"about {secret}" if row % 10 == 0 else "word " * (1 + row % 7),
            "seconds": 9.0 if row % 10 == 0 else 1.0,
            "user": person if row % 10 == 0 else f"user {row}",
            "language": person if row == 0 else "en",
        }
        for row in range(n)
    ]


def fill(project: Any, days: int = 2, **how: Any) -> None:
    """Days of traffic, seen by the monitor; then the source's owner has erased the person there."""
    for day in range(days):
        project.write(f"day-{day}", rows(day, **how))
    project.apply(MONITOR)
    project.run(days)
    for day in range(days):
        (project.generations / f"day-{day}.jsonl").unlink()


def ask(project: Any, samples: list[str], text: str = SECRET) -> None:
    ledger = open_ledger(project.settings)
    ledger.record(
        Entry(f"key {sample}", "grounded", "1", "m", sample, "verdict", 0, Reply(f"yes, {text}"), None, START)
        for sample in samples
    )
    ledger.close()


def buffered(project: Any, person: str = PERSON, secret: str = SECRET) -> Buffer:
    buffer = Buffer.of(project.settings)
    buffer.append(
        "bot",
        [
            Generation(id="g1", time=START, prompt=secret, output="x", user=person),
            Generation(id="g2", time=START, prompt="hello", output="x", user="bob"),
            Feedback(id="f1", time=START, of="g1", name="helpful", value=1.0, comment=secret),
        ],
    )
    return buffer


def unpacked(content: bytes) -> bytes:
    """What an archive of states holds, archives in it unpacked too."""
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return b"".join(unpacked(archive.read(name)) for name in archive.namelist())


def decoded(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """All files below a folder, also unpacked where they are Parquet, an archive, or a database with states."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        yield file, content
        if file.suffix == ".parquet":
            yield file, json.dumps(pq.read_table(file).to_pylist(), default=str, ensure_ascii=False).encode()
        elif file.suffix == ".zip":
            yield file, unpacked(content)
        elif file.name == "evalkit.db":
            with closing(sqlite3.connect(file)) as database:
                for (state,) in database.execute("SELECT content FROM evalkit_window_states WHERE content NOT NULL"):
                    yield file, unpacked(state)


def traces_of(folder: Path, *texts: str) -> list[str]:
    return [
        f"{text!r} in {path.relative_to(folder)}" for path, found in decoded(folder) for text in texts
        if text.encode() in found
    ]  # fmt: skip


def test_nothing_of_the_person_is_left_and_everything_else_is(local: Any):
    fill(local)
    ask(local, ["0-0", "0-1"])
    ask(local, ["0-2"], "no")
    buffer = buffered(local)
    buffer.close()
    kept = local.folder / ".evalkit" / "traces"
    kept.mkdir()
    (kept / "x.jsonl").write_text(json.dumps({"id": "t1", "prompt": SECRET, "tags.user": PERSON}) + '\n{"id": "t2"}\n')
    labels = [{"design": {}}, {"sample_id": "0-10", "value": 1, "reason": SECRET}, {"sample_id": "0-2", "value": 0}]
    (local.folder / "labels.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels))
    found = traces_of(local.folder, PERSON, SECRET)
    assert any("judges.db" in one for one in found), "the search finds what is there"
    assert any("ingest.db" in one for one in found)
    assert any(".parquet" in one for one in found)

    dry = forget(PERSON, dry_run=True, settings=local.settings, now=START + 2 * DAY + 2 * HOUR)
    assert traces_of(local.folder, PERSON, SECRET) == found
    assert (dry.id, dry.receipt) == ("", "")
    made = forget(PERSON, settings=local.settings, now=START + 2 * DAY + 2 * HOUR)
    assert made.left == []
    expected = {
        "raw rows": 8, "windows to restate": 2, "judges' replies": 1, "snapshots of traces": 1, "labels": 1,
        "buffered records": 1,
    }  # fmt: skip
    assert dict(dry.counts) == expected
    restated = {"windows restated": expected.pop("windows to restate")}
    assert dict(made.counts) == expected | restated | {"buffered records": 2}, "with what was said about it later"
    # One of the texts was bought for another sample: the ledger knows samples, not what their texts say
    ledger = open_ledger(local.settings)
    assert ledger.erase(["0-1"]) == 1
    ledger.close()
    erasure.wipe(own_url(local.settings, "judges"), [])
    assert traces_of(local.folder, PERSON, SECRET) == []
    assert [row.id for row in Buffer.of(local.settings).read("bot")] == ["g2"]
    assert (kept / "x.jsonl").read_text() == '{"id": "t2"}\n'
    assert len((local.folder / "labels.jsonl").read_text().splitlines()) == 2
    raw = [row for file in local.folder.rglob("*.parquet") for row in pq.read_table(file).to_pylist()]
    assert len(raw) == 72
    assert forget(PERSON, dry_run=True, settings=local.settings).counts == {}


def test_windows_are_computed_again_from_the_rows_that_remain(project: Any):
    fill(project)
    assert project.values("operational", "latency") == [(pytest.approx(1.8), 40)] * 2
    forget(PERSON, settings=project.settings, now=START + 2 * DAY + 2 * HOUR)
    assert project.values("operational", "latency") == [(1.0, 36)] * 2
    assert project.values("operational", "rows", f"language={PERSON}") == []
    (explained,) = api.explain("prod", "2026-05-01", settings=project.settings)
    assert [(w.revision, w.rows, w.newest) for w in explained.revisions] == [(1, 40, False), (2, 36, True)]
    with api.open_store(project.settings) as (_, store):
        monitor = store.monitor("prod")
        old, new = explained.revisions
        assert store.state_digests(old) == {}, "superseded states held the person's rows"
        assert set(store.state_digests(new)) == {"drift", "operational"}
    (month,) = api.roll("prod", "month", settings=project.settings)
    assert {s.key: s.estimate.value for s in month.signals if not s.slice}["rows"] == 72
    assert project.run(2).windows == []
    assert monitor.name == "prod"


def test_where_raw_rows_are_gone_the_states_go_and_the_window_says_so(local: Any):
    """The person's rows are known from a trace or a stream, whose times lie in windows that cannot be restated."""
    fill(local)
    with api.open_store(local.settings) as (_, store):
        monitor = store.monitor("prod")
        from evalkit.monitoring import erasure_rows
        from registry.leases import Leases

        (first, second) = erasure_rows.held_by(store, monitor, [START + 5, START + DAY])
        lease = Leases(store.engine, "default").acquire("test")
        assert erasure_rows.drop_states(store, [first], token=lease.token) == 1
        assert erasure_rows.drop_states(store, [first], token=lease.token) == 0
        assert store.state_digests(first) == {}
        assert store.state_digests(second) != {}
    (explained,) = api.explain("prod", "2026-05-01", settings=local.settings)
    assert explained.revisions[-1].notes == [GONE]
    assert len(local.values("operational", "rows")) == 2, "its signals stay"


def test_late_raw_rows_beyond_the_retention_lose_their_states(local: Any):
    fill(local)
    made = forget(PERSON, settings=local.settings, now=START + 60 * DAY)
    assert made.counts == {"raw rows": 8, "windows that lost their states": 2}
    (explained,) = api.explain("prod", "2026-05-02", settings=local.settings)
    assert explained.revisions[-1].notes == [GONE]


def test_windows_named_after_the_person_are_theirs_when_no_row_is_left(local: Any):
    """A slice by user names the person in signals and states, long after the raw rows are gone."""
    for day in range(2):
        local.write(f"day-{day}", rows(day))
    local.apply(MONITOR.replace("slices: [language]", "slices: [user]"))
    local.run(2)
    local.run(45)
    assert list((local.settings.home).glob("monitors/*/raw/*")) == []
    assert local.values("operational", "rows", f"user={PERSON}") == [(4, 4)] * 2
    shutil.rmtree(local.generations)
    assert forget("user 1", dry_run=True, settings=local.settings).counts == {"windows that lose their states": 2}
    made = forget(PERSON, settings=local.settings, now=START + 45 * DAY)
    assert made.counts == {"windows that lost their states": 2}
    assert traces_of(local.folder, PERSON, SECRET) == []
    assert local.values("operational", "rows", "user=user 1") == [(1, 1)] * 2


def test_a_slice_of_the_same_name_is_not_the_person(local: Any):
    """A user called 'en' is not everybody who writes English."""
    changed = [row | {"language": "en", "user": "en" if row["user"] == PERSON else row["user"]} for row in rows(0)]
    local.write("day-0", changed)
    local.apply(MONITOR)
    local.run(1)
    local.write("day-0", [row | {"seconds": 1.5} for row in changed])
    local.run(1)
    made = forget("en", settings=local.settings, now=START + DAY + 2 * HOUR)
    assert made.counts["raw rows"] == 8, "each was read twice"
    assert local.values("operational", "rows", "language=en") == [(36, 36)]
    with api.open_store(local.settings) as (_, store), reading(store.engine) as session:
        named = session.query(SignalRow).filter(SignalRow.slice == "language=en", SignalRow.key == "rows")
        assert [row.n for row in named.order_by(SignalRow.created_at)] == [40, 40, 36]


def test_the_receipt_holds_no_id_and_the_audit_is_intact(project: Any):
    fill(project)
    made = forget(PERSON, settings=project.settings, now=START + 2 * DAY + 2 * HOUR)
    engine = connect(project.settings.database_url)
    upgrade(engine)
    entries = [entry for entry in export(engine) if entry["kind"] != "monitor.applied"]
    assert [entry["kind"] for entry in entries] == ["erasure"]
    assert entries[0]["hash"] == made.receipt
    assert entries[0]["facts"] == {"erasure": made.id, "subject": made.subject, "left": 0, "counts": dict(made.counts)}
    assert PERSON not in json.dumps(entries)
    assert verify(engine).intact
    engine.dispose()
    key = project.settings.home / KEY_FILE
    assert key.stat().st_mode & 0o077 == 0
    again = forget(PERSON, settings=project.settings)
    assert (again.subject, again.counts) == (made.subject, {})
    assert forget("bob", settings=project.settings).subject != made.subject
    key.unlink()
    assert forget(PERSON, settings=project.settings).subject != made.subject


STEPS = ["_ledger", "_files", "_delete_traces", "_buffer", "_monitors", "_restate", "_wipe", "_receipt"]


@pytest.mark.parametrize("killed", STEPS)
def test_an_interrupted_erasure_is_continued(local: Any, monkeypatch: pytest.MonkeyPatch, killed: str):
    """Killed before or after any step: the same command ends with nothing left and one receipt."""
    fill(local)
    ask(local, ["0-0"])
    buffered(local).close()
    step = getattr(erasure._Forgetting, killed)
    for after in (False, True):

        def die(self: Any, *given: Any, after: bool = after) -> Any:
            if after:
                step(self, *given)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(erasure._Forgetting, killed, die)
            with pytest.raises(KeyboardInterrupt):
                forget(PERSON, settings=local.settings, now=START + 2 * DAY + 2 * HOUR)
    made = forget(PERSON, settings=local.settings, now=START + 2 * DAY + 2 * HOUR)
    assert made.left == []
    assert traces_of(local.folder, PERSON, SECRET) == []
    assert local.values("operational", "latency") == [(1.0, 36)] * 2
    assert list((local.settings.home / FOLDER).iterdir()) == []
    engine = connect(local.settings.database_url)
    receipts = [entry["facts"] for entry in export(engine) if entry["kind"] == "erasure"]
    assert [facts["erasure"] for facts in receipts] == [made.id]
    engine.dispose()


def test_a_kill_before_windows_are_restated_is_mended_by_the_next_run(local: Any, monkeypatch: pytest.MonkeyPatch):
    fill(local)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(erasure._Forgetting, "_restate", die)
        with pytest.raises(KeyboardInterrupt):
            forget(PERSON, settings=local.settings, now=START + 2 * DAY + 2 * HOUR)
    report = local.run(2)
    assert [r.window.rows for r in report.windows] == [36, 36]


def test_reports_of_the_windows_are_deleted(local: Any):
    fill(local)
    with api.open_store(local.settings) as (_, store):
        monitor = store.monitor("prod")
        first, _ = store.windows(monitor)
        folder = store.folder(monitor) / "reports"
    local.write("day-5", [row | {"user": "bob", "language": "en"} for row in rows(5)])
    local.run(6)
    with api.open_store(local.settings) as (_, store):
        clean = store.windows(monitor)[-1]
    folder.mkdir()
    for name in (first.id, clean.id, "something-else"):
        (folder / f"{name}.html").write_text("<html>")
    made = forget(PERSON, settings=local.settings, now=START + 6 * DAY + 2 * HOUR)
    assert made.counts["reports"] == 2
    assert [file.stem for file in folder.iterdir()] == [clean.id]


def test_a_reader_that_holds_the_journal_is_told_of(local: Any, monkeypatch: pytest.MonkeyPatch):
    """Deleted rows are in SQLite's journal until nobody reads it: said, with exit status 1, and done by a repeat."""
    from evalkit.monitoring import erasure_space

    monkeypatch.setattr(erasure_space, "_WAIT", 0.05)
    fill(local)
    buffered(local).close()
    reader = sqlite3.connect(local.settings.home / "ingest.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM evalkit_ingested").fetchone()
    made = forget(PERSON, settings=local.settings, now=START + 2 * DAY + 2 * HOUR)
    assert len(made.left) == 1
    assert made.left[0].startswith("ingest.db: ")
    reader.execute("COMMIT")
    reader.close()
    assert forget(PERSON, settings=local.settings).left == []
    assert traces_of(local.folder, PERSON, SECRET) == []


@pytest.mark.parametrize("user", ["", "  ", "x" * 201, "a\0b"])
def test_what_is_no_id_is_refused(local: Any, user: str):
    with pytest.raises(InputError, match="a person's id has 1 to 200 characters"):
        forget(user, settings=local.settings)


def test_a_file_without_labels_is_refused_and_left_alone(local: Any):
    other = local.folder / "other.jsonl"
    other.write_text('{"id": 1}\n')
    with pytest.raises(InputError, match=r"other\.jsonl is no file of labels"):
        forget(PERSON, labels=[other], settings=local.settings)
    assert other.read_text() == '{"id": 1}\n'


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=6, max_size=40)


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(person=_texts.filter(lambda text: text.strip()), secret=_texts)
def test_whatever_the_person_is_called_and_said(tmp_path_factory: Any, person: str, secret: str):
    import importlib.util

    spec = importlib.util.spec_from_file_location("project_of_erasure", Path(__file__).with_name("conftest.py"))
    assert spec is not None and spec.loader is not None
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    folder = tmp_path_factory.mktemp("erasure")
    project = fixtures.Project(folder, f"sqlite:///{folder / 'evalkit.db'}")
    person, secret = f"person {person}", f"secret {secret}"
    fill(project, 1, person=person, secret=secret)
    buffered(project, person, secret).close()
    made = forget(person, settings=project.settings, now=START + DAY + 2 * HOUR)
    assert (made.counts["raw rows"], made.counts["buffered records"], made.left) == (4, 2, [])
    assert traces_of(folder, person, secret) == []
    assert traces_of(folder, json.dumps(person)[1:-1], json.dumps(secret)[1:-1]) == [], "nor as JSON"
    assert len([row for file in folder.rglob("*.parquet") for row in pq.read_table(file).to_pylist()]) == 36
