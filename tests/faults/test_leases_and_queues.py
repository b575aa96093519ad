"""A lease whose release fails is given back later, a heartbeat goes on, and nobody lifts the workers' limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import OperationalError

from evalkit.config import Settings
from evalkit.jobs.host import Host
from evalkit.jobs.schedules import Schedules
from evalkit.monitoring.lease import held
from evalkit.own_database import own_url
from registry.database import connect, reading, upgrade
from registry.leases import LeaseHeldError, Leases
from registry.tables import LeaseRow

AWAY = OperationalError("DELETE", {}, Exception("the server is gone"))


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    engine = connect(f"sqlite:///{tmp_path / 'store.db'}")
    upgrade(engine)
    return Leases(engine, "default")


def failing(original: Callable[..., Any], times: int) -> Callable[..., Any]:
    """Fails so many times before it does what it should."""
    left = [AWAY] * times

    def call(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return original(*arguments)

    return call


def test_a_lease_is_given_back_when_the_database_is(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_drop", failing(leases._drop, 2))
    leases.release(leases.acquire("monitor"))
    with pytest.raises(LeaseHeldError):
        leases.acquire("monitor")
    leases.acquire("monitor", wait=10)


def test_a_heartbeat_outlives_a_database_that_is_away(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "renew", failing(leases.renew, 1))

    def told() -> int:
        with reading(leases._engine) as session:
            return int(session.scalar(select(LeaseRow.heartbeat_at)) or 0)

    with held(leases, "monitor", "the monitor", every=0.02):
        before, end = told(), time.monotonic() + 10
        while told() == before:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_whoever_asks_for_a_run_leaves_the_workers_their_limit(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    settings = Settings(tmp_path, url, url, url, advisory=False)
    engine = connect(url)
    upgrade(engine)
    schedules = Schedules(own_url(settings, "jobs"))
    schedules.apply("tick", "0 0 1 1 *", kind="kind", target="t")  # before there is any worker
    host = Host(settings, engine, {}, concurrency=3)
    host.start()
    try:
        schedules.apply("tick", "0 0 2 1 *", kind="kind", target="t")
        jobs = create_engine(own_url(settings, "jobs"))
        with jobs.connect() as connection:
            limits = connection.execute(text("SELECT name, worker_concurrency FROM queues")).all()
        jobs.dispose()
    finally:
        host.stop(0)
        engine.dispose()
    assert ("evalkit-scheduled", 3) in [tuple(row) for row in limits]
