"""The endpoint: what it takes, what it refuses, and that what it acknowledged is there after a kill."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from fastapi.testclient import TestClient

from evalkit.config import load_settings
from evalkit.ingest.buffer import Buffer
from evalkit.ingest.client import HttpSender, RefusedError
from evalkit.ingest.records import Generation
from evalkit.server.api import records as api
from registry.actors import Actor, acting

JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}
PATH = "/evalkit/api/v1/streams/bot/records"


def client_as(*roles: str) -> TestClient:
    app = FastAPI()
    app.include_router(api.router, prefix="/evalkit/api/v1")

    @app.middleware("http")
    async def act(request: Any, call_next: Any) -> Any:
        with acting(Actor("someone", frozenset(roles))):
            return await call_next(request)

    return TestClient(app)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "evalkit.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    api.close_buffer()


def kept() -> list[Any]:
    buffer = Buffer.of(load_settings())
    rows = buffer.read("bot")
    buffer.close()
    return rows


@pytest.mark.parametrize(
    ("role", "code"),
    [("viewer", 403), ("labeler", 201), ("evaluator", 201), ("approver", 403), ("admin", 201), ("", 401)],
)
def test_who_may_send(role: str, code: int) -> None:
    found = client_as(*([role] if role else [])).post(PATH, json=[{"prompt": "p"}])
    assert found.status_code == code
    assert len(kept()) == (code == 201)


def test_array_lines_and_gzip() -> None:
    client = client_as("labeler")
    assert client.post(PATH, json=[{"id": "a"}]).json() == {"accepted": 1, "duplicates": 0}
    assert client.post(PATH, content=b'{"id": "a"}\n{"id": "b"}', headers=LINES).json() == {
        "accepted": 1,
        "duplicates": 1,
    }
    packed = gzip.compress(b'[{"id": "c"}]')
    assert client.post(PATH, content=packed, headers=JSON | {"content-encoding": "gzip"}).status_code == 201
    assert [row.id for row in kept()] == ["a", "b", "c"]


def test_refusals_keep_nothing() -> None:
    client = client_as("labeler")
    packed = {"content-encoding": "gzip"}
    bomb = gzip.compress(b" " * (api.MAX_BODY + 1))
    many = json.dumps([{}] * (api.MAX_RECORDS + 1)).encode()
    for code, path, body, headers in (
        (422, PATH, b'[{"id": "a"}, {"latency": -1}]', {}),
        (422, PATH.replace("bot", "a%20b"), b"[{}]", {}),
        (413, PATH, b" " * (api.MAX_BODY + 1), {}),
        (413, PATH, bomb, packed),
        (413, PATH, many, {}),
        (400, PATH, b"plain", packed),
        (400, PATH, gzip.compress(b"[{}]" * 100)[:-12], packed),
        (415, PATH, b"[]", {"content-encoding": "br"}),
        (400, PATH, b"[]", {"content-type": "text/plain"}),
    ):
        found = client.post(path, content=body, headers=JSON | headers)
        assert found.status_code == code, (found.status_code, found.text)
        assert "Traceback" not in found.text
    assert kept() == []


def test_the_clients_sender_speaks_with_it(project: Path) -> None:
    with served(project) as url:
        HttpSender(url).send("bot", [Generation(id="a", prompt="p", slices={"language": "de"})])
        with pytest.raises(RefusedError, match="404"):
            HttpSender(f"{url}/nowhere").send("bot", [Generation()])
    (row,) = kept()
    assert row.values == {"prompt": "p", "slices": {"language": "de"}}


def test_what_was_acknowledged_survives_a_kill(project: Path) -> None:
    acknowledged: list[str] = []

    def send(url: str, worker: int) -> None:
        session = requests.Session()
        for turn in range(10_000):
            ids = [f"{worker}-{turn}-{i}" for i in range(20)]
            try:
                answer = session.post(url + PATH, json=[{"id": i, "prompt": "p" * 100} for i in ids], timeout=5)
            except requests.RequestException:
                return
            if answer.status_code == 201:
                acknowledged.extend(ids)

    with served(project) as url:
        senders = [threading.Thread(target=send, args=(url, worker)) for worker in range(3)]
        for sender in senders:
            sender.start()
        while len(acknowledged) < 500:
            time.sleep(0.01)
        os.kill(served.process.pid, signal.SIGKILL)
        for sender in senders:
            sender.join()
    assert set(acknowledged) <= {row.id for row in kept()}


class served:  # noqa: N801 - reads as a verb
    """The endpoint as a process in a folder."""

    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("EVALKIT", "MLFLOW"))}
        environment["PYTHONPATH"] = str(Path(api.__file__).parents[3])
        here = Path(__file__).with_name("server.py")
        served.process = subprocess.Popen([sys.executable, here, str(port)], cwd=self.folder, env=environment)
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 60
        while True:
            try:
                requests.get(url, timeout=1)
                return url
            except requests.RequestException:
                assert time.monotonic() < end and served.process.poll() is None
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        served.process.kill()
        served.process.wait()
