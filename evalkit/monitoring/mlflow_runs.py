"""One run in MLflow for each monitor: its signals as metrics over time, its reports as artifacts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit.config import Settings
from evalkit.monitoring.cadence import Cadence
from evalkit.monitoring.lease import held
from evalkit.monitoring.records import MonitorRecord, StoredSignal, WindowRecord
from evalkit.monitoring.store import MonitorStore
from evalkit.monitoring.window_reports import report_path
from registry.leases import Leases
from registry.tables import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

EXPERIMENT = "evalkit-monitors"
TAG_MONITOR = "evalkit.monitor"
_TAG_UNTIL, _TAG_FIRST = "evalkit.logged_until", "evalkit.first_windows"
_AT_A_TIME = 1000
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.\- :/]")
_LONGEST = 250


def record(settings: Settings, store: MonitorStore, name: str) -> str:
    """Bring a monitor's run up to date with its windows; returns the run's id.

    Metrics are ``<check>.<number>`` for all rows, and with ``/low`` and ``/high`` the bounds of its interval; the step
    is the window's place after the first one, the timestamp its end. MLflow keeps every value that it was ever given:
    where a window was restated, a new run with the values that count takes the place of the old one.
    """
    from mlflow import MlflowClient

    monitor = store.monitor(name)
    client = MlflowClient(tracking_uri=settings.tracking_uri)
    with held(Leases(store.engine, DEFAULT_WORKSPACE), f"{monitor.lease_key}:mlflow", f"the run of '{name}' in MLflow"):
        experiment = _experiment(client)
        run = _known(client, experiment, monitor)
        until = 0 if run is None else int(run.data.tags.get(_TAG_UNTIL, 0))
        every = store.windows(monitor, revisions=True)
        fresh = [one for one in every if one.newest and one.finished_at >= until]
        if run is not None and not _restated(every, fresh, until):
            firsts = {text: int(start) for text, start in json.loads(run.data.tags[_TAG_FIRST]).items()}
            _log(client, run.info.run_id, store, monitor, fresh, firsts=firsts)
            _mark(client, run.info.run_id, fresh, until)
            return str(run.info.run_id)
        newest = [one for one in every if one.newest]
        firsts = {}
        for one in newest:
            firsts[one.cadence] = min(one.start, firsts.get(one.cadence, one.start))
        made = client.create_run(experiment, run_name=name, tags={_TAG_FIRST: json.dumps(firsts)})
        _log(client, made.info.run_id, store, monitor, newest, firsts=firsts)
        _mark(client, made.info.run_id, newest, 0)
        client.set_tag(made.info.run_id, TAG_MONITOR, name)
        client.set_tag(made.info.run_id, f"{TAG_MONITOR}_id", monitor.id)
        client.set_terminated(made.info.run_id)
        if run is not None:
            client.delete_run(run.info.run_id)
        return str(made.info.run_id)


def _experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    return str(client.create_experiment(EXPERIMENT) if found is None else found.experiment_id)


def _known(client: MlflowClient, experiment: str, monitor: MonitorRecord) -> Run | None:
    runs = client.search_runs(
        [experiment], filter_string=f"tags.`{TAG_MONITOR}_id` = '{monitor.id}'", order_by=["attributes.start_time DESC"]
    )
    for older in runs[1:]:  # a process that was killed between the making of a run and the removal of the former one
        client.delete_run(older.info.run_id)
    return next(iter(runs), None)


def _restated(every: Sequence[WindowRecord], fresh: Sequence[WindowRecord], until: int) -> bool:
    """Whether a window that is to be logged has other values there already."""
    logged = {(one.cadence, one.start) for one in every if not one.newest and one.finished_at <= until}
    return any((one.cadence, one.start) in logged and one.finished_at > until for one in fresh)


def _log(
    client: MlflowClient, run_id: str, store: MonitorStore, monitor: MonitorRecord, windows: Sequence[WindowRecord],
    *, firsts: dict[str, int],
) -> None:  # fmt: skip
    for one in windows:
        firsts.setdefault(one.cadence, one.start)
    if windows:
        client.set_tag(run_id, _TAG_FIRST, json.dumps(firsts))
    wanted = {one.id for one in windows}
    since, until = (min((one.start for one in windows), default=0), max((one.start for one in windows), default=0) + 1)
    signals = [one for one in store.signals(monitor, since=since, until=until, slice_="") if one.window.id in wanted]
    steps = _steps(windows, firsts)
    points = [point for one in signals for point in _points(one, steps[one.window.cadence, one.window.start])]
    for start in range(0, len(points), _AT_A_TIME):
        client.log_batch(run_id, metrics=points[start : start + _AT_A_TIME])
    for one in windows:
        path = report_path(store.folder(monitor), one.cadence, one.start)
        if path.exists():
            client.log_artifact(run_id, str(path), "reports")


def _points(stored: StoredSignal, step: int) -> Iterator[Metric]:
    from mlflow.entities import Metric

    estimate = stored.signal.estimate.to_json()
    name = _FORBIDDEN.sub("_", f"{stored.check}.{stored.signal.key}")[:_LONGEST]
    for key, value in ((name, estimate["value"]), (f"{name}/low", estimate["low"]), (f"{name}/high", estimate["high"])):
        if value is not None:  # missing is not zero: a window without the number has no point
            yield Metric(key, float(value), stored.window.end, step)


def _steps(windows: Sequence[WindowRecord], firsts: Mapping[str, int]) -> dict[tuple[str, int], int]:
    """The place of each window after the first one of its cadence; negative for one that was computed before it."""
    found: dict[tuple[str, int], int] = {}
    for text in {one.cadence for one in windows}:
        cadence, first = Cadence.parse(text), firsts[text]
        starts = [one.start for one in windows if one.cadence == text]
        last = max(one.end for one in windows if one.cadence == text)
        found |= {(text, start): step for step, (start, _) in enumerate(cadence.windows(first, last))}
        before = [start for start, _ in cadence.windows(min(starts), first)] if min(starts) < first else []
        found |= {(text, start): place - len(before) for place, start in enumerate(before)}
    return found


def _mark(client: MlflowClient, run_id: str, windows: Sequence[WindowRecord], until: int) -> None:
    client.set_tag(run_id, _TAG_UNTIL, str(max([until, *(one.finished_at for one in windows)])))
