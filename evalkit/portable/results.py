"""Results of one version as tables: estimates, and samples with their scores, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evalkit.evidence import StoredResults, results_home
from evalkit.session import Session
from metrics.base import Scores
from metrics.errors import InputError
from registry.current import IMPORTED
from registry.entities import Decision, Evaluation, ModelVersion

OUTPUTS = ("sample_id", "prompt", "text", "error", "latency", "prompt_tokens", "output_tokens")
_FORMULA = re.compile(r"^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]")
"""What a spreadsheet takes for a formula when it opens a CSV file: OWASP's list, with the full-width signs."""


@dataclass(frozen=True, slots=True)
class Results:
    """What is stored of one evaluation of a version, with the newest decision on it."""

    version: ModelVersion
    suite: str
    evaluation: Evaluation
    decision: Decision | None
    stored: StoredResults


def results_of(session: Session, version: ModelVersion, preset: str | None = None) -> Results:
    """The results that `evalkit show` shows; raises `InputError` where there are none."""
    return results_in(session, version, session.evaluation(version, preset))


def results_in(session: Session, version: ModelVersion, evaluation: Evaluation) -> Results:
    """What is stored of one evaluation of a version; nothing but our tables and results is read."""
    if evaluation.status not in {"finished", IMPORTED}:
        raise InputError(f"the evaluation {evaluation.id} is {evaluation.status}; only a finished one has results")
    decisions = session.registry.decisions(version)
    decision = next((made for made in decisions if made.evaluation_id == evaluation.id), None)
    stored = StoredResults(results_home(session.settings.home, evaluation), evaluation)
    return Results(version, session.registry.suite(version).name, evaluation, decision, stored)


def estimates_table(results: Results) -> pa.Table:
    """One row an estimate: what it is about, the number with its interval, and how it was made."""
    about = {"model": results.version.name, "version": results.version.version, "suite": results.suite}
    rows = [
        {**about, "task": item.task, "metric": item.metric, "key": item.key, "slice": item.slice}
        | item.estimate.to_json()
        | {"evaluation": results.evaluation.id, "scores_digest": item.scores_digest}
        for item in results.evaluation.estimates
    ]
    return pa.Table.from_pylist(rows)


def samples_table(results: Results) -> pa.Table:
    """One row a sample: its output, its slices, and of each metric with scores its score and why there is none.

    Raises:
        InputError: stored scores are gone, or no metric has any. Outputs that are gone leave their columns empty.
    """
    parts = [_task_samples(results, task) for task in results.evaluation.details.get("tasks", {})]
    parts = [part for part in parts if part is not None]
    if not parts:
        raise InputError(f"{results.version.reference} has no metric with a score for each sample")
    return pa.concat_tables(parts, promote_options="default")


def task_scores(results: Results, task: str) -> dict[str, Scores]:
    """Scores of each sample by metric, for the metrics of a task that have some."""
    names = (results.stored.task(task) or {}).get("metrics", {})
    found = {name: results.stored.rows(task, name) for name in names}
    return {name: scores for name, scores in found.items() if scores is not None}


def sample_values(scores: Scores) -> list[float | None]:
    """The score of each sample: value over denominator; None where it is unscored."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(scores.values, np.float64) / np.asarray(scores.denominators, np.float64)
    return [float(value) if np.isfinite(value) else None for value in ratio]


def to_csv(table: pa.Table) -> bytes:
    """A table as CSV in UTF-8, in which no cell is a formula: texts that would be begin with an apostrophe."""
    buffer = io.StringIO()
    # A lone carriage return is quoted only where the line's end has one; unquoted it would begin a row of its own
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([_inert(name) for name in table.column_names])
    for batch in table.to_batches(max_chunksize=10_000):
        writer.writerows([_cell(value) for value in row.values()] for row in batch.to_pylist())
    return buffer.getvalue().encode("utf-8", "surrogatepass")


def to_parquet(table: pa.Table) -> bytes:
    """A table as Parquet; texts are as they were."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def to_rows(table: pa.Table) -> bytes:
    """A table as JSON: a list of objects."""
    return (json.dumps(table.to_pylist(), indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def _task_samples(results: Results, task: str) -> pa.Table | None:
    scores = task_scores(results, task)
    if not scores:
        return None
    first = next(iter(scores.values()))
    outputs = outputs_of(results, task)
    columns: dict[str, Any] = {
        "model": [results.version.name] * len(first), "version": [results.version.version] * len(first),
        "task": [task] * len(first),
    }  # fmt: skip
    for name in OUTPUTS:
        shown = "output" if name == "text" else name
        kind = pa.string() if name in {"sample_id", "prompt", "text", "error"} else None
        columns[shown] = pa.array([outputs.get(key, {"sample_id": key}).get(name) for key in first.sample_ids], kind)
    for name, values in first.slices.items():
        columns[f"slice.{name}"] = pa.array([str(value) for value in values], pa.string())
    for metric, own in scores.items():
        columns[f"score.{metric}"] = pa.array(
            _aligned(first.sample_ids, own.sample_ids, sample_values(own)), pa.float64()
        )
        columns[f"reason.{metric}"] = pa.array(_aligned(first.sample_ids, own.sample_ids, own.reasons), pa.string())
    return pa.table(columns)


def outputs_of(results: Results, task: str) -> Mapping[str, Mapping[str, Any]]:
    """Outputs of a task by sample, without pictures; nothing where they are not stored."""
    try:
        table = results.stored.outputs(task, columns=OUTPUTS)
    except InputError:
        return {}
    return {row["sample_id"]: row for row in table.to_pylist()}


def _aligned(wanted: Sequence[str], keys: Sequence[str], values: Sequence[Any]) -> list[Any]:
    if list(wanted) == list(keys):
        return list(values)
    known = dict(zip(keys, values, strict=True))
    return [known.get(key) for key in wanted]


def _cell(value: Any) -> Any:
    return _inert(value) if isinstance(value, str) else value


def _inert(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text
