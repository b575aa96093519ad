"""Traces of an MLflow experiment, oldest first; a call is stored when it ends, under the time of its beginning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from evalkit.config import without_password
from evalkit.datasets.traces import row_of
from evalkit.monitoring.fields import rows_of
from evalkit.monitoring.sources.base import Chunk, Watermark
from evalkit.monitoring.spec import Columns, TraceSource
from judges.records import FieldPath
from metrics.errors import InputError

if TYPE_CHECKING:
    from mlflow.entities import Trace

_PAGE = 100
_UNFINISHED = "IN_PROGRESS"
_FAILED = "ERROR"


class TraceReader:
    """Reads the finished traces of an experiment.

    A call that took long is stored after others that began later. Each read therefore looks back over `overlap`, and
    the watermark has the ids that it has read since then; a call that takes longer than that is not seen.

    Args:
        tracking_uri: MLflow's tracking store.
        source: which experiment.
        columns: paths such as ``inputs.question``; parts without one are found by their usual names.
        overlap: milliseconds.
    """

    def __init__(self, tracking_uri: str, source: TraceSource, columns: Columns, *, overlap: int) -> None:
        self._uri, self._source, self._overlap = tracking_uri, source, overlap
        named = columns.model_dump(exclude={"slices", "fields", "categories"}).values()
        extra = (*columns.slices, *columns.fields, *columns.categories)
        self._paths = {text: FieldPath.parse(text) for text in (*(value for value in named if value), *extra)}

    def read(self, watermark: Watermark) -> Iterator[Chunk]:
        """Yield finished traces that were requested since the watermark."""
        since, seen = int(watermark.get("since", 0)), set(watermark.get("seen", ()))
        read: dict[str, int] = {}
        for page in self._pages(since):
            finished = [trace for trace in page if str(trace.info.state) != _UNFINISHED]
            rows = [self._row(trace) for trace in finished if trace.info.trace_id not in seen]
            read |= {trace.info.trace_id: trace.info.request_time for trace in finished}
            upto = max(since, max(read.values(), default=since) - self._overlap)
            ids = sorted(key for key, at in read.items() if at >= upto)
            yield Chunk(rows_of(rows), {"since": upto, "seen": ids})

    def _row(self, trace: Trace) -> dict[str, Any]:
        row = row_of(trace, self._paths)
        row["id"] = trace.info.trace_id
        row["time"] = trace.info.request_time
        failed = str(trace.info.state) == _FAILED
        return row | ({"error": "the call failed"} if failed else {})

    def _pages(self, since: int) -> Iterator[list[Trace]]:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        client = MlflowClient(tracking_uri=self._uri)
        experiment = client.get_experiment_by_name(self._source.experiment)
        if experiment is None:
            store = without_password(self._uri)
            raise InputError(f"traces: there is no experiment '{self._source.experiment}' in {store}")
        after = f"trace.timestamp_ms >= {since}"
        wanted = f"{after} AND {self._source.filter}" if self._source.filter else after
        token = None
        while True:
            try:
                page = client.search_traces(
                    locations=[experiment.experiment_id],
                    filter_string=wanted,
                    max_results=_PAGE,
                    order_by=["timestamp_ms ASC"],
                    page_token=token,
                )
            except MlflowException as error:
                if error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                shown = json.dumps(self._source.filter)
                raise InputError(f"traces: MLflow refuses the filter {shown} ({error.message})") from None
            yield list(page)
            token = page.token
            if not token:
                return
