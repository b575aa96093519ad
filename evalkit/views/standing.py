"""How a monitor stands: its state, schedule, spend, and how far its labels are behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalkit.monitoring import scheduling
from evalkit.monitoring.cadence import DAY_MS, parse_moment
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.fields import utc_now
from evalkit.monitoring.records import MonitorRecord
from evalkit.monitoring.store import PAUSED, MonitorStore
from evalkit.monitoring.timetable import timetable
from evalkit.project import Project
from evalkit.views import monitor_data
from evalkit.views.inventory import ALERT, SILENT
from evalkit.views.monitor_data import Window
from judges.base import Usage
from metrics.errors import InputError
from registry.firings import FiringRecord
from registry.firings import history as firings
from registry.mlflow_link import parse_reference

_LABEL_FILES = 40


@dataclass(frozen=True, slots=True)
class Standing:
    """How a monitor stands.

    Attributes:
        alerting: check, key and slice of lasting alerts to their rule and id.
        labels_behind: milliseconds from the newest label to the newest row, in event time; None without labels.
        spent: what judges have cost since midnight UTC.
    """

    monitor: MonitorRecord
    state: str
    alerting: Mapping[tuple[str, str, str], tuple[str, str]]
    newest: Window | None
    every: str
    cron: str
    budget: str | None
    spent: Usage
    last: FiringRecord | None
    labels: bool
    labels_behind: int | None

    @property
    def alerts(self) -> Mapping[str, int]:
        """Check to the number of its lasting alerts."""
        return Counter(check for check, _, _ in self.alerting)

    @property
    def model_name(self) -> str | None:
        """The registered model that it watches."""
        try:
            return parse_reference(self.monitor.model)[0] if self.monitor.model else None
        except InputError:
            return None


def standing(project: Project, store: MonitorStore, found: MonitorRecord, definition: Definition | None) -> Standing:
    """How a monitor stands now."""
    spec = None if definition is None else definition.spec
    newest = monitor_data.in_range(project.engine, found.id, spec.cadence.text if spec else None).newest
    lasting = monitor_data.alerting_now(project.engine, found.id)
    now = utc_now()
    last = firings(project.engine, schedule=scheduling.schedule_name(found.name), limit=1)
    state = PAUSED if found.status == PAUSED else ALERT if lasting else newest.status if newest else SILENT
    labels = spec is not None and (
        spec.source.columns.label is not None or any(check.kind == "hallucination" for check in spec.checks)
    )
    return Standing(
        found, state, lasting, newest, spec.every if spec else "", timetable(definition).cron if definition else "",
        spec.budget if spec else None, store.spent_since(found, now - now % DAY_MS), last[0] if last else None, labels,
        _labels_behind(store, found) if labels else None,
    )  # fmt: skip


def _labels_behind(store: MonitorStore, found: MonitorRecord) -> int | None:
    """How far the newest day with a label is behind the newest row; read from the files' statistics, not from rows."""
    import pyarrow.parquet as pq

    folder = store.folder(found) / "raw"
    if found.last_event is None or not folder.is_dir():
        return None
    days = sorted((place.name for place in folder.iterdir() if place.is_dir()), reverse=True)
    looked = 0
    for day in days:
        for file in sorted(folder.joinpath(day).glob("*.parquet"), reverse=True):
            looked += 1
            if looked > _LABEL_FILES:
                return None
            try:
                labelled = _has_label(pq.read_metadata(file))
            except (OSError, ValueError):  # retention or an erasure took it away just now
                continue
            if labelled:
                return max(0, found.last_event // DAY_MS - parse_moment(day) // DAY_MS) * DAY_MS
    return None


def _has_label(metadata: Any) -> bool:
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema == "label":
                told = column.statistics
                if told is not None and told.has_null_count and told.null_count < column.num_values:
                    return True
    return False
