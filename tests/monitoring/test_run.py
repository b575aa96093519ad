"""A monitor from its file to its signals: windows, late rows, restated windows, roll-ups, retention."""

from __future__ import annotations

import math
import shutil
import time
from typing import Any

import pytest

from evalkit.monitoring import api, engine
from metrics.errors import InputError

DAY = 86_400_000
START = 1_777_593_600_000


def test_from_file_to_signals(project: Any, day_rows: Any):
    for day in range(3):
        project.write(f"day-{day}", day_rows(day))
    applied = project.apply()
    assert applied.change == "new"
    assert applied.checks == ("toxicity", "drift", "groups", "operational")
    report = project.run(3)
    assert report.read == 300
    assert [(r.window.rows, r.window.status, r.window.revision) for r in report.windows] == [(100, "ok", 1)] * 3
    assert project.values("operational", "rows") == [(100, 100)] * 3
    assert project.values("operational", "rows", "language=de") == [(25, 25)] * 3
    assert project.values("operational", "latency") == [(pytest.approx(0.95), 100)] * 3
    assert project.values("operational", "latency.p50") == [(pytest.approx(0.9), 100)] * 3
    assert project.values("operational", "empty") == [(0, 100)] * 3
    assert [n for _, n in project.values("toxicity", "toxicity")] == [40] * 3
    verdicts = [
        [s.signal.verdict for s in api.history("prod", check="drift", key=key, settings=project.settings)]
        for key in ("latency.baseline", "latency.previous")
    ]
    assert verdicts == [
        ["learning", "learning", "insufficient data"],
        ["no previous window"] + ["insufficient data"] * 2,
    ]
    assert project.run(3).windows == []


def test_a_shift_is_drift_and_a_quiet_day_is_not(local: Any, day_rows: Any):
    for day in range(5):
        local.write(f"day-{day}", day_rows(day, n=2000, **({"seconds": 5.0} if day == 4 else {})))
    local.apply()
    local.run(5)
    found = api.history("prod", check="drift", key="latency.baseline", settings=local.settings)
    assert [one.signal.verdict for one in found] == ["learning", "learning", "no drift", "no drift", "drift"]
    assert found[-1].signal.estimate.value == 1.0
    found = api.history("prod", check="drift", key="language.baseline", settings=local.settings)
    assert found[-1].signal.verdict == "no drift"


def test_late_rows_restate_their_window_only(project: Any, day_rows: Any):
    for day in range(2):
        project.write(f"day-{day}", day_rows(day))
    project.apply()
    project.run(2)
    project.write("late", [{**day_rows(0, n=1)[0], "id": f"late-{k}", "answer": ""} for k in range(25)])
    report = project.run(2)
    assert report.late == 1
    assert [(r.window.start, r.window.revision, r.window.rows) for r in report.windows] == [(START, 2, 125)]
    assert project.values("operational", "empty") == [(0.2, 125), (0, 100)]
    (explained,) = api.explain("prod", "2026-05-01T12:00Z", settings=project.settings)
    assert [(w.revision, w.rows, w.newest) for w in explained.revisions] == [(1, 100, False), (2, 125, True)]


def test_a_late_label_completes_its_row(local: Any, day_rows: Any):
    local.write("day-0", day_rows(0))
    local.apply()
    local.run(1)
    row = day_rows(0)[3]
    local.append("day-0", [{"id": row["id"], "time": row["time"], "label": 1}])
    report = local.run(1)
    assert [(r.window.revision, r.window.rows, r.changed) for r in report.windows] == [(1, 100, False)]
    assert local.values("operational", "latency") == [(pytest.approx(0.95), 100)]


def test_a_late_label_restates_what_rests_on_labels(project: Any, day_rows: Any):
    rows = [{**row, "context": ["The word is a word."]} for row in day_rows(0)]
    project.write("day-0", rows)
    project.apply(MONITOR_OF_LABELS)
    project.run(1)
    assert "embedded" in _rate(project).estimand
    project.append("day-0", [{"id": row["id"], "time": row["time"], "label": k % 2} for k, row in enumerate(rows[:60])])
    report = project.run(1)
    assert [(r.window.revision, r.window.rows, r.changed) for r in report.windows] == [(2, 100, True)]
    made = _rate(project)
    assert (made.n, made.value) == (60, pytest.approx(0.5))
    assert "people" in made.estimand
    assert project.values("operational", "latency") == [(pytest.approx(0.95), 100)], "the rest of the rows is kept"


MONITOR_OF_LABELS = """\
monitor: prod
source:
  files: generations
  columns: {id: id, time: time, output: answer, latency: seconds}
checks: [hallucination]
"""


def _rate(project: Any) -> Any:
    found = api.history("prod", check="hallucination", key="hallucination", settings=project.settings)
    return found[-1].signal.estimate


