"""From a suite and a subject to a plan: what is generated, what is scored, and the digests of both.

The outputs digest covers what a generator sees, the scores digest what a metric sees, the evaluation digest the whole
evaluation of one version. The gate's rules are in none of them, so editing a limit repeats nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from evalkit.datasets import Dataset
from evalkit.generators.base import FOR_EVALKIT
from evalkit.generators.seeds import SEED_SCHEME
from evalkit.runner.columns import ExtraColumn, check_reference, find_columns
from evalkit.runner.sources import HELD_OUT, Reference, StoredOutputs, TaskSources
from evalkit.runner.subjects import Subject
from judges.base import VerdictJudge
from judges.judged import get_metric
from metrics.base import Metric
from metrics.errors import InputError
from registry.digests import digest, file_digest
from registry.judged import Judged
from registry.scorers import metric_settings
from registry.spec import Preset, ScoreSpec, SuiteSpec, Task
from registry.suite import Suite

Product = Literal["generate", "likelihood", "stored"]
GENERATED_SHARD = 256
"""Samples per shard of a generating task: what a kill can cost at most."""
STORED_SHARD = 4096
"""Rows per shard where outputs are only read."""
PER_SHARD_COLUMNS = frozenset({"samples", "seconds", "peak_memory"})
FEATURE_COLUMNS = frozenset({"features", "probabilities", "reference_features", "text_features"})
NO_EFFECT = FOR_EVALKIT - {"call"} | {"batch_size"}
"""Keys of `generate` that leave the outputs as they are."""
_SEEN_BY_GENERATOR = ("id", "prompt", "text", "image")
AUTOMATIC = ("latency", "throughput", "peak_memory")


class Extracted(Protocol):
    """What an extractor returns."""

    @property
    def features(self) -> NDArray[Any]:
        """Features ``[n, d]``."""
        ...

    @property
    def probabilities(self) -> NDArray[Any] | None:
        """Class probabilities ``[n, classes]``, where the extractor has them."""
        ...


class Extractor(Protocol):
    """What the runner needs of an extractor."""

    def identity(self) -> dict[str, Any]:
        """Name, weights digest and preprocessing: part of digests."""
        ...

    def extract(self, images: list[NDArray[np.uint8]]) -> Extracted:
        """Return the features of some images, in order."""
        ...


@dataclass(frozen=True)
class MetricPlan:
    """One metric of a task."""

    metric: Metric
    settings: Mapping[str, Any]
    judged: Judged | None = None
    given: VerdictJudge | None = None

    @property
    def asks_judge(self) -> bool:
        """Whether it reads verdicts: of a judge that the suite names, or of one that was handed over."""
        return self.judged is not None or self.given is not None

    @property
    def name(self) -> str:
        """Name in the catalogue and in addresses."""
        return self.metric.spec.name

    @property
    def needs_features(self) -> bool:
        """Whether the task's extractor has to run for it."""
        return bool(FEATURE_COLUMNS.intersection(self.metric.needs))

    @property
    def held_out(self) -> bool:
        """Whether one of its settings names held-out images."""
        return HELD_OUT in self.settings

    @property
    def compares_rows(self) -> bool:
        """Whether it compares a column with that of the reference, instead of features."""
        return self.metric.spec.uses_reference and not self.needs_features

    @property
    def per_shard(self) -> bool:
        """Whether it reads one entry per shard (throughput, memory) instead of one per sample."""
        needs = self.metric.needs
        return bool(needs) and PER_SHARD_COLUMNS.issuperset(needs)


