"""``/metrics``: what a scraper reads is what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families as parsed

from evalkit.config import Settings
from evalkit.judging.ledger import open_ledger
from evalkit.server.api.project import open_project
from evalkit.server.api.project import project as open_once
from evalkit.server.prometheus import router
from judges.clients.base import Reply
from judges.ledger import Entry
from registry.actors import Actor, acting
from registry.database import connect, upgrade, writing
from registry.digests import new_id, now_ms
from registry.tables_monitoring import AlertRow, MonitorRow, SignalRow, WindowRow


def scraped(project: Any, roles: frozenset[str] = frozenset({"viewer"})) -> Any:
    app = FastAPI()
    app.include_router(router)
    app.dependency_overrides[open_once] = lambda: project
    with acting(Actor("scraper", roles)):
        return TestClient(app).get("/metrics")


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {(one.name, *one.labels.values()): one.value for family in parsed(text) for one in family.samples}


def fill(engine: Any) -> None:
    now = now_ms()
    with writing(engine) as session:
        monitor = MonitorRow(
            id=new_id(), created_at=now, name='odd "name"\n', status="active", model=None, digest="d",
            source_digest="s", watermark={}, reads=0, first_event=None, last_event=None, refused={},
        )  # fmt: skip
        session.add(monitor)
        session.flush()
        for start, value in ((1, 0.5), (2, 0.25)):
            window = WindowRow(
                id=new_id(), created_at=now, monitor_id=monitor.id, version_digest="d", cadence="day", start=start,
                end=start + 1, revision=1, newest=True, status="ok", rows=10, late=0, watermark={}, contract=None,
                notes=[], usage={}, finished_at=now,
            )  # fmt: skip
            session.add(window)
            session.flush()
            for part in ("", "language=en"):
                session.add(
                    SignalRow(
                        id=new_id(), created_at=now, monitor_id=monitor.id, window_id=window.id, start=start,
                        position=0, check="refusal", key="refusal", slice=part, value=value, low=None, high=0.75,
                        n=10, coverage=1.0, verdict="measured", reason="", p_value=None, record={}, samples=[],
                    )
                )  # fmt: skip
        session.add(
            AlertRow(
                id=new_id(), created_at=now, monitor_id=monitor.id, window_id=None, cadence="day", check="refusal",
                key="refusal", slice="", rule="limit", opened_at=1, opened_until=2, closed_at=None, statistic=None,
                threshold=None, value=None, reason="", samples=[], announced_at=None, acknowledged_at=None,
                acknowledged_by=None, silenced_until=None,
            )
        )  # fmt: skip


def test_numbers_of_the_newest_window(tmp_path: Path):
    home = tmp_path / ".evalkit"
    home.mkdir()
    url = f"sqlite:///{home / 'mlflow.db'}"
    engine = connect(url)
    upgrade(engine)
    fill(engine)
    settings = Settings(home, url, url, url, advisory=False)
    ledger = open_ledger(settings)
    reply = Reply(text="5", model="m", prompt_tokens=3, output_tokens=2, seconds=0.1)
    ledger.record([Entry("k", "helpful", "1", "m", "q1", "verdict", 0, reply, 0.25, now_ms())])
    ledger.close()
    project = open_project(settings)
    answer = scraped(project)
    found = samples(answer.text)
    place = ("refusal", "refusal", 'odd "name"\n')
    assert found["evalkit_signal", "refusal", "refusal", place[2]] == 0.25
    assert found["evalkit_signal_high", *place] == 0.75
    assert ("evalkit_signal_low", *place) not in found
    assert sum(key[0] == "evalkit_signal" for key in found) == 1  # slices are in the API
    assert found["evalkit_alerts", place[2], "open"] == 1
    assert found["evalkit_judge_cost_dollars", "helpful", "m"] == 0.25
    assert scraped(project, frozenset()).status_code == 401
    project.registry.close()
    project.engine.dispose()
    engine.dispose()
