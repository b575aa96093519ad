"""A person's traces in MLflow, stored outputs of evaluations on them, and what durable jobs record."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.config import Settings
from evalkit.monitoring import api, erasure_traces
from evalkit.monitoring.erasure import forget
from evalkit.outputs import SCHEMA, read_shard, write_shard
from evalkit.runner.shards import Rows, ShardFolder

PERSON, SECRET = "ann-4711@example.org", "my kidney stone"
DAY = 86_400_000
MONITOR = """\
monitor: prod
source:
  traces: {experiment: support}
  columns: {user: tags.user}
start: "2020-01-01"
every: month
"""


@pytest.fixture
def traced(tmp_path: Path, empty_store: Path) -> tuple[Settings, dict[str, list[str]]]:
    """A project with ten calls in MLflow, half of them a person's, by metadata or by a tag."""
    home = tmp_path / ".evalkit"
    home.mkdir()
    shutil.copyfile(empty_store, home / "mlflow.db")
    url = f"sqlite:///{home / 'mlflow.db'}"
    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("support")
    made: dict[str, list[str]] = {PERSON: [], "bob": []}
    for call in range(10):
        user = PERSON if call % 2 else "bob"
        with mlflow.start_span(name="answer") as span:
            span.set_inputs({"question": SECRET if user == PERSON else "hello"})
            span.set_outputs({"answer": f"about {SECRET}" if user == PERSON else "hello"})
            if call % 4 == 1:
                mlflow.update_current_trace(metadata={"mlflow.trace.user": user})
            else:
                mlflow.update_current_trace(tags={"user": user})
            made[user].append(span.trace_id)
    mlflow.flush_trace_async_logging()
    return Settings(home, url, url, url, advisory=False), made


def ids_in_mlflow() -> set[str]:
    return {trace.info.trace_id for trace in mlflow.search_traces(return_type="list", include_spans=False)}


def store_outputs(home: Path, ids: list[str]) -> Path:
    """Stored outputs of an evaluation on traces, and what a judge said of them."""
    outputs = ShardFolder(home / "outputs", "sha256:" + "a" * 64, {})
    path = outputs.file(Rows(0, len(ids)), "parquet")
    blank = dict.fromkeys(SCHEMA.names)
    rows = [
        {**blank, "sample_id": key, "position": at, "seed": 0, "prompt": f"{SECRET} {at}", "text": "an answer"}
        for at, key in enumerate(ids)
    ]
    write_shard(pa.Table.from_pylist(rows, schema=SCHEMA), path, {"hardware": "cpu"})
    outputs.seal(path, {"rows": len(ids)})
    verdicts = ShardFolder(home / "verdicts", "sha256:" + "b" * 64, {})
    judged = verdicts.file(Rows(0, len(ids)), "parquet")
    pq.write_table(pa.table({"sample_id": ids, "value": [1.0] * len(ids), "rationale": [SECRET] * len(ids)}), judged)
    return path


def test_traces_outputs_and_windows(traced: Any):
    settings, made = traced
    folder = settings.home.parent
    (folder / "monitor.yaml").write_text(MONITOR)
    api.apply(folder / "monitor.yaml", settings=settings)
    assert api.run("prod", settings=settings).read == 10
    theirs, others = made[PERSON], made["bob"]
    shard = store_outputs(settings.home, [theirs[0], others[0]])

    dry = forget(PERSON, dry_run=True, settings=settings)
    assert dry.counts["MLflow traces"] == 5
    done = forget(PERSON, settings=settings)
    assert done.left == []
    assert (done.counts["MLflow traces"], done.counts["raw rows"], done.counts["stored outputs"]) == (5, 5, 2)
    assert ids_in_mlflow() == set(others)
    table, metadata = read_shard(shard)
    assert table.select(["sample_id", "prompt", "text", "error"]).to_pylist() == [
        {"sample_id": theirs[0], "prompt": None, "text": None, "error": "erased"},
        {"sample_id": others[0], "prompt": f"{SECRET} 1", "text": "an answer", "error": None},
    ]
    assert metadata == {"hardware": "cpu"}
    known = ShardFolder.known(settings.home / "outputs", "sha256:" + "a" * 64)
    assert known.check(shard, lambda path: pytest.fail("the seal was lost")) == {"rows": 2}
    database = (settings.home / "mlflow.db").read_bytes()
    assert PERSON.encode() not in database
    assert f"about {SECRET}".encode() not in database
    assert any("samples.json" in told for told in done.notes)
    raw = [row for file in settings.home.rglob("raw/*/*.parquet") for row in pq.read_table(file).to_pylist()]
    assert {row["id"] for row in raw} == set(others)


def test_traces_that_a_store_cannot_delete_are_told_and_tried_again(traced: Any, monkeypatch: pytest.MonkeyPatch):
    from mlflow import MlflowClient

    settings, made = traced

    def refused(*_: Any, **__: Any) -> int:
        raise NotImplementedError

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "delete_traces", refused)
        done = forget(PERSON, settings=settings)
    assert len(done.left) == 1
    assert "5 traces of experiment" in done.left[0]
    assert "cannot delete traces" in done.left[0]
    assert forget(PERSON, settings=settings).left == []
    assert ids_in_mlflow() == set(made["bob"])


@pytest.mark.parametrize(("user", "quoted"), [("o'hara", '"o\'hara"'), ('the "cat"', "'the \"cat\"'")])
def test_quotes_in_ids(traced: Any, user: str, quoted: str):
    assert erasure_traces._quoted(user) == quoted
    with mlflow.start_span(name="answer") as span:
        mlflow.update_current_trace(metadata={"mlflow.trace.user": user})
    mlflow.flush_trace_async_logging()
    found, _, left = erasure_traces.TraceStore(traced[0].tracking_uri).of_person(user)
    assert [key for ids in found.values() for key in ids] == [span.trace_id]
    assert left == []
    assert erasure_traces.TraceStore(traced[0].tracking_uri).of_person("a'\"b")[2] != []


def test_durable_jobs_record_digests_and_counts_only(tmp_path: Path, empty_store: Path):
    """What an evaluation says to DBOS: its digest, names of steps and counts; no row, so nothing to be erased."""
    from evalkit.session import Session
    from registry.store import Registry
    from registry.suite import Suite

    home = tmp_path / ".evalkit"
    home.mkdir()
    shutil.copyfile(empty_store, home / "mlflow.db")
    url = f"sqlite:///{home / 'mlflow.db'}"
    data = [{"id": f"{PERSON} {row}", "question": f"{SECRET} {row}", "expected": [SECRET]} for row in range(4)]
    outputs = [{"id": row["id"], "output": f"about {SECRET}"} for row in data]
    for name, rows in (("golden", data), ("outputs", outputs)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "suite.yaml").write_text(SUITE)
    registry = Registry(url, url, artifact_root=home / "artifacts")
    session = Session(Settings(home, url, url, url, advisory=False), registry)
    version = registry.register("bot", model=str(tmp_path / "outputs.jsonl"), suite=Suite.load(tmp_path / "suite.yaml"))
    assert session.evaluate(version).status == "finished"
    registry.close()
    with closing(sqlite3.connect(home / "jobs.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kept = json.dumps([database.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables], default=repr)
    assert "score" in kept, "its steps are recorded"
    assert PERSON not in kept
    assert SECRET not in kept


SUITE = """\
suite: answers
tasks:
  golden:
    data: golden.jsonl
    outputs: outputs.jsonl
    columns: {id: id, prompt: question, expected: expected}
    score: [exact_match]
gate:
  rules:
    - {metric: golden/exact_match, min: 0.5}
"""
