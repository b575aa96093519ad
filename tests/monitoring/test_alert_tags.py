"""Alerts as tags on the version that they are about: opened, acknowledged, ended, and never lost."""

from __future__ import annotations

import importlib.util
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalkit.monitoring import alert_tags, api
from evalkit.monitoring.alert_tags import PREFIX, update_tags
from evalkit.session import open_session
from evalkit.worker.alerts import AlertTags
from evalkit.worker.loop import Worker
from metrics.errors import InputError
from registry.alerts import Alerts, ask_for_tags
from registry.database import connect, writing
from registry.digests import now_ms
from registry.mlflow_link import MlflowLink
from registry.outbox import ALERT_TAGS, DONE, Outbox
from registry.tables_monitoring import AlertRow, MonitorRow

_spec = importlib.util.spec_from_file_location("alerting_days", Path(__file__).with_name("test_alerting.py"))
assert _spec is not None and _spec.loader is not None
_days = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_days)
MONITOR = _days.MONITOR.replace("source:", "model: models:/bot@champion\nsource:", 1)
KEY = PREFIX + "prod/operational/empty"


@pytest.fixture
def shop(local: Any, empty_store: Path, tmp_path: Path) -> Any:
    """A monitor of `bot`, whose first version of two is the champion, with an alert that lasts."""
    shutil.copyfile(empty_store, tmp_path / "evalkit.db")
    with open_session(local.settings) as session:
        link = session.registry.mlflow
        for name in ("1", "2"):
            (tmp_path / name).mkdir()
            link.create_version("bot", str(tmp_path / name), None, {"team": "a"})
        link.set_alias("bot", "champion", 1)
    local.apply(MONITOR)
    _days.live(local, [3] * 6 + [30] * 2)
    return local


def work(project: Any, say: Any = lambda _: None) -> None:
    engine = connect(project.settings.database_url)
    Worker([AlertTags(engine, project.settings, schedule=(0.0,), say=say)], poll=0.02, say=say).run(once=True)
    engine.dispose()


def tags(project: Any, number: int) -> dict[str, str]:
    with open_session(project.settings) as session:
        found = dict(session.registry.mlflow.version("bot", number).tags)
    assert found.pop("team") == "a", "other tags stay"
    return found


def lasting(project: Any) -> Any:
    (alert,) = [one for one in Alerts(connect(project.settings.database_url)).find("prod") if not one.slice]
    return alert


def test_a_tag_comes_with_the_alert_and_goes_with_it(shop: Any):
    assert tags(shop, 1) == {}
    work(shop)
    alert = lasting(shop)
    found = tags(shop, 1)
    text = found[KEY]
    assert text.startswith("alert since 2026-05-07T00:00Z: empty 0.5 [0.3")
    assert ", baseline 0.0" in text and text.endswith(f"evalkit alerts show {alert.id}")
    assert found[PREFIX + "prod"].startswith("2 alerts since 2026-05-07T00:00Z")
    assert len([key for key in found if key.startswith(f"{KEY}/language_en-")]) == 1, "the slice has one of its own"
    assert tags(shop, 2) == {}
    _days.live(shop, [3] * 5, first=8)
    work(shop)
    assert tags(shop, 1) == {}
    outcomes = {item.outcome for item in Outbox(connect(shop.settings.database_url)).items(ALERT_TAGS)}
    assert outcomes == {DONE}


def test_what_people_do_is_seen(shop: Any):
    alerts, alert = Alerts(connect(shop.settings.database_url)), lasting(shop)
    alerts.acknowledge(alert.id, "looking into it")
    work(shop)
    assert ", acknowledged; evalkit" in tags(shop, 1)[KEY]
    alerts.silence(alert.id, "known", now_ms() + 86_400_000)
    work(shop)
    assert ", silenced until 20" in tags(shop, 1)[KEY]
    assert "known" not in str(tags(shop, 1)) and "looking" not in str(tags(shop, 1)), "reasons may name people"


def test_an_alert_stays_with_its_version_when_the_alias_moves_on(shop: Any):
    work(shop)
    with open_session(shop.settings) as session:
        session.registry.mlflow.set_alias("bot", "champion", 2)
    _days.live(shop, [30], first=8)
    Alerts(connect(shop.settings.database_url)).acknowledge(lasting(shop).id, "why")
    work(shop)
    assert "acknowledged" in tags(shop, 1)[KEY] and tags(shop, 2) == {}


def test_a_monitor_that_goes_or_looks_elsewhere_takes_its_tags_along(shop: Any):
    work(shop)
    shop.apply(MONITOR.replace("models:/bot@champion", "models:/other@champion"))
    work(shop)
    assert tags(shop, 1) == {}
    shop.apply(MONITOR.replace("models:/bot@champion", "models:/bot/2"))
    work(shop)
    assert tags(shop, 1) == {} and KEY in tags(shop, 2)
    api.remove("prod", settings=shop.settings)
    work(shop)
    assert tags(shop, 2) == {}