def test_hostile_rows_go_all_the_way(project: Any, day_rows: Any):
    """Zero bytes, lone surrogates, endless slices and structures: stored and shown on both databases."""
    rows = day_rows(0)
    rows[0] |= {"answer": "zero \x00 byte", "language": "\x00", "id": "i\x00d"}
    rows[1] |= {"answer": "\ud800", "language": "\ud800"}
    rows[2] |= {"answer": {"a": [1]}, "language": "x" * 150_000, "seconds": "slow"}
    rows[3] |= {"answer": None, "language": None, "seconds": -1e308}
    rows[4] |= {"language": "y" * 150_000 + "z", "seconds": float("inf")}
    rows += [{"id": f"user-{k}", "time": START + k, "answer": "x", "language": f"user {k}"} for k in range(100)]
    project.write("day-0", rows)
    project.apply()
    (result,) = project.run(1).windows
    assert (result.window.status, result.window.rows, list(result.window.notes)) == ("ok", 200, [])
    slices = {s.slice for found in result.signals.values() for s in found}
    assert max(map(len, slices)) <= 120
    assert len(slices) <= 53
    assert project.run(1).windows == []


def test_rows_read_again_change_nothing(local: Any, day_rows: Any):
    local.write("day-0", day_rows(0))
    local.apply()
    local.run(1)
    local.write("copy", day_rows(0))
    report = local.run(1)
    assert report.read == 100
    assert [(r.window.revision, r.changed) for r in report.windows] == [(1, False)]
    assert local.run(1).windows == []


def test_an_empty_day_is_no_data_and_not_zero(local: Any, day_rows: Any):
    local.write("day-0", day_rows(0))
    local.write("day-2", day_rows(2))
    local.apply()
    report = local.run(3)
    assert [r.window.status for r in report.windows] == ["ok", "no data", "ok"]
    assert len(local.values("operational", "rows")) == 2
    previous = api.history("prod", check="drift", key="output.length.previous", settings=local.settings)
    assert previous[-1].signal.estimate.n == 100, "the last window with rows is the previous one"


def test_month_from_states_reads_no_rows(local: Any, day_rows: Any):
    for day in range(4):
        local.write(f"day-{day}", day_rows(day, n=60 + 20 * day))
    local.apply()
    local.run(4)
    shutil.rmtree(local.generations)
    for raw in (local.folder / ".evalkit" / "monitors").glob("*/raw"):
        shutil.rmtree(raw)
    (month,) = api.roll("prod", "month", settings=local.settings)
    signals = {(s.key, s.slice): s.estimate for s in month.signals}
    everything = [row for day in range(4) for row in day_rows(day, n=60 + 20 * day)]
    assert month.rows == signals["rows", ""].value == len(everything)
    assert signals["length", ""].value == pytest.approx(sum(len(r["answer"]) for r in everything) / len(everything))
    german = [r["seconds"] for r in everything if r["language"] == "de"]
    assert signals["latency", "language=de"].value == pytest.approx(sum(german) / len(german))


def test_hours_rolled_up_are_the_day_itself(local: Any, day_rows: Any):
    local.write("day-0", day_rows(0, n=480))
    local.apply()
    local.run(1)
    whole = api.history("prod", slice_=None, settings=local.settings)
    by_day = {(s.check, s.signal.key, s.signal.slice): s.signal.estimate for s in whole}
    local.apply((local.folder / "monitor.yaml").read_text() + "every: hour\n")
    local.run(1)
    for check in ("operational", "groups"):
        (rolled,) = api.roll("prod", "day", check=check, settings=local.settings)
        assert rolled.signals
        for signal in rolled.signals:
            expected = by_day[check, signal.key, signal.slice]
            if signal.key != "repeated":  # an output is compared with those of its own window
                assert signal.estimate.value == pytest.approx(expected.value, rel=1e-9, nan_ok=True)
                assert signal.estimate.n == expected.n
                assert signal.estimate.low == (None if expected.low is None else pytest.approx(expected.low, rel=1e-6))


def test_retention_keeps_signals_and_refuses_rows_of_forgotten_windows(local: Any, day_rows: Any):
    local.write("day-0", day_rows(0))
    local.apply()
    local.run(1)
    assert local.run(40).windows[-1].window.status == "no data"
    assert not list((local.folder / ".evalkit" / "monitors").glob("*/raw/2026-05-01"))
    assert local.values("operational", "rows")[0] == (100, 100)
    local.write("very-late", day_rows(0, n=3))
    report = local.run(40)
    assert report.refused == {"older than the raw rows that are kept": 3}
    assert local.values("operational", "rows")[0] == (100, 100)


def test_raw_rows_wait_for_their_windows(local: Any, day_rows: Any):
    """A backfill of one day leaves the others to be computed: their rows are not forgotten meanwhile."""
    for day in range(3):
        local.write(f"day-{day}", day_rows(day))
    local.apply()
    late = START + 90 * DAY
    api.backfill("prod", "2026-05-02", "2026-05-03", now=late, settings=local.settings)
    report = local.run(90)
    assert [r.window.rows for r in report.windows[:2]] == [100, 100]
    assert not list((local.folder / ".evalkit" / "monitors").glob("*/raw/2026-05-0*"))


