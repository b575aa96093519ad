"""An alias goes back to its former holder: on its original decision, with its own files, and never in circles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.config import Settings
from evalkit.worker.alerts import Demotions
from evalkit.worker.loop import Worker
from registry import audit
from registry.actors import APPROVER, Actor
from registry.alerts import Alerts
from registry.database import connect, writing
from registry.demotion import restore_former
from registry.digests import now_ms
from registry.outbox import DEMOTION, DONE, Outbox, put
from registry.policy import Policy, set_policy
from registry.promotion import promote
from registry.store import Registry
from registry.suite import Suite
from registry.tables_monitoring import AlertRow, MonitorRow

pytestmark = pytest.mark.slow

GUARD = Actor("monitor:prod", frozenset({APPROVER}))


@pytest.fixture
def versions(registry: Registry, suite: Suite, folder: Path, decided: Any) -> list[Any]:
    """Two versions; the first one's decision has expired, the second is champion after it."""
    set_policy(registry._engine, Policy("m", expires_after=600_000), actor="admin")
    made = []
    for number in (1, 2):
        outputs = folder / f"outputs-{number}.jsonl"
        outputs.write_text(json.dumps({"id": "1", "output": f"a{number}", "expected": ["a"], "language": "en"}) + "\n")
        version = registry.register("m", model=str(outputs), suite=suite)
        decided(version, created_at=now_ms() - 500_000 if number == 1 else now_ms())
        promote(registry, version)
        made.append(version)
    set_policy(registry._engine, Policy("m", expires_after=1), actor="admin")
    return made


def later() -> int:
    return now_ms() + 1000


def test_the_former_holder_comes_back_on_its_expired_decision(registry: Registry, versions: list[Any]):
    made = restore_former(registry, "m", "champion", held_since=later(), actor=GUARD)
    assert (made.version, made.restored, made.changed) == (2, 1, True)
    assert registry.mlflow.holder("m", "champion") == 1
    last = registry.promotions("m", "champion")[-1]
    assert (last.version_id, last.previous_version, last.actor) == (versions[0].id, 2, "monitor:prod")
    entry = [entry for entry in audit.export(registry._engine) if entry["kind"] == "promotion"][-1]
    assert entry["facts"]["restored"] is True
    # the version that was taken down is no former holder of the one that came back
    made = restore_former(registry, "m", "champion", held_since=later(), actor=GUARD)
    assert (made.version, made.restored) == (1, None)
    assert registry.mlflow.holder("m", "champion") is None
    assert restore_former(registry, "m", "champion", held_since=later(), actor=GUARD).changed is False
    assert audit.verify(registry._engine).intact


def test_changed_files_do_not_come_back(registry: Registry, versions: list[Any]):
    with registry.model_folder(versions[0]) as folder:
        (folder / "more.bin").write_bytes(b"1")
    made = restore_former(registry, "m", "champion", held_since=later(), actor=GUARD)
    assert (made.restored, registry.mlflow.holder("m", "champion")) == (None, None)
    assert "its files are not those that were judged" in made.detail


def test_who_was_promoted_after_the_window_is_left_alone(registry: Registry, versions: list[Any]):
    since = registry.promotions("m", "champion")[-1].created_at
    made = restore_former(registry, "m", "champion", held_since=since, actor=GUARD)
    assert made.changed is False and registry.mlflow.holder("m", "champion") == 2


@pytest.mark.parametrize("state", ["open", "closed", "silenced"])
def test_a_worker_demotes_for_an_alert_that_lasts(
    registry: Registry, versions: list[Any], tmp_path: Path, mlflow_uri: str, state: str
):
    settings = Settings(tmp_path / ".evalkit", mlflow_uri, mlflow_uri, mlflow_uri, advisory=False)
    engine = connect(mlflow_uri)
    common: dict[str, Any] = {"workspace": "default", "created_at": 0}
    with writing(engine) as session:
        session.add(
            MonitorRow(
                id="mo", **common, name="prod", status="active", model="models:/m@champion", digest="",
                source_digest="", watermark={}, reads=0, first_event=None, last_event=None, refused={},
            )
        )  # fmt: skip
        session.flush()
        session.add(
            AlertRow(
                id="a", **common, monitor_id="mo", window_id=None, cadence="day", check="hallucination",
                key="hallucination", slice="", rule="max", opened_at=0, opened_until=later(),
                closed_at=1 if state == "closed" else None, statistic=1.0, threshold=1.0, value=0.2, reason="",
                samples=[], announced_at=1, acknowledged_at=None, acknowledged_by=None,
                silenced_until=later() + 60_000 if state == "silenced" else None, comment="", action="",
            )
        )  # fmt: skip
        put(session, DEMOTION, {"alert": "a", "name": "m", "alias": "champion", "until": later()})
    said: list[str] = []
    Worker([Demotions(engine, settings, say=said.append)], poll=0.02, say=said.append).run(once=True)
    (item,) = Outbox(engine).items(DEMOTION)
    assert item.outcome == DONE, (item.log, said)
    kinds = [entry["kind"] for entry in audit.export(engine)]
    if state == "open":
        assert registry.mlflow.holder("m", "champion") == 1
        assert Alerts(engine).get("a").action == "'champion' went from version 2 back to version 1"
        entry = list(audit.export(engine))[-1]
        assert entry["kind"] == "alert.demotion" and entry["actor"] == "monitor:prod"
        assert entry["facts"]["version"] == 2 and entry["facts"]["restored"] == 1
    else:
        assert registry.mlflow.holder("m", "champion") == 2
        assert "alert.demotion" not in kinds
    engine.dispose()
