"""Puts a finished evaluation into MLflow: numbers, report, stored outputs and a bounded sample of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

Expected = Mapping[str, Mapping[str, Sequence[str]]]
_TEXT_ROWS = 20_000
_IMAGE_ROWS = 500
_SHOWN = 100


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
        samples = worst_samples(results, suite.spec, expected=expected_answers(suite, registry, settings))
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


def worst_samples(
    results: StoredResults, suite: SuiteSpec, *, expected: Expected | None = None, shown: int = _SHOWN
) -> list[Sample]:
    """The samples to show of every task, the worst first, at most `shown` of each."""
    from evalkit.reports.samples import collect, worst_first
    from evalkit.reports.scorecard import order_of, specs_of

    specs = specs_of(results.evaluation)
    found: list[Sample] = []
    for name in suite.tasks:
        record = results.task(name)
        if record is None:
            continue
        image = record["extractor"] is not None
        table = results.outputs(name, 0, _IMAGE_ROWS if image else _TEXT_ROWS)
        scores = {}
        for metric in record["metrics"]:
            rows = results.rows(name, metric)
            if rows is not None and metric != "latency":
                scores[metric] = rows
        samples = collect(name, table, scores=scores, expected=(expected or {}).get(name))
        metric_name, direction = order_of(suite, specs, name, samples)
        found += worst_first(samples, metric_name, direction)[:shown]
    return found


def expected_answers(suite: Suite, registry: Registry | None, settings: Settings | None = None) -> Expected:
    """Accepted answers by task and sample id; nothing where the data are no longer at hand."""
    from evalkit.runner.sources import read_sources

    try:
        sources = read_sources(suite, registry, settings)
    except InputError:
        return {}
    found: dict[str, dict[str, list[str]]] = {}
    for name, read in sources.items():
        if read.data is not None and read.data.has("expected"):
            rows = read.data.rows
            pairs = zip(rows["sample_id"].to_pylist(), rows["expected"].to_pylist(), strict=True)
            found[name] = {sample: answers or [] for sample, answers in pairs}
    return found
