"""A monitor's page, its windows, the generations behind them, and its alerts."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, update

from evalkit.config import Settings
from evalkit.monitoring import api
from evalkit.monitoring.store import MonitorStore
from evalkit.monitoring.window_reports import report_path
from evalkit.pages.charts.worker import serve
from evalkit.server.api.project import open_project
from evalkit.views import monitor_data
from registry.alerts import Alerts
from registry.database import reading, writing
from registry.tables import AuditRow, ModelVersionRow, PromotionRow
from registry.tables_monitoring import AlertRow, MonitorRow, SignalRow, WindowRow

DAY = 86_400_000
START = 1_777_593_600_000  # 2026-05-01T00:00Z
DAYS = 8
HOSTILE = "<script>document.title='pwned'</script>\"'><img src=x onerror=document.title='pwned'>"
MONITOR = """\
monitor: prod
model: models:/bot@champion
source:
  files: generations
  columns: {id: id, time: time, prompt: question, output: answer, context: context, latency: seconds, label: label,
            slices: [language]}
lateness: 1h
baseline: 3d
minimum: 5
retention: {raw: 3000d}
contract: contract.yaml
checks:
  - {operational: [empty, latency], alert: {key: empty, versus: baseline}}
  - {drift: [output, latency, language], against: [baseline], slices: []}
  - {groups: {by: [language], of: [length], minimum: 5}}
notify: [{log: true}]
"""


def rows_of_day(day: int) -> list[dict[str, Any]]:
    """Sixty generations: from the sixth day on half of the answers are empty, and slow."""
    bad = day >= 5
    return [
        {
            "id": f"{day}-{row}",
            "time": START + day * DAY + row * 60_000,
            "question": HOSTILE if row == 0 else f"question {row}",
            "answer": "" if bad and row % 2 else f"word {row % 7} " + (HOSTILE if row == 0 else "x" * (row % 5)),
            "context": [HOSTILE, "passage"],
            "seconds": (3.0 if bad else 0.5) + (row % 10) / 10,
            "language": HOSTILE[:60] if row < 10 else "de" if row % 4 == 0 else "en",
            "label": 1 if row == 2 and day < 6 else None,
        }
        for row in range(60)
    ]


@pytest.fixture(scope="session")
def watched(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with a monitor that has alerted, one day whose rows broke the contract, and a restated window."""
    folder = tmp_path_factory.mktemp("watched") / "project"
    shutil.copytree(evaluated, folder)
    settings = _settings(folder)
    (folder / "generations").mkdir()
    for day in range(DAYS):
        _write(folder, f"day-{day}", rows_of_day(day)[: 20 if day == 3 else 60])
    (folder / "monitor.yaml").write_text(MONITOR)
    (folder / "contract.yaml").write_text("contract: prod\nvolume: {min: 40}\n")
    api.apply(folder / "monitor.yaml", schedule=False, settings=settings)
    api.run("prod", now=START + (DAYS - 1) * DAY + 7_200_000, settings=settings)
    _write(folder, "late", [{**rows_of_day(5)[0], "id": f"late-{row}"} for row in range(5)])
    api.run("prod", now=START + DAYS * DAY + 7_200_000, settings=settings)
    return folder


