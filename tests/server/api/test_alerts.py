"""Alerts over the API and by the commands: listed by page, looked into, acknowledged and silenced, with an audit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from evalkit.jobs.launching import shut_down
from evalkit.monitoring import api
from registry import audit
from registry.digests import now_ms

DAY = 86_400_000
START = 1_777_593_600_000
MONITOR = """\
monitor: prod
model: models:/bot@champion
source: {files: rows.jsonl, columns: {id: id, time: time, output: output, slices: [language]}}
baseline: 2d
minimum: 5
retention: {raw: 9000d}
redact: [email]
checks:
  - {operational: [empty, length], alert: {key: empty, max: 0.3, detector: threshold}}
  - {operational: [length], as: size, alert: {key: length, max: 9, detector: threshold}}
"""


@pytest.fixture
def alerting(served: Any, tmp_path: Any) -> Iterator[Any]:
    """Six days; on the fourth half of the answers are empty, from then on the others are long."""
    rows = []
    for day in range(6):
        for i in range(40):
            text = "" if day == 3 and i % 2 else "x" * (20 if day > 2 else 5)
            if (day, i) == (4, 0):
                text = "write to ann@example.org <script>alert(1)</script>"
            rows.append({"id": f"{day}-{i}", "time": START + day * DAY + i, "output": text,
                         "language": "de" if i % 2 else "en"})  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    settings = served.project.settings
    api.apply(tmp_path / "monitor.yaml", schedule=False, settings=settings)
    api.run("prod", now=START + 6 * DAY + 7_200_000, settings=settings)
    yield served
    shut_down()


def listed(served: Any, query: str = "", limit: int = 2) -> list[dict[str, Any]]:
    found, cursor = [], ""
    while True:
        answer = served.request("GET", f"/alerts?limit={limit}{query}{cursor}", "viewer")
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            return found
        cursor = f"&cursor={answer.json()['next']}"


def one(served: Any, check: str = "size", **more: Any) -> dict[str, Any]:
    wanted = {"check": check, "slice": "", **more}
    (found,) = [alert for alert in listed(served, "&lasting=false") if wanted.items() <= alert.items()]
    return found


def test_pages_and_filters(alerting: Any):
    every = listed(alerting, "&lasting=false", limit=2)
    assert len(every) == len({alert["id"] for alert in every}) >= 4
    assert every == listed(alerting, "&lasting=false", limit=1000), "pages neither double nor lose"
    assert [alert["opened_at"] for alert in every] == sorted((a["opened_at"] for a in every), reverse=True)
    lasting = listed(alerting)
    assert lasting == [alert for alert in every if alert["closed_at"] is None] and len(lasting) < len(every)
    assert listed(alerting, "&state=closed") == [alert for alert in every if alert["state"] == "closed"]
    assert listed(alerting, "&monitor=prod&model=bot") == lasting
    for other in ("&model=bo", "&model=BOT", "&model=bot2", "&model=b%25", "&monitor=other", "&state=silenced"):
        assert listed(alerting, other) == [], other
    wrong = alerting.request("GET", "/alerts?state=angry", "viewer")
    assert (wrong.status_code, wrong.json()["error"]) == (422, "invalid")
    assert alerting.request("GET", "/alerts?cursor=x", "viewer").status_code == 422


def test_the_timeline_and_the_rows_behind_it(alerting: Any):
    alert = one(alerting)
    told = alerting.request("GET", f"/alerts/{alert['id']}", "viewer").json()
    assert told["name"] == "bot"
    assert [reading["alerting"] for reading in told["readings"]] == [False, False, False, True, True, True]
    opening = told["readings"][3]
    assert opening["statistic"] == opening["value"] > opening["threshold"] == 9.0, "what alerts is what is drawn"
    assert opening["low"] < opening["value"] < opening["high"]
    assert len(alerting.request("GET", f"/alerts/{alert['id']}?windows=2", "viewer").json()["readings"]) == 2
    for link in told["links"].values():
        parts = urlsplit(link)
        path = parts.path.removeprefix("/evalkit/api/v1") + (f"?{parts.query}" if parts.query else "")
        answer = alerting.request("GET", path, "evaluator")
        assert answer.status_code == 200 and answer.json()["items"], path
    empty = one(alerting, "operational")
    rows = alerting.request("GET", f"/alerts/{empty['id']}/samples", "labeler").json()
    assert rows["missing"] == [] and [row["id"] for row in rows["items"]] == empty["samples"]
    assert all(row["output"] == "" and row["event_time"] >= START + 3 * DAY for row in rows["items"])
    assert alerting.request("GET", f"/alerts/{empty['id']}/samples", "viewer").status_code == 403


def test_rows_beyond_the_retention_are_missing(alerting: Any):
    import shutil

    shutil.rmtree(alerting.project.settings.home / "monitors")
    alert = one(alerting)
    rows = alerting.request("GET", f"/alerts/{alert['id']}/samples", "evaluator").json()
    assert rows == {"items": [], "missing": alert["samples"]}


def test_what_people_do_leaves_its_entry(alerting: Any):
    alert = one(alerting)
    path = f"/alerts/{alert['id']}"
    seen = alerting.request("POST", f"{path}/acknowledge", "evaluator", "eva", json={"reason": "on it"})
    assert seen.status_code == 200, seen.text
    assert (seen.json()["state"], seen.json()["acknowledged_by"]) == ("acknowledged", "eva")
    until = now_ms() + DAY
    quiet = alerting.request("POST", f"{path}/silence", "approver", "bea", json={"reason": "known", "until": until})
    assert (quiet.json()["state"], quiet.json()["silenced_until"]) == ("silenced", until)
    assert [found["id"] for found in listed(alerting, "&state=silenced")] == [alert["id"]]
    assert alert["id"] not in {found["id"] for found in listed(alerting, "&state=acknowledged")}
    again = alerting.request("POST", f"{path}/unsilence", "approver", "bea", json={"reason": "over"})
    assert again.json()["state"] == "acknowledged"
    assert [found["id"] for found in listed(alerting, "&state=acknowledged")] == [alert["id"]]
    history = alerting.request("GET", path, "viewer").json()["history"]
    assert [(entry["kind"], entry["actor"]) for entry in history] == [
        ("alert.acknowledged", "eva"), ("alert.silenced", "bea"), ("alert.unsilenced", "bea"),
    ]  # fmt: skip
    assert audit.verify(alerting.project.engine).intact


@pytest.mark.parametrize(
    ("act", "body"),
    [("acknowledge", {}), ("acknowledge", {"reason": "  "}), ("acknowledge", {"reason": "x" * 1001}),
     ("silence", {"reason": "why"}), ("silence", {"reason": "why", "until": 5}), ("unsilence", {"reason": "why"}),
     ("silence", {"reason": "why", "until": 2**60}), ("acknowledge", {"reason": "why", "more": 1})],
)  # fmt: skip
def test_what_cannot_be_done_changes_nothing(alerting: Any, act: str, body: dict[str, Any]):
    alert = one(alerting)
    refused = alerting.request("POST", f"/alerts/{alert['id']}/{act}", "evaluator", json=body)
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid"), refused.text
    assert one(alerting) == alert


def test_pausing_leaves_an_entry(alerting: Any):
    for act, status in (("pause", "paused"), ("pause", "paused"), ("resume", "active")):
        answer = alerting.request("POST", f"/monitors/prod/{act}", "evaluator", "eva")
        assert (answer.status_code, answer.json()["status"]) == (200, status), answer.text
    entries = [e for e in audit.export(alerting.project.engine) if e["kind"] in {"monitor.paused", "monitor.resumed"}]
    assert [(entry["kind"], entry["actor"]) for entry in entries] == [
        ("monitor.paused", "eva"), ("monitor.resumed", "eva"),
    ]  # fmt: skip
    assert alerting.request("POST", "/monitors/none/pause", "evaluator").status_code == 404


def test_the_commands_work_on_the_server(alerting: Any, remotely: Any, tmp_path: Any):
    alert = one(alerting)
    status, out, _ = remotely("alerts", "list", "--model", "bot", "--json")
    assert status == 0 and alert["id"] in {found["id"] for found in json.loads(out)}
    status, out, err = remotely("alerts", "show", alert["id"], "--chart", str(tmp_path / "a.png"))
    assert status == 0 and "prod size/length" in out, err
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    status, out, _ = remotely("alerts", "samples", alert["id"], "--json")
    assert status == 0 and [row["id"] for row in json.loads(out)["items"]] == alert["samples"]
    assert remotely("alerts", "ack", alert["id"], "--reason", "on it")[:2] == (0, f"{alert['id']}: acknowledged\n")
    assert remotely("alerts", "silence", alert["id"], "--reason", "on it", "--for", "1d")[0] == 0
    assert remotely("alerts", "unsilence", alert["id"], "--reason", "done")[0] == 0
    assert one(alerting)["acknowledged_by"] == "eva"
    status, _, err = remotely("alerts", "ack", alert["id"], "--reason", "on it", by="viewer")
    assert status == 1 and "role" in err
    status, _, err = remotely("alerts", "ack", alert["id"], "--reason", "x", "--by", "somebody")
    assert status == 2 and "login" in err
    status, _, err = remotely("alerts", "show", "nothing")
    assert status == 2


def test_monitors_of_the_server_by_the_commands(alerting: Any, remotely: Any):
    status, out, _ = remotely("monitor", "list", "--json")
    (found,) = json.loads(out)
    assert (status, found["name"], found["window"]["rows"]) == (0, "prod", 40)
    status, out, _ = remotely("monitor", "history", "prod", "--check", "size", "--key", "length", "--json")
    stored = api.history("prod", check="size", key="length", settings=alerting.project.settings)
    assert [row["estimate"] for row in json.loads(out)] == [one.signal.estimate.to_json() for one in stored]
    assert len(stored) == 6 and {row["slice"] for row in json.loads(out)} == {""}
    status, out, _ = remotely("monitor", "history", "prod", "--key", "rows", "--slice", "all", "--since", "2026-05-05")
    assert status == 0 and "language=de" in out
    status, out, err = remotely("monitor", "backfill", "prod", "--from", "2026-05-01", "--to", "2026-05-02")
    assert status == 0 and out.startswith("queued: ") and "0 workers of http://server" in err
    (queued,) = alerting.request("GET", "/monitors/prod/backfills", "viewer").json()["items"]
    assert out == f"queued: {queued['key']}\n" and (queued["start"], queued["end"]) == (START, START + DAY)
    assert remotely("monitor", "run", "prod")[0] == 0
    assert remotely("monitor", "pause", "prod")[:2] == (0, "paused: prod\n")
    assert json.loads(remotely("monitor", "list", "--json")[1])[0]["status"] == "paused"
    assert remotely("monitor", "resume", "prod", by="viewer")[0] == 1
    assert remotely("monitor", "resume", "prod")[:2] == (0, "active: prod\n")
    for refused in (["run", "prod", "--window", "2026-05-01"], ["history", "nothing"], ["pause", "nothing"]):
        assert remotely("monitor", *refused)[0] == 2, refused
