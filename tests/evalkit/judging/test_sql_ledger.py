"""One contract, three ledgers: in memory, SQLite and PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from evalkit.config import Settings
from evalkit.judging.ledger import SqlLedger, open_ledger
from evalkit.own_database import SCHEMAS
from judges.base import Usage
from judges.clients.base import Reply, TokenChoice
from judges.ledger import Entry, Ledger, MemoryLedger
from metrics.errors import InputError
from registry.database import connect

DAY = 86_400_000
REPLY = Reply("yes", "m-1", "fp", 10, 5, (TokenChoice("yes", {"yes": -0.1, "no": -2.0}),), 0.25, True)


def entry(key: str, **changes: object) -> Entry:
    base = Entry(f"sha256:{key}", "helpful", "sha256:v", "openai:/m", f"s-{key}", "verdict", 0, REPLY, 0.5, 5 * DAY)
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
def sql(database_url: str) -> Iterator[SqlLedger]:
    ledger = SqlLedger(database_url)
    yield ledger
    ledger.close()


@pytest.fixture(params=["memory", "sql"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    found: Ledger = MemoryLedger() if request.param == "memory" else request.getfixturevalue("sql")
    return found


@pytest.mark.usefixtures("database_url")
class TestContract:
    def test_what_was_recorded_is_found_as_it_was(self, ledger: Ledger):
        entries = [entry("a"), entry("b", cost=None, repeat=3, step="swapped", reply=Reply(""))]
        assert not ledger.record(entries)
        keys = [one.key for one in entries]
        assert ledger.find([*keys, "sha256:absent"]) == dict(zip(keys, entries, strict=True))
        assert not ledger.find([])
        assert not ledger.record([])

    def test_the_first_entry_stays(self, ledger: Ledger):
        first, second = entry("a"), entry("a", reply=Reply("other"), created=6 * DAY)
        ledger.record([first])
        assert ledger.record([second, entry("b")]) == {first.key: first}
        assert ledger.find([first.key]) == {first.key: first}
        assert len(ledger.find([first.key, "sha256:b"])) == 2

    def test_many_keys_at_once(self, ledger: Ledger):
        entries = [entry(str(i)) for i in range(1500)]
        ledger.record(entries)
        assert len(ledger.find(one.key for one in entries)) == 1500


# Servers write JSON, where two surrogates in a row are one character
TEXTS = (
    st.text(st.characters(codec=None), max_size=40) | st.sampled_from(["\0", "\ud800", "\\0", "\u2028", "'; DROP"])
).map(lambda written: str(json.loads(json.dumps(written))))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=TEXTS, token=TEXTS, sample=TEXTS)
def test_any_text_comes_back_bit_by_bit(sql: SqlLedger, said: str, token: str, sample: str):
    one = entry(
        str(uuid.uuid4()),
        sample_id=sample,
        reply=replace(REPLY, text=said, choices=(TokenChoice(token, {token: -1.0}),)),
    )
    assert not sql.record([one])
    assert sql.find([one.key])[one.key].reply == one.reply
    assert sql.erase([sample]) >= 1
    assert not sql.find([one.key])


def test_a_commit_that_stored_everything_reads_nothing(sql: SqlLedger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sql, "find", None)
    assert sql.record([entry("a"), entry("b")]) == {}


def test_totals(sql: SqlLedger):
    sql.record(
        [
            entry("a", cost=0.5),
            entry("b", cost=0.25, created=6 * DAY - 1),
            entry("c", cost=None, created=6 * DAY),
            entry("d", judge="other", model="local", cost=None),
        ]
    )
    totals = [(t.group, t.replies, t.cost, t.unpriced, t.prompt_tokens, t.seconds) for t in sql.totals()]
    assert totals == [
        ({"judge": "helpful", "model": "openai:/m", "day": "1970-01-06"}, 2, 0.75, 0, 20, 0.5),
        ({"judge": "helpful", "model": "openai:/m", "day": "1970-01-07"}, 1, None, 1, 10, 0.25),
        ({"judge": "other", "model": "local", "day": "1970-01-06"}, 1, None, 1, 10, 0.25),
    ]
    assert [t.group for t in sql.totals(("judge",), since=5 * DAY, until=6 * DAY)] == [
        {"judge": "helpful"}, {"judge": "other"},
    ]  # fmt: skip
    assert sql.totals(("step",), model="local")[0].replies == 1
    assert sql.spent(since=6 * DAY) == Usage(1, 10, 5, None, 0.25)
    assert sql.spent(judge="helpful").cost == 0.75
    assert sql.spent(judge="nobody") == Usage()
    assert sql.totals(judge="nobody") == []
    with pytest.raises(InputError, match=r"cannot be summed by 'jugde'.*did you mean 'judge'"):
        sql.totals(("jugde",))  # type: ignore[arg-type]


def test_two_processes_may_open_and_write_at_once(database_url: str):
    code = (
        "import sys; from evalkit.judging.ledger import SqlLedger; from judges.ledger import Entry; "
        "from judges.clients.base import Reply\n"
        "ledger = SqlLedger(sys.argv[1])\n"
        "for i in range(20):\n"
        "    ledger.record([Entry(f'{i}', 'j', 'v', 'm', 's', 'verdict', 0, Reply(sys.argv[2]), None, 0)])\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, database_url, name]) for name in ("one", "two")]
    assert [process.wait(60) for process in running] == [0, 0]
    ledger = SqlLedger(database_url)
    found = ledger.find(map(str, range(20)))
    ledger.close()
    assert len(found) == 20
    assert {one.reply.text for one in found.values()} <= {"one", "two"}


def test_threads_may_share_it(sql: SqlLedger):
    def work(name: str) -> None:
        for i in range(10):
            sql.record([entry(f"{name}-{i}")])

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sql.totals(())[0].replies == 40


@pytest.mark.postgres
def test_a_schema_of_its_own_on_postgresql(postgres_url: str):
    SqlLedger(postgres_url).close()
    engine = connect(postgres_url)
    with engine.connect() as connection:
        query = text("SELECT table_schema FROM information_schema.tables WHERE table_name = 'evalkit_judge_replies'")
        assert connection.execute(query).scalars().all() == [SCHEMAS["judges"]]
    engine.dispose()


def test_a_file_of_its_own_on_sqlite(tmp_path: Path):
    local = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ledger = open_ledger(Settings(tmp_path / ".evalkit", local, local, local, advisory=False))
    ledger.record([entry("a")])
    ledger.close()
    assert (tmp_path / ".evalkit" / "judges.db").exists()
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("url", ["mysql://host/x", "nonsense"])
def test_other_databases_are_refused(url: str):
    with pytest.raises(InputError):
        SqlLedger(url)


def test_a_file_that_is_no_database(tmp_path: Path):
    (tmp_path / "judges.db").write_text("not a database, but long enough to look at" * 50)
    with pytest.raises(InputError, match=r"judges.db cannot be opened"):
        SqlLedger(f"sqlite:///{tmp_path / 'judges.db'}")
