"""A project with a monitor over a folder of generations, on both databases; the server is the one of the registry."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.config import Settings
from evalkit.monitoring import api
from evalkit.monitoring.records import RunReport

_path = Path(__file__).parents[1] / "registry" / "conftest.py"
_spec = importlib.util.spec_from_file_location("registry_fixtures_of_monitoring", _path)
assert _spec is not None and _spec.loader is not None
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
postgres_server = _fixtures.postgres_server
postgres_url = _fixtures.postgres_url
database_url = _fixtures.database_url

DAY = 86_400_000
HOUR = 3_600_000
START = 1_777_593_600_000  # 2026-05-01T00:00Z, a Friday
MONITOR = """\
monitor: prod
source:
  files: generations
  columns: {id: id, time: time, prompt: question, output: answer, latency: seconds, slices: [language]}
lateness: 1h
baseline: 2d
minimum: 20
retention: {raw: 30d}
checks:
  - {toxicity: {sample: 40/day}}
  - {drift: [output, latency, language]}
  - {groups: {by: [language], of: [length, empty], minimum: 20}}
"""


def rows_of_day(day: int, n: int = 100, **changes: Any) -> list[dict[str, Any]]:
    """Generations of one day: lengths, latencies and languages in a fixed pattern."""
    return [
        {
            "id": f"{day}-{row}",
            "time": START + day * DAY + row * (DAY // n),
            "question": f"question {row}",
            "answer": "word " * (1 + row % 7) + str(row),
            "seconds": 0.5 + (row % 10) / 10,
            "language": "de" if row % 4 == 0 else "en",
            **changes,
        }
        for row in range(n)
    ]


class Project:
    """A project in a folder of its own."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder = folder
        self.generations = folder / "generations"
        self.generations.mkdir()
        self.settings = Settings(folder / ".evalkit", database, database, database, advisory=False)

    def write(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        (self.generations / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def append(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        with (self.generations / f"{name}.jsonl").open("a") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)

    def apply(self, text: str = MONITOR) -> api.Applied:
        (self.folder / "monitor.yaml").write_text(text)
        return api.apply(self.folder / "monitor.yaml", settings=self.settings)

    def run(self, day: float, **how: Any) -> RunReport:
        """Run as if so many days had passed since the first one, and two hours."""
        return api.run("prod", now=START + int(day * DAY) + 2 * HOUR, settings=self.settings, **how)

    def values(self, check: str, key: str, slice_: str = "") -> list[tuple[float, int]]:
        """Value and n of a signal in each window."""
        found = api.history("prod", check=check, key=key, slice_=slice_, settings=self.settings)
        return [(one.signal.estimate.value, one.signal.estimate.n) for one in found]


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    """A project, once on SQLite and once on PostgreSQL."""
    return Project(tmp_path, database_url)


@pytest.fixture
def local(tmp_path: Path) -> Project:
    """A project on SQLite."""
    return Project(tmp_path, f"sqlite:///{tmp_path / 'evalkit.db'}")


@pytest.fixture
def day_rows() -> Any:
    """Makes the rows of a day."""
    return rows_of_day