def _write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (folder / "generations" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _settings(folder: Path) -> Settings:
    url = f"sqlite:///{folder / '.evalkit' / 'mlflow.db'}"
    return Settings(folder / ".evalkit", url, url, url, advisory=False)


@pytest.fixture
def project(watched: Path, tmp_path: Path) -> Iterator[Any]:
    """A copy of it, to be changed; the pages of `pages` are over it."""
    folder = tmp_path / "project"
    shutil.copytree(watched, folder)
    found = open_project(_settings(folder))
    yield found
    found.registry.close()
    found.engine.dispose()


BASE = "/evalkit/monitors/prod"


def _at(day: int) -> str:
    return f"{BASE}/windows/{START + day * DAY}"


def _alert(project: Any) -> str:
    """The one on empty answers of all rows."""
    return next(one.id for one in Alerts(project.engine).find("prod") if one.key == "empty" and not one.slice)


def _everything(project: Any) -> list[str]:
    return [
        BASE, *(f"{BASE}?check={check}" for check in ("operational", "drift", "groups", "windows")),
        f"{BASE}?check=drift&key=latency.baseline", _at(6), f"{_at(6)}?slices=1", _at(3), f"{_at(6)}/generations",
        f"{_at(6)}/generations?check=operational&key=empty", "/evalkit/alerts", "/evalkit/alerts?state=all",
        f"/evalkit/alerts/{_alert(project)}",
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
    rows = pages.get(f"{_at(6)}/generations?slice={quote('language=' + HOSTILE[:60])}")
    assert "document.title='pwned'" in rows.text
    for address in _everything(project):
        assert "<script>document" not in pages.get(address).html


def test_monitor_says_how_it_stands(pages: Any, project: Any):
    seen = pages.get(BASE)
    assert "/evalkit/models/bot" in seen.links
    assert _at(7) in seen.links
    assert "85.7 % of 7 windows met it" in seen.text or "87.5 % of 8 windows met it" in seen.text
    assert "volume" in seen.text
    assert f"/evalkit/alerts/{_alert(project)}" in seen.links
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
    seen = pages.get(_at(5))
    assert "revision 2" in seen.text
    assert f"{_at(5)}?cadence=day&revision=1" in seen.links
    assert "65" in seen.text
    before = pages.get(f"{_at(5)}?cadence=day&revision=1")
    assert "restated since" in before.text
    broken = pages.get(_at(3))
    assert "the checks were left out" in broken.text
    assert "volume" in broken.text
    assert pages.get(f"{BASE}/windows/12").status == 404
    assert pages.get("/evalkit/monitors/none/windows/12").status == 404


def test_windows_that_begin_together_are_told_apart(pages: Any, project: Any):
    with writing(project.engine) as session:
        day = session.scalars(select(WindowRow).where(WindowRow.start == START + 6 * DAY)).one()
        same = {column.key: getattr(day, column.key) for column in WindowRow.__table__.columns}
        session.add(WindowRow(**{**same, "id": "w-1", "cadence": "a week", "end": day.start + 7 * DAY, "rows": 777}))
    own = pages.get(_at(6))
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
    assert "12 requests, 110 tokens, 0.25 USD" in pages.get(_at(6)).text


def test_each_signal_leads_to_its_generations(pages: Any):
    window = pages.get(_at(6))
    wanted = f"{_at(6)}/generations?" + urlencode({"cadence": "day", "check": "operational", "key": "empty"})
    assert wanted in window.links
    seen = pages.get(wanted)
    assert seen.status == 200
    assert "6-0" in seen.text
    assert "1 to 20 of 60" in seen.text
    last = pages.get(wanted + "&skip=40")
    assert "41 to 60 of 60" in last.text
    german = pages.get(f"{_at(6)}/generations?slice=language%3Dde")
    assert "1 to 12 of 12" in german.text


def test_long_texts_are_cut_and_shown_whole_alone(pages: Any, project: Any):
    with reading(project.engine) as session:
        key = session.scalars(select(MonitorRow.id)).one()
    (file,) = project.settings.home.joinpath("monitors", key, "raw", "2026-05-07").glob("*.parquet")
    table = pq.read_table(file, partitioning=None)
    texts = ["y" * 9_000 + HOSTILE for _ in range(table.num_rows)]
    place = table.schema.get_field_index("output")
    pq.write_table(table.set_column(place, table.schema.field("output"), pa.array(texts, pa.large_string())), file)
    listed = pages.get(f"{_at(6)}/generations?check=operational&key=empty")
    assert len(listed.html) < 100_000
    assert "y" * 1_000 not in listed.text
    whole = next(link for link in listed.links if "row=6-1" in link)
    alone = pages.get(f"{_at(6)}/generations{whole}")
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
    seen = pages.get(f"{_at(6)}/generations?check=operational&key=empty")
    order = re.findall(r"<h3><code>([^<]+)</code>", seen.html)
    assert order[:3] == ["6-41", "6-3", "6-0"]
    assert seen.html.count("said shows") == 2


def test_rows_that_are_gone_are_said_to_be_gone(pages: Any, project: Any):
    with reading(project.engine) as session:
        key = session.scalars(select(MonitorRow.id)).one()
    shutil.rmtree(project.settings.home / "monitors" / key / "raw")
    assert "no longer kept" in pages.get(f"{_at(6)}/generations").text
    assert pages.get(BASE).status == 200
    assert pages.get(f"/evalkit/alerts/{_alert(project)}").status == 200


def test_viewers_read_numbers_and_no_texts(pages: Any, project: Any):
    assert pages.get(BASE, who="eve:viewer").status == 200
    assert pages.get(f"{_at(6)}/generations", who="eve:viewer").status == 403
    assert pages.get(f"{_at(6)}/generations", who="lea:labeler").status == 200
    with writing(project.engine) as session:
        session.execute(update(AlertRow).values(samples=["5-1"]))
    address = f"/evalkit/alerts/{_alert(project)}"
    assert "question 1" in pages.get(address).text
    assert "question 1" not in pages.get(address, who="eve:viewer").text
    assert not [tag for tag, given in pages.get(address, who="eve:viewer").tags if tag == "form"]


def test_report_is_shown_in_a_sandbox(pages: Any, project: Any):
    with reading(project.engine) as session:
        key = session.scalars(select(MonitorRow.id)).one()
    place = report_path(project.settings.home / "monitors" / key, "day", START + 6 * DAY)
    assert pages.get(f"{_at(6)}/report").status == 404
    place.parent.mkdir(parents=True)
    place.write_text("<script>fetch('/')</script>")
    answer = pages.client.get(f"{_at(6)}/report")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy
    assert "connect-src 'none'" in policy
    assert "default-src 'none'" in policy
    seen = pages.get(f"{_at(6)}?cadence=day&report=1")
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
    key = _alert(project)
    assert f"/evalkit/alerts/{key}" in pages.get("/evalkit/alerts").links
    assert f"/evalkit/alerts/{key}" not in pages.get("/evalkit/alerts?state=ended").links
    assert f"/evalkit/alerts/{key}" not in pages.get("/evalkit/alerts?monitor=other").links
    assert "contract" in pages.get("/evalkit/alerts?state=ended").text
    assert pages.get("/evalkit/alerts/none").status == 404


def test_alerts_are_acknowledged_and_silenced_with_a_reason(pages: Any, project: Any):
    address = f"/evalkit/alerts/{_alert(project)}"
    assert pages.submit(address, f"{address}/acknowledge", {"reason": " "}).status_code == 422
    assert Alerts(project.engine).get(_alert(project)).state == "open"
    assert pages.submit(address, f"{address}/acknowledge", {"reason": HOSTILE}, who="ann:approver").status_code == 303
    seen = pages.get(address)
    assert "acknowledged by ann" in seen.text
    assert "<script>document" not in seen.html
    assert pages.submit(address, f"{address}/silence", {"reason": "known", "span": "2 weeks"}).status_code == 422
    assert pages.submit(address, f"{address}/silence", {"reason": "known", "span": "3d"}).status_code == 303
    assert "/evalkit/alerts/" in " ".join(pages.get("/evalkit/alerts?state=silenced").links)
    assert pages.submit(address, f"{address}/unsilence", {"reason": "fixed"}).status_code == 303
    assert Alerts(project.engine).get(_alert(project)).state == "acknowledged"
    with reading(project.engine) as session:
        kinds = session.scalars(select(AuditRow.kind).where(AuditRow.kind.like("alert.%"))).all()
    assert set(kinds) == {"alert.acknowledged", "alert.silenced", "alert.unsilenced"}


@pytest.mark.parametrize("action", ["acknowledge", "silence", "unsilence"])
def test_alerts_are_not_handled_by_everybody(pages: Any, project: Any, action: str):
    address = f"/evalkit/alerts/{_alert(project)}/{action}"
    assert pages.post(address, {"reason": "x"}).status_code == 403  # without our page's token
    fields = [given for tag, given in pages.get(BASE, who="lea:labeler").tags if tag == "input"]
    assert not [given for given in fields if given.get("name") == "form_token"]
    assert pages.post(address, {"reason": "x"}, who="lea:labeler").status_code == 403


def test_monitor_whose_file_cannot_be_read_any_more_is_shown(pages: Any, project: Any):
    from registry.tables_monitoring import MonitorVersionRow

    with writing(project.engine) as session:
        session.execute(update(MonitorVersionRow).values(text="monitor: [broken"))
    assert "operational" in pages.get(BASE).text
    assert pages.get(f"{_at(6)}/generations").status == 200


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
    seen = pages.get(f"{_at(6)}/generations")
    assert seen.status == 200 and "no longer kept" in seen.text
    told = pages.api(f"{_api(6)}/generations", check="operational", key="empty").json()
    assert (told["items"], told["total"]) == ([], 0) and told["gone"] > 0

    def damaged(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("gone")

    monkeypatch.setattr(RawStore, "read", damaged)
    assert pages.get(f"{_at(6)}/generations").status == 404
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
