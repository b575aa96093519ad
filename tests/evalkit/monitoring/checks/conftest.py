"""Checks on windows made here, and tools that answer as they are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evalkit.monitoring.checks.base import Beside, Check, Signal
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import rows_of, to_table
from evalkit.monitoring.rows import WindowRows

DAY = 86_400_000
START = 1_777_593_600_000


class FakeTools:
    """Lends what a test gives it.

    Attributes:
        folder: the monitor's.
        say: answers a prompt; a text, or None for a failure.
        late: why the model of now says nothing of the window.
        asked: prompts that were answered.
    """

    def __init__(self, folder: Path, say: Callable[[str], str | None] | None = None, late: str = "") -> None:
        self.folder, self.say, self.late = folder, say, late
        self.asked: list[str] = []

    def answer(self, prompts: Sequence[str], *, seed: int, generate: Mapping[str, Any]) -> list[dict[str, Any]]:
        assert self.say is not None
        self.asked += prompts
        given = [self.say(prompt) for prompt in prompts]
        return [{"output": text, "latency": 0.1, "error": None if text is not None else "timeout"} for text in given]

    def too_late(self, check: Check, end: int) -> str:
        return self.late


class Bench:
    """Makes checks and windows, and runs the one on the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.day, self.start = DAY, START

    def tools(self, say: Callable[[str], str | None] | None = None, late: str = "") -> FakeTools:
        return FakeTools(self.folder, say, late)

    def check(self, text: str, columns: str = "id: id, time: time", head: str = "") -> Check:
        top = f"monitor: m\nmodel: models:/m/1\nsource: {{files: x, columns: {{{columns}}}}}\nminimum: 20\n{head}"
        return Definition.from_text(f"{top}checks:\n  - {text}\n", self.folder).checks[0]

    def window(self, check: Check, rows: list[dict[str, Any]], day: int = 0) -> WindowRows:
        start = START + day * DAY
        given = [{"id": f"{day}-{k}", "time": start + k, **row} for k, row in enumerate(rows)]
        table = to_table(rows_of(given), check.monitor.source.columns, now=start + DAY, refused=Counter())
        return WindowRows(table, start, start + DAY, salt="m")

    def signals(
        self, check: Check, rows: list[dict[str, Any]], tools: Any = None, beside: Beside | None = None
    ) -> dict[tuple[str, str], Signal]:
        measured = check.measure(self.window(check, rows), tools or self.tools())
        found = [*check.signals(measured.states, beside or Beside()), *measured.signals]
        return {(signal.key, signal.slice): signal for signal in found}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A folder with checks."""
    return Bench(tmp_path)
