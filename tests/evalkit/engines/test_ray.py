"""Evaluations on real Ray workers; one Ray for the whole module."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from evalkit.engines.distributed import DistributedEngine
from evalkit.engines.joining import connector
from metrics.errors import InputError

from .conftest import Blobs, numbers

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A Ray of this process, as a user may have one: engines use it and leave it as it is."""
    before = dict(os.environ)
    running = connector(None, 2)()
    yield
    running.close()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def two_workers(cluster: None) -> Iterator[DistributedEngine]:
    """Two workers that several tests share, as the evaluations of one command do."""
    engine = ray_engine(2)
    yield engine
    engine.close()


def ray_engine(workers: int) -> DistributedEngine:
    return DistributedEngine(connector("auto", workers))


def test_one_worker_gives_the_estimates_of_the_local_engine(blobs: Blobs) -> None:
    local = blobs.evaluate(None, "local")
    engine = ray_engine(1)
    try:
        assert numbers(blobs.evaluate(engine, "remote")) == numbers(local)
    finally:
        engine.close()


def test_two_workers_give_the_estimates_of_the_local_engine(blobs: Blobs, two_workers: DistributedEngine) -> None:
    local = blobs.evaluate(None, "local")
    blobs.forget_calls()
    (blobs.folder / "wait").touch()  # or the worker that is up first may have drawn all before the second is there

    def release() -> None:
        deadline = time.monotonic() + 60
        while len(blobs.processes()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        (blobs.folder / "wait").unlink()

    releaser = threading.Thread(target=release, daemon=True)
    releaser.start()
    remote = blobs.evaluate(two_workers, "remote")
    releaser.join()
    assert numbers(remote) == numbers(local)
    assert len(blobs.processes()) == 2 and str(os.getpid()) not in blobs.processes()
    assert len(blobs.drawn()) == 150
    for made in ("generated_shards", "extracted_shards", "scored_shards"):
        assert remote.details["counts"][made] == local.details["counts"][made]


def test_a_killed_worker_changes_nothing(blobs: Blobs, two_workers: DistributedEngine) -> None:
    local = blobs.evaluate(None, "local")
    blobs.forget_calls()
    (blobs.folder / "wait").touch()
    killed: list[int] = []

    def kill() -> None:
        while not (busy := [line[0] for line in blobs.drawn() if int(line[1]) >= 32]):
            time.sleep(0.02)
        os.kill(int(busy[0]), signal.SIGKILL)
        killed.append(int(busy[0]))
        (blobs.folder / "wait").unlink()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    remote = blobs.evaluate(two_workers, "remote")
    killer.join()
    assert not psutil.pid_exists(killed[0])
    assert numbers(remote) == numbers(local)
    assert len(blobs.drawn()) > 150  # what it held was drawn again
    assert remote.details["counts"]["generated_shards"] == 5


def test_a_model_sees_the_variables_that_its_task_names_and_no_others(
    blobs: Blobs, two_workers: DistributedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ART_KEY", "key-of-art")
    monkeypatch.setenv("OTHER_KEY", "other")
    blobs.env = ("ART_KEY",)
    blobs.evaluate(two_workers, "remote")
    assert {(line[2], line[3]) for line in blobs.drawn()} == {("key-of-art", "None")}


def test_a_variable_that_is_not_set_is_missed_before_anything_runs(
    blobs: Blobs, two_workers: DistributedEngine
) -> None:
    blobs.env = ("ART_KEY",)
    with pytest.raises(InputError, match="names the environment variable ART_KEY under `env`, but it is not set"):
        blobs.evaluate(two_workers, "remote")
    assert not blobs.drawn()


def test_what_was_cut_off_is_continued_by_the_local_engine(blobs: Blobs, two_workers: DistributedEngine) -> None:
    """Comes last: the workers are not there any more afterwards."""
    local = blobs.evaluate(None, "local")
    blobs.forget_calls()
    (blobs.folder / "wait").touch()

    def stop() -> None:
        while not list((blobs.folder / "remote" / "outputs").rglob("rows-*.parquet")):
            time.sleep(0.02)
        two_workers.stop()

    stopper = threading.Thread(target=stop, daemon=True)
    stopper.start()
    with pytest.raises(InputError, match="the same command continues it"):
        blobs.evaluate(two_workers, "remote")
    stopper.join()
    (blobs.folder / "wait").unlink()
    blobs.forget_calls()
    assert numbers(blobs.evaluate(None, "remote")) == numbers(local)
    assert {int(line[1]) for line in blobs.drawn()} == set(range(32, 150))
