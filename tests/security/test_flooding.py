"""A login that sends more records than the server takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from evalkit.server.api import records
from evalkit.server.api.records import Flow
from evalkit.server.guard import Guard, Mode

PATH = "/streams/bot/records"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    (tmp_path / "evalkit.toml").touch()
    monkeypatch.chdir(tmp_path)
    application = FastAPI()
    application.include_router(records.router)
    with TestClient(Guard(application, mode=Mode.LOCAL)) as made:
        yield made
    records.close_buffer()


def test_a_login_that_floods_is_told_to_wait(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [30.0]
    monkeypatch.setattr(records, "flow", Flow(100, lambda: clock[0]))
    body = [{"id": "a", "prompt": "x" * 20}]
    assert client.post(PATH, json=body).status_code == 201
    assert client.post(PATH, json=body).status_code == 201  # under a hundred bytes together
    refused = client.post(PATH, json=body)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert "send on in 30 s" in refused.json()["message"]
    clock[0] = 60.0
    assert client.post(PATH, json=[{"id": "b"}]).status_code == 201


def test_one_login_does_not_use_up_anothers() -> None:
    flow = Flow(10, lambda: 0.0)
    assert flow.take("mallory", 10) == 0
    assert flow.take("mallory", 1) == 60
    assert flow.take("eva", 10) == 0


def test_what_was_refused_does_not_count_and_logins_do_not_pile_up() -> None:
    clock = [0.0]
    flow = Flow(10, lambda: clock[0])
    assert flow.take("a", 11) == 60
    assert flow.take("a", 10) == 0
    clock[0] = 61.0
    assert flow.take("b", 1) == 0
    assert set(flow._sent) == {"b"}
