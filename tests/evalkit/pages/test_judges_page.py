"""Judges: what each has shown, whether that drifts, what it costs, and who relies on it."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.judging.calibrations import Calibrations
from evalkit.judging.ledger import open_ledger
from evalkit.judging.uses import uses
from evalkit.views.attention import matters
from judges.base import Verdict
from judges.calibration import JudgeReport, report
from judges.clients.base import Reply
from judges.labels import Label
from judges.ledger import Entry
from registry.digests import now_ms

from .conftest import HOSTILE, Pages

DAY = 86_400_000


def measured(judge: str, version: str, wrong: int = 2, count: int = 120) -> JudgeReport:
    labels = [Label(f"s{i}", float(i % 2), probability=0.1) for i in range(count)]
    verdicts = [Verdict(f"s{i}", float((i + (i < wrong)) % 2)) for i in range(count)]
    return report(verdicts, labels, judge=judge, judge_version=version)


@pytest.fixture
def pages(judged_pages: Pages) -> Pages:
    return judged_pages


def calibrate(pages: Pages, judge: str = "helpful", wrong: int = 2, days: float = 0, version: str = "") -> None:
    project = pages.project
    own = next((use.judge_version for use in uses(project.engine, project.settings) if use.metric == judge), version)
    kept = Calibrations.of(project.settings)
    kept.save(measured(judge, version or own, wrong), "sha256:" + "0" * 64, created=now_ms() - int(days * DAY))
    kept.close()


def pay(pages: Pages, judge: str = "helpful", days: int = 0) -> None:
    ledger = open_ledger(pages.project.settings)
    reply = Reply("pass", "gpt", 100, 20, 0.5)
    ledger.record([
        Entry(f"{judge}{days}", judge, "v", HOSTILE, "q1", "verdict", 0, reply, 0.25, now_ms() - days * DAY)
    ])  # fmt: skip
    ledger.close()


def test_demanded_calibration_that_is_missing_needs_a_person(pages: Pages):
    seen = pages.get("/evalkit/judges")
    assert "uncalibrated" in seen.text and "1 demand more" in seen.text
    (found,) = [matter for matter in matters(pages.project) if matter.title == "Uncalibrated judges"]
    assert [item.href for item in found.items] == ["/evalkit/judges/helpful"]
    assert "never calibrated" in found.items[0].text
    calibrate(pages)
    assert not [matter for matter in matters(pages.project) if matter.title == "Uncalibrated judges"]
    assert "uncalibrated" not in pages.get("/evalkit/judges").text
    calibrate(pages, wrong=60)
    (found,) = [matter for matter in matters(pages.project) if matter.title == "Uncalibrated judges"]
    assert "Cohen's kappa" in found.items[0].text


def test_drift_against_labels_is_drawn_with_its_table(pages: Pages):
    for days, wrong in ((30, 2), (20, 10), (10, 30)):
        calibrate(pages, wrong=wrong, days=days)
    seen = pages.get("/evalkit/judges/helpful")
    assert "Drift against labels" in seen.text
    assert [given for tag, given in seen.tags if tag == "img" and "kappa" in str(given.get("alt"))]
    newest = measured("helpful", "v", 30).estimates["cohen_kappa"]
    assert f"{newest.value:.3f}".rstrip("0") in seen.text


def test_cost_by_day_and_model(pages: Pages):
    for days in (1, 2, 200):
        pay(pages, days=days)
    seen = pages.get("/evalkit/judges/helpful")
    assert "US dollars by day" in seen.text
    assert "0.5000" in seen.text  # the third one is too long ago
    assert "<script>document" not in seen.html
    assert "0.50" in pages.get("/evalkit/judges").text


def test_what_has_no_verdict_is_told_with_the_suspected_ones(pages: Pages):
    seen = pages.get("/evalkit/judges/helpful")
    assert "10 % of 40" in seen.text
    assert "Suspected injections: bot version 1, golden 1 output addresses" in seen.text
    assert "q0" in seen.text
    assert any("unscored=true" in link for link in seen.links)


def test_other_judges_of_the_same_samples(pages: Pages):
    seen = pages.get("/evalkit/judges/helpful")
    assert "Kappa between them" in seen.text
    assert "bot version 1, golden" in seen.text


def test_calibrations_are_paged(pages: Pages):
    kept = Calibrations.of(pages.project.settings)
    told = measured("many", "v")
    for i in range(60):
        kept.save(told, "sha256:0", created=1_700_000_000_000 + i * DAY)
    kept.close()
    address, count = "/evalkit/judges/many", 0
    while address:
        seen = pages.get(address)
        count += seen.html.count('<th scope="row" class="num"><time')
        (address,) = [f"/evalkit/judges/many{link}" for link in seen.links if link.startswith("?before")] or [""]
    assert count == 60
    assert len(seen.html) < 100_000


@pytest.mark.parametrize("name", ["a/b", HOSTILE, "übel?x=1&y#z"])
def test_hostile_names_open_and_run_nothing(pages: Pages, name: str):
    calibrate(pages, judge=name, version="v")
    listed = pages.get("/evalkit/judges")
    (link,) = [
        one
        for one in listed.links
        if one.startswith("/evalkit/judges/") and "helpful" not in one and "other" not in one
    ]
    seen = pages.get(link)
    assert seen.status == 200 and "Newest calibration" in seen.text
    for page in (listed, seen):
        assert "<script>document" not in page.html and "<img src=x" not in page.html


def test_unknown_judges_and_empty_projects_say_what_to_do(pages: Pages, project: Any):
    assert pages.get("/evalkit/judges/nobody").status == 404
    empty = Pages(project).get("/evalkit/judges")
    assert "evalkit judge run" in empty.text
    assert pages.get("/evalkit/judges", who="stranger:").status == 401
    assert pages.get("/evalkit/judges", who="vic:viewer").status == 200


def test_api_lists_judges(pages: Pages):
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from evalkit.server.api import router
    from evalkit.server.api.project import project as open_once

    from .conftest import Identified

    calibrate(pages)
    pay(pages)
    app = FastAPI()
    app.include_router(router)
    app.dependency_overrides[open_once] = lambda: pages.project
    app.add_middleware(Identified)
    client = TestClient(app)
    found = {one["name"]: one for one in client.get("/evalkit/api/v1/judges").json()["items"]}
    assert found["helpful"]["calibration"]["report"]["labels"] == 120
    assert (found["helpful"]["requests"], found["helpful"]["cost"]) == (1, 0.25)
    assert found["helpful"]["short"] == 0 and found["other"]["calibration"] is None
    assert client.get("/evalkit/api/v1/judges", headers={"x-actor": "stranger:"}).status_code == 401
