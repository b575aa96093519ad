"""Every revision of our tables, up, down and up again with rows in every table, on both databases."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    cast,
    inspect,
    select,
    text,
)

from metrics.errors import InputError
from registry import triggers
from registry.database import _config, connect, downgrade, revisions, upgrade
from registry.lost import TRANSIENT, lost_rows
from registry.tables import PREFIX

REVISIONS = [one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
ROWS = 3
Content = dict[str, dict[str, list[Any]]]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = connect(database_url)
    yield made
    made.dispose()


def ours(connection: Connection) -> list[Table]:
    """Our tables as they are now, those that others point to first."""
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name.startswith(PREFIX) and name not in TRANSIENT)
    return found.sorted_tables


def value(table: str, column: Any, row: int) -> Any:
    """A value that is like no other one of its column, and one of each kind that is awkward to keep."""
    number = zlib.crc32(f"{table}.{column.name}".encode()) % 10_000 * 10 + row
    kind = column.type
    if isinstance(kind, JSON):
        return {"number": number, "nested": [1.5, None, "é☃"]}
    if isinstance(kind, Boolean):
        return bool(number % 2)
    if isinstance(kind, Float):
        return None if column.nullable and row == 2 else number / 7
    if isinstance(kind, (BigInteger, Integer)):
        return None if column.nullable and row == 2 else number
    if isinstance(kind, LargeBinary):
        return bytes([0, 255, number % 256])
    length = kind.length or 40
    return f"é'{number}"[:length]


def fill(engine: Engine) -> None:
    """Put rows into every table that has none."""
    with engine.begin() as connection:
        tables = ours(connection)
        for table in tables:
            if connection.execute(select(table)).first() is not None:
                continue
            for row in range(ROWS):
                values = {column.name: value(table.name, column, row) for column in table.columns}
                for column in table.columns:
                    for key in column.foreign_keys:
                        values[column.name] = value(key.column.table.name, key.column, row)
                connection.execute(table.insert(), values)


def content(engine: Engine) -> Content:
    """Every value of every table, by table and column, in the order of the keys; JSON as it is written."""
    with engine.connect() as connection:
        found: Content = {}
        for table in ours(connection):
            order = list(table.primary_key.columns)
            shown = [cast(one, Text) if isinstance(one.type, JSON) else one for one in table.columns]
            rows = connection.execute(select(*shown).order_by(*order)).all()
            found[table.name] = {one.name: [row[i] for row in rows] for i, one in enumerate(table.columns)}
        return found


def both_hold(before: Content, older: Content) -> Iterator[tuple[str, str]]:
    """Columns that are in both, of tables whose rows could be kept."""
    for table, columns in older.items():
        if table in before and any(columns.values()):
            yield from ((table, column) for column in columns if column in before[table])


def plain(found: dict[str, int]) -> dict[str, int]:
    return {name.removeprefix(PREFIX): rows for name, rows in found.items()}


LOST: dict[str, dict[str, int]] = {
    "0007": {},
    "0006": {"alerts": ROWS, "detectors": ROWS, "readings": ROWS, "signals.p_value": ROWS - 1},
    "0005": {"firings": ROWS},
    "0004": dict.fromkeys(("monitors", "monitor_versions", "windows", "window_states", "signals", "alerts"), ROWS),
    "0003": {
        "suites.file": ROWS,
        "webhooks": ROWS,
        **{f"outbox.{name}": ROWS for name in ("due_at", "attempts", "token", "host", "pid", "outcome", "log")},
        **{f"outbox.{name}": ROWS for name in ("process_started", "heartbeat_at")},
    },
    "0002": {"user_roles": ROWS, "tokens": ROWS},
    "0001": {
        "model_versions.author": ROWS,
        **dict.fromkeys(("audit", "audit_heads", "outbox", "policies", "approvals", "holders"), ROWS),
    },
}
"""What each step down cannot keep, when every table has rows: empty columns are no loss."""


def test_every_step_down_and_up_again_with_rows_in_every_table(engine: Engine):
    upgrade(engine)
    fill(engine)
    steps = list(zip(REVISIONS[:-1][::-1], REVISIONS[1:][::-1], strict=True))
    for older, newer in steps:
        fill(engine)  # those that the step before made anew
        before = content(engine)
        assert plain(lost_rows(engine, older)) == LOST[older]
        assert content(engine) == before, "counting has changed something"
        downgrade(engine, older)
        assert revisions(engine)[0] == older
        kept = content(engine)
        compared = list(both_hold(before, kept))
        for table, column in compared:
            assert kept[table][column] == before[table][column], (older, table, column)
        upgrade(engine, newer)
        again = content(engine)
        for table, column in compared:
            if (table, column) != ("evalkit_outbox", "done_at"):  # told below
                assert again[table][column] == before[table][column], (newer, table, column)
        assert {name: set(columns) for name, columns in again.items()} == {n: set(c) for n, c in before.items()}
        downgrade(engine, older)
    upgrade(engine)
    assert revisions(engine)[0] == REVISIONS[-1]


def test_what_was_to_be_told_before_there_were_webhooks_is_not_told_later(engine: Engine):
    upgrade(engine, "0003")
    columns = "(id, workspace, created_at, kind, body, done_at)"
    with engine.begin() as connection:
        for kind in ("version.created", "alias.set"):
            connection.execute(
                text(f"INSERT INTO evalkit_outbox {columns} VALUES (:id, 'default', 7, :id, '{{}}', NULL)"),
                {"id": kind},
            )
    upgrade(engine, "0004")
    with engine.connect() as connection:
        found = dict(connection.execute(text("SELECT id, done_at FROM evalkit_outbox")).all())  # type: ignore[arg-type]
    assert found == {"version.created": None, "alias.set": 7}


def test_rows_that_others_point_to_outlive_their_table_being_made_anew(engine: Engine):
    """SQLite deletes the rows that point to a table which is dropped to be made anew, unless told not to."""
    upgrade(engine)
    fill(engine)
    before = content(engine)
    downgrade(engine, "0006")
    kept = content(engine)
    assert json.dumps(kept["evalkit_model_versions"]) == json.dumps(before["evalkit_model_versions"])
    assert kept["evalkit_window_states"] == before["evalkit_window_states"]
    assert len(kept["evalkit_estimates"]["id"]) == ROWS
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []


def test_the_triggers_stand_again_after_it(engine: Engine):
    upgrade(engine)
    with engine.begin() as connection:
        triggers.install(connection)
    downgrade(engine, "0003")
    with engine.begin() as connection:
        assert triggers.missing(connection) == []
        connection.execute(text("INSERT INTO evalkit_audit VALUES ('w', 1, 1, 'k', 'a', 'n', '{}', 'p', 'h')"))
    with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
        connection.execute(text("DELETE FROM evalkit_audit"))
    downgrade(engine)
    upgrade(engine)
    with engine.connect() as connection:
        assert triggers.missing(connection) == ["audit_update", "audit_delete"]  # nothing was there to guard


def test_a_failing_step_leaves_everything(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    upgrade(engine)
    fill(engine)
    before = content(engine)
    monkeypatch.setattr(triggers, "install", _fails)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE bystander (id INTEGER)"))
    monkeypatch.setattr(triggers, "remove", lambda _: True)
    with pytest.raises(RuntimeError, match="power cut"):
        downgrade(engine, "0004")
    assert revisions(engine)[0] == REVISIONS[-1]
    assert content(engine) == before
    assert "bystander" in inspect(engine).get_table_names()


def _fails(_: object) -> None:
    raise RuntimeError("power cut")


@pytest.mark.parametrize("revision", ["0099", "nonsense"])
def test_a_revision_that_is_not_there(revision: str, engine: Engine):
    upgrade(engine)
    with pytest.raises(InputError, match=revision):
        downgrade(engine, revision)
    assert revisions(engine)[0] == REVISIONS[-1]
