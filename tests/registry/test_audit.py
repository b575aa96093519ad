"""The audit: whatever was changed, cut or rewritten is found, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from registry import audit, triggers
from registry.database import connect, reading, upgrade, writing
from registry.digests import digest
from registry.policy import Policy, remove_policy, set_policy
from registry.tables import AuditRow, PolicyRow


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = connect(database_url)
    upgrade(made)
    yield made
    made.dispose()


def write(engine: Engine, count: int = 5) -> None:
    for number in range(count):
        with writing(engine) as session:
            audit.append(session, "promotion", actor="ann", name="m", facts={"number": number})


def tamper(engine: Engine, statement: str, **values: Any) -> None:
    """What somebody with the whole database in hand may do."""
    with engine.begin() as connection:
        triggers.remove(connection)
        assert connection.execute(text(statement), values).rowcount >= 1


def test_an_untouched_chain_is_intact(engine: Engine):
    assert audit.verify(engine).entries == 0
    write(engine)
    set_policy(engine, Policy("m"), actor="ann")
    set_policy(engine, Policy("m", approvals=1), actor="ann")
    set_policy(engine, Policy("n"), actor="ann")
    remove_policy(engine, "n", actor="ann")
    report = audit.verify(engine, anchors=[audit.head(engine)])
    assert (report.entries, report.findings, report.anchors) == (9, (), 1)
    entries = list(audit.export(engine))
    assert [entry["seq"] for entry in entries] == list(range(1, 10))
    assert all(later["previous"] == earlier["hash"] for earlier, later in pairwise(entries))
    for entry in entries:
        assert digest({key: value for key, value in entry.items() if key != "hash"}) == entry["hash"]


def test_what_is_written_while_the_chain_is_read_is_not_missing(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    write(engine)
    check, others = audit._check_entry, [2]

    def meanwhile(*arguments: Any) -> Any:
        if others:
            write(engine, others.pop())
        return check(*arguments)

    monkeypatch.setattr(audit, "_check_entry", meanwhile)
    report = audit.verify(engine)
    assert (report.entries, report.findings, others) == (5, (), [])
    assert audit.verify(engine).entries == 7


@pytest.mark.parametrize(
    ("column", "value"),
    [("actor", "eve"), ("kind", "override"), ("name", "other"), ("at", 1), ("hash", "sha256:0"), ("previous", "x"),
     ("entry", "{}"), ("entry", "nothing")],
)  # fmt: skip
def test_a_changed_column_is_located(engine: Engine, column: str, value: Any):
    write(engine)
    tamper(engine, f"UPDATE evalkit_audit SET {column} = :value WHERE seq = 3", value=value)
    assert {finding.seq for finding in audit.verify(engine).findings} & {3}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seq=st.integers(1, 5), place=st.integers(0, 10_000), letter=st.sampled_from('0aZ{" '))
def test_any_changed_letter_is_located(tmp_path: Any, seq: int, place: int, letter: str):
    engine = connect(f"sqlite:///{tmp_path}/{seq}-{place}-{ord(letter)}.db")
    upgrade(engine)
    write(engine)
    with reading(engine) as session:
        entry = session.get_one(AuditRow, ("default", seq)).entry
    place %= len(entry)
    changed = entry[:place] + letter + entry[place + 1 :]
    tamper(engine, "UPDATE evalkit_audit SET entry = :entry WHERE seq = :seq", entry=changed, seq=seq)
    found = {finding.seq for finding in audit.verify(engine).findings}
    try:
        same = json.loads(changed) == json.loads(entry)
    except ValueError:
        same = False
    assert same or seq in found
    engine.dispose()


def test_a_removed_entry_is_located(engine: Engine):
    write(engine)
    tamper(engine, "DELETE FROM evalkit_audit WHERE seq = 3")
    findings = audit.verify(engine).findings
    assert (findings[0].seq, findings[0].what) == (4, "entry 3 is missing")


def test_a_cut_tail_is_found_by_the_head(engine: Engine):
    write(engine)
    tamper(engine, "DELETE FROM evalkit_audit WHERE seq > 3")
    (finding,) = audit.verify(engine).findings
    assert finding.seq == 3
    assert "cut off" in finding.what


def test_a_tail_cut_with_its_head_is_found_by_an_anchor(engine: Engine):
    write(engine)
    anchor = audit.head(engine)
    with reading(engine) as session:
        third = session.get_one(AuditRow, ("default", 3)).hash
    tamper(engine, "DELETE FROM evalkit_audit WHERE seq > 3")
    tamper(engine, "UPDATE evalkit_audit_heads SET seq = 3, hash = :hash", hash=third)
    assert audit.verify(engine).intact, "which is why the head is told to somebody else"
    (finding,) = audit.verify(engine, anchors=[anchor]).findings
    assert finding.seq == 3
    assert "tail was cut" in finding.what


def test_a_chain_rewritten_as_a_whole_is_found_by_an_anchor(engine: Engine):
    write(engine, 2)
    early = audit.head(engine)
    write(engine, 3)
    late = audit.head(engine)
    tamper(engine, "DELETE FROM evalkit_audit WHERE seq > 2")
    with reading(engine) as session:
        second = session.get_one(AuditRow, ("default", 2)).hash
    tamper(engine, "UPDATE evalkit_audit_heads SET seq = 2, hash = :hash", hash=second)
    for number in range(3):
        with writing(engine) as session:
            audit.append(session, "promotion", actor="eve", name="m", facts={"number": number})
    assert audit.verify(engine).intact
    (finding,) = audit.verify(engine, anchors=[late, early]).findings
    assert "between entry 2 and 5" in finding.what


def test_witnessed_rows(engine: Engine):
    set_policy(engine, Policy("m", approvals=2), actor="ann")
    tamper(engine, "UPDATE evalkit_policies SET guarded = '|none|'")
    (finding,) = audit.verify(engine).findings
    assert finding.seq == 1
    assert "not as entry 1 tells" in finding.what
    tamper(engine, "DELETE FROM evalkit_policies")
    assert "gone" in audit.verify(engine).findings[0].what


def test_a_row_that_was_slipped_in(engine: Engine):
    set_policy(engine, Policy("m"), actor="ann")
    columns = "workspace, created_at, glob_pattern, like_pattern, specific, guarded, rules, actor"
    tamper(
        engine,
        f"INSERT INTO evalkit_policies (id, pattern, {columns}) SELECT 'x', 'n', {columns} FROM evalkit_policies",
    )
    (finding,) = audit.verify(engine).findings
    assert "was not written by evalkit" in finding.what


def test_rows_from_before_the_audit_are_taken_over(engine: Engine):
    row = PolicyRow(
        id="old", workspace="default", created_at=1, pattern="m", glob_pattern="m", like_pattern="m", specific=1,
        guarded="|champion|", rules={}, actor="ann",
    )  # fmt: skip
    with writing(engine) as session:
        session.add(row)
    assert audit.verify(engine).intact
    write(engine, 1)
    assert [entry["kind"] for entry in audit.export(engine)] == ["opened", "promotion"]
    assert audit.verify(engine).intact
    tamper(engine, "UPDATE evalkit_policies SET actor = 'eve'")
    assert [finding.seq for finding in audit.verify(engine).findings] == [1]


def test_a_failed_act_leaves_no_entry(engine: Engine):
    write(engine, 1)
    with pytest.raises(RuntimeError), writing(engine) as session:
        audit.append(session, "promotion", actor="ann")
        raise RuntimeError
    write(engine, 1)
    assert audit.verify(engine).entries == 2
    assert audit.verify(engine).intact


def test_workspaces_have_chains_of_their_own(engine: Engine):
    write(engine, 2)
    with writing(engine) as session:
        audit.append(session, "promotion", actor="ann", workspace="other")
    assert [audit.verify(engine, workspace).entries for workspace in ("default", "other")] == [2, 1]
