"""Puts a finished evaluation into MLflow: numbers, report, stored outputs and a bounded sample of rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.config import Settings
from evalkit.evidence import StoredResults, results_home
from evalkit.reports.samples import Sample
from evalkit.runner.engine import LogEvaluation
from metrics.errors import InputError
from registry.entities import DatasetRecord, Decision, Evaluation, ModelVersion
from registry.spec import SuiteSpec
from registry.suite import Suite

if TYPE_CHECKING:
    from evalkit.reports.scorecard import Scorecard
    from registry.store import Registry

_TEXT_ROWS = 20_000
_IMAGE_ROWS = 500
_SHOWN = 100
_ROWS_AT_ONCE = 2048


def logger_for(settings: Settings, registry: Registry, version: ModelVersion, suite: Suite) -> LogEvaluation:
    """Return the function that `evalkit.runner.engine.run` takes as ``log``."""

    def log(evaluation: Evaluation, files: Mapping[str, Path]) -> str:
        return publish(settings, registry, version, suite, evaluation, files=files)

    return log


def publish(
    settings: Settings,
    registry: Registry,
    version: ModelVersion,
    suite: Suite,
    evaluation: Evaluation,
    *,
    files: Mapping[str, Path] | None = None,
    decision: Decision | None = None,
) -> str:
    """Log an evaluation, with a decision where there is one; repeating it changes nothing. Returns the run's id."""
    from evalkit.reports import html
    from evalkit.reports.mlflow_log import log_evaluation

    card, samples = make_scorecard(settings, registry, version, suite, evaluation, decision=decision)
    tasks = evaluation.details.get("tasks", {}).values()
    used = {source["digest"] for task in tasks for source in (task["data"], task["reference"]) if source}
    datasets: list[DatasetRecord] = [record for record in registry.datasets() if record.digest in used]
    return log_evaluation(
        settings,
        version,
        suite,
        evaluation,
        scorecard_html=html.render(card),
        files=files,
        decision=decision,
        samples=[sample for sample in samples if sample.image is None],
        datasets=datasets,
    )


def make_scorecard(
    settings: Settings,
    registry: Registry,
    version: ModelVersion,
    suite: Suite,
    evaluation: Evaluation,
    *,
    decision: Decision | None = None,
) -> tuple[Scorecard, list[Sample]]:
    """The scorecard of stored results beside the champion's, and the samples that it shows."""
    from evalkit.reports import scorecard

    results = StoredResults(results_home(settings.home, evaluation), evaluation)
    imported = evaluation.details.get("submission", {}).get("imported", {})
    samples = []
    if imported.get("outputs", True):
        samples = with_expected(worst_samples(results, suite.spec), suite, registry, settings)
    holders = (v for v in registry.versions(version.name) if "champion" in v.aliases and v.id != version.id)
    champion = next(holders, None)
    card = scorecard.build(
        version,
        suite.spec,
        evaluation,
        decision=decision,
        champion=registry.evaluation(champion) if champion is not None else None,
        champion_version=champion,
        samples=samples,
    )
    return card, samples


def worst_samples(results: StoredResults, suite: SuiteSpec, *, shown: int = _SHOWN) -> list[Sample]:
    """The samples to show of every task, the worst first, at most `shown` of each; without accepted answers.

    Rows are looked at some at a time, so that as many take no more memory than few.
    """
    from evalkit.reports.samples import collect, worst_first
    from evalkit.reports.scorecard import order_of, specs_of

    specs = specs_of(results.evaluation)
    found: list[Sample] = []
    for name in suite.tasks:
        record = results.task(name)
        if record is None:
            continue
        worst: list[Sample] = []
        most = min(record["target"], _TEXT_ROWS if record["extractor"] is None else _IMAGE_ROWS)
        for start in range(0, most, _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, most)
            scores = {}
            for metric in record["metrics"]:
                rows = results.some_rows(name, metric, start, stop)
                if rows is not None and metric != "latency":
                    scores[metric] = rows
            samples = collect(name, results.outputs(name, start, stop), scores=scores)
            metric_name, direction = order_of(suite, specs, name, samples)
            worst = worst_first([*worst, *samples], metric_name, direction)[:shown]
        found += worst
    return found


def expected_answers(
    suite: Suite,
    registry: Registry | None,
    settings: Settings | None = None,
    wanted: Mapping[str, Collection[str]] | None = None,
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Accepted answers by task and sample, of the `wanted` samples or all; empty where the data are not at hand."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from evalkit.runner.sources import read_sources

    try:
        sources = read_sources(suite, registry, settings)
    except InputError:
        return {}
    answers: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, read in sources.items():
        if read.data is None or not read.data.has("expected"):
            continue
        rows = read.data.rows.select(["sample_id", "expected"])
        if wanted is not None:
            rows = rows.filter(pc.is_in(rows["sample_id"], value_set=pa.array(wanted.get(name, ()), pa.string())))
        answers[name] = {row["sample_id"]: tuple(row["expected"] or ()) for row in rows.to_pylist()}
    return answers


def with_expected(
    samples: Sequence[Sample], suite: Suite, registry: Registry | None, settings: Settings | None = None
) -> list[Sample]:
    """The samples with their accepted answers; as they are where the data are no longer at hand."""
    wanted: dict[str, list[str]] = {}
    for sample in samples:
        wanted.setdefault(sample.task, []).append(sample.sample_id)
    answers = expected_answers(suite, registry, settings, wanted)
    return [replace(s, expected=answers.get(s.task, {}).get(s.sample_id, ())) for s in samples]
