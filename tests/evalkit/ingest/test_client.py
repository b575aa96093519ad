"""The client never blocks or breaks the application."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import evalkit
from evalkit.config import load_settings
from evalkit.ingest.buffer import Buffer
from evalkit.ingest.client import IngestClient, Record, RefusedError


class Sink:
    """Keeps what it is sent; fails as often as it was told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.kept, self.batches = list(failures), [], 0
        self.open = threading.Event()
        self.open.set()

    def send(self, stream: str, records: Sequence[Record]) -> None:
        self.open.wait(10)
        if self.failures:
            raise self.failures.pop(0)
        self.batches += 1
        self.kept += [(stream, record) for record in records]


@pytest.fixture
def clients() -> Iterator[list[IngestClient]]:
    made: list[IngestClient] = []
    yield made
    for client in made:
        client.close(2)


def test_batches_by_stream_in_order(clients: list[IngestClient]) -> None:
    sink = Sink()
    client = IngestClient(sink, linger=0.05)
    clients.append(client)
    ids = [client.log("a" if i % 2 else "b", {"prompt": str(i)}) for i in range(200)]
    assert client.flush()
    assert [record.id for stream, record in sink.kept if stream == "a"] == ids[1::2]
    assert sink.batches < 20
    assert client.counts.sent == 200


def test_a_full_queue_drops_and_does_not_wait(clients: list[IngestClient], caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    sink.open.clear()
    client = IngestClient(sink, waiting=10, linger=0.0)
    clients.append(client)
    start = time.monotonic()
    with caplog.at_level(logging.WARNING, "evalkit.ingest"):
        taken = [client.log("bot", {"prompt": "p"}) for _ in range(1000)]
    assert time.monotonic() - start < 5  # the sink would keep it for 10 s
    sink.open.set()
    assert client.flush()
    assert client.counts.dropped == taken.count(None) > 900
    assert client.counts.sent == len(sink.kept) == 1000 - taken.count(None)
    assert len(caplog.records) == 1


def test_nothing_that_is_handed_over_raises(clients: list[IngestClient]) -> None:
    client = IngestClient(Sink())
    clients.append(client)
    for values in ({"prompt": object()}, {"latency": float("nan")}, {"what": 1}, {"prompt": "x" * 2_000_000}):
        assert client.log("bot", values) is None
    assert client.log("a b", {"prompt": "p"}) is None
    assert client.counts.dropped == 5
    assert "cannot name a stream" in str(client.counts.reason)


def test_what_fails_is_tried_again_and_what_is_refused_is_not(clients: list[IngestClient]) -> None:
    sink = Sink(OSError("gone"), OSError("gone"))
    client = IngestClient(sink, linger=0.0)
    clients.append(client)
    client.log("bot", {"prompt": "p"})
    assert client.flush() and len(sink.kept) == 1
    sink.failures = [RefusedError("403 no")]
    client.log("bot", {"prompt": "p"})
    assert client.flush() and len(sink.kept) == 1
    assert client.counts.reason == "403 no"
    patient = IngestClient(Sink(*[OSError("gone")] * 50), linger=0.0, patience=0.3)
    clients.append(patient)
    patient.log("bot", {"prompt": "p"})
    assert patient.flush()
    assert patient.counts.dropped == 1


def test_into_the_project_and_through_the_end_of_a_process(tmp_path: Path) -> None:
    program = (
        "import evalkit\n"
        "of = evalkit.log_generation('bot', prompt='q', output='a', latency=0.2, user='ann')\n"
        "evalkit.log_feedback('bot', of, 'helpful', 1, probability=0.5)\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("EVALKIT", "MLFLOW"))}
    environment["PYTHONPATH"] = str(Path(evalkit.__file__).parents[1])
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, timeout=60)
    buffer = Buffer.of(load_settings(tmp_path))
    asked, said = buffer.read("bot")
    buffer.close()
    assert (asked.user, asked.values["latency"]) == ("ann", 0.2)
    assert (said.values["of"], said.values["probability"]) == (asked.id, 0.5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_sends_its_own(clients: list[IngestClient], tmp_path: Path) -> None:
    program = (
        "import os, sys, evalkit\n"
        "evalkit.log_generation('bot', prompt='parent')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    evalkit.log_generation('bot', prompt='child')\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("EVALKIT", "MLFLOW"))}
    environment["PYTHONPATH"] = str(Path(evalkit.__file__).parents[1])
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, timeout=60)
    buffer = Buffer.of(load_settings(tmp_path))
    found = sorted(row.values["prompt"] for row in buffer.read("bot"))
    buffer.close()
    assert found == ["child", "parent"]
