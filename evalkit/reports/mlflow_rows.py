"""Rows of text results for MLflow's own views: a table artifact, and traces with assessments.

MLflow's evaluation view shows traces that belong to a run, each with feedback (our scores) and expectations (the
accepted answers). Trace, span and assessment ids follow from run and sample, so that a repeat replaces and never
doubles; request times fall from row to row, so that the view's newest-first order is our worst-first order.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalkit.reports.samples import Sample

if TYPE_CHECKING:
    from mlflow.entities import Run, Span, TraceInfo

MAX_ROWS = 100
MAX_TRACES = 30
_MAX_CELL = 10_000
_logger = logging.getLogger(__name__)


def table(samples: Sequence[Sample]) -> dict[str, Any]:
    """Rows as a table in MLflow's ``split`` form; long texts are cut at 10,000 characters."""
    names = sorted({metric for sample in samples for metric in sample.scores})
    columns = ["task", "sample_id", "inputs", "outputs", "expected", *names, "reason"]
    data = [
        [
            sample.task,
            sample.sample_id,
            cut(sample.prompt),
            cut(sample.text),
            cut(" | ".join(sample.expected)),
            *(sample.scores.get(name) for name in names),
            sample.reason,
        ]
        for sample in samples
    ]
    return {"columns": columns, "data": data}


def cut(text: str | None) -> str | None:
    """A text of at most 10,000 characters; the cut shows as an ellipsis."""
    return text if text is None or len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def log_traces(tracking_uri: str, run: Run, model_id: str | None, samples: Sequence[Sample]) -> bool:
    """Write the first 30 samples as traces of a run; False where this MLflow store takes none."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracing.client import TracingClient

    kept = samples[:MAX_TRACES]
    client = TracingClient(tracking_uri)
    experiment_id, time_ms = run.info.experiment_id, run.info.start_time
    infos = [_trace(run, model_id, time_ms + len(kept) - rank, sample) for rank, sample in enumerate(kept)]
    spans = [_span(info, sample) for info, sample in zip(infos, kept, strict=True)]
    try:
        for info in infos:
            client.start_trace(info)
        client.log_spans(experiment_id, spans)
    except (MlflowException, NotImplementedError) as error:
        _logger.info("this MLflow store takes no traces (%s); the rows are in the table artifact", error)
        return False
    return True


def _trace(run: Run, model_id: str | None, time_ms: int, sample: Sample) -> TraceInfo:
    from mlflow.entities import TraceInfo, TraceLocation, TraceState
    from mlflow.tracing.constant import TraceMetadataKey, TraceTagKey

    run_id = run.info.run_id
    trace_id = f"tr-{_id(run_id, sample.task, sample.sample_id)}"
    metadata = {TraceMetadataKey.SOURCE_RUN: run_id, "mlflow.trace_schema.version": "3"}
    if model_id:
        metadata[TraceMetadataKey.MODEL_ID] = model_id
    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(run.info.experiment_id),
        request_time=time_ms,
        state=TraceState.OK if sample.text is not None else TraceState.ERROR,
        request_preview=(sample.prompt or "")[:1000],
        response_preview=(sample.text if sample.text is not None else sample.reason or "")[:1000],
        client_request_id=sample.sample_id[:50],
        execution_duration=0,
        trace_metadata=metadata,
        tags={TraceTagKey.TRACE_NAME: sample.task, "evalkit.sample": sample.sample_id[:250]},
        assessments=_assessments(trace_id, run_id, time_ms, sample),
    )


def _assessments(trace_id: str, run_id: str, time_ms: int, sample: Sample) -> list[Any]:
    from mlflow.entities import AssessmentError, AssessmentSource, Expectation, Feedback
    from mlflow.tracing.constant import AssessmentMetadataKey

    source = AssessmentSource(source_type="CODE", source_id="evalkit")
    common: dict[str, Any] = {
        "trace_id": trace_id,
        "create_time_ms": time_ms,
        "last_update_time_ms": time_ms,
        "source": source,
    }
    found: list[Any] = [
        Feedback(
            name=metric,
            value=score,
            error=None if score is not None else AssessmentError("UNSCORED", sample.reason or "no reason given"),
            metadata={AssessmentMetadataKey.SOURCE_RUN_ID: run_id},
            **common,
        )
        for metric, score in sorted(sample.scores.items())
    ]
    if sample.expected:
        found.append(Expectation(name="expected", value=cut(" | ".join(sample.expected)), **common))
    for assessment in found:
        assessment.assessment_id = f"a-{_id(trace_id, assessment.name)}"
    return found


def _span(info: TraceInfo, sample: Sample) -> Span:
    from mlflow.entities import Span
    from mlflow.tracing.constant import SpanAttributeKey

    digits = info.trace_id.removeprefix("tr-")
    start = info.request_time * 1_000_000
    attributes = {
        SpanAttributeKey.REQUEST_ID: info.trace_id,
        SpanAttributeKey.SPAN_TYPE: "UNKNOWN",
        SpanAttributeKey.INPUTS: {"prompt": cut(sample.prompt)},
        SpanAttributeKey.OUTPUTS: cut(sample.text),
    }
    made: Span = Span.from_dict(
        {
            "name": sample.task,
            "trace_id": _base64(digits),
            "span_id": _base64(digits[:16]),
            "parent_span_id": None,
            "start_time_unix_nano": start,
            "end_time_unix_nano": start,
            "attributes": {key: json.dumps(value) for key, value in attributes.items()},
            "status": {"code": "OK" if sample.text is not None else "ERROR", "message": sample.reason or ""},
            "events": [],
        }
    )
    return made


def _base64(hexadecimal: str) -> str:
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def _id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
