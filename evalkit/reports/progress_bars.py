"""Progress bars for people who wait at a terminal; nothing is shown anywhere else."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from evalkit.runner.progress import Progress as Step
from evalkit.runner.progress import Report


def progress_bars(console: Console, *, quiet: bool = False) -> Progress:
    """Bars that vanish when the work is done; the spinner turns while a generator is starting."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)


def follow(bars: Progress) -> Report:
    """Return a report for the runner that shows each stage of each task as a bar."""
    rows: dict[str, TaskID] = {}
    preparing = bars.add_task("reading suite and data", total=None)

    def report(step: Step) -> None:
        bars.update(preparing, visible=False)
        what = f"{step.task}: {step.stage}" if step.task else step.stage
        if what not in rows:
            rows[what] = bars.add_task(what, total=step.total)
        bars.update(rows[what], completed=step.done, total=step.total)

    return report
