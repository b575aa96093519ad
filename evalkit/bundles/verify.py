"""Compares a bundle with what the server knows by itself: version, suite, digests, looks.

Digests are made of what they describe, so that one leads to the next: the evaluation's to the version, its files and
the suite's tasks; a score's to its outputs and its metric; the outputs' to the files, the seed and the settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from evalkit.bundles.manifest import Manifest, MetricRecord, TaskRecord
from evalkit.generators.base import FOR_EVALKIT
from evalkit.generators.seeds import SEED_SCHEME
from evalkit.models import portable
from evalkit.runner.plan import (
    AUTOMATIC,
    GENERATED_SHARD,
    NO_EFFECT,
    PER_SHARD_COLUMNS,
    STORED_SHARD,
    plan_metric,
    task_target,
)
from judges.judged import get_metric
from metrics.base import Metric
from metrics.errors import InputError
from registry.digests import digest
from registry.entities import Evaluation, ModelVersion
from registry.scorers import metric_settings
from registry.spec import ScoreSpec, Task
from registry.suite import Suite


class MismatchError(InputError):
    """A bundle does not say what the server knows; `part` names what differs."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(f"{part}: {message}")
        self.part = part


def verify(manifest: Manifest, version: ModelVersion, suite: Suite, known: list[Evaluation]) -> None:
    """Check everything that digests and the suite say; numbers are left to `evalkit.bundles.recompute`.

    Args:
        manifest: of the bundle.
        version: the server's record of the version.
        suite: as the server has it; its folder holds the judges' files of the bundle.
        known: evaluations of the version that the server has.

    Raises:
        MismatchError: the first thing that differs.
    """
    try:
        _verify(manifest, version, suite, known)
    except (KeyError, TypeError, AttributeError) as error:
        raise MismatchError("manifest", f"it is not as evalkit writes one ({type(error).__name__})") from None


def _verify(manifest: Manifest, version: ModelVersion, suite: Suite, known: list[Evaluation]) -> None:
    if manifest.version_id != version.id:
        raise MismatchError("version", f"the bundle is of version {manifest.version_id}, not of {version.reference}")
    if manifest.artifact_digest != version.artifact_digest:
        raise MismatchError("artifact digest", f"other files were evaluated than those of {version.reference}")
    if manifest.suite_digest != suite.digest:
        raise MismatchError("suite digest", f"another suite was evaluated than '{suite.name}'")
    verify_tasks(manifest, version, suite)
    _check_digests(manifest, version, suite)
    _check_look(manifest, suite, known)


def verify_tasks(manifest: Manifest, version: ModelVersion, suite: Suite) -> None:
    """Check that a bundle was measured as the tasks of a suite say; its gate and its digest may be others.

    Raises:
        MismatchError: the first thing that differs.
    """
    tasks = set(suite.spec.tasks)
    for part, named in (
        ("designs", manifest.designs), ("tasks", manifest.details.tasks), ("targets", manifest.targets),
    ):  # fmt: skip
        if set(named) != tasks:
            raise MismatchError(part, f"expected the suite's tasks {', '.join(sorted(tasks))}")
    if manifest.preset is not None and manifest.preset not in suite.spec.presets:
        raise MismatchError("preset", f"the suite has no preset '{manifest.preset}'")
    if manifest.details.seed != suite.spec.gate.seed:
        raise MismatchError("seed", f"the suite's seed is {suite.spec.gate.seed}, not {manifest.details.seed}")
    for name in suite.spec.tasks:
        _TaskCheck(manifest, version, suite, name).check()


def _check_digests(manifest: Manifest, version: ModelVersion, suite: Suite) -> None:
    identity = {
        "version": version.id,
        "model": version.artifact_digest,
        "generator": portable(version.generator),
        "quick": manifest.preset == "quick",
        "seed": suite.spec.gate.seed,
        "tasks": manifest.designs,
    }
    if digest(identity) != manifest.digest:
        raise MismatchError("evaluation digest", "it is not made of this version, suite and designs")
    if digest(manifest.designs) != manifest.details.design:
        raise MismatchError("design", "its digest is not that of the designs")


