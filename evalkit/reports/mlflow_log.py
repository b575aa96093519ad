"""One MLflow run per evaluation and look: metrics, parameters, artifacts, links; safe to repeat after a kill.

The run is found again by its tag ``evalkit.evaluation``, written atomically with the run; every later write
replaces what an earlier attempt left (fixed timestamps, immutable parameters, whole files), so that nothing doubles.
"""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.config import Settings
from evalkit.reports.foreign import code, prose
from evalkit.reports.mlflow_rows import MAX_ROWS, log_traces, table
from evalkit.reports.samples import Sample
from evalkit.reports.serialise import estimates_json, to_json
from registry.artifact_store import upload
from registry.digests import digest, short
from registry.entities import DatasetRecord, Decision, Evaluation, ModelVersion
from registry.suite import Suite

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "evalkit"
TAG_EVALUATION = "evalkit.evaluation"
TAG_LOGGED = "evalkit.logged"
TAG_ROWS = "evalkit.rows"
MAX_FILE_BYTES = 64 * 2**20
MAX_TOTAL_BYTES = 256 * 2**20
_TABLE = "samples.json"


@dataclass(frozen=True, slots=True)
class _Payload:
    """Everything that one run says."""

    version: ModelVersion
    suite: Suite
    evaluation: Evaluation
    decision: Decision | None
    scorecard_html: str | None
    files: Mapping[str, Path]
    samples: Sequence[Sample]
    datasets: Sequence[DatasetRecord]


def log_evaluation(
    settings: Settings,
    version: ModelVersion,
    suite: Suite,
    evaluation: Evaluation,
    *,
    scorecard_html: str | None = None,
    files: Mapping[str, Path] | None = None,
    decision: Decision | None = None,
    samples: Sequence[Sample] = (),
    datasets: Sequence[DatasetRecord] = (),
) -> str:
    """Log an evaluation to MLflow and return the run's id; repeating it changes nothing.

    Args:
        settings: where MLflow's stores are.
        version, suite, evaluation: what was judged, by what, with which results.
        scorecard_html: the report, logged as ``scorecard.html``.
        files: artifact path to a local file or folder; files over 64 MiB, and those beyond 256 MiB together, are
            left out and listed in ``left_out.json``.
        decision: the gate's decision; it may be logged later by calling this again.
        samples: text results for MLflow's evaluation view, in the order to show (the worst first); the first 100
            are kept, images are left to the scorecard.
        datasets: data sets to name as the run's inputs.
    """
    rows = [sample for sample in samples if sample.image is None][:MAX_ROWS]
    payload = _Payload(version, suite, evaluation, decision, scorecard_html, files or {}, rows, datasets)
    content = _content_digest(payload)
    with _quiet():
        client = _client(settings)
        run = _find_or_create(client, payload)
        run_id: str = run.info.run_id
        if run.data.tags.get(TAG_LOGGED) == content and run.info.status == "FINISHED":
            return run_id
        _log_numbers(client, run_id, payload)
        _log_inputs(client, run_id, payload)
        _log_files(client, run_id, payload)
        _log_rows(client, settings.tracking_uri, run, payload)
        _link_version(client, run_id, payload)
        client.set_tag(run_id, TAG_LOGGED, content)
        client.set_terminated(run_id, "FINISHED", end_time=evaluation.finished_at)
    return run_id


_NO_URLS = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence notices while logging, on standard output too; errors still arrive as exceptions."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "psycopg")]
    levels = [logger.level for logger in loggers]
    printing = os.environ.get(_NO_URLS)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    os.environ[_NO_URLS] = "true"
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if printing is None:
            del os.environ[_NO_URLS]
        else:
            os.environ[_NO_URLS] = printing


def _client(settings: Settings) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(settings.tracking_uri, settings.registry_uri)


