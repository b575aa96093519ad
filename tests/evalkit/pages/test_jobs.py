"""Jobs: what is late or failed comes first, and forms do what they say for those who may."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from evalkit.monitoring import scheduling
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.store import PAUSED, MonitorStore
from evalkit.views import jobs
from registry.database import writing
from registry.firings import claim, finished

MONITOR = """\
monitor: {name}
model: models:/bot@champion
source:
  files: traffic.jsonl
  columns: {{prompt: prompt, output: output, time: time}}
every: "0 6 * * *"
checks:
  - {{operational: [length]}}
"""


@pytest.fixture
def applied(project: Any) -> MonitorStore:
    folder = project.settings.home.parent
    (folder / "traffic.jsonl").write_text("")
    store = MonitorStore(project.engine, project.settings.home)
    for name in ("calm", "late", "broken"):
        definition = Definition.from_text(MONITOR.format(name=name), folder, origin="m.yaml")
        store.save(definition, "test")
        scheduling.put_schedule(project.settings, definition)
    return store


def fire(project: Any, name: str, ago_hours: float, error: str | None = None) -> None:
    due = int((time.time() - ago_hours * 3600) * 1000)
    firing = claim(project.engine, f"{name}-{due}", schedule=f"monitor:{name}", due=due, executor="here")
    assert firing is not None
    assert finished(project.engine, firing, error=error)


def test_states(pages: Any, project: Any, applied: MonitorStore):
    fire(project, "calm", 0.01)
    fire(project, "late", 60)
    fire(project, "broken", 0.01, error="<script>alert(1)</script> no such file")
    states = {line.target: line.state for line in jobs.lines(project)}
    assert states == {"calm": "ok", "late": "overdue", "broken": "failed"}
    seen = pages.get("/evalkit/jobs")
    assert seen.text.index("late") < seen.text.index("broken") < seen.text.index("calm")
    assert "no such file" in seen.text
    assert ("script", {}) not in seen.tags
    assert "Overdue and failed jobs" in pages.get("/evalkit").text


def test_one_schedule_has_its_firings(pages: Any, project: Any, applied: MonitorStore):
    fire(project, "broken", 30, error="the disk is full")
    fire(project, "broken", 6)
    seen = pages.get("/evalkit/jobs/monitor:broken")
    assert "the disk is full" in seen.text
    assert seen.text.index("done") < seen.text.index("the disk is full")
    assert pages.get("/evalkit/jobs/monitor:none").status == 404


def test_forms_pause_and_resume(pages: Any, project: Any, applied: MonitorStore):
    answer = pages.submit("/evalkit/jobs", "/evalkit/monitors/calm/pause", {"back": "/evalkit/jobs"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/evalkit/jobs")
    assert applied.monitor("calm").status == PAUSED
    assert next(line.state for line in jobs.lines(project) if line.target == "calm") == "paused"
    assert pages.submit("/evalkit/jobs", "/evalkit/monitors/calm/resume", {}).status_code == 303
    assert applied.monitor("calm").status != PAUSED


def test_a_form_that_is_not_ours_does_nothing(pages: Any, project: Any, applied: MonitorStore):
    assert pages.post("/evalkit/monitors/calm/pause", {"form_token": "0" * 64}).status_code == 403
    assert pages.post("/evalkit/monitors/calm/pause", {}).status_code == 403
    # A token is its actor's own
    stolen = next(g["value"] for t, g in pages.get("/evalkit/jobs", "mallory:evaluator").tags if t == "input")
    assert pages.post("/evalkit/monitors/calm/pause", {"form_token": stolen}, "eva:evaluator").status_code == 403
    assert applied.monitor("calm").status != PAUSED


def test_readers_change_nothing(pages: Any, applied: MonitorStore):
    answer = pages.submit("/evalkit/jobs", "/evalkit/monitors/calm/pause", {}, "vera:viewer")
    assert answer.status_code == 403
    assert applied.monitor("calm").status != PAUSED


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "/x"])
def test_forms_lead_nowhere_else(pages: Any, applied: MonitorStore, back: str):
    answer = pages.submit("/evalkit/jobs", "/evalkit/monitors/calm/pause", {"back": back})
    assert answer.headers["location"] == "/evalkit"


def test_a_firing_that_hangs_is_overdue(project: Any, applied: MonitorStore):
    old = int((datetime.now(UTC).timestamp() - 7200) * 1000)
    assert claim(project.engine, "hangs", schedule="monitor:calm", due=old, executor="gone") is not None
    assert next(line.state for line in jobs.lines(project) if line.target == "calm") == "overdue"


def test_the_api_lists_schedules_and_why_some_failed(pages: Any, project: Any, applied: MonitorStore):
    fire(project, "calm", 0.01)
    fire(project, "late", 60)
    fire(project, "broken", 30)
    fire(project, "broken", 0.01, error="the disk is full")
    found = pages.every("/jobs", limit=2)
    assert [(one["target"], one["state"]) for one in found] == [
        ("late", "overdue"),
        ("broken", "failed"),
        ("calm", "ok"),
    ]
    assert found[1]["latest"]["error"] == "the disk is full" and found[1]["latest"]["seconds"] >= 0
    assert found[1]["cron"] == "0 7 * * *" and found[1]["next"] > found[1]["latest"]["due"]
    assert [one["target"] for one in pages.every("/jobs", state="overdue")] == ["late"]
    (failed,) = pages.every("/firings", outcome="failed")
    assert (failed["schedule"], failed["error"]) == ("monitor:broken", "the disk is full")
    assert [one["outcome"] for one in pages.every("/firings", schedule="monitor:broken", limit=1)] == ["failed", "done"]
    assert pages.api("/jobs/monitor:broken").json()["latest"]["key"] == failed["key"]
    for name in ("monitor:none", "..%2f..%2fetc", "%00", "<script>"):
        assert pages.api(f"/jobs/{name}").status_code == 404
        assert pages.api(f"/jobs/{name}/run", body={}).status_code == 404


def test_the_api_runs_pauses_and_resumes(pages: Any, applied: MonitorStore):
    assert pages.api("/jobs/monitor:calm/pause", body={}).json()["state"] == "paused"
    assert applied.monitor("calm").status == PAUSED
    refused = pages.api("/jobs/monitor:calm/run", body={})
    assert (refused.status_code, refused.json()["error"]) == (409, "conflict")
    assert pages.api("/jobs/monitor:calm/pause", "vera:viewer", body={}).status_code == 403
    assert pages.api("/jobs/monitor:calm/resume", body={}).json()["state"] == "waiting"
    queued = pages.api("/jobs/monitor:calm/run", body={})
    assert (queued.status_code, queued.json()["workers"]) == (202, 0) and queued.json()["key"]


def test_the_api_tells_what_waits_and_does_it_again(pages: Any, project: Any):
    from registry.outbox import BACKFILL, Outbox, put

    with writing(project.engine) as session:
        keys = [put(session, BACKFILL, {"secret": "what it is about"}) for _ in range(2)]
    outbox = Outbox(project.engine)
    item = outbox.claim(BACKFILL)
    assert item is not None
    outbox.finish(item, "failed", "the disk is full")
    (told,) = pages.every("/work")
    assert (told["kind"], told["open"], told["failed"]) == (BACKFILL, 1, 1)
    found = {one["id"]: one for one in pages.every("/work/items", kind=BACKFILL, limit=1)}
    assert set(found) == set(keys) and "secret" not in str(found)
    assert found[item.id]["log"][0]["detail"] == "the disk is full"
    assert pages.api(f"/work/items/{item.id}/retry", "eva:evaluator", body={}).status_code == 403
    assert pages.api(f"/work/items/{item.id}/retry", body={}).json()["outcome"] is None
    assert pages.api(f"/work/items/{item.id}/retry", body={}).status_code == 422
    assert pages.api("/work/items/0190b0c8-7c1a-7000-8000-000000000000/retry", body={}).status_code == 404
    assert pages.every("/work/items", kind="none") == pages.every("/workers") == []
