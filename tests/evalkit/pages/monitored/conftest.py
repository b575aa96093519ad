"""A project with a monitor that has alerted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.config import Settings
from evalkit.monitoring import api
from evalkit.server.api.project import open_project
from registry.alerts import Alerts

DAY = 86_400_000
START = 1_777_593_600_000  # 2026-05-01T00:00Z
DAYS = 8
HOSTILE = "<script>document.title='pwned'</script>\"'><img src=x onerror=document.title='pwned'>"
MONITOR = """\
monitor: prod
model: models:/bot@champion
source:
  files: generations
  columns: {id: id, time: time, prompt: question, output: answer, context: context, latency: seconds, label: label,
            slices: [language]}
lateness: 1h
baseline: 3d
minimum: 5
retention: {raw: 3000d}
contract: contract.yaml
checks:
  - {operational: [empty, latency], alert: {key: empty, versus: baseline}}
  - {drift: [output, latency, language], against: [baseline], slices: []}
  - {groups: {by: [language], of: [length], minimum: 5}}
notify: [{log: true}]
"""


def rows_of_day(day: int) -> list[dict[str, Any]]:
    """Sixty generations: from the sixth day on half of the answers are empty, and slow."""
    bad = day >= 5
    return [
        {
            "id": f"{day}-{row}",
            "time": START + day * DAY + row * 60_000,
            "question": HOSTILE if row == 0 else f"question {row}",
            "answer": "" if bad and row % 2 else f"word {row % 7} " + (HOSTILE if row == 0 else "x" * (row % 5)),
            "context": [HOSTILE, "passage"],
            "seconds": (3.0 if bad else 0.5) + (row % 10) / 10,
            "language": HOSTILE[:60] if row < 10 else "de" if row % 4 == 0 else "en",
            "label": 1 if row == 2 and day < 6 else None,
        }
        for row in range(60)
    ]


@pytest.fixture(scope="session")
def watched(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with a monitor that has alerted, one day whose rows broke the contract, and a restated window."""
    folder = tmp_path_factory.mktemp("watched") / "project"
    shutil.copytree(evaluated, folder)
    settings = settings_of(folder)
    (folder / "generations").mkdir()
    for day in range(DAYS):
        write_generations(folder, f"day-{day}", rows_of_day(day)[: 20 if day == 3 else 60])
    (folder / "monitor.yaml").write_text(MONITOR)
    (folder / "contract.yaml").write_text("contract: prod\nvolume: {min: 40}\n")
    api.apply(folder / "monitor.yaml", schedule=False, settings=settings)
    api.run("prod", now=START + (DAYS - 1) * DAY + 7_200_000, settings=settings)
    write_generations(folder, "late", [{**rows_of_day(5)[0], "id": f"late-{row}"} for row in range(5)])
    api.run("prod", now=START + DAYS * DAY + 7_200_000, settings=settings)
    return folder


def write_generations(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (folder / "generations" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def settings_of(folder: Path) -> Settings:
    url = f"sqlite:///{folder / '.evalkit' / 'mlflow.db'}"
    return Settings(folder / ".evalkit", url, url, url, advisory=False)


@pytest.fixture
def project(watched: Path, tmp_path: Path) -> Iterator[Any]:
    """A copy of it, to be changed; the pages of `pages` are over it."""
    folder = tmp_path / "project"
    shutil.copytree(watched, folder)
    found = open_project(settings_of(folder))
    yield found
    found.registry.close()
    found.engine.dispose()


BASE = "/evalkit/monitors/prod"


def window_page(day: int) -> str:
    return f"{BASE}/windows/{START + day * DAY}"


def alert_on_empty(project: Any) -> str:
    """The one on empty answers of all rows."""
    return next(one.id for one in Alerts(project.engine).find("prod") if one.key == "empty" and not one.slice)
