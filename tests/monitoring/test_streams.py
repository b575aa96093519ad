"""What applications told: generations become rows, feedback becomes late labels, and the buffer is emptied."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.ingest.buffer import Buffer
from evalkit.ingest.records import Feedback, Generation
from evalkit.monitoring import api
from evalkit.own_database import own_url

DAY = 86_400_000
START = 1_777_593_600_000
MONITOR = """\
monitor: prod
source:
  stream: support-bot
  columns: {label: hallucinated, fields: [helpful], slices: [language]}
checks: [hallucination, {drift: [helpful]}]
retention: {raw: 3d}
"""


@pytest.fixture
def buffer(project: Any) -> Any:
    project.settings.home.mkdir()
    made = Buffer(own_url(project.settings, "ingest"))
    yield made
    made.close()


def _generations(n: int = 60, day: int = 0, prefix: str = "g") -> list[Generation]:
    return [
        Generation(
            id=f"{prefix}{i}", time=START + day * DAY + i * 1000, prompt="How long is the warranty?",
            output=f"It is {i} years.", context=["The warranty is two years."], latency=0.5, user="u",
            slices={"language": "de" if i % 3 else "en"}, model="models:/bot/1",
        )
        for i in range(n)
    ]  # fmt: skip


def _said(i: int, value: float, name: str = "hallucinated", **more: Any) -> Feedback:
    return Feedback(id=f"f-{name}-{i}", time=START + 2 * DAY, of=f"g{i}", name=name, value=value, **more)


def _labels(project: Any) -> Any:
    found = api.history("prod", check="hallucination", key="hallucination", settings=project.settings)
    return found[-1].signal.estimate


def test_feedback_restates_the_window_of_its_generation(project: Any, buffer: Any):
    buffer.append("support-bot", _generations())
    buffer.append("other", _generations(prefix="o"))
    project.apply(MONITOR)
    report = project.run(1)
    assert [(r.window.rows, r.window.status, r.window.notes) for r in report.windows] == [(60, "ok", [])]
    assert project.values("operational", "rows", "language=en") == [(20, 20)]
    assert project.values("operational", "latency") == [(pytest.approx(0.5), 60)]
    assert "embedded" in _labels(project).estimand

    buffer.append("support-bot", [_said(i, i % 2, probability=1.0) for i in range(60)])
    report = project.run(1)
    assert [(r.window.start, r.window.revision, r.window.rows) for r in report.windows] == [(START, 2, 60)]
    made = _labels(project)
    assert (made.n, made.value) == (60, pytest.approx(0.5))
    assert project.run(1).windows == []


def test_what_users_report_by_themselves_is_no_label_and_overwrites_nothing(project: Any, buffer: Any):
    buffer.append("support-bot", _generations())
    project.apply(MONITOR)
    project.run(1)
    told = [_said(i, 1) for i in range(60)]
    told += [_said(i, 9.0, "latency", probability=1.0) for i in range(60)]
    buffer.append("support-bot", told)
    report = project.run(1)
    assert (report.read, report.windows) == (0, [])
    assert project.values("operational", "latency") == [(pytest.approx(0.5), 60)]


def test_feedback_that_comes_before_its_generation_waits_for_it(project: Any, buffer: Any):
    buffer.append("support-bot", [_said(i, 1, probability=1.0) for i in range(60)])
    buffer.append("support-bot", [_said(99, 1, probability=1.0)])
    project.apply(MONITOR)
    assert project.run(1).read == 0
    buffer.append("support-bot", _generations())
    project.run(1)
    assert (_labels(project).n, _labels(project).value) == (60, 1)


def test_the_buffer_keeps_what_a_monitor_still_needs(project: Any, buffer: Any):
    text = MONITOR.replace("checks: [hallucination, {drift: [helpful]}]", "every: month")
    buffer.append("support-bot", _generations())
    project.apply(text)
    project.apply(text.replace("monitor: prod", "monitor: second").replace("raw: 3d", "raw: 900d"))
    project.apply(text)
    now = {"now": START + 2 * DAY, "settings": project.settings}
    far = {"now": START + 800 * DAY, "settings": project.settings}
    api.run("prod", **now)
    api.run("prod", **far)
    assert buffer.streams() == {"support-bot": 60}, "the other monitor has not read it"
    api.run("second", **now)
    api.run("prod", **far)
    assert buffer.streams() == {"support-bot": 60}, "the other monitor keeps rows for longer"
    api.remove("second", settings=project.settings)
    api.run("prod", **far)
    assert buffer.streams() == {}
