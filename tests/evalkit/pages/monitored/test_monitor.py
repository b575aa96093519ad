"""A monitor's page, its windows, the generations behind them, and its alerts."""

from __future__ import annotations

import io
import json
import re
import shutil
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, update

from evalkit.monitoring.window_reports import report_path
from evalkit.pages.charts.worker import serve
from evalkit.views import monitor_data
from registry.alerts import Alerts
from registry.database import reading, writing
from registry.tables import AuditRow, ModelVersionRow, PromotionRow
from registry.tables_monitoring import AlertRow, MonitorRow, SignalRow, WindowRow

from .conftest import (
    BASE,
    DAY,
    HOSTILE,
    START,
    alert_on_empty,
    window_page,
)


def _everything(project: Any) -> list[str]:
    return [
        BASE, *(f"{BASE}?check={check}" for check in ("operational", "drift", "groups", "windows")),
        f"{BASE}?check=drift&key=latency.baseline", window_page(6), f"{window_page(6)}?slices=1", window_page(3),
        f"{window_page(6)}/generations", f"{window_page(6)}/generations?check=operational&key=empty",
        "/evalkit/alerts", "/evalkit/alerts?state=all", f"/evalkit/alerts/{alert_on_empty(project)}",
    ]  # fmt: skip


def test_every_page_keeps_the_rules_of_pages(pages: Any, project: Any):
    for address in _everything(project):
        seen = pages.get(address)
        assert seen.status == 200, address
        assert len(seen.html) < 100_000, address
        names = [name for name, _ in seen.tags]
        assert names.count("h1") == 1, address
        levels = [int(name[1]) for name in names if re.fullmatch(r"h[1-6]", name)]
        assert all(after <= before + 1 for before, after in pairwise(levels)), (address, levels)
        for tag, given in seen.tags:
            assert "style" not in given, address
            assert not [name for name in given if name.startswith("on")], address
            assert tag not in {"style", "marquee"}, address
            assert tag != "script" or given["src"].startswith("/evalkit/assets/"), address
            assert tag != "img" or str(given["src"]).startswith("/evalkit/charts/"), address
            assert tag != "th" or given["scope"], address


def test_what_users_and_models_wrote_is_shown_as_text(pages: Any, project: Any):
    rows = pages.get(f"{window_page(6)}/generations?slice={quote('language=' + HOSTILE[:60])}")
    assert "document.title='pwned'" in rows.text
    for address in _everything(project):
        assert "<script>document" not in pages.get(address).html


def test_monitor_says_how_it_stands(pages: Any, project: Any):
    seen = pages.get(BASE)
    assert "/evalkit/models/bot" in seen.links
    assert window_page(7) in seen.links
    assert "85.7 % of 7 windows met it" in seen.text or "87.5 % of 8 windows met it" in seen.text
    assert "volume" in seen.text
    assert f"/evalkit/alerts/{alert_on_empty(project)}" in seen.links
    assert "newest label 2 d behind the newest row" in seen.text


def test_chart_has_limit_alert_and_deployment(pages: Any, project: Any):
    with writing(project.engine) as session:
        version = session.scalars(select(ModelVersionRow).where(ModelVersionRow.version == 2)).one()
        session.add(
            PromotionRow(
                id="p-1", workspace="default", created_at=START + 4 * DAY, name="bot", alias="champion",
                version_id=version.id, actor="ann",
            )
        )  # fmt: skip
        session.add(
            PromotionRow(
                id="p-2", workspace="default", created_at=START + 4 * DAY, name="bot", alias="other",
                version_id=version.id, actor="ann",
            )
        )  # fmt: skip
    seen = pages.get(f"{BASE}?check=operational&key=empty")
    assert [given for _, given in seen.tags if given.get("data-chart")]
    kept = [json.loads(file.read_bytes()) for file in project.settings.home.joinpath("charts").glob("*.json")]
    drawn = [one["data"] for one in kept if one.get("kind") == "signal" and one["data"]["title"] == "empty"]
    (data,) = drawn
    assert {(mark["label"], mark["kind"]) for mark in data["marks"]} == {
        ("version 2", "deployment"), ("alert (baseline)", "alert"),
    }  # fmt: skip
    assert data["levels"]
    assert [one["state"] for one in data["points"]][-1] == "alert"
    compared = [one["data"] for one in kept if one.get("kind") == "statistic"]
    assert compared[0]["points"][-1]["statistic"] >= compared[0]["points"][-1]["threshold"]


