"""The API over PostgreSQL: what its other tests show on SQLite, once more where the two databases could differ."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from evalkit.config import Settings
from evalkit.databases.move import move
from evalkit.jobs.launching import shut_down
from evalkit.monitoring import api
from evalkit.server.api.project import open_project
from registry.policy import Policy, set_policy

pytestmark = pytest.mark.postgres

_path = Path(__file__).parents[2] / "registry" / "conftest.py"
_spec = importlib.util.spec_from_file_location("registry_fixtures_of_api", _path)
assert _spec is not None and _spec.loader is not None
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
postgres_server = _fixtures.postgres_server
postgres_url = _fixtures.postgres_url

DAY = 86_400_000
START = 1_777_593_600_000
MONITOR = """\
monitor: prod
source: {files: rows.jsonl, columns: {id: id, time: time, output: output, slices: [language]}}
retention: {raw: 9000d}
"""


@pytest.fixture
def shared(served: Any, postgres_url: str) -> Iterator[Any]:
    """The server's project, moved to PostgreSQL."""
    old = served.project.settings
    move(old, postgres_url)
    project = open_project(Settings(old.home, postgres_url, f"evalkit+{postgres_url}", postgres_url, advisory=False))
    yield type(served)(project)
    shut_down()
    project.registry.close()
    project.engine.dispose()


def listed(served: Any, path: str) -> list[Any]:
    """All items of a list, two at a time."""
    found: list[Any] = []
    cursor = ""
    while True:
        answer = served.request("GET", f"{path}{'&' if '?' in path else '?'}limit=2{cursor}", "viewer")
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next"] is None:
            return found
        cursor = f"&cursor={answer.json()['next']}"


def test_a_version_and_a_monitor_from_beginning_to_end(shared: Any, bundled: Any, tmp_path: Path):
    _gate(shared, bundled)
    _monitor(shared, tmp_path)
    assert shared.request("GET", "/audit/verify", "viewer").json()["intact"]


def _gate(shared: Any, bundled: Any) -> None:
    set_policy(shared.project.engine, Policy("bot", artifacts="load"), actor="root")
    alias = "/models/bot/aliases/champion"
    assert shared.request("PUT", alias, "evaluator", json={"version": 1}).status_code == 403
    with ThreadPoolExecutor(4) as pool:  # the same bundle at once: one is new, the others are told so
        answers = list(pool.map(lambda _: shared.submit(bundled.path), range(4)))
    assert sorted(one.status_code for one in answers) == [200, 200, 200, 201], [one.text for one in answers]
    told = answers[0].json()
    estimates = listed(shared, f"/evaluations/{told['id']}/estimates")
    assert [one["estimate"] for one in estimates] == [one.estimate.to_json() for one in bundled.evaluation.estimates]
    decided = shared.request("POST", "/models/bot/versions/1/decisions", "evaluator", json={})
    assert (decided.status_code, decided.json()["outcome"]) == (201, "pass")
    with ThreadPoolExecutor(4) as pool:
        moved = list(pool.map(lambda _: shared.request("PUT", alias, "evaluator", json={"version": 1}), range(4)))
    assert {one.status_code for one in moved} == {200}
    assert len(listed(shared, "/models/bot/promotions")) == 1
    shown = shared.request("GET", "/models/bot/versions/@champion", "viewer").json()
    assert (shown["version"], shown["outcome"], shown["aliases"]) == (1, "pass", ["champion"])
    assert [one["name"] for one in listed(shared, "/models")] == ["bot"]


def _monitor(shared: Any, folder: Path) -> None:
    rows = [
        {"id": f"{day}-{i}", "time": START + day * DAY + i, "output": "☃ <b>x</b>", "language": "de" if i % 2 else "en"}
        for day in range(3)
        for i in range(40)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "monitor.yaml").write_text(MONITOR)
    settings = shared.project.settings
    api.apply(folder / "monitor.yaml", schedule=False, settings=settings)
    api.run("prod", now=START + 3 * DAY + 7_200_000, settings=settings)
    (monitor,) = listed(shared, "/monitors")
    assert (monitor["name"], monitor["status"], monitor["window"]["rows"]) == ("prod", "active", 40)
    assert [one["rows"] for one in listed(shared, "/monitors/prod/windows")] == [40, 40, 40]
    signals = listed(shared, "/monitors/prod/signals")
    assert len(signals) >= 3
    assert len({(one["check"], one["key"], one["slice"], one["start"]) for one in signals}) == len(signals)
    asked = shared.request("POST", "/monitors/prod/pause", "admin", json={})
    assert asked.status_code in {200, 202}, asked.text
    assert listed(shared, "/monitors")[0]["status"] == "paused"
