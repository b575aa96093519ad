"""Exports of Langfuse: traces, observations and scores, from its pages (CSV, JSON), its API, or blob storage.

Scores that stand in files of their own are joined by the trace's id: give both files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.datasets.columns import list_value, text_value
from evalkit.imports.files import ResultsFile
from evalkit.imports.rows import Result, number
from evalkit.limits import parse_json
from judges.records import Record

NAME = "langfuse"
# fmt: off
_TRACE_COLUMNS = frozenset({
    "id", "timestamp", "name", "input", "output", "metadata", "userId", "user_id", "sessionId", "session_id",
    "release", "version", "public", "bookmarked", "tags", "environment", "latency", "level",
    "observationCount", "inputCost", "outputCost", "totalCost", "usage", "projectId", "project_id",
    "createdAt", "created_at", "updatedAt", "updated_at", "scores", "observations", "htmlPath", "externalId",
    "traceId", "trace_id", "type", "startTime", "start_time", "endTime", "end_time", "parentObservationId",
    "parent_observation_id", "statusMessage", "status_message", "comments",
})
# fmt: on
"""Columns of exported tables that are no scores."""
_UNNUMBERED = frozenset({"CATEGORICAL", "TEXT", "CORRECTION"})


def recognises(file: ResultsFile) -> bool:
    """Whether the file is an export of Langfuse."""
    rows = list(_objects(file))
    return bool(rows) and all(_is_score(row) or _is_call(row) for row in rows[:20])


def read(files: Sequence[ResultsFile]) -> tuple[list[Result], list[str]]:
    """Read traces (or, where there are none, observations) of all files, with their scores."""
    rows = [row for file in files for row in _objects(file)]
    scores = [row for row in rows if _is_score(row)]
    calls: list[dict[str, Any]] = [row for row in rows if not _is_score(row)]
    for row in calls:
        nested = _parsed(row.get("scores"))
        if isinstance(nested, list):
            scores += [{"trace_id": row.get("id"), **one} for one in nested if isinstance(one, dict)]
    results: dict[str, Result] = {}
    notes: list[str] = []
    for name, call in _chosen(calls, notes):
        results.setdefault(name, _result(name, call))
    repeated = sum(_join(results, row, alone=not calls) for row in scores)
    if repeated:
        notes.append(f"{repeated} scores repeat one of the same name on the same trace; the mean counts")
    return list(results.values()), notes


def _objects(file: ResultsFile) -> Iterator[dict[str, Any]]:
    """Rows of a table, of a page of the API, or the parts of one trace."""
    document = file.document
    if not document:
        yield from file.rows
    elif isinstance(document.get("trace"), dict):
        scores, observations = document.get("scores"), document.get("observations")
        yield {**document["trace"], "scores": scores, "observations": observations}
    elif isinstance(document.get("data"), list):
        yield from (row for row in document["data"] if isinstance(row, dict))
    else:
        yield dict(document)


def _is_score(row: Mapping[str, Any]) -> bool:
    return {"name", "value"} <= row.keys() and bool(row.keys() & {"traceId", "trace_id"}) and "input" not in row


def _is_call(row: Mapping[str, Any]) -> bool:
    told = row.keys() & {"traceId", "trace_id", "timestamp", "startTime", "start_time"}
    return {"id", "input", "output"} <= row.keys() and bool(told)


def _chosen(calls: Sequence[Mapping[str, Any]], notes: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Id and row of every trace; of observations, those at the root of their trace, or all where none is."""
    observed = [row for row in calls if _of(row, "traceId", "trace_id")]
    traces = [row for row in calls if not _of(row, "traceId", "trace_id")]
    yield from ((str(row["id"]), row) for row in traces if row.get("id"))
    if traces or not observed:
        return
    roots = [row for row in observed if not _of(row, "parentObservationId", "parent_observation_id")]
    if not roots:
        yield from ((str(row["id"]), row) for row in observed if row.get("id"))
        return
    if len(roots) < len(observed):
        notes.append(f"{len(observed) - len(roots)} observations within traces are left out; their root counts")
    yield from ((str(_of(row, "traceId", "trace_id")), row) for row in roots)


def _result(name: str, row: Mapping[str, Any]) -> Result:
    record = Record(inputs=_parsed(row.get("input")), outputs=_parsed(row.get("output")))
    output = record.output()
    found = Result(
        id=name,
        prompt=record.prompt(),
        output=output or None,
        expected=list_value(_parsed(_of(row, "expectedOutput", "expected_output"))) or (),
        error=None if output else text_value(_of(row, "statusMessage", "status_message")) or "no output",
        latency=number(row.get("latency")),
    )
    for column, value in row.items():  # exports of the pages have a column for each score, a list in each cell
        numbers = _parsed(value)
        if column not in _TRACE_COLUMNS and isinstance(numbers, list) and numbers:
            known = [number(one) for one in numbers if isinstance(one, (int, float))]
            if len(known) == len(numbers):
                found.scores[column] = sum(one or 0.0 for one in known) / len(known) if None not in known else None
    return found


def _join(results: dict[str, Result], row: Mapping[str, Any], *, alone: bool) -> bool:
    """Add a score to its observation or trace; returns whether one of its name was there."""
    observed = str(_of(row, "observationId", "observation_id") or "")
    key = observed if observed in results else str(_of(row, "traceId", "trace_id") or "")
    if alone and key:
        results.setdefault(key, Result(key))
    found = results.get(key)
    if found is None:
        return False
    name = str(row["name"])
    label = _of(row, "stringValue", "string_value")
    kind = str(_of(row, "dataType", "data_type") or "NUMERIC")
    value = number(label) if kind in _UNNUMBERED else number(row.get("value"))
    before = found.scores.get(name)
    again = name in found.scores
    counts = found.repeats.get(name, 0) + (value is not None)
    if value is None:
        found.scores.setdefault(name, None)
        found.reasons.setdefault(name, f"the value {str(label)[:60]!r} is no number" if label else "no number")
    else:
        found.scores[name] = value if before is None else before + (value - before) / counts
    found.repeats[name] = counts
    if isinstance(row.get("comment"), str) and row["comment"]:
        found.rationales[name] = "; ".join(filter(None, [found.rationales.get(name), row["comment"]]))
    return again


def _of(row: Mapping[str, Any], *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _parsed(value: Any) -> Any:
    """A cell that holds JSON as that; texts and numbers in texts stay texts."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[", '"')):
        return value
    try:
        return parse_json(value, "a cell")
    except ValueError:
        return value