def test_charts_are_drawn():
    point = {"at": START, "end": START + DAY, "value": 0.1, "low": 0.05, "high": 0.2, "state": "ok", "href": "/evalkit"}
    compared = {**point, "statistic": 0.2, "threshold": 1.0, "warning": 0.1, "state": "alert"}
    marks = [{"at": START, "label": HOSTILE, "kind": kind} for kind in ("alert", "deployment")]
    wanted = {
        "signal": {"points": [point, {**point, "value": None}], "levels": [], "marks": marks, "title": "rate"},
        "statistic": {"points": [compared]},
        "alert": {"points": [compared], "levels": [{"at": START, "value": 0.1, "rule": "max"}], "title": "rate"},
        "bars": {"points": [point], "title": "rows"},
        "forest": {"rows": [{"label": HOSTILE, "value": 1, "low": 0, "high": 2, "state": ""}], "width": 200},
    }
    requests = "".join(json.dumps({"what": "svg", "kind": kind, "data": data}) + "\n" for kind, data in wanted.items())
    answers = io.StringIO()
    serve(io.StringIO(requests), answers)
    drawn = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert [one.get("error") for one in drawn] == [None] * len(wanted)
    assert all("<script" not in one["text"] and 'href="javascript' not in one["text"] for one in drawn)


def test_range_and_slice_are_chosen(pages: Any):
    seen = pages.get(f"{BASE}?check=operational&since=2026-05-02&until=2026-05-04&slice=language%3Den")
    days = {link for link in seen.links if link.startswith("prod/windows/")}
    assert {str(START + DAY), str(START + 2 * DAY)} == {link.split("/")[2].partition("?")[0] for link in days}
    assert "language=en" in seen.text
    assert pages.get(f"{BASE}?since=yesterday").status == 422


def test_drift_is_told_by_feature_and_window(pages: Any):
    seen = pages.get(f"{BASE}?check=drift")
    cells = re.findall(r'<td class="(\w+)">', seen.html)
    assert cells.count("drift") + cells.count("alert") >= 2  # latency since the sixth day
    assert f"?check=drift&key={'latency.baseline'}" in seen.links


def test_window_tells_what_it_rests_on(pages: Any):
    seen = pages.get(window_page(5))
    assert "revision 2" in seen.text
    assert f"{window_page(5)}?cadence=day&revision=1" in seen.links
    assert "65" in seen.text
    before = pages.get(f"{window_page(5)}?cadence=day&revision=1")
    assert "restated since" in before.text
    broken = pages.get(window_page(3))
    assert "the checks were left out" in broken.text
    assert "volume" in broken.text
    assert pages.get(f"{BASE}/windows/12").status == 404
    assert pages.get("/evalkit/monitors/none/windows/12").status == 404


def test_windows_that_begin_together_are_told_apart(pages: Any, project: Any):
    with writing(project.engine) as session:
        day = session.scalars(select(WindowRow).where(WindowRow.start == START + 6 * DAY)).one()
        same = {column.key: getattr(day, column.key) for column in WindowRow.__table__.columns}
        session.add(WindowRow(**{**same, "id": "w-1", "cadence": "a week", "end": day.start + 7 * DAY, "rows": 777}))
    own = pages.get(window_page(6))
    assert "777" not in own.text
    (other,) = {link for link in own.links if link.endswith("cadence=a%20week")}
    assert "777" in pages.get(other).text
    assert "a week" not in pages.get(f"{BASE}?check=windows").text


def test_judges_cost_is_told(pages: Any, project: Any):
    usage = {"requests": 12, "prompt_tokens": 100, "output_tokens": 10, "cost": 0.25, "seconds": 3.0}
    with writing(project.engine) as session:
        session.execute(update(WindowRow).where(WindowRow.start == START + 6 * DAY).values(usage=usage))
    seen = pages.get(BASE)
    assert "0.25 USD, no budget" in seen.text  # computed today
    assert "12 requests, 0.25 USD in 8 windows" in seen.text
    assert "12 requests, 110 tokens, 0.25 USD" in pages.get(window_page(6)).text


def test_each_signal_leads_to_its_generations(pages: Any):
    window = pages.get(window_page(6))
    wanted = f"{window_page(6)}/generations?" + urlencode({"cadence": "day", "check": "operational", "key": "empty"})
    assert wanted in window.links
    seen = pages.get(wanted)
    assert seen.status == 200
    assert "6-0" in seen.text
    assert "1 to 20 of 60" in seen.text
    last = pages.get(wanted + "&skip=40")
    assert "41 to 60 of 60" in last.text
    german = pages.get(f"{window_page(6)}/generations?slice=language%3Dde")
    assert "1 to 12 of 12" in german.text


