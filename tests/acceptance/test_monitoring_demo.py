"""The demo's 60 days in production, day by day: everything that should alert does, when it should, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("great_expectations")
pytest.importorskip("safetensors")

from evalkit.config import Settings
from evalkit.demo import docs_bot, monitoring, traffic
from evalkit.monitoring import api
from judges.groundedness import groundedness_model

SEED = 1
LAST = traffic.DRIFT_DAY + monitoring.SOON
"""By this day everything has happened."""


def _settings(folder: Path) -> Settings:
    database = f"sqlite:///{folder / 'evalkit.db'}"
    return Settings(folder / ".evalkit", database, database, database, advisory=False)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Path]]:
    """All days that matter, with fewer rows and questions than in the demo, and no labels."""
    folder = tmp_path_factory.mktemp("production")
    settings = _settings(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic, "WEEKDAY", 190)
        patch.setattr(traffic, "WEEKEND", 150)
        patch.setattr(traffic, "QUESTIONS_OF_A_KIND", 150)
        patch.setattr(traffic, "LABELLED_EVERY", traffic.DAYS)
        traffic.pool.cache_clear()
        days = list(monitoring.replay(folder, SEED, settings, until=LAST))
        assert days == list(range(1, LAST + 1))
    yield settings, folder
    traffic.pool.cache_clear()


def test_what_alerts_is_what_happened(lived: tuple[Settings, Path]):
    found = monitoring.alerted(lived[0])
    assert monitoring.surprises(found, until=LAST) == []
    begun = {}
    for episode in found:
        begun.setdefault(episode.signal, episode.opened)
    assert begun["no data"] == traffic.EMPTY_DAY and begun["contract"] == traffic.BROKEN_DAY
    assert traffic.SWAP_DAY <= begun["hallucination"] <= traffic.SWAP_DAY + 3
    assert all(why for _, why in monitoring.reasons(found))


def test_the_broken_day_says_why_and_teaches_nothing(lived: tuple[Settings, Path]):
    windows = {
        traffic.number_of(one.window.start): one.window
        for one in api.history(monitoring.MONITOR, check="operational", key="rows", settings=lived[0])
    }
    assert traffic.BROKEN_DAY not in windows and traffic.EMPTY_DAY not in windows
    (broken,) = api.explain(monitoring.MONITOR, "2026-02-05", settings=lived[0])
    assert broken.revisions[-1].status == "contract" and not broken.signals
    assert any("latency" in note for note in broken.revisions[-1].notes)
    (empty,) = api.explain(monitoring.MONITOR, "2026-01-28", settings=lived[0])
    assert empty.revisions[-1].status == "no data"


def test_labels_come_late_and_restate_their_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(traffic, "LABELLED_EVERY", 2)
    settings = _settings(tmp_path)
    assert list(monitoring.replay(tmp_path, SEED, settings, until=2)) == [1, 2]
    # A replay that was interrupted goes on where it was
    assert list(monitoring.replay(tmp_path, SEED, settings, until=3)) == [3]
    (one,) = api.explain(monitoring.MONITOR, "2026-01-05", settings=settings)
    assert [window.revision for window in one.revisions] == [1, 2]


def test_days_that_were_lived_through_are_not_again(lived: tuple[Settings, Path]):
    settings, folder = lived
    files = {file: file.stat().st_mtime_ns for file in folder.rglob("*.parquet")}
    assert not list(monitoring.replay(folder, SEED, settings, until=LAST))
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.parquet")} == files


def test_a_false_a_late_and_a_missing_alert_are_surprises(lived: tuple[Settings, Path]):
    found = monitoring.alerted(lived[0])
    hallucination = next(one for one in found if one.signal == "hallucination")
    others = [one for one in found if one.signal != "hallucination"]
    assert "never alerted" in monitoring.surprises(others)[0]
    late = [*others, replace(hallucination, opened=traffic.SWAP_DAY + 4)]
    assert "after day 43" in monitoring.surprises(late)[0]
    early = [*found, replace(hallucination, opened=traffic.SWAP_DAY - 1)]
    assert any("without cause" in line for line in monitoring.surprises(early))
    assert "without cause" in monitoring.surprises([*found, replace(hallucination, signal="toxicity")])[0]
    no_data = next(one for one in found if one.signal == "no data")
    assert "day 24 only" in monitoring.surprises([*found, replace(no_data, opened=30)])[0]


def test_labels_of_a_week_come_on_monday():
    assert [list(traffic.labelled_on(number)) for number in (1, 2, 8, 9)] == [[], [], list(range(1, 8)), []]
    assert list(traffic.labelled_on(15)) == list(range(8, 15))


def test_the_same_seed_gives_the_same_rows_and_another_one_others():
    once, again = traffic.day(SEED, 3), traffic.day(SEED, 3)
    assert once.equals(again) and not once.equals(traffic.day(SEED, 4))
    labelled = traffic.labels(SEED, 3)
    assert set(labelled["id"].to_pylist()) <= set(once["id"].to_pylist())
    assert labelled.num_rows == traffic.LABELS_A_DAY
    np.testing.assert_allclose(labelled["label_probability"], traffic.LABELS_A_DAY / once.num_rows)
    assert traffic.day(SEED, traffic.EMPTY_DAY).num_rows == 0 == traffic.labels(SEED, traffic.EMPTY_DAY).num_rows


def test_a_refusal_claims_nothing():
    (judged,) = groundedness_model().judge([docs_bot.UNKNOWN], [["textwrap.dedent: Remove any common whitespace."]])
    assert judged.claims == () and judged.reason is not None and "claims nothing" in judged.reason


def test_the_bots_differ_as_the_monitor_needs_it():
    questions = traffic.pool(SEED)
    unknown = questions.kinds == "unknown"
    assert (questions.careful.texts[unknown] == docs_bot.UNKNOWN).all()
    assert not (questions.careless.texts == docs_bot.UNKNOWN).any()
    assert questions.careful.wrong.mean() < 0.01 < 0.5 < questions.careless.wrong.mean()