def test_mlflow_that_refuses_is_tried_again_and_harms_nothing(shop: Any, monkeypatch: pytest.MonkeyPatch):
    real, calls = MlflowLink.set_tags, []

    def refuse(self: MlflowLink, name: str, number: int, given: Any) -> None:
        calls.append(number)
        if len(calls) == 1:
            raise InputError("tags of models:/bot/1 cannot be set: MLflow says: read only")
        real(self, name, number, given)

    monkeypatch.setattr(MlflowLink, "set_tags", refuse)
    work(shop)
    items = Outbox(connect(shop.settings.database_url)).items(ALERT_TAGS)
    (failed,) = [item for item in items if item.attempts == 2]
    assert failed.outcome == DONE and "read only" in failed.log[0]["detail"]
    assert KEY in tags(shop, 1)


def test_texts_of_data_fit_into_a_tag(shop: Any):
    engine = connect(shop.settings.database_url)
    with writing(engine) as session:
        monitor = session.query(MonitorRow).one()
        row = session.query(AlertRow).filter(AlertRow.slice == "language=en").one()
        row.slice, row.reason = "tenant=../<b>\n" + "x" * 480, "r" * 3000 + "\n<script>"
        other = session.query(AlertRow).filter(AlertRow.slice == "").one()
        other.slice = "tenant=../<b>\n" + "x" * 479 + "y"
        ask_for_tags(session, monitor)
    said: list[str] = []
    work(shop, said.append)
    found = {key: text for key, text in tags(shop, 1).items() if key.startswith(KEY)}
    assert said == [] and len(found) == 2, "slices that read the same after they were cut have tags of their own"
    assert all(len(key) <= 250 and len(text) <= 500 and "\n" not in text for key, text in found.items())
    engine.dispose()


def test_the_summary_counts_what_has_no_tag_of_its_own(shop: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(alert_tags, "_SHOWN", 1)
    work(shop)
    found = tags(shop, 1)
    assert len(found) == 2 and found[PREFIX + "prod"].startswith("2 alerts")


def test_a_demotion_that_was_faster(shop: Any):
    """The alias is gone by the time that the tags are written: they belong to the version that had it."""
    engine = connect(shop.settings.database_url)
    with open_session(shop.settings) as session:
        registry = session.registry

        class Moves:
            def __init__(self) -> None:
                self.mlflow = registry.mlflow

            def promotions(self, name: str, alias: str) -> list[Any]:
                from registry.entities import Promotion

                return [Promotion("p", name, alias, "v1", None, 2, None, "monitor:prod", now_ms())]

        update_tags(engine, Moves(), "prod", "bot", workspace="default")  # type: ignore[arg-type]
    assert KEY in tags(shop, 2) and tags(shop, 1) == {}
    engine.dispose()


def test_a_worker_that_is_told_to_stop_gives_back_what_hangs(shop: Any, monkeypatch: pytest.MonkeyPatch):
    began, over = threading.Event(), threading.Event()

    def hang(*_: Any, **__: Any) -> str:
        began.set()
        assert over.wait(10)
        return "too late"

    monkeypatch.setattr(alert_tags, "update_tags", hang)
    engine = connect(shop.settings.database_url)
    tags_work = AlertTags(engine, shop.settings, say=lambda _: None)
    assert tags_work.start() and began.wait(10)
    tags_work.abandon()
    assert tags_work.busy() == 1, "the process ends all the same"
    items = Outbox(engine).items(ALERT_TAGS)
    assert all(item.token is None and item.attempts == 0 and item.outcome is None for item in items)
    over.set()
    monkeypatch.undo()
    work(shop)
    assert KEY in tags(shop, 1)
    engine.dispose()


@pytest.mark.slow
def test_an_mlflow_that_is_reached_over_http_only(local: Any, mlflow_server: str):
    local.settings = replace(local.settings, tracking_uri=mlflow_server, registry_uri=mlflow_server, advisory=True)
    with open_session(local.settings) as session:
        link = session.registry.mlflow
        model = link.client.create_logged_model("0", name="bot")
        link.create_version("bot", f"models:/{model.model_id}", None, {"team": "a"})
        link.set_alias("bot", "champion", 1)
    local.apply(MONITOR)
    _days.live(local, [3] * 6 + [30] * 2)
    work(local)
    assert KEY in tags(local, 1)
    _days.live(local, [3] * 5, first=8)
    work(local)
    assert tags(local, 1) == {}
