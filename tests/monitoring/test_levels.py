"""Days, weeks and months of signals are what the signals say: after late rows, and where the store is older."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from evalkit.monitoring.cadence import Cadence
from evalkit.monitoring.levels import level_for, levels_of, restate
from registry.database import connect, reading, writing
from registry.tables_monitoring import LevelRow, SignalRow, WindowRow

MONITOR = """\
monitor: prod
source:
  files: generations
  columns: {id: id, time: time, prompt: question, output: answer, latency: seconds, slices: [language]}
every: hour
minimum: 5
checks:
  - {operational: [length]}
"""


def expected(session: Any, level: str) -> dict[tuple[Any, ...], tuple[float, ...]]:
    """From all signals of the newest revisions, one by one."""
    rows = session.execute(
        select(SignalRow.check, SignalRow.slice, SignalRow.key, SignalRow.start, SignalRow.value, SignalRow.n)
        .join(WindowRow, WindowRow.id == SignalRow.window_id)
        .where(WindowRow.newest, WindowRow.cadence == "hour", SignalRow.value.is_not(None))
    )
    groups: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
    for check, slice_, key, start, value, n in rows:
        groups.setdefault((check, slice_, key, Cadence.parse(level).window(start)[0]), []).append((value, max(n, 1)))
    return {
        name: (
            len(found), sum(n for _, n in found), sum(v * n for v, n in found) / sum(n for _, n in found),
            min(v for v, _ in found), max(v for v, _ in found),
        )
        for name, found in groups.items()
    }  # fmt: skip


def stored(session: Any, level: str) -> dict[tuple[Any, ...], tuple[float, ...]]:
    return {
        (row.check, row.slice, row.key, row.start): (
            row.windows, row.weight, row.total / row.weight, row.lowest, row.highest,
        )
        for row in session.scalars(select(LevelRow).where(LevelRow.level == level))
    }  # fmt: skip


def agree(engine: Any) -> None:
    with reading(engine) as session:
        for level in ("day", "week", "month"):
            wanted, found = expected(session, level), stored(session, level)
            assert found.keys() == wanted.keys()
            assert found
            for name, numbers in wanted.items():
                assert all(map(math.isclose, found[name], numbers)), name


def test_levels_are_the_signals_summed_up(project: Any, day_rows: Any) -> None:
    for day in range(3):
        project.write(f"day-{day}", day_rows(day, n=40 + 7 * day))
    project.apply(MONITOR)
    project.run(3)
    engine = connect(project.settings.database_url)
    agree(engine)
    project.write("late", [{**day_rows(1, n=1)[0], "id": "late", "answer": "late " * 500}])
    (window,) = project.run(3).windows
    assert window.window.revision == 2
    agree(engine)
    with writing(engine) as session:  # as a store that is older than the levels
        session.execute(delete(LevelRow))
        monitor_id = session.scalar(select(WindowRow.monitor_id).limit(1))
        restate(session, monitor_id, "hour", window.window.start)
    agree(engine)
    with reading(engine) as session:
        before = session.scalar(select(func.count()).select_from(LevelRow))
    with writing(engine) as session:
        restate(session, monitor_id, "hour", window.window.start)
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(LevelRow)) == before
    engine.dispose()


@pytest.mark.parametrize(
    ("cadence", "days", "expected_level"),
    [("hour", 100, "day"), ("hour", 500, "week"), ("hour", 2000, "month"), ("hour", 9000, "month"),
     ("day", 500, "week"), ("day at 06:00 Europe/Berlin", 2000, "month"), ("month", 9000, ""), ("rolled day", 500, "")],
)  # fmt: skip
def test_the_shortest_level_that_fits_a_page(cadence: str, days: int, expected_level: str) -> None:
    assert level_for(cadence, days * 86_400_000, 120) == expected_level


def test_no_level_is_shorter_than_the_windows() -> None:
    assert levels_of("hour") == ("day", "week", "month")
    assert levels_of("day") == ("week", "month")
    assert levels_of("*/10 * * * *") == ("day", "week", "month")
    assert levels_of("week") == ("month",)
    assert levels_of("month") == ()
