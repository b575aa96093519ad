"""The commands that read, against a server: the same output as without one."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from evalkit.cli.app import run


@pytest.fixture
def remote(pages: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The environment of a client of a server over the project."""

    def answer(method: str, url: str, **more: Any) -> requests.Response:
        sent = {name: more[name] for name in ("params", "json", "headers") if more.get(name) is not None}
        seen = pages.client.request(method, url, **sent)
        told = requests.Response()
        told.status_code, told._content, told.url = seen.status_code, seen.content, url
        return told

    monkeypatch.setattr(requests, "request", answer)
    return lambda: monkeypatch.setenv("EVALKIT_SERVER", "http://testserver")


def test_compare_says_the_same_there(
    project: Any, remote: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(project.settings.home.parent)
    asked = ["compare", "models:/bot/2", "models:/bot/1", "--json"]
    assert run(asked) == 0
    here = json.loads(capsys.readouterr().out)
    remote()
    assert run(asked) == 0
    there = json.loads(capsys.readouterr().out)
    rows = [{(row["name"], row["slice"]): row for row in told["rows"]} for told in (here, there)]
    assert set(rows[0]) == set(rows[1])
    for key, row in rows[0].items():
        told = rows[1][key]
        assert (told["paired"], told["direction"], told["units"]) == (row["paired"], row["direction"], row["units"])
        assert (told["difference"] is None) == (row["difference"] is None)
        if row["difference"] is not None and row["difference"]["low"] is not None:
            assert told["difference"]["low"] == pytest.approx(row["difference"]["low"])
    assert run(["compare", "models:/bot/2", "models:/bot/9"]) == 2


def test_jobs_and_workers_are_those_of_the_server(remote: Any, capsys: pytest.CaptureFixture[str]):
    remote()
    assert run(["monitor", "jobs", "--json"]) == 0
    assert run(["worker", "list", "--json"]) == 0
    assert capsys.readouterr().out.split() == ["[]", "[]"]
    assert run(["worker", "retry", "0190b0c8-7c1a-7000-8000-000000000000"]) == 2
    assert "there is no work" in capsys.readouterr().err