def _experiment_id(client: MlflowClient, version: ModelVersion) -> str:
    """The experiment of the version's LoggedModel or run, so that MLflow's pages show them together."""
    from mlflow.exceptions import MlflowException

    if version.model_id:
        return str(client.get_logged_model(version.model_id).experiment_id)
    if version.run_id:
        return str(client.get_run(version.run_id).info.experiment_id)
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    try:
        return str(client.create_experiment(EXPERIMENT))
    except MlflowException:
        # Another process created it in between.
        known = client.get_experiment_by_name(EXPERIMENT)
        if known is None:
            raise
        return str(known.experiment_id)


def _find_or_create(client: MlflowClient, payload: _Payload) -> Run:
    version, suite, evaluation = payload.version, payload.suite, payload.evaluation
    experiment_id = _experiment_id(client, version)
    found = client.search_runs([experiment_id], f"tags.`{TAG_EVALUATION}` = '{evaluation.id}'", max_results=1)
    if found:
        return found[0]
    look = f", look {evaluation.look}" if suite.spec.gate.looks > 1 else ""
    tags = {
        TAG_EVALUATION: evaluation.id,
        "evalkit.model": version.reference,
        "evalkit.suite": suite.spec.suite,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": "evalkit",
    }
    name = f"{suite.spec.suite} on {version.name} {version.version}{look}"
    return client.create_run(experiment_id, start_time=evaluation.started_at, tags=tags, run_name=name)


def _log_numbers(client: MlflowClient, run_id: str, payload: _Payload) -> None:
    from mlflow.entities import Metric, Param, RunTag

    version, suite, evaluation, decision = payload.version, payload.suite, payload.evaluation, payload.decision
    stamp = evaluation.finished_at or evaluation.started_at
    metrics = [
        Metric(key, value, stamp, 0, model_id=version.model_id, run_id=run_id)
        for key, value in metric_values(evaluation).items()
    ]
    params = {
        "model": version.reference,
        "artifact_digest": version.artifact_digest,
        "suite": suite.spec.suite,
        "suite_digest": evaluation.suite_digest,
        "evaluation_digest": evaluation.digest,
        "look": str(evaluation.look),
        "preset": evaluation.preset or "none",
        "seed": str(suite.spec.gate.seed),
    } | {f"n.{task}": str(n) for task, n in evaluation.targets.items()}
    tags = {
        "evalkit.verdict": decision.outcome if decision is not None else "undecided",
        "mlflow.note.content": note(version, evaluation, decision),
    }
    for start in range(0, max(len(metrics), 1), 1000):
        first = start == 0
        client.log_batch(
            run_id,
            metrics=metrics[start : start + 1000],
            params=[Param(key, value) for key, value in list(params.items())[:100]] if first else (),
            tags=[RunTag(key, value) for key, value in tags.items()] if first else (),
            synchronous=True,
        )


def metric_values(evaluation: Evaluation) -> dict[str, float]:
    """MLflow metric names to values: ``task/metric.key`` with ``/low`` and ``/high``.

    What is not finite is left out, and so are slices, which are in ``estimates.json``.
    """
    values: dict[str, float | None] = {}
    for stored in evaluation.estimates:
        if not stored.slice:
            estimate = stored.estimate
            values |= {
                stored.name: estimate.value,
                f"{stored.name}/low": estimate.low,
                f"{stored.name}/high": estimate.high,
            }
    return {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}


def note(version: ModelVersion, evaluation: Evaluation, decision: Decision | None) -> str:
    """The run's description in MLflow (Markdown): the verdict, each rule, the warnings."""
    link = f"[{version.name} version {version.version}](#/models/{version.name}/versions/{version.version})"
    if decision is None:
        lines = [f"**Evaluated** {link}; no gate has decided on it yet."]
    else:
        lines = [f"**{decision.outcome.upper()}** for {link} ({decision.method}, alpha {decision.alpha:g})", ""]
        # MLflow folds long descriptions: what did not pass comes first
        ordered = sorted(decision.rules, key=lambda rule: ("fail", "inconclusive", "pass").index(rule.outcome))
        lines += [f"- {rule.outcome}: {code(rule.rule)} {prose(rule.reason)}" for rule in ordered]
    if evaluation.warnings:
        lines += ["", "Warnings:", *(f"- {prose(warning)}" for warning in evaluation.warnings)]
    return "\n".join([*lines, "", "The full report is the artifact `scorecard.html`."])[:8000]


