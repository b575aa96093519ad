"""From windows to alerts: episodes, learning, slices, restated windows, empty and broken days, silences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from evalkit.monitoring import announcing, api
from metrics.errors import InputError
from registry import audit
from registry.actors import Actor, acting
from registry.alerts import Alerts, Reading
from registry.database import connect, reading, writing
from registry.digests import now_ms
from registry.outbox import ALERT, Outbox
from registry.tables_monitoring import AlertRow, DetectorRow, ReadingRow, WindowRow

DAY = 86_400_000
START = 1_777_593_600_000
MONITOR = """\
monitor: prod
source:
  files: generations
  columns: {id: id, time: time, prompt: question, output: answer, slices: [language]}
lateness: 1h
baseline: 4d
minimum: 20
retention: {raw: 60d}
checks:
  - {operational: [empty, length], alert: {key: empty, versus: baseline}}
notify: [{log: true}]
"""


def day_of(day: int, empty: int, n: int = 60, **changes: Any) -> list[dict[str, Any]]:
    """A day of answers, some of them empty; a quarter is German."""
    return [
        {
            "id": f"{day}-{row}",
            "time": START + day * DAY + row * (DAY // n),
            "question": "why?",
            "answer": "" if (row * 7) % n < empty else "because " + "x" * (row % 5),
            "language": "de" if row % 4 == 0 else "en",
            **changes,
        }
        for row in range(n)
    ]


def write_days(project: Any, empties: Sequence[int], first: int = 0) -> None:
    for day, empty in enumerate(empties, first):
        project.write(f"day-{day:02}", day_of(day, empty))


def live(project: Any, empties: Sequence[int], first: int = 0) -> None:
    """Each day is written and run when it is over."""
    for day, empty in enumerate(empties, first):
        write_days(project, [empty], first=day)
        project.run(day + 1)


def alerts_of(project: Any) -> Alerts:
    return Alerts(connect(project.settings.database_url))


def overall(project: Any, key: str = "empty") -> list[Any]:
    found = alerts_of(project).find(closed=True)
    return [alert for alert in reversed(found) if alert.key == key and not alert.slice]


def readings_of(project: Any, rule: str = "baseline", slice_: str = "") -> list[tuple[Any, ...]]:
    with reading(connect(project.settings.database_url)) as session:
        rows = session.scalars(
            select(ReadingRow).where(ReadingRow.rule == rule, ReadingRow.slice == slice_).order_by(ReadingRow.start)
        )
        return [(r.start, r.status, r.alerting, r.statistic, r.threshold, r.level, r.value, r.reason) for r in rows]


def messages(project: Any) -> list[dict[str, Any]]:
    items = Outbox(connect(project.settings.database_url)).items(ALERT, limit=500)
    return [item.body["message"]["data"] for item in reversed(items)]


QUIET, BROKEN = 3, 30


def test_an_episode_opens_once_is_told_once_and_ends(project: Any):
    project.apply(MONITOR)
    live(project, [QUIET] * 6 + [BROKEN] * 4 + [QUIET] * 3)
    (alert,) = overall(project)
    assert (alert.check, alert.rule, alert.state) == ("operational", "baseline", "closed")
    assert alert.opened_at == START + 6 * DAY and alert.opened_until == START + 7 * DAY
    # two windows in a row below the warning level end it
    assert alert.closed_at == START + 11 * DAY
    assert alert.value == 0.5 and alert.statistic >= alert.threshold
    statuses = [row[1] for row in readings_of(project)]
    assert statuses[:4] == ["learning"] * 4
    assert statuses[6:11] == ["alert"] * 5 and statuses[11] == "ok"
    told = [(one["event"], one["slice"]) for one in messages(project)]
    assert told.count(("opened", "")) == told.count(("closed", "")) == 1
    assert len(told) == len(set(told)), "each episode is told once"


def test_a_slice_has_alerts_of_its_own_and_a_small_one_has_none(local: Any):
    write_days(local, [QUIET] * 6)
    german = [row for day in range(6, 9) for row in day_of(day, QUIET, n=120)]
    for row in german:
        if row["language"] == "de":
            row["answer"] = ""
    local.write("later", german)
    for day in range(9):
        local.append(
            f"more-{day}",
            [
                {**row, "id": "fr-" + row["id"], "language": "fr", "answer": "" if day > 5 else "oui"}
                for row in day_of(day, 0, n=10)
            ],
        )
    local.apply(MONITOR.replace("minimum: 20", "minimum: 15"))
    local.run(9)
    found = {alert.slice for alert in alerts_of(local).find(closed=True) if alert.key == "empty"}
    assert "language=de" in found and "language=en" not in found
    assert "language=fr" not in found, "ten rows are no verdict"
    assert readings_of(local, slice_="language=fr") == []


def test_a_replay_equals_one_by_one(project: Any, tmp_path: Any):
    empties = [3, 4, 2, 3, 3, 25, 26, 3, 24, 3, 2, 3, 3]
    project.apply(MONITOR)
    live(project, empties)
    one_by_one = readings_of(project)
    episodes = [(a.opened_at, a.closed_at, a.reason) for a in overall(project)]
    assert len(episodes) >= 1
    with writing(connect(project.settings.database_url)) as session:
        session.execute(delete(DetectorRow))
        session.execute(delete(ReadingRow))
    project.run(13)
    assert readings_of(project) == one_by_one
    assert [(a.opened_at, a.closed_at, a.reason) for a in overall(project)] == episodes


def test_a_restated_window_replays_its_signals(local: Any):
    local.apply(MONITOR)
    live(local, [QUIET] * 6 + [BROKEN] + [QUIET] * 2)
    (before,) = overall(local)
    assert before.opened_at == START + 6 * DAY
    # the answers of the bad day come late: none of them was empty
    local.write("late", [{**row, "answer": "late"} for row in day_of(6, 0)])
    local.run(9)
    (after,) = overall(local)
    assert after.id == before.id and after.state == "closed"
    assert after.reason.startswith("no alert any more")
    assert [row[1] for row in readings_of(local)][4:] == ["ok"] * 5
    events = [one["event"] for one in messages(local) if not one["slice"]]
    assert events == ["opened", "closed"]


def test_the_first_windows_page_nobody(local: Any):
    local.apply(MONITOR.replace("versus: baseline", "max: 0.2, detector: threshold"))
    live(local, [BROKEN] * 4)
    (alert,) = overall(local)
    assert alert.opened_at == START and alert.announced_at is None
    assert messages(local) == []
    live(local, [BROKEN], first=4)
    assert [one["event"] for one in messages(local) if not one["slice"]] == ["opened"], "it lasts: now it is told"


def test_an_empty_day_is_an_episode_of_its_own(project: Any):
    write_days(project, [QUIET] * 6)
    project.write("day-08", day_of(8, QUIET))
    project.apply(MONITOR)
    project.run(9)
    (alert,) = overall(project, "no data")
    assert (alert.check, alert.rule) == ("window", "no data")
    assert (alert.opened_at, alert.closed_at) == (START + 6 * DAY, START + 8 * DAY)
    assert [row[1] for row in readings_of(project)][6:] == ["no data", "no data", "ok"]
    assert overall(project) == []


def test_a_broken_contract_alerts_and_is_not_read(local: Any):
    write_days(local, [QUIET] * 6 + [BROKEN, QUIET])
    local.apply(MONITOR)
    local.run(6)
    engine = connect(local.settings.database_url)
    local.run(8)
    with writing(engine) as session:
        session.execute(update(WindowRow).where(WindowRow.start == START + 6 * DAY).values(status="contract"))
        session.execute(delete(DetectorRow))
        session.execute(delete(AlertRow))
    local.run(8)
    (alert,) = overall(local, "contract")
    assert (alert.opened_at, alert.closed_at) == (START + 6 * DAY, START + 7 * DAY)
    assert overall(local) == [], "numbers of broken rows are not read"


def test_a_changed_rule_starts_again_and_a_removed_one_ends(local: Any):
    write_days(local, [QUIET] * 6 + [BROKEN] * 2)
    local.apply(MONITOR)
    local.run(8)
    assert overall(local)[0].state == "open"
    local.apply(MONITOR.replace(", alert: {key: empty, versus: baseline}", ""))
    local.run(8)
    (gone,) = overall(local)
    assert gone.state == "closed" and gone.reason.startswith("the rule was removed")


def test_acknowledge_silence_and_their_traces(local: Any):
    write_days(local, [QUIET] * 6 + [BROKEN] * 2)
    local.apply(MONITOR)
    local.run(8)
    alerts = alerts_of(local)
    (alert,) = overall(local)
    with acting(Actor("ann")):
        acknowledged = alerts.acknowledge(alert.id, "looking into it")
    assert acknowledged.state == "acknowledged" and acknowledged.acknowledged_by == "ann"
    with acting(Actor("bea")):
        silenced = alerts.silence(alert.id, "the vendor knows", now_ms() + DAY)
    assert (silenced.state, silenced.comment) == ("silenced", "bea: the vendor knows")
    told = len(messages(local))
    live(local, [QUIET] * 3 + [BROKEN] * 2, first=8)
    first, second = overall(local)
    assert first.state == "closed" and second.state == "silenced", "a silence is of the rule"
    assert second.announced_at is None
    assert [one for one in messages(local)[told:] if not one["slice"]] == []
    with acting(Actor("bea")):
        alerts.unsilence(second.id, "vendor says done")
    local.run(13)
    assert [one["event"] for one in messages(local)[told:] if not one["slice"]] == ["opened"]
    kinds = [entry["kind"] for entry in audit.export(connect(local.settings.database_url))]
    assert kinds == ["monitor.applied", "alert.acknowledged", "alert.silenced", "alert.unsilenced"]
    with pytest.raises(InputError, match="reason"):
        alerts.acknowledge(second.id, "  ")
    with pytest.raises(InputError, match="no alert"):
        alerts.acknowledge("nothing", "why")


@pytest.mark.parametrize(
    ("alert", "says"),
    [
        ("operational, alert: {max: 3}", "needs `key:`"),
        ("operational, alert: {key: empty, max: 0}", "between 0 and 1"),
        ("drift: [output], alert: {max: 0.2}", "detector: threshold"),
        ("toxicity: {}, alert: {versus: baseline, demote: true}", "alias"),
        ("toxicity: {}, alert: {versus: baseline, detector: threshold}", "needs `max` or `min`"),
    ],
)
def test_an_alert_that_cannot_work_is_refused_at_once(local: Any, alert: str, says: str):
    check = alert.replace("operational,", "operational: [empty],")
    with pytest.raises(InputError, match=says):
        local.apply(MONITOR[: MONITOR.index("checks:")] + f"checks: [{{{check}}}]\n")
    assert api.list_monitors(settings=local.settings) == []


def test_drift_alerts_by_its_p_values(local: Any):
    for day in range(16):
        answer = {"answer": "y" * 300} if day >= 13 else {}
        local.write(f"day-{day:02}", day_of(day, 0, n=200, **answer))
    text = MONITOR[: MONITOR.index("checks:")] + "checks: [{drift: [output], alert: {versus: baseline}}]\n"
    local.apply(text)
    local.run(16)
    found = {alert.key: alert.opened_at for alert in alerts_of(local).find(closed=True)}
    assert found["output.length.baseline"] == START + 13 * DAY
    assert not [key for key in found if key.endswith(".previous")]


def test_what_is_plotted_is_what_was_compared(local: Any):
    write_days(local, [QUIET] * 6 + [BROKEN] * 2)
    local.apply(MONITOR)
    local.run(8)
    (alert,) = overall(local)
    shown: list[Reading] = alerts_of(local).readings(alert)
    at = next(one for one in shown if one.start == alert.opened_at)
    assert (at.statistic, at.threshold, at.value) == (alert.statistic, alert.threshold, alert.value)
    assert [one.alerting for one in shown] == [
        one.statistic is not None and one.statistic >= (one.threshold or 0) for one in shown
    ]


def test_a_run_that_dies_before_its_alerts_is_made_good(project: Any, monkeypatch: pytest.MonkeyPatch):
    project.apply(MONITOR)
    live(project, [QUIET] * 6)
    write_days(project, [BROKEN], first=6)

    def broken(*_: Any, **__: Any) -> str:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(announcing, "put", broken)
        with pytest.raises(OSError, match="disk"):
            project.run(7)
    assert len(api.history("prod", check="operational", key="empty", settings=project.settings)) == 7
    assert overall(project) == [] and len(readings_of(project)) == 6, "all of it, or nothing"
    assert project.run(7).alerts >= 1
    assert project.run(7).alerts == 0
    (alert,) = overall(project)
    assert alert.opened_at == START + 6 * DAY
    assert [one["event"] for one in messages(project) if not one["slice"]] == ["opened"]


def test_all_signals_share_the_budget(local: Any):
    def thresholds() -> dict[str, float]:
        with reading(connect(local.settings.database_url)) as session:
            rows = session.scalars(select(DetectorRow)).all()
            return {row.slice: row.state["tracks"][0][1] for row in rows if row.state["tracks"]}

    write_days(local, [QUIET] * 5)
    local.apply(MONITOR.replace("{operational: [empty, length],", "{operational: [empty, length], slices: [],"))
    local.run(5)
    alone = thresholds()
    assert list(alone) == [""]
    local.apply(MONITOR.replace("minimum: 20", "minimum: 15"))
    api.backfill("prod", "2026-05-01", "2026-05-06", now=START + 6 * DAY, settings=local.settings)
    shared = thresholds()
    assert set(shared) == {"", "language=de", "language=en"}
    assert shared[""] > alone[""], "three signals share what one had: each needs more evidence"
