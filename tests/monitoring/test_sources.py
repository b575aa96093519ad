"""Sources: files that grow, SQL with ties, traces that are still running; hostile and odd rows."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from evalkit.config import Settings
from evalkit.monitoring import api
from evalkit.monitoring.fields import rows_of, table_of, to_table
from evalkit.monitoring.redaction import Redaction
from evalkit.monitoring.sources.files import FileReader
from evalkit.monitoring.sources.sql import SqlReader
from evalkit.monitoring.sources.traces import TraceReader
from evalkit.monitoring.spec import Columns, SqlSource, TraceSource
from metrics.errors import InputError

NOW = 1_778_000_000_000
PLAIN = Columns(id="id", time="time")


def _ids(chunks: Iterator[Any], columns: Columns = PLAIN) -> tuple[list[str], Any]:
    found, mark = [], {}
    for chunk in chunks:
        if chunk.rows.length:
            found += to_table(chunk.rows, columns, now=NOW, refused=Counter())["id"].to_pylist()
        mark = chunk.watermark
    return found, mark


def test_files_are_read_on_from_where_they_were(tmp_path: Path):
    folder = tmp_path / "logs"
    folder.mkdir()
    reader = FileReader(tmp_path, "logs", PLAIN)
    (folder / "a.jsonl").write_text('{"id": "1", "time": "2026-05-01"}\n')
    found, mark = _ids(reader.read({}))
    assert found == ["1"]
    assert _ids(reader.read(mark)) == ([], {})
    with (folder / "a.jsonl").open("a") as stream:
        stream.write('{"id": "2", "time": "2026-05-01"}\n')
    pq.write_table(pa.table({"id": ["p"], "time": [1_777_593_600]}), folder / "b.parquet")
    (folder / "c.csv").write_text("id,time\nx,2026-05-01T10:00:00+02:00\n")
    (folder / "notes.txt").write_text("no table")
    found, mark = _ids(reader.read(mark))
    assert sorted(found) == ["2", "p", "x"]
    (folder / "a.jsonl").write_text('{"id": "9", "time": "2026-05-01"}\n')
    assert _ids(reader.read(mark))[0] == ["9"]


def test_a_line_that_is_being_written_is_left_for_the_next_read(tmp_path: Path):
    file = tmp_path / "log.jsonl"
    file.write_text('{"id": "1", "time": 1777593600}\n{"id": "2", "ti')
    reader = FileReader(tmp_path, "log.jsonl", PLAIN)
    found, mark = _ids(reader.read({}))
    assert found == ["1"]
    with file.open("a") as stream:
        stream.write('me": 1777593600}\n')
    assert _ids(reader.read(mark))[0] == ["2"]
    file.write_text('{"id": "1", "time": 1777593600}\nbroken\n{"id": "2", "time": 1777593600}\n')
    with pytest.raises(InputError, match="jsonl:2: not valid JSON"):
        list(reader.read({}))


def test_a_read_that_stopped_within_a_file_goes_on_there(tmp_path: Path):
    rows = 120_000
    table = pa.table({"id": [str(row) for row in range(rows)], "time": np.full(rows, 1_777_593_600)})
    pq.write_table(table, tmp_path / "big.parquet", row_group_size=30_000)
    reader = FileReader(tmp_path, "big.parquet", PLAIN)
    first = next(iter(reader.read({})))
    rest, _ = _ids(reader.read(first.watermark))
    assert first.rows.length + len(rest) == rows
    assert rest[0] == str(first.rows.length)


def test_files_outside_are_not_read(tmp_path: Path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.jsonl").write_text('{"id": "s", "time": 1777593600}\n')
    (tmp_path / "in" / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    assert _ids(FileReader(tmp_path / "in", ".", PLAIN).read({}))[0] == []
    with pytest.raises(InputError, match="leads out"):
        FileReader(tmp_path / "in", "../secret.jsonl", PLAIN)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
@pytest.mark.parametrize("form", ["table", "query"])
def test_sql_loses_no_row_of_one_moment(
    tmp_path: Path, kind: str, form: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    url = f"sqlite:///{tmp_path / 'log.db'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    monkeypatch.setenv("LOG_URL", url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE log (id VARCHAR(9), said TIMESTAMP, came TIMESTAMP, tenant VARCHAR(9))"))

    def add(*rows: tuple[str, str]) -> None:
        with engine.begin() as connection:
            for key, came in rows:
                connection.execute(
                    text("INSERT INTO log VALUES (:key, '2026-05-01 00:00:00', :came, 'acme')"),
                    {"key": key, "came": came},
                )

    columns = Columns(id="id", time="said", ingested="came")
    query = "SELECT * FROM log WHERE tenant = :tenant"
    source = (
        SqlSource(url="LOG_URL", table="log", chunk=2)
        if form == "table"
        else SqlSource(url="LOG_URL", query=query, parameters={"tenant": "acme"}, chunk=2)
    )
    moment = "2026-05-02 00:00:00.000000"
    add(("a", moment), ("b", moment), ("c", "2026-05-01 00:00:00.000000"))
    found, mark = _ids(SqlReader(source, columns).read({}), columns)
    assert sorted(found) == ["a", "b", "c"]
    add(("d", moment), ("e", "2026-05-03 00:00:00.000000"))
    found, mark = _ids(SqlReader(source, columns).read(mark), columns)
    assert found == ["d", "e"]
    assert _ids(SqlReader(source, columns).read(mark), columns) == ([], {})
    engine.dispose()


@pytest.mark.parametrize(
    "query",
    ["DELETE FROM log RETURNING *", "SELECT 1; DROP TABLE log", "WITH x AS (SELECT 1) DELETE FROM log RETURNING *"],
)
def test_sql_never_writes(tmp_path: Path, query: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOG_URL", f"sqlite:///{tmp_path / 'log.db'}")
    with sqlite3.connect(tmp_path / "log.db") as database:
        database.execute("CREATE TABLE log (id TEXT, time TEXT)")
        database.execute("INSERT INTO log VALUES ('1', '2026-05-01')")
    with pytest.raises(InputError):
        list(SqlReader(SqlSource(url="LOG_URL", query=query), PLAIN).read({}))
    with sqlite3.connect(tmp_path / "log.db") as database:
        assert database.execute("SELECT count(*) FROM log").fetchone() == (1,)


def test_sql_errors_are_one_line_without_the_password(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="LOG_URL is not set"):
        list(SqlReader(SqlSource(url="LOG_URL", table="log"), PLAIN).read({}))
    monkeypatch.setenv("LOG_URL", "sqlite:////nowhere/at/all.db")
    with pytest.raises(InputError, match="unable to open"):
        list(SqlReader(SqlSource(url="LOG_URL", table="log"), PLAIN).read({}))
    monkeypatch.setenv("LOG_URL", "what?secret")
    with pytest.raises(InputError) as error:
        list(SqlReader(SqlSource(url="LOG_URL", table="log"), PLAIN).read({}))
    assert "secret" not in str(error.value)


def test_traces_are_read_once_and_those_that_took_long_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("prod", artifact_location=(tmp_path / "artifacts").as_uri())
    mlflow.set_experiment("prod")

    def call(question: str) -> None:
        with mlflow.start_span(name="answer") as span:
            span.set_inputs({"question": question})
            span.set_outputs({"answer": f"to {question}"})
            mlflow.update_current_trace(tags={"language": "de"})

    columns = Columns(prompt="inputs.question", output="outputs.answer", slices=("tags.language",))
    reader = TraceReader(uri, TraceSource(experiment="prod"), columns, overlap=60_000)
    call("one")
    call("two")
    chunks = list(reader.read({}))
    table = to_table(chunks[0].rows, columns, now=NOW * 2, refused=Counter())
    assert table["prompt"].to_pylist() == ["one", "two"]
    assert table["output"].to_pylist() == ["to one", "to two"]
    assert table["slice.tags.language"].to_pylist() == ["de", "de"]
    assert all(0 <= seconds < 60 for seconds in table["latency"].to_pylist())
    mark = chunks[-1].watermark
    assert [chunk.rows.length for chunk in reader.read(mark)] == [0]
    running = mlflow.start_span_no_context(name="answer", inputs={"question": "slow"})
    time.sleep(0.02)
    call("three")
    chunks = list(reader.read(mark))
    assert [chunk.rows.length for chunk in chunks] == [1]
    running.end(outputs={"answer": "at last"})
    chunks = list(reader.read(chunks[-1].watermark))
    table = to_table(chunks[0].rows, columns, now=NOW * 2, refused=Counter())
    assert table["prompt"].to_pylist() == ["slow"]
    hasty = TraceReader(uri, TraceSource(experiment="prod"), columns, overlap=0)
    (chunk,) = hasty.read({"since": chunks[-1].watermark["since"] + 60_000})
    assert chunk.rows.get("prompt") == ["three"], "without looking back the slow one would be lost"
    with pytest.raises(InputError, match="no experiment 'gone'"):
        list(TraceReader(uri, TraceSource(experiment="gone"), columns, overlap=0).read({}))
    with pytest.raises(InputError, match="refuses the filter"):
        list(TraceReader(uri, TraceSource(experiment="prod", filter="nonsense ~ 1"), columns, overlap=0).read({}))


HOSTILE: list[dict[str, Any]] = [
    {"id": "nan", "time": 1_777_593_600, "latency": float("nan"), "cost": float("inf"), "output": None},
    {"id": "types", "time": 1_777_593_600.5, "latency": "fast", "output": {"deep": [1]}, "prompt": 7, "context": "one"},
    {"id": "long", "time": 1_777_593_600, "output": "x" * 300_000, "context": ["a", {"page_content": "b"}, None]},
    {"id": "odd", "time": 1_777_593_600, "output": "\ud800 lone \x00 zero", "label": "Yes", "language": ["a", "b"]},
    {"id": "none", "time": None},
    {"id": "words", "time": "yesterday"},
    {"id": "huge", "time": 1e300},
    {"id": None, "time": 1_777_593_600, "output": "no id"},
]


def test_hostile_rows_become_missing_values_not_errors():
    refused: Counter[str] = Counter()
    columns = Columns(id="id", time="time", slices=("language",))
    table = to_table(rows_of(HOSTILE), columns, now=NOW, refused=refused)
    rows = {row["output"][:4] if row["output"] else row["id"]: row for row in table.to_pylist()}
    assert dict(refused) == {"no time": 3}
    assert table.num_rows == 5
    assert (rows["nan"]["latency"], rows["nan"]["cost"]) == (None, None)
    assert rows['{"de']["latency"] is None
    assert (rows['{"de']["prompt"], rows['{"de']["context"]) == ("7", ["one"])
    assert len(rows["xxxx"]["output"]) == 200_000
    assert rows["xxxx"]["context"] == ["a", "b"]
    assert rows["? lo"]["label"] == 1.0
    assert len(rows["no i"]["id"]) == 16
    again = to_table(rows_of(HOSTILE), columns, now=NOW + 5, refused=Counter())
    assert again["id"].to_pylist() == table["id"].to_pylist(), (
        "a row without an id is the same row when it is read again"
    )


def test_times_in_every_form():
    forms: list[Any] = [
        1_777_629_600,
        1_777_629_600_000,
        1_777_629_600.0,
        "2026-05-01T10:00:00Z",
        "2026-05-01T12:00+02:00",
    ]
    for form in forms:
        table = to_table(rows_of([{"id": "1", "time": form}]), PLAIN, now=NOW, refused=Counter())
        assert table["event_time"].to_pylist() == [1_777_629_600_000], form
    stamps = pa.table({"id": ["1"], "time": pa.array([1_777_629_600_000_000], pa.timestamp("us"))})
    assert to_table(table_of(stamps), PLAIN, now=NOW, refused=Counter())["event_time"].to_pylist() == [
        1_777_629_600_000
    ]


def test_dotted_paths_reach_into_rows_and_structures():
    columns = Columns(id="id", time="time", output="answer.text", slices=("meta.lang",))
    rows = [{"id": "1", "time": 1_777_593_600, "answer": {"text": "hi"}, "meta": {"lang": "de"}}]
    for read in (rows_of(rows), table_of(pa.Table.from_pylist(rows))):
        (row,) = to_table(read, columns, now=NOW, refused=Counter()).to_pylist()
        assert (row["output"], row["slice.meta.lang"]) == ("hi", "de")


def test_nothing_personal_is_stored(tmp_path: Path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "scrubbing.py").write_text(
        "def scrub(text):\n    if 'boom' in text:\n        raise ValueError(text)\n"
        "    return text.replace('Ann', '[name]')\n"
    )
    (tmp_path / "logs" / "a.jsonl").write_text(
        '{"id": "1", "time": "2026-05-01", "prompt": "Ann, mail ann.lee@mail.org", '
        '"context": ["call +49 171 2345678"]}\n'
        '{"id": "2", "time": "2026-05-01", "prompt": "boom secret", "output": "nothing", "context": []}\n'
        '{"id": "3", "time": "2026-05-01", "prompt": null, "language": "bob@mail.org"}\n'
    )
    (tmp_path / "monitor.yaml").write_text(
        "monitor: private\nsource: {files: logs, columns: {id: id, time: time, slices: [language]}}\n"
        "redact: [email, phone, 'scrubbing:scrub']\n"
    )
    database = f"sqlite:///{tmp_path / 'e.db'}"
    settings = Settings(tmp_path / ".evalkit", database, database, database, advisory=False)
    api.apply(tmp_path / "monitor.yaml", settings=settings)
    report = api.run("private", now=NOW, settings=settings)
    assert report.refused == {"redaction failed": 1}
    (file,) = (tmp_path / ".evalkit").rglob("*.parquet")
    assert file.stat().st_mode & 0o077 == 0
    rows = pq.read_table(file, partitioning=None).to_pylist()
    assert [(row["prompt"], row["context"], row["slice.language"]) for row in rows] == [
        ("[name], mail [email]", ["call [phone]"], None),
        (None, None, None),
        (None, None, "[email]"),
    ]
    everything = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "logs" not in str(path)
    )
    assert b"ann.lee@mail.org" not in everything
    assert b"bob@mail.org" not in everything


def test_redaction_leaves_what_it_does_not_look_for(tmp_path: Path):
    rows = [{"id": "1", "time": 1_777_593_600, "prompt": "a@b.org", "context": ["a@b.org", "c"]}]
    table = to_table(rows_of(rows), PLAIN, now=NOW, refused=Counter())
    same = Redaction((), tmp_path)(table, Counter())
    assert same is table
    done = Redaction(("email",), tmp_path)(table, Counter())
    assert done["prompt"].to_pylist() == ["[email]"]
    assert done["context"].to_pylist() == [["[email]", "c"]]
    assert done.drop_columns(["prompt", "context"]).equals(table.drop_columns(["prompt", "context"]))
    assert os.getcwd() != str(tmp_path)
