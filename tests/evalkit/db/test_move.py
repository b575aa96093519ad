"""`evalkit db move`: everything arrives or nothing does, and what arrives is the same."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from evalkit.config import Settings
from evalkit.databases import move as moving
from evalkit.databases import postgres
from evalkit.databases.content import Column, Digest, fitting
from evalkit.databases.move import move
from evalkit.ingest.buffer import Buffer
from evalkit.ingest.records import Generation
from evalkit.judging.ledger import SqlLedger
from evalkit.own_database import own_url
from metrics.errors import InputError
from registry.store import Registry

KEPT, GIVEN = 2, 5

WEBHOOK = (
    "INSERT INTO evalkit_webhooks (id, workspace, created_at, url, events, pattern, secret_env, allow_private, "
    "created_by) VALUES ('w', 'default', 1, 'u', '[]', '*', 's', 7, 'a')"
)
on_postgres = pytest.mark.postgres


def rows(url: str, query: str) -> list[Any]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(text(query)))
    engine.dispose()
    return found


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def is_empty(url: str) -> bool:
    engine = postgres.engine_for(url)
    with engine.connect() as connection:
        found = postgres.first_filled(connection)
    engine.dispose()
    return found is None


@on_postgres
class TestMoved:
    def test_everything_is_there_and_goes_on(self, settings: Settings, target: str, files: Any, project: Path):
        before = files(project)
        told: list[tuple[str, int, int]] = []
        report = move(settings, target, lambda *step: told.append(step))
        assert files(project) == before, "the old files were changed"
        by_table = {(one.database, one.table): one.content.rows for one in report.tables}
        assert by_table["store", "evalkit_promotions"] == by_table["store", "evalkit_holders"] == 1
        assert by_table["ingest", "evalkit_ingested"] == KEPT
        assert by_table["judges", "evalkit_judge_replies"] == 1
        assert by_table["jobs", "operation_outputs"] >= 2
        assert [(one.workspace, one.intact) for one in report.audits] == [("default", True)]
        assert told[-1] == ("verifying", report.rows, report.rows)
        new = replace(settings, tracking_uri=target, registry_uri=target, database_url=target)
        self._registry(settings, new)
        self._books(settings, new)

    def _registry(self, old: Settings, new: Settings) -> None:
        said = []
        for one in (old, new):
            registry = Registry(one.database_url, one.tracking_uri, artifact_root=old.artifacts)
            version = registry.version("models:/bot@champion")
            history = registry.mlflow.client.get_metric_history(self._run(registry), "loss")
            artifacts = registry.mlflow.client.get_model_version("bot", "1").source
            said.append((
                version, registry.decisions(version), registry.promotions("bot", "champion"), artifacts,
                [(metric.step, str(metric.value)) for metric in history],
            ))  # fmt: skip
            if one is new:
                made = registry.mlflow.client.create_experiment("the next one")
                assert int(made) > max(
                    int(row[0]) for row in rows(new.database_url, "SELECT experiment_id FROM experiments"
                                                " WHERE name <> 'the next one'")
                )  # fmt: skip
            registry.close()
        assert said[0] == said[1]

    def _run(self, registry: Registry) -> str:
        return str(registry.mlflow.client.search_runs(["0"])[0].info.run_id)

    def _books(self, old: Settings, new: Settings) -> None:
        buffers = [Buffer.of(one) for one in (old, new)]
        read = [buffer.read("chat") for buffer in buffers]
        assert read[0] == read[1]
        assert len(read[1]) == KEPT
        buffers[1].append("chat", [Generation(id="new", time=1, prompt="p", output="o")])
        assert [row.id for row in buffers[1].read("chat", after=GIVEN)] == ["new"], "a reader's watermark passes it"
        ledgers = [SqlLedger(own_url(one, "judges")) for one in (old, new)]
        assert ledgers[0].find(["sha256:k"]) == ledgers[1].find(["sha256:k"])
        for opened in (*buffers, *ledgers):
            opened.close()

    def test_the_gate_stands(self, settings: Settings, target: str):
        move(settings, target)
        with pytest.raises(Exception, match="protected by a policy"):
            rows(target, "DELETE FROM registered_model_aliases")
        with pytest.raises(Exception, match="append-only"):
            rows(target, "DELETE FROM evalkit_audit")
        with pytest.raises(Exception, match="violates foreign key"):
            rows(target, "INSERT INTO evalkit_suite_bindings VALUES ('v', 's', 'i', 'w', 1)")

    def test_by_command_with_nothing_made_before(self, command: Callable[..., Any], postgres_url: str, project: Path):
        done = command("move", "--to", postgres_url, "--json")
        assert done.exception is None, done.output
        told = json.loads(done.stdout)
        assert told["rows"] == sum(one["rows"] for one in told["tables"])
        (project / "evalkit.toml").write_text("\n".join(told["settings"]))
        for path in (project / ".evalkit").glob("*.db*"):
            path.unlink()
        checked = command("check", "--json")
        assert (checked.return_value, json.loads(checked.stdout)["good"]) == (0, True)
        assert not list((project / ".evalkit").glob("*.db")), "SQLite was used again"
        again = command("move", "--to", postgres_url)
        assert "on PostgreSQL already" in str(again.exception)


@on_postgres
class TestRefused:
    @pytest.mark.parametrize(
        ("file", "statements", "message"),
        [
            ("mlflow.db", ["UPDATE registered_models SET description = 'a' || char(0)"], "description: .*zero byte"),
            ("mlflow.db", ["UPDATE tags SET key = 'x'", "UPDATE runs SET name = printf('%300d', 1)"], "of 300 char"),
            ("mlflow.db", ["UPDATE evalkit_decisions SET record = '{\"a\": NaN}'"], "record: JSON with NaN"),
            ("mlflow.db", ["UPDATE evalkit_decisions SET record = 'word'"], "record: a text that is no JSON"),
            ("mlflow.db", [WEBHOOK], "allow_private: 7 is neither true nor false"),
            ("mlflow.db", ["UPDATE evalkit_evaluations SET look = 'two'"], "look: 'two' is no whole number"),
            ("mlflow.db", ["UPDATE evalkit_evaluations SET look = 3000000000"], "out of range"),
            ("mlflow.db", ["UPDATE evalkit_suites SET name = CAST(x'ff' AS TEXT)"], "UTF-8"),
            ("mlflow.db", ["DELETE FROM evalkit_suites"], "evalkit_suites.*db check"),
            ("mlflow.db", ["CREATE TABLE notes (a)", "INSERT INTO notes VALUES (1)"], "a table 'notes'"),
            ("mlflow.db", ["ALTER TABLE evalkit_suites ADD COLUMN mine TEXT"], "a column 'mine'"),
            ("mlflow.db", ["UPDATE evalkit_alembic_version SET version_num = '0003'"], "needed is .* db upgrade"),
            ("ingest.db", ["UPDATE evalkit_ingested SET body = 'a' || char(0)"], "body: .*zero byte"),
        ],
    )
    def test_what_does_not_fit(
        self, file: str, statements: list[str], message: str, settings: Settings, target: str, files: Any, project: Path
    ):
        change(project / ".evalkit" / file, *statements)
        before = files(project)
        with pytest.raises(InputError, match=message):
            move(settings, target)
        assert is_empty(target)
        assert files(project) == before

    def test_a_target_that_has_rows(self, settings: Settings, target: str):
        move(settings, target)
        count = "SELECT count(*) FROM evalkit_audit"
        before = rows(target, count)
        with pytest.raises(InputError, match="is not empty: there are rows in"):
            move(settings, target)
        assert rows(target, count) == before

    def test_a_project_at_work(self, settings: Settings, target: str):
        registry = Registry(settings.database_url, settings.tracking_uri, artifact_root=settings.artifacts)
        lease = registry.acquire("evaluation of bot")
        with pytest.raises(InputError, match=r"at work: .*evaluation of bot"):
            move(settings, target)
        registry.release(lease)
        registry.close()
        holding = subprocess.Popen(
            [sys.executable, "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
             "c.execute('SELECT 1 FROM sqlite_master'); print(flush=True); input()",
             str(settings.home / "ingest.db")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert holding.stdout is not None
        holding.stdout.readline()
        try:
            with pytest.raises(InputError, match=rf"process {holding.pid} .* has ingest.db open"):
                move(settings, target)
        finally:
            holding.communicate(b"\n")
        assert is_empty(target)

    def test_writers_wait_until_it_is_over(self, settings: Settings, target: str, monkeypatch: pytest.MonkeyPatch):
        """A row that is written between the copy and the end would be lost."""
        refused = []

        def look(*arguments: Any) -> Any:
            with closing(sqlite3.connect(settings.home / "ingest.db", timeout=0.01)) as database:
                try:
                    database.execute("DELETE FROM evalkit_ingested")
                except sqlite3.OperationalError as error:
                    refused.append(str(error))
            return verify(*arguments)

        verify = postgres.content
        monkeypatch.setattr(postgres, "content", look)
        move(settings, target)
        assert set(refused) == {"database is locked"}

    @pytest.mark.parametrize("step", ["fill", "make_foreign_keys", "set_sequences"])
    def test_an_end_in_the_middle(self, step: str, settings: Settings, target: str, monkeypatch: pytest.MonkeyPatch):
        with monkeypatch.context() as patch:
            patch.setattr(postgres, step, _dies)
            with pytest.raises(KeyboardInterrupt):
                move(settings, target)
        assert is_empty(target)
        assert move(settings, target).rows > 0

    def test_a_value_that_arrives_changed(self, settings: Settings, target: str, monkeypatch: pytest.MonkeyPatch):
        def rounded(connection: Any, schema: str, table: str, names: Any, found: Any) -> int:
            changed = ([1e-301 if value == 1e-300 else value for value in row] for row in found)
            return int(copy(connection, schema, table, names, changed))

        copy = postgres.fill
        monkeypatch.setattr(postgres, "fill", rounded)
        with pytest.raises(InputError, match=r"metrics came out different|latest_metrics came out"):
            move(settings, target)
        assert is_empty(target)

    def test_an_audit_that_is_not_the_old_one(self, settings: Settings, target: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(moving, "audit_reports", lambda url: (url,))
        with pytest.raises(InputError, match="audit of the new database is not"):
            move(settings, target)


class TestRefusedBefore:
    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("sqlite:///other.db", "not PostgreSQL"),
            ("postgresql://u:secret@127.0.0.1:1/x", "every user of this machine"),
            ("postgresql://127.0.0.1:1/x", "cannot be opened"),
            ("nonsense", "cannot be read"),
        ],
    )
    def test_targets(self, target: str, message: str, command: Callable[..., Any]):
        done = command("move", "--to", target)
        assert isinstance(done.exception, InputError)
        assert message in str(done.exception)
        assert "secret" not in str(done.exception)

    def test_advisory(self, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setenv("EVALKIT_DATABASE_URL", f"sqlite:///{tmp_path / 'own.db'}")
        done = command("move", "--to", "postgresql://127.0.0.1:1/x")
        assert "advisory" in str(done.exception)

    def test_runs_elsewhere(self, command: Callable[..., Any], project: Path, tmp_path: Path):
        lines = [
            f'tracking_uri = "sqlite:///{tmp_path / "runs.db"}"',
            f'registry_uri = "sqlite:///{project / ".evalkit" / "mlflow.db"}"',
        ]
        (project / "evalkit.toml").write_text("\n".join(lines))
        done = command("move", "--to", "postgresql://127.0.0.1:1/x")
        assert "in different databases" in str(done.exception)

    def test_nothing_there(self, command: Callable[..., Any], project: Path):
        for path in (project / ".evalkit").glob("*.db*"):
            path.unlink()
        done = command("move", "--to", "postgresql://127.0.0.1:1/x")
        assert "there is no such file" in str(done.exception)


COLUMNS = [
    Column("t", "text"),
    Column("f", "float"),
    Column("i", "integer"),
    Column("b", "bytes"),
    Column("o", "boolean"),
]
VALUES = st.tuples(
    st.none() | st.text(), st.none() | st.floats(allow_nan=False), st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.binary(), st.none() | st.booleans(),
)  # fmt: skip


def digest(found: list[Any]) -> Any:
    made = Digest(COLUMNS)
    for row in found:
        made.add(row)
    return made.content()


class TestDigest:
    @given(st.lists(VALUES, max_size=6), st.randoms(use_true_random=False))
    @hypothesis_settings(max_examples=40, deadline=None)
    def test_the_order_of_rows_does_not_matter(self, found: list[Any], shuffled: random.Random):
        other = list(found)
        shuffled.shuffle(other)
        assert digest(other) == digest(found)

    @given(st.lists(VALUES, min_size=1, max_size=4), VALUES)
    @hypothesis_settings(max_examples=40, deadline=None)
    def test_another_row_does(self, found: list[Any], other: Any):
        same = json.dumps([repr(value) for value in other]) == json.dumps([repr(value) for value in found[0]])
        assert (digest([other, *found[1:]]) == digest(found)) == same

    def test_a_row_that_is_there_twice_counts_twice(self):
        row = ("a", 1.0, 1, b"", True)
        assert digest([row, row]) != digest([row])
        assert digest([row, row]).digest != digest([]).digest

    def test_kinds_and_gaps_differ(self):
        said = [("", None), (None, ""), ("1", None), (1, None), (True, None), (1.0, None), (0.0, None), (-0.0, None)]
        found = [Digest(COLUMNS[:2]) for _ in said]
        for one, row in zip(found, said, strict=True):
            one.add(row)
        assert len({one.content().digest for one in found}) == len(said)

    def test_jsonb_in_any_order_of_its_keys(self):
        made = [Digest([Column("j", "jsonb")]) for _ in range(2)]
        made[0].add(('{"a": 1, "b": [2]}',))
        made[1].add(('{"b":[2],"a":1}',))
        assert made[0].content() == made[1].content()

    def test_what_sqlite_gives_becomes_what_postgresql_gives(self):
        columns = [Column("o", "boolean"), Column("f", "float"), Column("d", "date"), Column("i", "integer")]
        assert fitting("t", columns)((1, 2, "2026-05-01", 3.0)) == [True, 2.0, "2026-05-01", 3]


def _dies(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt
