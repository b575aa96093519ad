from __future__ import annotations

import io

from rich.console import Console

from evalkit.reports.progress_bars import follow, progress_bars
from evalkit.runner.progress import Progress


def shown(*, terminal: bool, quiet: bool = False) -> tuple[list[tuple[str, float, float | None, bool]], str]:
    stream = io.StringIO()
    with progress_bars(Console(file=stream, force_terminal=terminal, width=100), quiet=quiet) as bars:
        report = follow(bars)
        for step in (
            Progress("[b]qa", "generate", 0, 3),
            Progress("[b]qa", "generate", 1, 3),
            Progress("", "store", 0, 1),
        ):
            report(step)
        rows = [(task.description, task.completed, task.total, task.visible) for task in bars.tasks]
    return rows, stream.getvalue()


def test_a_stage_is_named_before_its_first_shard_is_done() -> None:
    rows, text = shown(terminal=True)
    assert rows == [
        ("reading suite and data", 0, None, False),
        ("[b]qa: generate", 1, 3, True),
        ("store", 0, 1, True),
    ]
    assert "[b]qa: generate" in text


def test_nothing_is_written_where_nobody_looks() -> None:
    assert shown(terminal=False)[1].strip() == ""
    assert shown(terminal=True, quiet=True)[1].strip() == ""