@dataclass(frozen=True)
class TaskPlan:
    """One task, ready to run.

    Attributes:
        name: the task's name in the suite.
        task: as the suite says it.
        data: the rows; None where samples come from seeds alone.
        outputs: outputs that come from a file; None where they are generated.
        reference: images or rows to compare with; None where no metric needs them.
        held_out: real images that a metric's setting names beside the reference.
        target: how many samples this look covers.
        open_ended: whether more samples than `target` exist.
        product: what is asked of the generator.
        settings: handed to the generator.
        metrics: what to score with, automatic speed metrics last.
        subject: what generates.
        seed: the suite's seed.
        folder: folder that the suite's paths are relative to.
        extra: columns that metrics read by name, from the data or the file of outputs.
    """

    name: str
    task: Task
    data: Dataset | None
    outputs: StoredOutputs | None
    reference: Reference | None
    held_out: Reference | None
    target: int
    open_ended: bool
    product: Product
    settings: Mapping[str, Any]
    metrics: tuple[MetricPlan, ...]
    subject: Subject
    seed: int
    folder: Path
    extra: Mapping[str, ExtraColumn]

    @property
    def shard_size(self) -> int:
        """Samples per shard. Shards never change a number, only what a kill costs."""
        return STORED_SHARD if self.product == "stored" else GENERATED_SHARD

    @cached_property
    def loaded_extractor(self) -> Extractor | None:
        """The task's extractor with its weights; None where no metric reads features."""
        if self.task.extractor is None or not any(plan.needs_features for plan in self.metrics):
            return None
        from evalkit.extractors.catalogue import load_extractor

        extractor: Extractor = load_extractor(self.task.extractor, folder=self.folder)
        for plan in self.metrics:
            if "text_features" in plan.metric.needs and not hasattr(extractor, "embed_texts"):
                raise InputError(
                    f"task '{self.name}': '{plan.name}' compares images with their prompts, but the extractor "
                    f"'{self.task.extractor}' embeds no texts; use one of CLIP, such as clip-vit-base-patch32"
                )
        return extractor

    def grown(self, before: int, extra: int) -> int:
        """The target of the next look: `extra` more samples, as far as there are any."""
        return before + extra if self.data is None else min(before + extra, len(self.data))

    def design(self) -> dict[str, Any]:
        """What the task measures, whatever the model and seed; cheap, so that no weights are loaded for it."""
        extractor = self.folder / self.task.extractor if self.task.extractor else None
        return {
            "task": self.task.model_dump(mode="json", exclude={"generate", "score", "traces"}),
            "settings": {k: v for k, v in self.task.generate.items() if k not in NO_EFFECT},
            "metrics": [plan.metric.identity() for plan in self.metrics],
            "data": self.data.digest if self.data else None,
            "reference": self.reference.identity if self.reference else None,
            **({"held_out": self.held_out.identity} if self.held_out else {}),
            "extractor_file": file_digest(extractor) if extractor is not None and extractor.is_file() else None,
            "product": self.product,
        }

    @cached_property
    def outputs_identity(self) -> dict[str, Any]:
        """Everything that the stored outputs depend on."""
        if self.product == "stored":
            assert self.outputs is not None and self.data is not None
            columns = self.task.columns.model_dump(mode="json")
            read = {k: columns[k] for k in ("id", "output", "prompt", "image")}
            return {"outputs": self.outputs.digest, "data": self.data.digest, "columns": read}
        return {
            "model": self.subject.digest,
            "generator": dict(self.subject.generator),
            "call": self.task.generate.get("call"),
            "product": self.product,
            "requests": self.data.requests_digest if self.data else None,
            "settings": {k: v for k, v in self.settings.items() if k not in NO_EFFECT},
            "seed": self.seed,
            "seed_scheme": SEED_SCHEME,
        }

    @cached_property
    def outputs_digest(self) -> str:
        """Digest of `outputs_identity`."""
        return digest(self.outputs_identity)

    def verdicts_identity(self, plan: MetricPlan) -> dict[str, Any]:
        """Everything that a judge's verdicts depend on."""
        judge = plan.settings["judged"].get("judge") if plan.given is None else plan.given.identity()
        return {
            "outputs": self.outputs_digest,
            "data": self.data.digest if self.data else None,
            "judge": judge,
            "repeats": None if plan.judged is None else plan.judged.repeats,
            "baseline": None if plan.judged is None else plan.judged.baseline,
        }

    def scores_identity(self, plan: MetricPlan, extractor: Any) -> dict[str, Any]:
        """Everything that the scores of one metric depend on."""
        columns = self.task.columns.model_dump(mode="json")
        read = {k: v for k, v in columns.items() if k not in _SEEN_BY_GENERATOR and v}
        extra = {name: self.extra[name].source for name in plan.metric.needs if name in self.extra}
        return {
            "outputs": self.outputs_digest,
            "metric": plan.metric.identity(),
            "columns": read,
            "data": self.data.digest if self.data else None,
            "extractor": extractor if plan.needs_features else None,
            "reference": self.reference.identity if self.reference and plan.metric.spec.uses_reference else None,
            **({"extra": extra} if extra else {}),
            **({"held_out": self.held_out.identity} if self.held_out and plan.held_out else {}),
        }


@dataclass(frozen=True)
class EvaluationPlan:
    """All tasks of a suite for one subject at one look."""

    suite: Suite
    subject: Subject
    preset: str | None
    look: int
    tasks: tuple[TaskPlan, ...]
    digest: str

    @property
    def targets(self) -> dict[str, int]:
        """Samples per task."""
        return {task.name: task.target for task in self.tasks}

    @property
    def seed(self) -> int:
        """The suite's seed."""
        return self.suite.spec.gate.seed

    def load(self) -> None:
        """Load the extractors, so that a wrong name or missing weights show before anything is generated."""
        for task in self.tasks:
            _ = task.loaded_extractor

    def with_targets(self, targets: Mapping[str, int], look: int) -> EvaluationPlan:
        """The same evaluation at another look."""
        tasks = tuple(replace(task, target=targets[task.name]) for task in self.tasks)
        return replace(self, tasks=tasks, look=look)


def plan_evaluation(
    suite: Suite, subject: Subject, sources: Mapping[str, TaskSources], preset: str | None
) -> EvaluationPlan:
    """Plan look 1 of a suite for a subject; `sources` has what each task reads.

    Raises:
        InputError: an unknown preset, a task without a size, a metric twice in a task, or no generator where one is
            needed.
    """
    spec = suite.spec
    if preset is not None and preset not in spec.presets:
        known = ", ".join(spec.presets) or "none"
        raise InputError(f"suite '{spec.suite}' has no preset '{preset}'; it has {known}")
    tasks = tuple(_plan_task(name, suite, subject, sources.get(name, TaskSources()), preset) for name in spec.tasks)
    identity = {
        "version": subject.id,
        "model": subject.digest,
        "generator": dict(subject.generator),
        "quick": preset == "quick",
        "seed": spec.gate.seed,
        "tasks": {task.name: task.design() for task in tasks},
    }
    return EvaluationPlan(suite, subject, preset, 1, tasks, digest(identity))


