"""Claims on the outbox, on both databases: one live worker per item, takeover, fencing, retries."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from metrics.errors import InputError
from registry import outbox as module
from registry.database import connect, upgrade, writing
from registry.digests import now_ms
from registry.leases import HEARTBEAT_TIMEOUT, LeaseLostError, started_at
from registry.outbox import CREATED, DELIVERY, FAILED, Outbox, put
from registry.tables import OutboxRow


@pytest.fixture
def engine(database_url):
    made = connect(database_url)
    upgrade(made)
    yield made
    made.dispose()


@pytest.fixture
def outbox(engine):
    return Outbox(engine)


def add(engine, count=1, kind=CREATED, **more):
    with writing(engine) as session:
        return [put(session, kind, {"place": place}, **more) for place in range(count)]


def set_holder(engine, item, **values):
    with writing(engine) as session:
        session.execute(update(OutboxRow).where(OutboxRow.id == item.id).values(**values))


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return child.pid


def test_an_item_is_had_by_one_worker_and_closed_once(engine, outbox):
    (key,) = add(engine)
    item = outbox.claim(CREATED)
    assert (item.id, item.attempts, item.body) == (key, 1, {"place": 0})
    assert outbox.claim(CREATED) is None
    outbox.finish(item, "evaluated", "all\nwell")
    (done,) = outbox.items()
    assert (done.outcome, done.log[0]["detail"]) == ("evaluated", "all well")
    assert outbox.claim(CREATED) is None
    with pytest.raises(LeaseLostError):
        outbox.finish(item)


def test_oldest_first_by_kind_and_workspace(engine, outbox):
    first, second = add(engine, 2)
    add(engine, kind=DELIVERY)
    add(engine, workspace="other")
    assert [outbox.claim(CREATED).id, outbox.claim(CREATED).id] == [first, second]
    assert outbox.claim(CREATED) is None
    assert outbox.claim(DELIVERY) is not None
    assert Outbox(engine, "other").claim(CREATED) is not None


def test_many_workers_never_have_one_item_twice(engine, database_url):
    keys = add(engine, 40)

    def work(_):
        own = connect(database_url)
        box, found = Outbox(own), []
        while (item := box.claim(CREATED)) is not None:
            found.append(item.id)
            box.finish(item)
        own.dispose()
        return found

    with ThreadPoolExecutor(6) as pool:
        found = Counter(key for part in pool.map(work, range(6)) for key in part)
    assert found == dict.fromkeys(keys, 1)


def test_a_claim_does_not_wait_for_another_one(engine, outbox, database_url):
    if not database_url.startswith("postgresql"):
        pytest.skip("SQLite has one writer at a time")
    first, second = add(engine, 2)
    with writing(engine) as session:  # somebody is in the middle of claiming the first one
        session.execute(update(OutboxRow).where(OutboxRow.id == first).values(attempts=1))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(outbox.claim, CREATED).result(timeout=10).id == second


def test_a_dead_process_loses_its_item_at_once_and_its_late_answer_is_dropped(engine, outbox):
    add(engine)
    item = outbox.claim(CREATED)
    set_holder(engine, item, pid=dead_process())
    taken = outbox.claim(CREATED)
    assert (taken.id, taken.attempts) == (item.id, 2)
    for late in (outbox.finish, outbox.renew, outbox.give_back, outbox.check):
        with pytest.raises(LeaseLostError):
            late(item)
    with pytest.raises(LeaseLostError):
        outbox.retry_later(item, 1, "late")
    outbox.check(taken)
    outbox.finish(taken, "mine")
    assert outbox.items()[0].outcome == "mine"


def test_a_reused_process_id_is_not_taken_for_the_worker(engine, outbox):
    add(engine)
    item = outbox.claim(CREATED)
    parent = os.getppid()
    set_holder(engine, item, pid=parent, process_started=started_at(parent))
    assert outbox.claim(CREATED) is None
    set_holder(engine, item, process_started=1)
    assert outbox.claim(CREATED) is not None


def test_a_worker_elsewhere_keeps_its_item_as_long_as_its_heart_beats(engine, outbox):
    add(engine)
    item = outbox.claim(CREATED)
    set_holder(engine, item, host="elsewhere/1", heartbeat_at=now_ms() - int(HEARTBEAT_TIMEOUT * 900))
    assert outbox.claim(CREATED) is None
    set_holder(engine, item, heartbeat_at=now_ms() - int(HEARTBEAT_TIMEOUT * 1100))
    assert outbox.claim(CREATED).id == item.id


def test_a_heartbeat_is_a_heartbeat(engine, outbox):
    add(engine)
    item = outbox.claim(CREATED)
    set_holder(engine, item, host="elsewhere/1", heartbeat_at=0)
    outbox.renew(item)
    assert outbox.claim(CREATED) is None


def test_later_means_later_and_counts(engine, outbox, monkeypatch):
    add(engine)
    outbox.retry_later(outbox.claim(CREATED), 60, "no connection")
    assert outbox.claim(CREATED) is None
    later = now_ms() + 61_000
    monkeypatch.setattr(module, "now_ms", lambda: later)
    item = outbox.claim(CREATED)
    assert (item.attempts, item.log[0]["detail"]) == (2, "no connection")
    outbox.give_back(item)
    assert outbox.claim(CREATED).attempts == 2


def test_a_failed_item_is_kept_and_can_be_reopened(engine, outbox):
    add(engine)
    item = outbox.claim(CREATED)
    with pytest.raises(InputError, match="not done yet"):
        outbox.reopen(item.id)
    outbox.finish(item, FAILED, "x" * 10_000)
    assert len(outbox.items()[0].log[0]["detail"]) == 500
    outbox.reopen(item.id)
    again = outbox.claim(CREATED)
    assert (again.id, again.attempts, len(again.log)) == (item.id, 1, 1)
    with pytest.raises(InputError, match="no item"):
        outbox.reopen("nothing")


def test_an_item_is_written_with_its_cause_or_not_at_all(engine, outbox):
    with pytest.raises(RuntimeError), writing(engine) as session:
        put(session, CREATED, {})
        raise RuntimeError
    assert outbox.items() == []
