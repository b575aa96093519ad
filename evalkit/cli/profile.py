"""The table of ``evalkit evaluate --profile``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from evalkit.runner.profile import Profiler, Stage

_WAITS = 0.3
"""Cores at work below which a stage mostly waits: for a process, a disk, a server or a device."""
_SHOWN = 0.0005
"""Share below which a stage is left out of the table."""


def profile_table(profiler: Profiler) -> Table:
    """Stages by time: seconds, share, rows a second, and what they were held up by as far as it was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    table = Table(title=f"Where {profiler.seconds:.1f} s went", title_justify="left", box=None, pad_edge=False)
    table.add_column("task")
    table.add_column("stage")
    for name in ("seconds", "share", "rows/s"):
        table.add_column(name, justify="right")
    table.add_column("limit")
    for stage in profiler.stages():
        if stage.share >= _SHOWN:
            rate = "" if stage.rows_per_second is None else f"{stage.rows_per_second:,.0f}"
            share = "(overlaps)" if stage.ahead else f"{stage.share:.1%}"
            name = f"{stage.stage}, ahead" if stage.ahead else stage.stage
            table.add_row(stage.task, name, f"{stage.seconds:.2f}", share, rate, limit(stage, cores))
    return table


def limit(stage: Stage, cores: int) -> str:
    """What held a stage up, by the processor time that it took: this process's cores, or something it waited for."""
    if stage.cores < _WAITS:
        return f"waits ({stage.cores:.1f} of {cores} cores at work)"
    return f"computes ({stage.cores:.1f} of {cores} cores at work)"