def test_long_texts_are_cut_and_shown_whole_alone(pages: Any, project: Any):
    with reading(project.engine) as session:
        key = session.scalars(select(MonitorRow.id)).one()
    (file,) = project.settings.home.joinpath("monitors", key, "raw", "2026-05-07").glob("*.parquet")
    table = pq.read_table(file, partitioning=None)
    texts = ["y" * 9_000 + HOSTILE for _ in range(table.num_rows)]
    place = table.schema.get_field_index("output")
    pq.write_table(table.set_column(place, table.schema.field("output"), pa.array(texts, pa.large_string())), file)
    listed = pages.get(f"{window_page(6)}/generations?check=operational&key=empty")
    assert len(listed.html) < 100_000
    assert "y" * 1_000 not in listed.text
    whole = next(link for link in listed.links if "row=6-1" in link)
    alone = pages.get(f"{window_page(6)}/generations{whole}")
    assert "y" * 9_000 in alone.text.replace(" ", "")
    assert "document.title='pwned'" in alone.text
    assert "<script>document" not in alone.html


def test_samples_of_a_number_come_first(pages: Any, project: Any):
    with writing(project.engine) as session:
        one = session.scalars(
            select(SignalRow)
            .join(WindowRow, WindowRow.id == SignalRow.window_id)
            .where(SignalRow.key == "empty", SignalRow.slice == "", WindowRow.start == START + 6 * DAY)
        ).first()
        assert one is not None
        one.samples = ["6-41", "gone", "6-3"]
    seen = pages.get(f"{window_page(6)}/generations?check=operational&key=empty")
    order = re.findall(r"<h3><code>([^<]+)</code>", seen.html)
    assert order[:3] == ["6-41", "6-3", "6-0"]
    assert seen.html.count("said shows") == 2


def test_rows_that_are_gone_are_said_to_be_gone(pages: Any, project: Any):
    with reading(project.engine) as session:
        key = session.scalars(select(MonitorRow.id)).one()
    shutil.rmtree(project.settings.home / "monitors" / key / "raw")
    assert "no longer kept" in pages.get(f"{window_page(6)}/generations").text
    assert pages.get(BASE).status == 200
    assert pages.get(f"/evalkit/alerts/{alert_on_empty(project)}").status == 200


def test_viewers_read_numbers_and_no_texts(pages: Any, project: Any):
    assert pages.get(BASE, who="eve:viewer").status == 200
    assert pages.get(f"{window_page(6)}/generations", who="eve:viewer").status == 403
    assert pages.get(f"{window_page(6)}/generations", who="lea:labeler").status == 200
    with writing(project.engine) as session:
        session.execute(update(AlertRow).values(samples=["5-1"]))
    address = f"/evalkit/alerts/{alert_on_empty(project)}"
    assert "question 1" in pages.get(address).text
    assert "question 1" not in pages.get(address, who="eve:viewer").text
    assert not [tag for tag, given in pages.get(address, who="eve:viewer").tags if tag == "form"]


def test_report_is_shown_in_a_sandbox(pages: Any, project: Any):
    with reading(project.engine) as session:
        key = session.scalars(select(MonitorRow.id)).one()
    place = report_path(project.settings.home / "monitors" / key, "day", START + 6 * DAY)
    assert pages.get(f"{window_page(6)}/report").status == 404
    place.parent.mkdir(parents=True)
    place.write_text("<script>fetch('/')</script>")
    answer = pages.client.get(f"{window_page(6)}/report")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy
    assert "connect-src 'none'" in policy
    assert "default-src 'none'" in policy
    seen = pages.get(f"{window_page(6)}?cadence=day&report=1")
    (frame,) = [given for tag, given in seen.tags if tag == "iframe"]
    assert frame["sandbox"] == "allow-scripts"
    assert pages.client.get(f"{BASE}/windows/..%2F..%2Fx/report").status_code in {404, 422}


def test_monitors_are_paused_resumed_and_run(pages: Any, project: Any):
    assert pages.submit(BASE, f"{BASE}/pause", {}).status_code == 303
    assert "paused" in pages.get(BASE).text
    assert pages.submit(BASE, f"{BASE}/run", {}).status_code == 409
    assert pages.submit(BASE, f"{BASE}/resume", {}).status_code == 303
    answer = pages.submit(BASE, f"{BASE}/run", {})
    assert answer.status_code == 303
    assert "No worker is alive" in pages.get(answer.headers["location"]).text