def _check_look(manifest: Manifest, suite: Suite, known: list[Evaluation]) -> None:
    declared = suite.spec.gate.looks
    if manifest.look > declared:
        raise MismatchError("look", f"the suite declares {declared}; look {manifest.look} would be one too many")
    finished = [evaluation for evaluation in known if evaluation.status == "finished"]
    if manifest.look > 1:
        before = [e for e in finished if e.digest == manifest.digest and e.look == manifest.look - 1]
        if not before:
            raise MismatchError("look", f"look {manifest.look} needs look {manifest.look - 1} first; submit it")
        if any(manifest.targets[task] < n for task, n in before[0].targets.items()):
            raise MismatchError("targets", "a later look has at least the samples of the one before")
        if dict(before[0].targets) == dict(manifest.targets):
            raise MismatchError("targets", "a later look has more samples than the one before")
        return
    others = {e.details.get("seed") for e in finished if e.details.get("design") == manifest.details.design}
    if len(others - {manifest.details.seed}) + 1 > declared:
        raise MismatchError("seed", "another seed counts as another look, and the suite declares no more of them")


@dataclass(frozen=True, slots=True)
class _TaskCheck:
    """One task of a bundle beside the suite's."""

    manifest: Manifest
    version: ModelVersion
    suite: Suite
    name: str

    @property
    def task(self) -> Task:
        return self.suite.spec.tasks[self.name]

    @property
    def record(self) -> TaskRecord:
        return self.manifest.details.tasks[self.name]

    @property
    def design(self) -> Mapping[str, Any]:
        return self.manifest.designs[self.name]

    def check(self) -> None:
        """Raise for the first thing that differs."""
        self._same("task", self.task.model_dump(mode="json", exclude={"generate", "score", "traces"}))
        self._same("settings", {k: v for k, v in self.task.generate.items() if k not in NO_EFFECT})
        metrics = self._metrics()
        product = "generate"
        if self.task.stored:
            product = "stored"
        elif any("nll" in metric.needs for metric in metrics.values()):
            product = "likelihood"
        self._same("product", product)
        data = self.record.data
        self._same("data", data.digest if data else None)
        if self.record.product != product:
            self._fail("product", "the record says otherwise than the design")
        if self.record.shard_size != (STORED_SHARD if product == "stored" else GENERATED_SHARD):
            self._fail("shards", "they have another size than this version of evalkit makes")
        self._check_target()
        if set(self.record.metrics) != set(metrics):
            self._fail("metrics", f"scores of {', '.join(sorted(metrics))} were expected")
        outputs = self._identity(self.record.outputs, "outputs")
        self._check_outputs(outputs, product)
        for name, metric in metrics.items():
            self._check_metric(name, metric, self.record.metrics[name])

    def _metrics(self) -> dict[str, Metric]:
        """The task's metrics by name, those of the suite first, as the design lists them."""
        listed = self.design.get("metrics")
        declared = self.task.score
        if not isinstance(listed, list) or len(listed) < len(declared):
            self._fail("metrics", "the design lists fewer than the suite")
        found: dict[str, Metric] = {}
        for score, given in zip(declared, listed, strict=False):
            self._check_scored(score, given)
            settings = given["settings"]
            found[score.metric] = get_metric(score.metric, **settings)
        for given in listed[len(declared) :]:
            name = str(given.get("metric")) if isinstance(given, dict) else ""
            if name not in AUTOMATIC or name in found or _plain(get_metric(name).identity()) != given:
                self._fail("metrics", f"'{name[:60]}' is not scored by the suite")
            found[name] = get_metric(name)
        return found

    def _check_scored(self, score: ScoreSpec, given: Any) -> None:
        """Compare a score of the suite with what the design says; the files of classifiers are not at hand here."""
        if score.judged is not None and score.judged.kind != "judge":
            metric = get_metric(score.metric, **metric_settings(score, None, self.suite.spec.judge))
            expected, given = _without_judge(metric.identity()), _without_judge(given)
        else:
            expected = _plain(plan_metric(score, self.suite).metric.identity())
        if expected != given:
            self._fail("metrics", f"'{score.metric}' was measured otherwise than the suite says")

    def _check_target(self) -> None:
        data, target = self.record.data, self.record.target
        if self.manifest.targets[self.name] != target:
            self._fail("target", "the record says otherwise than the evaluation")
        sized = _Sized(data.name, data.rows) if data is not None else None
        first, open_ended = task_target(self.name, self.task, self.suite.spec, sized, self.manifest.preset)  # type: ignore[arg-type]  # only its name and length are read
        if self.manifest.look == 1 and target != first:
            self._fail("target", f"the suite asks for {first} samples, these are {target}")
        if target < first or (data is not None and target > data.rows) or self.record.open_ended != open_ended:
            self._fail("target", f"{target} samples cannot be, of what the task reads")

    def _check_outputs(self, given: Mapping[str, Any], product: str) -> None:
        if product == "stored":
            columns = self.task.columns.model_dump(mode="json")
            expected: dict[str, Any] = {"columns": {key: columns[key] for key in ("id", "output", "prompt", "image")}}
            open_keys = {"outputs", "data"}
        else:
            settings = {key: value for key, value in self.task.generate.items() if key not in FOR_EVALKIT}
            expected = {
                "model": self.version.artifact_digest,
                "generator": portable(self.version.generator),
                "call": self.task.generate.get("call"),
                "product": product,
                "settings": {key: value for key, value in settings.items() if key not in NO_EFFECT},
                "seed": self.suite.spec.gate.seed,
                "seed_scheme": SEED_SCHEME,
            }
            open_keys = {"requests"}
        if set(given) != set(expected) | open_keys or any(given[k] != v for k, v in _plain(expected).items()):
            self._fail("outputs", "they are not those of this version, seed and settings")
        if product == "stored" and given["data"] != (self.record.data.digest if self.record.data else None):
            self._fail("outputs", "they are of other data")

    def _check_metric(self, name: str, metric: Metric, record: MetricRecord) -> None:
        identity = _plain(metric.identity())
        listed = next(given for given in self.design["metrics"] if given["metric"] == name)
        try:
            recorded = _plain(get_metric(name, **record.settings).identity())
        except (TypeError, ValueError, KeyError):
            recorded = None
        if recorded != listed or record.version != identity["version"]:
            self._fail(name, "its scores were made with other settings, or by another version of evalkit")
        if record.per_shard != (bool(metric.needs) and PER_SHARD_COLUMNS.issuperset(metric.needs)):
            self._fail(name, "the record says otherwise than the metric what a score is of")
        if (record.reference_state is None) == metric.spec.uses_reference:
            self._fail(name, "the record says otherwise than the metric whether it has a reference")
        if record.per_shard:
            return
        scores = self._identity(record.scores, f"scores of '{name}'")
        data = self.record.data.digest if self.record.data else None
        if (scores.get("outputs"), scores.get("metric"), scores.get("data")) != (self.record.outputs, listed, data):
            self._fail(name, "its scores are of other outputs, data or settings")

    def _identity(self, key: str, what: str) -> Mapping[str, Any]:
        given = self.manifest.identities.get(key)
        if given is None or digest(given) != key:
            raise MismatchError(f"{self.name}/{what}", "what their digest is made of is missing, or is something else")
        return given

    def _same(self, part: str, expected: Any) -> None:
        if self.design.get(part) != _plain(expected):
            self._fail(part, "the design differs from the suite's task")

    def _fail(self, part: str, message: str) -> NoReturn:
        raise MismatchError(f"{self.name}/{part}", message)


@dataclass(frozen=True, slots=True)
class _Sized:
    """As much of a data set as its size needs."""

    name: str
    rows: int

    def __len__(self) -> int:
        return self.rows


def _without_judge(identity: Any) -> Any:
    found = _plain(identity)
    if isinstance(found, dict) and isinstance(judged := found.get("settings", {}).get("judged"), dict):
        judged.pop("judge", None)
    return found


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
