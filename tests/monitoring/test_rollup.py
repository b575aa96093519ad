"""Longer windows from states alone: equal to those computed from the rows, without any row, on both databases."""

from __future__ import annotations

import math
import shutil
from typing import Any

import pyarrow.parquet as pq
import pytest

from evalkit.monitoring import api

DAY = 86_400_000
START = 1_777_593_600_000  # 2026-05-01, a Friday
MONITOR = """\
monitor: NAME
source:
  files: generations
  columns: {id: id, time: time, prompt: question, output: answer, latency: seconds, slices: [language]}
every: EVERY
start: "2026-04-27"
baseline: 400d
retention: {raw: 3000d}
minimum: 20
checks:
  - {groups: {by: [language], of: [length, empty, latency], minimum: 20}}
  - {refusal: {sample: 100000/day}}
"""
CHECKS = ("operational", "groups", "refusal")
_OWN_WINDOW = "repeated"
"""Outputs are compared with those of the same window."""


def computed(project: Any, every: str) -> dict[int, dict[Any, Any]]:
    """Estimates by window from the rows themselves."""
    (project.folder / "direct.yaml").write_text(MONITOR.replace("NAME", f"by-{every}").replace("EVERY", every))
    api.apply(project.folder / "direct.yaml", settings=project.settings)
    api.run(f"by-{every}", now=START + 32 * DAY, settings=project.settings)
    found: dict[int, dict[Any, Any]] = {}
    for one in api.history(f"by-{every}", slice_=None, settings=project.settings):
        found.setdefault(one.window.start, {})[one.check, one.signal.key, one.signal.slice] = one.signal
    return found


def test_hours_make_days_weeks_and_months(project: Any, day_rows: Any, monkeypatch: pytest.MonkeyPatch):
    for day in range(3):
        project.write(f"day-{day}", day_rows(day, n=40 + 7 * day, **({"answer": "I cannot help."} if day == 2 else {})))
    project.apply(MONITOR.replace("NAME", "prod").replace("EVERY", "hour"))
    project.run(3)
    # A late row restates its hour: the roll-up takes the newest revision, and each row once
    project.write("late", [{**day_rows(1, n=1)[0], "id": "late", "answer": "late " * 500, "seconds": 77.0}])
    assert [r.window.revision for r in project.run(3).windows] == [2]
    direct = {level: computed(project, level) for level in ("day", "week", "month")}

    shutil.rmtree(project.generations)
    for raw in (project.folder / ".evalkit" / "monitors").glob("*/raw"):
        shutil.rmtree(raw)

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a row was read")

    monkeypatch.setattr(pq, "read_table", refused)
    monkeypatch.setattr(pq, "ParquetFile", refused)
    for level, windows in direct.items():
        compared = 0
        for check in CHECKS:
            rolled = [r for r in api.roll("prod", level, check=check, settings=project.settings) if r.signals]
            assert [r.start for r in rolled] == sorted(windows)
            for one in rolled:
                assert (one.missing, one.stored) == (0, False)
                for signal in one.signals:
                    if signal.key == _OWN_WINDOW:
                        continue
                    expected = windows[one.start][check, signal.key, signal.slice]
                    assert signal.estimate.n == expected.estimate.n
                    assert signal.estimate.value == pytest.approx(expected.estimate.value, rel=1e-9, nan_ok=True)
                    assert (signal.estimate.low is None) == (expected.estimate.low is None)
                    if signal.estimate.low is not None and math.isfinite(signal.estimate.low):
                        assert signal.estimate.low == pytest.approx(expected.estimate.low, rel=1e-9, abs=1e-12)
                    compared += 1
        assert compared > 30 * len(windows)
    (month,) = api.roll("prod", "month", settings=project.settings)
    assert month.rows == sum(40 + 7 * day for day in range(3)) + 1