def _log_inputs(client: MlflowClient, run_id: str, payload: _Payload) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput

    inputs = [
        DatasetInput(
            Dataset(
                name=f"{record.name}@{record.split}",
                digest=record.digest.removeprefix("sha256:")[:36],
                source_type="local",
                source=json.dumps({"uri": record.location}),
                profile=json.dumps({"num_rows": record.rows, "licence": record.licence}),
            ),
            [InputTag("mlflow.data.context", "evaluation")],
        )
        for record in payload.datasets
    ]
    model_id = payload.version.model_id
    models = [LoggedModelInput(model_id)] if model_id else []
    if inputs or models:
        client.log_inputs(run_id, inputs, models)


def _log_files(client: MlflowClient, run_id: str, payload: _Payload) -> None:
    """Write everything into one folder and upload it at once: a repeat replaces whole files."""
    from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

    left_out = _upload(client, run_id, payload.files)
    with tempfile.TemporaryDirectory(prefix="evalkit-") as folder:
        root = Path(folder)
        (root / "suite.yaml").write_text(payload.suite.text, encoding="utf-8")
        _write_json(root / "estimates.json", estimates_json(payload.evaluation))
        if payload.scorecard_html is not None:
            (root / "scorecard.html").write_text(payload.scorecard_html, encoding="utf-8")
        if payload.decision is not None:
            _write_json(root / "decision.json", to_json(payload.decision))
        if left_out:
            _write_json(root / "left_out.json", left_out)
        if payload.samples:
            _write_json(root / _TABLE, table(payload.samples))
            client.set_tag(run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([{"path": _TABLE, "type": "table"}]))
        client.log_artifacts(run_id, folder)


def _upload(client: MlflowClient, run_id: str, files: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Upload within the limits what is not there yet; returns what was left out."""
    left_out, total, wanted = [], 0, {}
    for target, local in files.items():
        for path in sorted(p for p in local.rglob("*") if p.is_file()) if local.is_dir() else [local]:
            size = path.stat().st_size
            inner = Path(target) / path.relative_to(local) if local.is_dir() else Path(target)
            if size > MAX_FILE_BYTES or total + size > MAX_TOTAL_BYTES:
                left_out.append({"path": inner.as_posix(), "bytes": size})
                continue
            total += size
            wanted[inner.as_posix()] = path
    upload(client, run_id, wanted)
    return left_out


def _log_rows(client: MlflowClient, tracking_uri: str, run: Run, payload: _Payload) -> None:
    """Show the rows in MLflow's evaluation view, unless an earlier attempt has done so."""
    if not payload.samples:
        return
    content = short(digest(table(payload.samples)))
    if run.data.tags.get(TAG_ROWS) == content:
        return
    if log_traces(tracking_uri, run, payload.version.model_id, payload.samples):
        client.set_tag(run.info.run_id, TAG_ROWS, content)


def _link_version(client: MlflowClient, run_id: str, payload: _Payload) -> None:
    name, number = payload.version.name, str(payload.version.version)
    client.set_model_version_tag(name, number, "evalkit.evaluation", payload.evaluation.id)
    client.set_model_version_tag(name, number, "evalkit.run", run_id)


def _content_digest(payload: _Payload) -> str:
    """Digest of everything that would be logged: where it is the run's own, there is nothing to do."""
    sizes = {
        f"{target}/{path.name}": path.stat().st_size
        for target, local in payload.files.items()
        for path in ([p for p in local.rglob("*") if p.is_file()] if local.is_dir() else [local])
    }
    content = digest(
        {
            "version": payload.version.reference,
            "evaluation": to_json(payload.evaluation),
            "decision": payload.decision.digest if payload.decision is not None else None,
            "html": payload.scorecard_html,
            "files": sizes,
            "rows": table(payload.samples),
        }
    )
    return short(content)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")
