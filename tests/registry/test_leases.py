"""One live worker per key; a dead local one is replaced at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry.database import connect, upgrade, writing
from registry.digests import now_ms
from registry.leases import HEARTBEAT_TIMEOUT, LeaseHeldError, LeaseLostError, Leases, check_token
from registry.tables import LeaseRow

HOLD = """
import sys, time
from registry.database import connect
from registry.leases import Leases
Leases(connect(sys.argv[1]), "default").acquire("work")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def leases(database_url: str) -> Leases:
    engine = connect(database_url)
    upgrade(engine)
    return Leases(engine, "default")


def _holder(url: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_live_process_keeps_its_lease_and_a_killed_one_loses_it_at_once(leases: Leases, database_url: str):
    holder = _holder(database_url)
    try:
        with pytest.raises(LeaseHeldError, match=f"process {holder.pid}"):
            leases.acquire("work")
    finally:
        holder.send_signal(signal.SIGKILL)
        before = time.monotonic()
        # Not waited for yet: as a zombie it still has its process id
        while True:
            try:
                lease = leases.acquire("work")
                break
            except LeaseHeldError:
                assert time.monotonic() - before < 5
        holder.wait()
    assert lease.pid == os.getpid()


def test_a_reused_process_id_is_not_the_holder(leases: Leases):
    lease = leases.acquire("work")
    with writing(leases._engine) as session:
        check_token(session, lease.token).process_started -= 60_000
    assert leases.acquire("work").token != lease.token


def test_other_hosts_live_by_their_heartbeat(leases: Leases):
    lease = leases.acquire("work")
    with writing(leases._engine) as session:
        check_token(session, lease.token).host = "elsewhere"
    with pytest.raises(LeaseHeldError, match="on elsewhere"):
        leases.acquire("work")
    with writing(leases._engine) as session:
        check_token(session, lease.token).heartbeat_at = now_ms() - int(HEARTBEAT_TIMEOUT * 1000) - 1
    taken = leases.acquire("work")
    with pytest.raises(LeaseLostError):
        leases.renew(lease)
    leases.release(lease)
    leases.renew(taken)


def test_renewing_moves_the_heartbeat(leases: Leases):
    lease = leases.acquire("work")
    with writing(leases._engine) as session:
        check_token(session, lease.token).heartbeat_at = 1
    leases.renew(lease)
    with writing(leases._engine) as session:
        assert check_token(session, lease.token).heartbeat_at > 1


def test_released_is_free(leases: Leases):
    leases.release(leases.acquire("work"))
    leases.acquire("work")
    leases.acquire("other work")
    with writing(leases._engine) as session:
        assert session.query(LeaseRow).count() == 2


def test_waiting_has_an_end(leases: Leases):
    leases.acquire("work")
    before = time.monotonic()
    with pytest.raises(LeaseHeldError):
        leases.acquire("work", wait=0.3)
    assert 0.3 <= time.monotonic() - before < 5


def test_workspaces_do_not_meet(leases: Leases):
    here = leases.acquire("work")
    there = Leases(leases._engine, "another").acquire("work")
    assert here.token != there.token
    leases.renew(here)
    leases.release(there)
    leases.renew(here)
    with pytest.raises(LeaseHeldError):
        leases.acquire("work")
