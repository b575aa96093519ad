"""A run of a monitor with what follows from it."""

from __future__ import annotations

import logging

from evalkit.config import Settings
from evalkit.monitoring.engine import Choose, run_monitor
from evalkit.monitoring.records import RunReport
from evalkit.monitoring.store import MonitorStore
from evalkit.runner.progress import Report

_log = logging.getLogger("evalkit.monitoring")


def run_and_record(
    settings: Settings, store: MonitorStore, name: str, choose: Choose, *, now: int | None = None,
    progress: Report | None = None,
) -> RunReport:  # fmt: skip
    """Run a monitor as `run_monitor` does, and keep its run in MLflow up to date where its file asks for one."""
    report = run_monitor(settings, store, name, choose, now=now, progress=progress)
    if store.definition(store.monitor(name)).spec.reports.mlflow:
        from evalkit.monitoring.mlflow_runs import record

        try:
            record(settings, store, name)
        except Exception as error:  # whatever a store that is away makes of it: the windows are stored
            why = " ".join(str(error).split())[:300]
            _log.warning("the monitor '%s' could not be told to MLflow; its next run does it: %s", name, why)
    return report
