"""Monitors over the API: what they found, and a run that is queued for workers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evalkit.jobs.launching import shut_down
from evalkit.monitoring import api
from evalkit.worker.backfills import Backfills
from evalkit.worker.loop import Worker
from registry import audit
from registry.firings import claim
from registry.outbox import BACKFILL, DROPPED, Outbox

DAY = 86_400_000
START = 1_777_593_600_000
MONITOR = """\
monitor: prod
source: {files: rows.jsonl, columns: {id: id, time: time, output: output, slices: [language]}}
retention: {raw: 9000d}
"""


@pytest.fixture
def monitored(served: Any, tmp_path: Any) -> Any:
    rows = [
        {"id": str(i), "time": START + day * DAY + i, "output": "<b>x</b>", "language": "de" if i % 2 else "en"}
        for day in range(3)
        for i in range(40)
    ]
    for place, row in enumerate(rows):
        row["id"] = str(place)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    settings = served.project.settings
    api.apply(tmp_path / "monitor.yaml", schedule=False, settings=settings)
    api.run("prod", now=START + 3 * DAY + 7_200_000, settings=settings)
    yield served
    shut_down()


def _items(served: Any, path: str) -> list[Any]:
    found, cursor = [], ""
    while True:
        answer = served.request("GET", f"{path}{'&' if '?' in path else '?'}limit=2{cursor}", "viewer")
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            return found
        cursor = f"&cursor={answer.json()['next']}"


def test_what_a_monitor_found(monitored: Any):
    (listed,) = _items(monitored, "/monitors")
    assert (listed["name"], listed["status"], listed["window"]["rows"], listed["text"]) == ("prod", "active", 40, None)
    one = monitored.request("GET", "/monitors/prod", "viewer").json()
    assert one["text"] == MONITOR
    windows = _items(monitored, "/monitors/prod/windows")
    assert [window["start"] for window in windows] == [START + day * DAY for day in range(3)]
    (window,) = _items(monitored, "/monitors/prod/windows?since=2026-05-02&until=2026-05-03")
    assert window["start"] == START + DAY
    rows = _items(monitored, "/monitors/prod/signals?check=operational&key=rows&slice=")
    assert [(row["estimate"]["value"], row["slice"], row["start"]) for row in rows] == [
        (40, "", START + day * DAY) for day in range(3)
    ]
    everywhere = _items(monitored, "/monitors/prod/signals?key=rows&since=2026-05-03")
    assert {row["slice"] for row in everywhere} == {"", "language=de", "language=en"}
    wrong = monitored.request("GET", "/monitors/prod/windows?since=soon", "viewer")
    assert wrong.status_code == 422 and "is no date or time" in wrong.json()["message"]
    assert monitored.request("GET", "/monitors/none", "viewer").status_code == 404


def test_a_run_is_queued_for_workers(monitored: Any):
    before = monitored.request("GET", "/monitors/prod/jobs", "viewer").json()
    assert (before["cron"], before["firings"]) == (None, [])
    queued = monitored.request("POST", "/monitors/prod/run", "evaluator")
    assert (queued.status_code, queued.json()["workers"]) == (202, 0)
    assert claim(monitored.project.engine, queued.json()["key"], schedule="monitor:prod", due=1, executor="x")
    told = monitored.request("GET", "/monitors/prod/jobs", "viewer").json()
    assert (told["cron"], told["catch_up"]) == ("0 1 * * *", "latest")
    assert [(one["key"], one["outcome"]) for one in told["firings"]] == [(queued.json()["key"], None)]
    api.pause("prod", settings=monitored.project.settings)
    refused = monitored.request("POST", "/monitors/prod/run", "evaluator")
    assert (refused.status_code, refused.json()["error"]) == (409, "conflict")


def _backfilled(served: Any, **how: Any) -> tuple[dict[str, Any], list[str]]:
    """The newest backfill after a worker was there, and what it said."""
    said: list[str] = []
    work = Backfills(served.project.engine, served.project.settings, schedule=(0.0,), say=said.append, **how)
    Worker([work], poll=0.02, say=said.append).run(once=True)
    return _backfills(served)[0], said


def _backfills(served: Any) -> list[Any]:
    return _items(served, "/monitors/prod/backfills")


def test_a_range_is_computed_by_a_worker(monitored: Any, tmp_path: Any):
    row = {"id": "late", "time": START + 3 * DAY, "output": "x", "language": "en"}
    with (tmp_path / "rows.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    body = {"start": START, "end": START + 4 * DAY}
    queued = monitored.request("POST", "/monitors/prod/backfills", "evaluator", "eva", json=body)
    assert (queued.status_code, queued.json()["workers"]) == (202, 0), queued.text
    (waiting,) = _backfills(monitored)
    assert (waiting["key"], waiting["outcome"], waiting["requested_by"]) == (queued.json()["key"], None, "eva")
    assert len(_items(monitored, "/monitors/prod/windows")) == 3
    done, _ = _backfilled(monitored)
    assert (done["outcome"], done["detail"]) == ("done", "1 windows")
    assert [window["rows"] for window in _items(monitored, "/monitors/prod/windows")] == [40, 40, 40, 1]
    (entry,) = [e for e in audit.export(monitored.project.engine) if e["kind"] == "monitor.backfill"]
    assert (entry["actor"], entry["facts"]["request"]) == ("eva", done["key"])
    wrong = monitored.request("POST", "/monitors/prod/backfills", "evaluator", json={"start": 5, "end": 5})
    assert (wrong.status_code, wrong.json()["error"]) == (422, "invalid")
    assert len(_backfills(monitored)) == 1


def test_a_range_that_fails_is_told(monitored: Any, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("evalkit.monitoring.running.run_monitor", broken)
    body = {"start": START, "end": START + DAY}
    assert monitored.request("POST", "/monitors/prod/backfills", "evaluator", json=body).status_code == 202
    failed, said = _backfilled(monitored)
    assert (failed["outcome"], failed["attempts"], failed["detail"]) == ("failed", 2, "OSError: the disk is full")
    assert "failed for good" in said[-1]


def test_a_range_of_a_removed_monitor_is_dropped(monitored: Any):
    body = {"start": START, "end": START + DAY}
    assert monitored.request("POST", "/monitors/prod/backfills", "evaluator", json=body).status_code == 202
    api.remove("prod", settings=monitored.project.settings)
    work = Backfills(monitored.project.engine, monitored.project.settings, say=lambda _: None)
    Worker([work], poll=0.02, say=lambda _: None).run(once=True)
    (item,) = Outbox(monitored.project.engine).items(BACKFILL)
    assert (item.outcome, item.log[-1]["detail"]) == (DROPPED, "the monitor was removed")