@pytest.mark.parametrize("action", ["pause", "resume", "run"])
def test_who_may_not_act_does_not(pages: Any, action: str):
    assert pages.post(f"{BASE}/{action}", {}).status_code == 403  # without our page's token
    assert pages.post(f"{BASE}/{action}", {}, who="eve:viewer").status_code == 403
    assert not [tag for tag, given in pages.get(BASE, who="eve:viewer").tags if given.get("method") == "post"]


def test_alerts_are_filtered(pages: Any, project: Any):
    key = alert_on_empty(project)
    assert f"/evalkit/alerts/{key}" in pages.get("/evalkit/alerts").links
    assert f"/evalkit/alerts/{key}" not in pages.get("/evalkit/alerts?state=ended").links
    assert f"/evalkit/alerts/{key}" not in pages.get("/evalkit/alerts?monitor=other").links
    assert "contract" in pages.get("/evalkit/alerts?state=ended").text
    assert pages.get("/evalkit/alerts/none").status == 404


def test_alerts_are_acknowledged_and_silenced_with_a_reason(pages: Any, project: Any):
    address = f"/evalkit/alerts/{alert_on_empty(project)}"
    assert pages.submit(address, f"{address}/acknowledge", {"reason": " "}).status_code == 422
    assert Alerts(project.engine).get(alert_on_empty(project)).state == "open"
    assert pages.submit(address, f"{address}/acknowledge", {"reason": HOSTILE}, who="ann:approver").status_code == 303
    seen = pages.get(address)
    assert "acknowledged by ann" in seen.text
    assert "<script>document" not in seen.html
    assert pages.submit(address, f"{address}/silence", {"reason": "known", "span": "2 weeks"}).status_code == 422
    assert pages.submit(address, f"{address}/silence", {"reason": "known", "span": "3d"}).status_code == 303
    assert "/evalkit/alerts/" in " ".join(pages.get("/evalkit/alerts?state=silenced").links)
    assert pages.submit(address, f"{address}/unsilence", {"reason": "fixed"}).status_code == 303
    assert Alerts(project.engine).get(alert_on_empty(project)).state == "acknowledged"
    with reading(project.engine) as session:
        kinds = session.scalars(select(AuditRow.kind).where(AuditRow.kind.like("alert.%"))).all()
    assert set(kinds) == {"alert.acknowledged", "alert.silenced", "alert.unsilenced"}


@pytest.mark.parametrize("action", ["acknowledge", "silence", "unsilence"])
def test_alerts_are_not_handled_by_everybody(pages: Any, project: Any, action: str):
    address = f"/evalkit/alerts/{alert_on_empty(project)}/{action}"
    assert pages.post(address, {"reason": "x"}).status_code == 403  # without our page's token
    fields = [given for tag, given in pages.get(BASE, who="lea:labeler").tags if tag == "input"]
    assert not [given for given in fields if given.get("name") == "form_token"]
    assert pages.post(address, {"reason": "x"}, who="lea:labeler").status_code == 403


def test_monitor_whose_file_cannot_be_read_any_more_is_shown(pages: Any, project: Any):
    from registry.tables_monitoring import MonitorVersionRow

    with writing(project.engine) as session:
        session.execute(update(MonitorVersionRow).values(text="monitor: [broken"))
    assert "operational" in pages.get(BASE).text
    assert pages.get(f"{window_page(6)}/generations").status == 200


def test_a_range_with_more_windows_than_a_page_takes_is_shown_by_longer_periods(
    project: Any, pages: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(monitor_data, "MOST", 3)
    view = pages.get(f"{BASE}?check=operational&key=empty&since=2026-05-01")
    assert "by week: the mean of each week" in view.text
    assert "is no interval" in view.text
    with reading(project.engine) as session:
        key = session.scalar(select(MonitorRow.id)) or ""
    found = monitor_data.level_points(
        project.engine, (key, "day", "week"), "operational", slice_="", keys=["empty"], span=(0, 2**53)
    )
    with reading(project.engine) as session:
        values = session.execute(
            select(SignalRow.value, SignalRow.n)
            .join(WindowRow, WindowRow.id == SignalRow.window_id)
            .where(SignalRow.key == "empty", SignalRow.slice == "", WindowRow.newest)
        ).all()
    mean = sum(point.value * point.n for point in found) / sum(point.n for point in found)
    assert mean == pytest.approx(sum(value * n for value, n in values) / sum(n for _, n in values))
    assert max(point.high for point in found if point.high is not None) == max(value for value, _ in values)
    assert any("since=2026-04-27" in link for link in view.links), "a point leads to the windows of its week"
