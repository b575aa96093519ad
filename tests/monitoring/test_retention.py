"""What is kept how long: nothing newer is lost, a killed prune is repeated, and roll-ups answer as before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from evalkit.cli import monitor as command
from evalkit.monitoring import api
from evalkit.monitoring.store import MonitorStore
from registry.tables_monitoring import WindowStateRow

DAY, HOUR = 86_400_000, 3_600_000
START = 1_777_593_600_000  # 2026-05-01, a Friday
MONITOR = """\
monitor: prod
source:
  files: generations
  columns: {id: id, time: time, output: answer, latency: seconds, slices: [language]}
every: EVERY
retention: {raw: 10d, states: 20d}
baseline: 2d
minimum: 20
checks:
  - {drift: [latency], against: [AGAINST]}
"""


def fill(
    project: Any, day_rows: Any, days: range, *, every: str = "day", against: str = "previous", n: int = 24
) -> None:
    for day in days:
        project.write(f"day-{day}", day_rows(day, n=n))
    project.apply(MONITOR.replace("EVERY", every).replace("AGAINST", against))


def with_states(project: Any) -> list[int]:
    """Days after the first whose windows have states."""
    with api.open_store(project.settings) as (_, store):
        monitor = store.monitor("prod")
        return [(w.start - START) // DAY for w in store.windows_with_states(monitor, ended=2**62)]


def raw_days(project: Any) -> list[str]:
    return sorted(place.name for place in (project.folder / ".evalkit").glob("monitors/*/raw/*"))


def rolled(project: Any, level: str) -> list[Any]:
    return [
        (r.start, r.rows, r.missing, [(s.key, s.slice, s.estimate) for s in r.signals])
        for r in api.roll("prod", level, settings=project.settings)
    ]


def test_old_rows_and_states_go_and_roll_ups_answer_as_before(project: Any, day_rows: Any):
    fill(project, day_rows, range(20, 35))
    project.run(36)
    assert raw_days(project)[0] == "2026-05-27", "ten days are kept"
    assert with_states(project) == list(range(20, 35)), "twenty days ago, May was not over"
    before = {level: rolled(project, level) for level in ("week", "month")}
    signals = project.values("operational", "latency")
    project.run(40)

    later = START + 52 * DAY  # 22 June: all of May is more than 20 days ago
    preview = api.prune("prod", dry_run=True, now=later, settings=project.settings)
    assert with_states(project) == list(range(20, 35))
    made = api.prune("prod", now=later, settings=project.settings)
    assert made == preview
    assert (made[0].windows, made[0].rolled) == (11, 3), "two weeks and a month"
    assert (made[0].days[0], made[0].days[-1]) == ("2026-05-31", "2026-06-04")
    assert with_states(project) == list(range(31, 35)), "June is kept"
    assert project.values("operational", "latency") == signals
    assert {level: rolled(project, level) for level in ("week", "month")} == before
    stored = [r.stored for r in api.roll("prod", "month", settings=project.settings)]
    assert stored == [True, False]
    (nothing,) = api.prune("prod", now=later, settings=project.settings)
    assert (nothing.days, nothing.windows, nothing.rolled) == ([], 0, 0)


def test_hours_roll_up_to_days_before_they_go(local: Any, day_rows: Any):
    fill(local, day_rows, range(30, 31), every="hour")
    local.apply((local.folder / "monitor.yaml").read_text().replace("raw: 10d, states: 20d", "raw: 1d, states: 1d"))
    local.run(31)
    before = {level: rolled(local, level) for level in ("day", "week", "month")}
    assert [len(found) for found in before.values()] == [1, 1, 1]
    (made,) = api.prune("prod", now=START + 60 * DAY, settings=local.settings)
    assert made.windows == 0, "hours that were not computed yet wait, and the week that is with them"
    local.run(38.2)
    assert with_states(local) == []
    assert {level: rolled(local, level) for level in before} == before


def test_what_drift_is_compared_with_stays(local: Any, day_rows: Any):
    fill(local, day_rows, range(27, 31), against="baseline")
    local.run(31)
    local.run(60)
    assert with_states(local) == [27, 28]
    local.write("day-60", day_rows(60, n=200))
    local.run(61)
    found = api.history("prod", check="drift", key="latency.baseline", settings=local.settings)
    assert found[-1].signal.verdict in {"no drift", "insufficient data"}


@pytest.mark.parametrize("step", ["add_window", "forget_states"])
def test_a_killed_prune_is_repeated(local: Any, day_rows: Any, monkeypatch: pytest.MonkeyPatch, step: str):
    fill(local, day_rows, range(22, 31))
    local.run(31)
    before = rolled(local, "month")
    whole = getattr(MonitorStore, step)
    stored: list[str] = []

    def killed(self: Any, *given: Any, **how: Any) -> Any:
        if step == "forget_states":
            raise KeyboardInterrupt
        stored.extend([given[1].cadence] if given[1].cadence.startswith("rolled") else [])
        if len(stored) == 2:
            raise KeyboardInterrupt
        return whole(self, *given, **how)

    with monkeypatch.context() as patch:
        patch.setattr(MonitorStore, step, killed)
        with pytest.raises(KeyboardInterrupt):
            local.run(55)
    assert len(with_states(local)) == 9, "states go last"
    (made,) = api.prune("prod", now=START + 55 * DAY, settings=local.settings)
    assert made.windows == 9
    assert with_states(local) == []
    assert rolled(local, "month") == before
    with api.open_store(local.settings) as (_, store):
        monitor = store.monitor("prod")
        weeks = store.windows(monitor, cadence="rolled week", revisions=True)
    assert [w.revision for w in weeks] == [1, 1], "none is stored twice"


def test_a_longer_window_without_some_of_its_states_says_so(local: Any, day_rows: Any):
    fill(local, day_rows, range(3))
    local.run(3)
    from registry.database import writing

    with api.open_store(local.settings) as (_, store), writing(store.engine) as session:
        first = store.windows(store.monitor("prod"))[0]
        for row in session.query(WindowStateRow).filter(WindowStateRow.window_id == first.id):
            store.drop(session, row)
    (month,) = api.roll("prod", "month", settings=local.settings)
    assert (month.rows, month.missing, month.stored) == (48, 1, False)
    assert all(s.reason.endswith("1 of 3 windows are not counted: their states are gone") for s in month.signals)
    assert {s.key: s.estimate.n for s in month.signals if not s.slice}["latency"] == 48


def test_stored_longer_windows_are_apart_from_computed_ones(local: Any, day_rows: Any):
    fill(local, day_rows, range(28, 31))
    local.run(31)
    local.run(55)
    assert with_states(local) == []
    assert len(local.values("operational", "rows")) == 3
    ((_, newest),) = api.list_monitors(settings=local.settings)
    assert newest is not None
    assert newest.cadence == "day"
    (explained,) = api.explain("prod", "2026-05-31", settings=local.settings)
    assert {w.cadence for w in explained.revisions} == {"day"}
    local.write("very-late", day_rows(30, n=3))
    assert local.run(55).refused == {"older than the raw rows that are kept": 3}


def test_the_command(local: Any, day_rows: Any, monkeypatch: pytest.MonkeyPatch):
    fill(local, day_rows, range(2))
    local.run(2)
    monkeypatch.chdir(local.folder)
    (local.folder / "evalkit.toml").write_text(f'database_url = "{local.settings.database_url}"\n')
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = CliRunner().invoke(command.monitor, ["prune", "--dry-run"])
    assert run.exit_code == 0, run.output
    assert "prod: would drop raw rows of 2 days (2026-05-01 to 2026-05-02)" in run.output or "0 days" in run.output
    days = raw_days(local)
    run = CliRunner().invoke(command.monitor, ["prune", "prod", "--dry-run", "--json"])
    assert json.loads(run.stdout)[0]["monitor"] == "prod"
    assert raw_days(local) == days
