"""From a score in a suite to the metric that computes it: the catalogue's, or that of a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from judges.definition import NOT_SWAPPABLE, Definition, Passes
from judges.judged import Judging, get_metric
from judges.loading import read_definition
from metrics.base import Metric, MetricSpec
from metrics.errors import InputError
from registry.artifacts import folder_digest
from registry.digests import file_digest
from registry.judged import JUDGE_FILES, Demand, Judged, JudgeDefaults
from registry.paths import confine
from registry.spec import ScoreSpec, SuiteSpec

ABOVE_NONE = 1e-9
"""Threshold of a rate that counts every sample with any share at all."""
_SAFETY = frozenset({"toxicity", "bias", "refusal", "groundedness"})
"""Shipped judges whose numbers belong to the safety part of a scorecard."""


def metric_settings(score: ScoreSpec, folder: Path | None, defaults: JudgeDefaults | None = None) -> dict[str, Any]:
    """The settings that make the metric, and that an evaluation records.

    Args:
        score: as the suite says it.
        folder: the suite's folder, where a judge's file says what its verdicts look like. None where only the
            suite's text is at hand: a judge's scale and identity are then not known.
        defaults: the suite's settings for judges.
    """
    if score.judged is None:
        return dict(score.settings)
    return _judging(score.judged, folder, defaults or JudgeDefaults()).settings()


def build_metric(score: ScoreSpec, folder: Path | None) -> Metric:
    """The metric of a score."""
    return get_metric(score.metric, **metric_settings(score, folder))


def scored_metric(suite: SuiteSpec, task: str, name: str) -> Metric:
    """The metric that a rule names; speed metrics are scored without being listed."""
    score = next((score for score in suite.tasks[task].score if score.metric == name), None)
    return get_metric(name) if score is None else build_metric(score, None)


def scored_spec(suite: SuiteSpec, task: str, name: str) -> MetricSpec:
    """Its specification."""
    return scored_metric(suite, task, name).spec


def _judging(judged: Judged, folder: Path | None, defaults: JudgeDefaults) -> Judging:
    threshold = judged.threshold
    common: dict[str, Any] = {"name": judged.address, "direction": judged.direction}
    if judged.kind == "classifier":
        threshold = 0.5 if threshold is None else threshold
        what = f"probability of '{judged.label}' by the classifier {judged.classifier}"
        who = None if folder is None else classifier_identity(judged, folder)
        return Judging(measures=what, low=0.0, high=1.0, threshold=threshold, safety=True, judge=who, **common)
    if judged.kind == "replay":
        low, high = (0.0, 1.0) if judged.scale is not None else (None, None)
        what = f"recorded verdicts in the column '{judged.column}'"
        who = None if folder is None else _records_identity(judged, folder)
        return Judging(measures=what, low=low, high=high, threshold=judged.threshold, judge=who, **common)
    if judged.registered is not None:
        low, high = (0.0, 1.0) if judged.order is not None else (None, None)
        who = {"mlflow": list(judged.registered), "order": list(judged.order or ())}
        what = f"verdicts of the judge {judged.judge}"
        return Judging(measures=what, low=low, high=high, threshold=judged.threshold, judge=who, **common)
    if folder is None:
        threshold = ABOVE_NONE if judged.complement else threshold
        return Judging(measures=f"verdicts of the judge '{judged.judge}'", threshold=threshold, **common)
    definition = judge_definition(judged, folder)
    low, high = _range(definition)
    if threshold is None:
        threshold = ABOVE_NONE if judged.complement else _threshold(definition)
    return Judging(
        measures=definition.description or f"verdicts of the judge '{definition.name}'",
        low=low,
        high=high,
        threshold=threshold,
        safety=definition.name in _SAFETY,
        complement=judged.complement,
        probed=definition.swappable and definition.probe != "off",
        judge={"definition": definition.version, "model": model_of(judged, definition, defaults)},
        **common,
    )


def judge_definition(judged: Judged, folder: Path) -> Definition:
    """The definition of a judge that a suite names: a file below the suite's folder, or a shipped one."""
    assert judged.judge is not None
    own = judged.judge.endswith(JUDGE_FILES)
    found = read_definition(confine(folder, judged.judge, "`judge`") if own else judged.judge)
    if judged.probe == "always" and not found.swappable:
        raise InputError(f"`probe: always` for the judge '{judged.judge}': {NOT_SWAPPABLE}")
    given = {"repeats": judged.repeats, "probe": judged.probe}
    changes = {name: value for name, value in given.items() if value is not None}
    return found.model_copy(update=changes) if changes else found


def demand_of(score: ScoreSpec, folder: Path) -> Demand | None:
    """What a gate demands of the judge of a score: the suite's own demand, else that of the judge's file."""
    judged = score.judged
    if judged is None or judged.calibrated is not None or judged.kind != "judge":
        return None if judged is None else judged.calibrated
    own = judge_definition(judged, folder).calibrated
    return None if own is None else Demand.model_validate(own.model_dump(exclude_none=True))


def model_of(judged: Judged, definition: Definition, defaults: JudgeDefaults) -> str | None:
    """The model that a judge asks: the score's, the definition's own, else the suite's."""
    return judged.model or definition.model or defaults.model


def _range(definition: Definition) -> tuple[float, float]:
    values = definition.values.values()
    return (min(values), max(values)) if values else (0.0, 1.0)


def _threshold(definition: Definition) -> float | None:
    """From where on a verdict passes; None where passing is no matter of a least value."""
    if isinstance(definition.passes, Passes):
        return definition.passes.min if definition.passes.max is None else None
    if isinstance(definition.passes, list):
        passing = [value for label, value in definition.values.items() if label in definition.passes]
        least = min(passing)
        return (
            least
            if all(v < least for label, v in definition.values.items() if label not in definition.passes)
            else None
        )
    return 1.0 if definition.kind == "groundedness" else None


def classifier_identity(judged: Judged, folder: Path) -> dict[str, Any]:
    """Name and label of a classifier, and the digest of its files where they lie below the suite's folder."""
    assert judged.classifier is not None
    own = folder / judged.classifier
    files = folder_digest(confine(folder, judged.classifier, "`classifier`")) if own.is_dir() else None
    return {"classifier": judged.classifier, "label": judged.label, "files": files}


def _records_identity(judged: Judged, folder: Path) -> dict[str, Any]:
    files = [file_digest(confine(folder, path, "`replay`")) for path in judged.replay or ()]
    return {"replay": files, "column": judged.column, "scale": judged.scale}
