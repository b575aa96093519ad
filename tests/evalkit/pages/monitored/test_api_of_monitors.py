"""What the API tells of a monitor, its windows and the generations behind them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from evalkit.monitoring.store import MonitorStore

from .conftest import (
    DAY,
    HOSTILE,
    START,
    window_page,
)


def _api(day: int) -> str:
    return f"/monitors/prod/windows/{START + day * DAY}"


def test_the_api_tells_how_a_monitor_stands_and_what_its_rules_said(pages: Any, project: Any):
    told = pages.api("/monitors/prod/standing").json()
    assert (told["monitor"], told["state"], told["labels"]) == ("prod", "alert", True)
    assert ("operational", "empty") in {(one["check"], one["key"]) for one in told["alerts"]}
    assert told["labels_behind"] >= DAY and told["spent"]["requests"] == 0
    readings = pages.every("/monitors/prod/readings", check="operational", key="empty", slice="", limit=3)
    assert [one["start"] for one in readings] == sorted(one["start"] for one in readings)
    assert any(one["alerting"] for one in readings) and readings[-1]["threshold"] is not None
    late = pages.every("/monitors/prod/readings", check="operational", since="2026-05-06", until="2026-05-07")
    assert {one["start"] for one in late} == {START + 5 * DAY}
    assert {one["label"] for one in pages.every("/monitors/prod/deployments")} == {"version 1"}
    assert pages.every("/monitors/prod/deployments", until="2020-01-01") == []


def test_the_api_has_a_window_with_its_revisions_and_numbers(pages: Any, project: Any):
    told = pages.api(_api(5)).json()
    assert [one["revision"] for one in told["revisions"]] == [1, 0] or len(told["revisions"]) == 2
    assert "operational" in told["checks"] and "language=en" in told["slices"] and told["kept"]
    assert any(pages.api(_api(day)).json()["alerts"] for day in range(4, 8))
    numbers = pages.every(f"{_api(5)}/signals", limit=7)
    assert len(numbers) == len({(one["check"], one["key"], one["slice"]) for one in numbers})
    rate = next(one for one in numbers if (one["key"], one["slice"]) == ("empty", ""))
    assert rate["low"] <= rate["value"] <= rate["high"] and rate["shown_by"] > 0
    older = pages.every(f"{_api(5)}/signals", revision=told["revisions"][-1]["revision"], check="operational", slice="")
    assert {one["check"] for one in older} == {"operational"} and {one["slice"] for one in older} == {""}
    assert pages.api(f"{_api(5)}/signals", revision=99).status_code == 404
    broken = pages.api(_api(3)).json()["revisions"][0]["contract"]
    assert broken["breaches"]


def test_the_api_has_the_generations_behind_a_number(pages: Any, project: Any):
    found = pages.every(f"{_api(6)}/generations", check="operational", key="empty", limit=25)
    assert len(found) == 60 and found[0]["shows"] and not found[-1]["shows"]
    assert {one["output"] for one in found if one["shows"]} == {""}
    first = next(one for one in found if one["id"] == "6-0")
    assert first["prompt"] == HOSTILE and first["context"][1] == "passage" and first["slices"]["language"]
    (alone,) = pages.every(f"{_api(6)}/generations", row="6-0")
    assert alone["id"] == "6-0"
    english = pages.api(f"{_api(6)}/generations", slice="language=en").json()
    assert 0 < english["total"] < 60
    for who, status in (("vera:viewer", 403), ("lars:labeler", 200), ("x:", 401)):
        assert pages.api(f"{_api(6)}/generations", who).status_code == status


def test_rows_that_go_while_they_are_read_are_told(pages: Any, project: Any, monkeypatch: pytest.MonkeyPatch):
    from evalkit.monitoring.raw import RawStore

    monitor = MonitorStore(project.engine, project.settings.home).monitor("prod")
    raw = project.settings.home / "monitors" / monitor.id / "raw"
    listed = RawStore._files

    def pruned(store: RawStore, start: int, end: int) -> Iterator[Path]:
        found = list(listed(store, start, end))  # retention takes them away between the listing and the reading
        shutil.rmtree(raw, ignore_errors=True)
        yield from found

    monkeypatch.setattr(RawStore, "_files", pruned)
    seen = pages.get(f"{window_page(6)}/generations")
    assert seen.status == 200 and "no longer kept" in seen.text
    told = pages.api(f"{_api(6)}/generations", check="operational", key="empty").json()
    assert (told["items"], told["total"]) == ([], 0) and told["gone"] > 0

    def damaged(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("gone")

    monkeypatch.setattr(RawStore, "read", damaged)
    assert pages.get(f"{window_page(6)}/generations").status == 404
    answer = pages.api(f"{_api(6)}/generations")
    assert (answer.status_code, "erased" in answer.json()["message"]) == (404, True)


@pytest.mark.parametrize("text", ["../../etc", "a\x00b", "%00", "' OR 1=1 --", "<script>", "\u202ex", "=", "language="])
def test_hostile_texts_end_in_no_error_of_the_api(pages: Any, project: Any, text: str):
    name = quote(text, safe="")
    for path, query in (
        (f"/monitors/{name}/standing", {}), (f"/monitors/{name}/windows/0", {}), (f"{_api(6)}", {"cadence": text}),
        (f"{_api(6)}/signals", {"check": text, "slice": text}), (f"{_api(6)}/generations", {"check": text}),
        (f"{_api(6)}/generations", {"slice": text}), (f"{_api(6)}/generations", {"row": text}),
        ("/monitors/prod/readings", {"check": text, "since": text}), ("/monitors/prod/deployments", {"until": text}),
    ):  # fmt: skip
        answer = pages.api(path, **query)
        assert answer.status_code in {200, 404, 422}, (path, query, answer.text)
    for start in (0, 2**53, 2**53 + 1, -1):
        assert pages.api(f"/monitors/prod/windows/{start}").status_code in {404, 422}
