"""Webhooks that were registered hear of alerts, and `smallest` says which change matters."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from evalkit.monitoring import api
from evalkit.monitoring.erasure import forget
from evalkit.worker.alerts import AlertDeliveries
from evalkit.worker.loop import Worker
from metrics.errors import InputError
from registry.alerts import Alerts
from registry.database import connect, upgrade
from registry.outbox import ALERT, DELIVERY, DROPPED, Outbox
from registry.webhooks import add_webhook

_spec = importlib.util.spec_from_file_location("alerting_days", Path(__file__).with_name("test_alerting.py"))
assert _spec is not None and _spec.loader is not None
_days = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_days)
MONITOR = _days.MONITOR.replace("source:", "model: models:/bot@champion\nsource:", 1)
"""Of a registered model."""


def told(project: Any) -> list[tuple[str, str, dict[str, Any]]]:
    engine = connect(project.settings.database_url)
    try:
        items = reversed(Outbox(engine).items(DELIVERY, limit=1000))
        messages = [(item.body["webhook"], item.body["message"]) for item in items]
    finally:
        engine.dispose()
    return [(hook, message["type"], message["data"]) for hook, message in messages if not message["data"]["slice"]]


def hooks(project: Any, *patterns: str, **how: Any) -> list[str]:
    engine = connect(project.settings.database_url)
    upgrade(engine)
    try:
        url = "https://hooks.example.org"
        return [add_webhook(engine, url, secret_env="SECRET", pattern=pattern, **how).id for pattern in patterns]
    finally:
        engine.dispose()


def test_an_alert_is_told_as_it_opens_and_ends(project: Any):
    every, bots, _other = hooks(project, "*", "bo*", "other")
    (decisions,) = hooks(project, "*", events=["decision"])
    project.apply(MONITOR)
    _days.live(project, [3] * 6 + [30] * 3 + [3] * 5)
    found = told(project)
    assert [(hook, kind) for hook, kind, _ in found] == [
        (every, "evalkit.alert.opened"), (bots, "evalkit.alert.opened"),
        (every, "evalkit.alert.closed"), (bots, "evalkit.alert.closed"),
    ]  # fmt: skip
    assert decisions not in {hook for hook, _, _ in found}
    opened = found[0][2]
    assert (opened["model"], opened["reference"], opened["actor"]) == ("bot", "models:/bot@champion", "monitor:prod")
    assert (opened["check"], opened["key"], opened["event"]) == ("operational", "empty", "opened")
    assert opened["samples"], "the message names the rows that caused it"
    assert found[-1][2]["closed"] is not None
    alerts = _days.alerts_of(project)
    assert {alert.id for alert in alerts.find(model="bot", state="closed")} >= {opened["alert"]}
    assert alerts.find(model="Bot", closed=True) == alerts.find(model="bot", state="silenced") == []
    (first, *rest) = alerts.find(closed=True)
    assert alerts.find(closed=True, after=(first.opened_at, first.id)) == rest


def test_a_monitor_without_a_model_is_told_to_those_who_hear_all(local: Any):
    every, _bots = hooks(local, "*", "bo*")
    local.apply(_days.MONITOR)
    _days.live(local, [3] * 6 + [30] * 3)
    assert {(hook, data["model"]) for hook, _, data in told(local)} == {(every, "")}


@pytest.mark.parametrize(("smallest", "alerting"), [("0.01", True), ("0.4", False)])
def test_a_change_that_is_too_small_to_matter(local: Any, smallest: str, alerting: bool):
    local.apply(_days.MONITOR.replace("versus: baseline", f"versus: baseline, smallest: {smallest}"))
    _days.live(local, [3] * 5 + [12] * 6)
    engine = connect(local.settings.database_url)
    found = [alert for alert in Alerts(engine).find("prod", closed=True) if not alert.slice]
    engine.dispose()
    assert bool(found) is alerting


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("versus: baseline", "max: 0.5, smallest: 0.1", "versus: baseline"),
        ("versus: baseline", "versus: baseline, detector: 3-sigma, smallest: 0.1", "e-detector"),
        ("versus: baseline", "versus: baseline, smallest: -1", "greater than or equal to 0"),
        ("{operational: [empty, length], alert: {key: empty, versus: baseline}}",
         "{drift: [output], alert: {versus: baseline, smallest: 0.1}}", "floors"),
    ],
)  # fmt: skip
def test_a_smallest_change_that_says_nothing_is_refused(local: Any, old: str, new: str, says: str):
    with pytest.raises(InputError, match=says):
        local.apply(_days.MONITOR.replace(old, new))
    assert api.list_monitors(settings=local.settings) == []


def test_numbers_name_the_rows_that_show_them(local: Any):
    rows = [
        {**row, "answer": "y" * place, "seconds": float(place % 50)}
        for place, row in enumerate(_days.day_of(0, empty=0))
    ]
    local.write("day-00", rows)
    text = _days.MONITOR.replace("output: answer", "output: answer, latency: seconds")
    local.apply(text.replace("[empty, length], alert: {key: empty, versus: baseline}", "[empty, length, latency]"))
    local.run(1)
    found = api.history("prod", settings=local.settings)
    samples = {one.signal.key: one.signal.samples for one in found if one.check == "operational"}
    assert samples["empty"] == ("0-0",)
    assert samples["length"] == (*(f"0-{place}" for place in range(59, 49, -1)), *(f"0-{k}" for k in range(10)))
    assert samples["latency.p95"] == samples["latency"] and samples["latency"][0] == "0-49"
    assert samples["rows"] == ()


def test_gaps_and_drift_name_rows(local: Any):
    for day in range(2):
        rows = _days.day_of(day, empty=0)
        for place, row in enumerate(rows):
            row["answer"] = "" if row["language"] == "de" and place % 8 == 0 else "y" * (place + 30 * day)
        local.write(f"day-{day:02}", rows)
    checks = "{groups: {by: [language], of: [empty, length], minimum: 10}}\n  - {drift: [output]}"
    old = "{operational: [empty, length], alert: {key: empty, versus: baseline}}"
    local.apply(_days.MONITOR.replace(old, checks).replace("baseline: 4d", "baseline: 1d"))
    local.run(2)
    found = [one for one in api.history("prod", settings=local.settings) if one.window.start == _days.START + _days.DAY]
    samples = {(one.check, one.signal.key): one.signal.samples for one in found}
    assert samples["groups", "empty.gap.language"] == tuple(f"1-{place}" for place in range(0, 60, 8))
    assert samples["groups", "empty.ratio.language"] == samples["groups", "empty.gap.language"]
    longest = samples["drift", "output.length.baseline"]
    assert (longest[0], len(longest)) == ("1-59", 20)
    assert set(longest[10:]) == {*(f"1-{place}" for place in range(0, 60, 8)), "1-1", "1-2"}, "both ends"


def test_a_monitor_that_was_removed_is_told_of_no_more(local: Any):
    text = _days.MONITOR.replace("{log: true}", "{webhook: HOOK}")
    local.apply(text)
    _days.live(local, [3] * 6 + [30])
    engine = connect(local.settings.database_url)
    waiting = Outbox(engine).items(ALERT)
    assert waiting
    api.remove("prod", settings=local.settings)
    environment = {"HOOK": "https://hooks.example.org", "HOOK_SECRET": "x" * 24}
    work = AlertDeliveries(engine, environment=environment, say=lambda _: None)
    Worker([work], poll=0.02, say=lambda _: None).run(once=True)
    assert {(item.outcome, item.log[-1]["detail"]) for item in Outbox(engine).items(ALERT)} == {
        (DROPPED, "the alert was removed")
    }
    engine.dispose()


def test_a_person_who_is_forgotten_is_in_no_alert_and_no_message(project: Any):
    hooks(project, "*")
    text = _days.MONITOR.replace("output: answer", "output: answer, user: who").replace(
        "slices: [language]", "slices: [who]"
    )
    project.apply(text)
    for day, empty in enumerate([3] * 6 + [30]):
        rows = _days.day_of(day, empty)
        for place, row in enumerate(rows):
            row["who"] = "ann" if place % 2 else "bea"
            row["id"] = f"{row['who']}-{row['id']}"
        project.write(f"day-{day:02}", rows)
        project.run(day + 1)

    def everything() -> str:
        engine = connect(project.settings.database_url)
        alerts = Alerts(engine).find(closed=True)
        bodies = [item.body for kind in (ALERT, DELIVERY) for item in Outbox(engine).items(kind, limit=1000)]
        engine.dispose()
        return str([(alert.slice, alert.samples) for alert in alerts]) + str(bodies)

    assert "ann-6-" in everything() and "who=ann" in everything() and "bea-6-" in everything()
    forget("ann", settings=project.settings, now=_days.START + 7 * _days.DAY + 7_200_000)
    assert "ann-" not in everything() and "who=ann" not in everything()
    assert "bea-6-" in everything()