def test_a_killed_read_is_repeated_without_doubling(local: Any, day_rows: Any, monkeypatch: pytest.MonkeyPatch):
    local.write("day-0", day_rows(0))
    local.apply()
    from evalkit.monitoring.store import MonitorStore

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MonitorStore, "advance", killed)
        with pytest.raises(KeyboardInterrupt):
            local.run(1)
    report = local.run(1)
    assert (report.read, report.windows[0].window.rows) == (100, 100)


def test_backfill_computes_what_an_older_version_did(local: Any, day_rows: Any):
    for day in range(3):
        local.write(f"day-{day}", day_rows(day))
    local.apply()
    local.run(3)
    applied = local.apply((local.folder / "monitor.yaml").read_text() + "  - refusal\n")
    assert applied.change == "changed"
    assert local.run(3).windows == []
    report = api.backfill("prod", "2026-05-02", "2026-05-04", now=START + 3 * DAY, settings=local.settings)
    assert [(r.window.start, r.window.revision) for r in report.windows] == [(START + DAY, 2), (START + 2 * DAY, 2)]
    assert len(local.values("refusal", "refusal")) == 2
    assert len(local.values("operational", "rows")) == 3
    again = api.backfill("prod", "2026-05-02", "2026-05-04", now=START + 3 * DAY, settings=local.settings)
    assert again.windows == []


def test_another_process_is_not_run_beside(local: Any, day_rows: Any, monkeypatch: pytest.MonkeyPatch):
    """Results of a run whose lease was taken over are refused, all of them."""
    from registry.leases import LeaseLostError, Leases

    local.write("day-0", day_rows(0))
    local.apply()
    compute = engine.Run._compute

    def stolen(run: engine.Run, span: engine.Span) -> Any:
        leases = Leases(run._store.engine, "default")
        from registry.database import writing
        from registry.tables import LeaseRow

        with writing(run._store.engine) as session:
            session.query(LeaseRow).delete()
        del leases
        return compute(run, span)

    with monkeypatch.context() as patch:
        patch.setattr(engine.Run, "_compute", stolen)
        with pytest.raises(LeaseLostError):
            local.run(1)
    with pytest.raises(InputError, match="was computed"):
        api.explain("prod", "2026-05-01", settings=local.settings)


def test_a_long_run_keeps_its_lease(local: Any, day_rows: Any):
    from evalkit.monitoring.lease import held
    from registry.leases import LeaseHeldError, Leases
    from registry.tables import LeaseRow

    local.write("day-0", day_rows(0))
    local.apply()
    with api.open_store(local.settings) as (_, store):
        leases = Leases(store.engine, "default")

        def beaten() -> int:
            from registry.database import reading

            with reading(store.engine) as session:
                return session.query(LeaseRow).one().heartbeat_at

        with held(leases, "monitor:x", "the monitor 'x'", every=0.01):
            first = beaten()
            deadline = time.monotonic() + 30
            while beaten() == first:
                assert time.monotonic() < deadline
            with pytest.raises(LeaseHeldError, match="the monitor 'x' is being worked on"):
                leases.acquire("monitor:x", what="the monitor 'x'")
        leases.release(leases.acquire("monitor:x"))


def test_a_broken_check_leaves_the_others_their_window(local: Any, day_rows: Any, monkeypatch: pytest.MonkeyPatch):
    from evalkit.monitoring.checks.embedded import Embedded

    def broken(*_: Any) -> None:
        raise RuntimeError("out of order with key sk-abcdefghijklmnop")

    monkeypatch.setattr(Embedded, "measure", broken)
    local.write("day-0", day_rows(0))
    local.apply()
    (result,) = local.run(1).windows
    assert result.window.status == "ok"
    assert result.window.notes == ["toxicity failed: RuntimeError: out of order with key [redacted]"]
    (signal,) = result.signals["toxicity"]
    assert (signal.verdict, signal.reason) == ("failed", "RuntimeError: out of order with key [redacted]")
    assert math.isnan(signal.estimate.value)
    assert math.isclose(local.values("operational", "rows")[0][0], 100)


def test_a_wrong_year_does_not_ask_for_millions_of_windows(local: Any, day_rows: Any):
    local.write("day-0", [*day_rows(0), {"id": "old", "time": 0}, {"id": "far", "time": START + 10**13}])
    local.apply()
    report = local.run(1)
    assert report.refused == {"time before 2000 or in the future": 2}
    local.write("older", [{"id": "y2k", "time": "2001-01-01T00:00Z"}])
    local.apply((local.folder / "monitor.yaml").read_text().replace("lateness: 1h", "lateness: 1h\nevery: hour"))
    with pytest.raises(InputError, match="give the monitor a `start:`"):
        local.run(1)