def _plan_task(name: str, suite: Suite, subject: Subject, sources: TaskSources, preset: str | None) -> TaskPlan:
    task = suite.spec.tasks[name]
    data, reference = sources.data, sources.reference
    scores = _with_speed(task, sources.outputs, subject)
    metrics = tuple(plan_metric(score, suite) for score in scores)
    names = [plan.name for plan in metrics]
    for metric in names:
        if names.count(metric) > 1:
            raise InputError(f"task '{name}' scores with '{metric}' twice; put the second one into a task of its own")
    extra = check_task(name, task, metrics, sources)
    product: Product = "generate"
    if task.stored:
        product = "stored"
    elif any("nll" in plan.metric.needs for plan in metrics):
        product = "likelihood"
    if product != "stored" and subject.open is None and "call" not in task.generate:
        raise InputError(f"task '{name}': {subject.name} generates nothing; give the task a file of `outputs`")
    target, open_ended = task_target(name, task, suite.spec, data, preset)
    settings = {key: value for key, value in task.generate.items() if key not in FOR_EVALKIT}
    return TaskPlan(
        name,
        task,
        data,
        sources.outputs,
        reference,
        sources.held_out,
        target,
        open_ended,
        product,
        settings,
        metrics,
        subject,
        suite.spec.gate.seed,
        suite.folder,
        extra,
    )


def plan_metric(score: ScoreSpec, suite: Suite) -> MetricPlan:
    """The metric of a score; judges' files are looked up in the suite's folder."""
    settings = metric_settings(score, suite.folder, suite.spec.judge)
    return MetricPlan(get_metric(score.metric, **settings), settings, score.judged)


def check_task(name: str, task: Task, metrics: Sequence[MetricPlan], sources: TaskSources) -> dict[str, ExtraColumn]:
    """Check that a task has what its metrics read, and return the columns that they read by name.

    Raises:
        InputError: no extractor or reference where a metric needs one, or a column that is nowhere.
    """
    for plan in metrics:
        if plan.needs_features and task.extractor is None:
            raise InputError(f"task '{name}': '{plan.name}' works on features; name an `extractor` in the task")
        if plan.metric.spec.uses_reference:
            _check_reference(name, plan, sources.reference)
    return find_columns(name, [plan.metric for plan in metrics], sources.data, sources.outputs)


def _check_reference(name: str, plan: MetricPlan, reference: Reference | None) -> None:
    if reference is None:
        what = "another column" if plan.compares_rows else "real images"
        raise InputError(f"task '{name}': '{plan.name}' compares with {what}; name a `reference` in the task")
    if plan.compares_rows:
        check_reference(name, plan.metric, reference)
    elif reference.column is None:
        raise InputError(
            f"task '{name}': reference '{reference.dataset.name}' has no images; map `reference_image` under `columns`"
        )
    elif "label" in plan.metric.needs and not reference.dataset.has("label"):
        raise InputError(
            f"task '{name}': '{plan.name}' compares images of the same class, but the reference "
            f"'{reference.dataset.name}' has no labels; map `label` under `columns`, or put each class's images into a "
            "folder of its own"
        )


def _with_speed(task: Task, outputs: StoredOutputs | None, subject: Subject) -> list[ScoreSpec]:
    """The declared metrics, and the speed metrics that every task has whose outputs are made here."""
    scores = list(task.score)
    automatic: tuple[str, ...] = AUTOMATIC
    if outputs is not None:
        automatic = ("latency",) if outputs.timed else ()
    elif subject.generator.get("adapter") in STORED_ADAPTERS and "call" not in task.generate:
        automatic = ()  # reading a file says nothing about the model's speed
    declared = {score.metric for score in scores}
    return scores + [ScoreSpec(metric=name) for name in automatic if name not in declared]


STORED_ADAPTERS = frozenset({"outputs", "images"})
"""Adapters that read what was generated before."""


def task_target(name: str, task: Task, spec: SuiteSpec, data: Dataset | None, preset: str | None) -> tuple[int, bool]:
    """How many samples a task takes at its first look, and whether later looks can add more."""
    sizes: dict[str, Preset] = {size: spec.presets[size] for size in spec.presets}
    wanted = sizes[preset].n if preset is not None else task.n
    if wanted is None and data is None and "full" in spec.presets:
        wanted = spec.presets["full"].n
    if data is None:
        if wanted is None:
            raise InputError(f"task '{name}' has no `data` and no `n`; say how many samples to generate")
        return wanted, True
    if len(data) == 0:
        raise InputError(f"task '{name}': {data.name} has no rows")
    target = min(wanted or len(data), len(data))
    return target, target < len(data)
