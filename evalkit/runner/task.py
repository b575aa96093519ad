"""One task at work: outputs, features, scores and estimates, each made once and found again."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from evalkit.datasets import Dataset
from evalkit.extractors.precision import split_precision
from evalkit.generators.base import Request
from evalkit.generators.seeds import unconditional_requests
from evalkit.judging.open import Desks
from evalkit.outputs import write_shard
from evalkit.runner import profile
from evalkit.runner.batches import build_batch, by_call, task_columns, unscored_without
from evalkit.runner.columns import Pictures
from evalkit.runner.feature_files import FEATURES
from evalkit.runner.features import (
    PAIRED,
    Arrays,
    FeatureShards,
    feature_loader,
    output_features,
    paired_reference_features,
    reference_features,
    reference_key,
    reference_state,
    row_reference_key,
    row_reference_state,
    same_width,
    text_features,
)
from evalkit.runner.memory import give_back
from evalkit.runner.outputs import TaskOutputs, mean_tokens, quality_warnings, speed_batch
from evalkit.runner.plan import MetricPlan, TaskPlan
from evalkit.runner.progress import Progress, Report
from evalkit.runner.scores import MetricScores
from evalkit.runner.shards import Rows, ShardFolder, grid
from evalkit.runner.sources import HELD_OUT, Reference, data_labels
from evalkit.runner.subjects import Described, ShardWriter
from evalkit.runner.verdicts import VerdictShards
from judges.base import VerdictJudge
from judges.judged import get_metric
from metrics.base import Batch, Estimate, Metric
from registry.digests import digest
from registry.entities import StoredEstimate

MAX_SLICE_VALUES = 200
"""Beyond that a column is an identifier, not a slice: its values get no estimates of their own."""


class TaskWork:
    """Everything that one task of an evaluation leaves on disk; each method makes only what is missing."""

    def __init__(self, plan: TaskPlan, home: Path, counts: Counter[str], desks: Desks, report: Report | None) -> None:
        self.plan, self.home, self.counts = plan, home, counts
        self._desks, self._report = desks, report
        folder = ShardFolder(home / "outputs", plan.outputs_digest, plan.outputs_identity)
        self.outputs = TaskOutputs(folder, self._produce)
        self._open = contextlib.ExitStack()
        self._writer: ShardWriter | None = None
        self._scores: dict[str, MetricScores] = {}
        self._judging: dict[str, VerdictShards] = {}

    @cached_property
    def _too_fine(self) -> dict[str, int]:
        """Slices with too many values, and how many; judged on all rows, so that every look agrees."""
        if self.plan.data is None:
            return {}
        values = slice_values(self.plan.data, len(self.plan.data))
        return {name: len(found) for name, found in values.items() if len(found) > MAX_SLICE_VALUES}

    @property
    def shards(self) -> list[Rows]:
        """The shards of this look."""
        return grid(self.plan.target, self.plan.shard_size)

    def close(self) -> None:
        """End the generator, if one was started."""
        self._writer = None
        self._open.close()

    # --- outputs ---

    def generate(self, rows: Rows) -> None:
        """Make the outputs of some rows, unless they are there."""
        before = len(self.outputs.generated)
        self.outputs.ensure(rows)
        self.counts["generated_shards"] += len(self.outputs.generated) - before

    def _produce(self, rows: Rows, path: Path) -> None:
        if self.plan.product == "stored":
            assert self.plan.outputs is not None
            with profile.span("copying outputs", rows=len(rows)):
                write_shard(self.plan.outputs.table(rows.start, rows.stop), path, {})
            return
        if self._writer is None:
            assert self.plan.subject.open is not None
            with profile.span("model load"):
                self._writer = self._open.enter_context(self.plan.subject.open(self.plan.task))
                if isinstance(self._writer, Described):
                    self._writer.describe()
        with profile.span("generation", rows=len(rows)):
            self._writer.write_shard(self._requests(rows), self.plan.settings, path, task=self.plan.product)

    def _requests(self, rows: Rows) -> list[Request]:
        data, seed = self.plan.data, self.plan.seed
        if data is None:
            return unconditional_requests(seed, rows.start, rows.stop)
        return data.requests(seed, rows.start, rows.stop)

    # --- features ---

    @cached_property
    def _features(self) -> FeatureShards | None:
        return (
            output_features(self.home, self.outputs, self.plan.loaded_extractor)
            if self.plan.loaded_extractor is not None
            else None
        )

    @cached_property
    def _reference_features(self) -> FeatureShards | None:
        if self.plan.loaded_extractor is None or self.plan.reference is None:
            return None
        return reference_features(self.home, self.plan.reference, self.plan.loaded_extractor)

    @cached_property
    def _held_out_features(self) -> FeatureShards | None:
        if self.plan.loaded_extractor is None or self.plan.held_out is None:
            return None
        return reference_features(self.home, self.plan.held_out, self.plan.loaded_extractor)

    # --- scores ---

    def score(self, rows: Rows) -> None:
        """Score some rows with every metric that has not scored them."""
        missing = [plan for plan in self.plan.metrics if not plan.per_shard and not self.scores(plan).has(rows)]
        if not missing:
            return
        arrays: Arrays = {}
        source = None
        if self._features is not None and any(plan.needs_features for plan in missing):
            before = len(self._features.extracted)
            arrays, source = self._features.arrays(rows), self._features.reference(rows)
            self.counts["extracted_shards"] += len(self._features.extracted) - before
        table = self.outputs.table(rows)
        names = {name for plan in missing for name in plan.metric.needs}
        arrays = arrays | self._paired(rows, names)
        extra = task_columns(self.plan, names | self._shown_to_judges(missing, table), rows, table)
        batch = build_batch(table, rows, self.plan.data, arrays, source, extra=extra)
        batch = self._with_verdicts(batch, rows, missing)
        batch = replace(batch, slices={name: v for name, v in batch.slices.items() if name not in self._too_fine})
        for plan in missing:
            scores = self.scores(plan)
            scores.forget_estimates()
            with profile.span(f"scoring {plan.name}", rows=len(rows)):
                scores.score(rows, self._view(batch, plan))
            self.counts["scored_shards"] += 1
            self.counts[f"scored:{self.plan.name}/{plan.name}"] += 1

    def _shown_to_judges(self, missing: Sequence[MetricPlan], table: pa.Table) -> set[str]:
        """Images, where there are some and a judge has to see them."""
        judged = any(plan.asks_judge for plan in missing)
        return {"image"} if judged and table.column("image").null_count < len(table) else set()

    def _with_verdicts(self, batch: Batch, rows: Rows, missing: Sequence[MetricPlan]) -> Batch:
        """The batch with the verdicts that judged metrics read."""
        verdicts: dict[str, Any] = {}
        for plan in missing:
            if plan.asks_judge:
                (column,) = plan.metric.needs
                with profile.span(f"judging {plan.name}", rows=len(rows)):
                    verdicts[column] = self._verdicts(plan).scores(rows, batch, self._data_columns(rows))
        return replace(batch, columns={**batch.columns, **verdicts}) if verdicts else batch

    def _verdicts(self, plan: MetricPlan) -> VerdictShards:
        if plan.name not in self._judging:
            self._judging[plan.name] = VerdictShards(
                self.home,
                partial(self._judge, plan),
                self.plan.verdicts_identity(plan),
                baseline=plan.judged.baseline if plan.judged is not None else None,
                tell=partial(self._tell, f"judge {plan.name}"),
            )
        return self._judging[plan.name]

    def _judge(self, plan: MetricPlan) -> VerdictJudge:
        """The judge that was handed over, else the one that the suite names."""
        if plan.given is not None:
            return plan.given
        assert plan.judged is not None
        return self._desks.judge(plan.judged)

    def _tell(self, stage: str, done: int) -> None:
        if self._report is not None:
            self._report(Progress(self.plan.name, stage, done, self.plan.target))

    def _data_columns(self, rows: Rows) -> dict[str, Sequence[Any]]:
        """The data's own columns, for judges that read more than prompts and answers."""
        if self.plan.data is None:
            return {}
        found = self.plan.data.source_rows()[rows.start : rows.stop]
        return {name: [row.get(name) for row in found] for name in dict.fromkeys(name for row in found for name in row)}

    def _paired(self, rows: Rows, names: Collection[str]) -> Arrays:
        """Features of what each sample is compared with, where a metric asks for them."""
        found: Arrays = {}
        data, extractor = self.plan.data, self.plan.loaded_extractor
        if data is None or extractor is None:
            return found
        for name, shards in (("reference_features", paired_reference_features), ("text_features", text_features)):
            if name in names:
                features = shards(self.home, data, extractor)
                found[name] = features.arrays(rows)[FEATURES]
                self.counts["extracted_shards"] += len(features.extracted)
        return found

    def _view(self, batch: Batch, plan: MetricPlan) -> Batch:
        """The batch as one metric sees it."""
        if plan.name == "latency" and "latency" in batch.columns:
            return by_call(batch)
        needs = plan.metric.needs
        columns = {k: v for k, v in batch.columns.items() if k in needs or not isinstance(v, Pictures)}
        paired = [name for name in PAIRED if name in needs]
        if not paired:
            return replace(batch, columns=columns)
        (name,) = paired
        features, other = same_width(batch.columns[FEATURES], batch.columns[name])
        columns |= {FEATURES: features, name: other}
        return unscored_without(replace(batch, columns=columns), {FEATURES: "image", name: PAIRED[name]})

    def scores(self, plan: MetricPlan) -> MetricScores:
        """What is stored of one metric."""
        if plan.name not in self._scores:
            identity = self._scores_identity(plan)
            folder = ShardFolder(self.home / "scores", digest(identity), identity)
            self._scores[plan.name] = MetricScores(folder, self._ready(plan))
        return self._scores[plan.name]

    def _scores_identity(self, plan: MetricPlan) -> dict[str, Any]:
        return self.plan.scores_identity(
            plan, self.plan.loaded_extractor.identity() if self.plan.loaded_extractor else None
        )

    def _ready(self, plan: MetricPlan) -> Metric:
        """The metric with the state of its reference, where it has one."""
        if not plan.metric.spec.uses_reference or self.plan.reference is None:
            return plan.metric
        with profile.span("reference", task=self.plan.name):
            return self._with_reference(plan, self.plan.reference)

    def _with_reference(self, plan: MetricPlan, reference: Reference) -> Metric:
        if plan.compares_rows:
            state = row_reference_state(self.home, plan.metric, reference)
            return get_metric(plan.name, reference=state, **plan.settings)
        assert self._reference_features is not None
        state = reference_state(self.home, plan.metric, reference, self._reference_features)
        settings = dict(plan.settings)
        if plan.held_out and self.plan.held_out is not None and self._held_out_features is not None:
            settings[HELD_OUT] = reference_state(self.home, plan.metric, self.plan.held_out, self._held_out_features)
        return get_metric(plan.name, reference=state, **settings)

    # --- results ---

    def estimates(self) -> list[StoredEstimate]:
        """Estimates of all metrics on this look's samples, scoring what is missing."""
        for rows in self.shards:
            self.score(rows)
        found = []
        for plan in self.plan.metrics:
            if plan.per_shard:
                by_slice = {"": self._speed(plan)}
                scores_digest = digest(self._scores_identity(plan))
            else:
                scores = self.scores(plan)
                give_back()
                with profile.span(f"estimating {plan.name}"):
                    by_slice = scores.stored_estimates(
                        self.plan.target, self.plan.shard_size, feature_loader(self.home)
                    )
                scores_digest = scores.folder.digest
            for slice_name, keys in by_slice.items():
                for key, estimate in keys.items():
                    found.append(StoredEstimate(self.plan.name, plan.name, key, slice_name, estimate, scores_digest))
        return found

    def _speed(self, plan: MetricPlan) -> dict[str, Estimate]:
        batch = speed_batch(self.outputs.folder, Rows(0, self.plan.target))
        return plan.metric.compute(plan.metric.update(plan.metric.init(), batch))

    def warnings(self) -> list[str]:
        """What is wrong with the outputs, and whether the model was trained on these data."""
        facts = [facts for _, facts in self.outputs.ensure(Rows(0, self.plan.target))]
        found = quality_warnings(self.plan.name, facts) if facts else []
        for name, count in self._too_fine.items():
            found.append(
                f"{self.plan.name}: slice '{name}' has {count} values, more than {MAX_SLICE_VALUES}; it is left out"
            )
        precision = split_precision(self.plan.task.extractor or "")[1]
        if precision is not None:
            found.append(
                f"{self.plan.name}: features were computed in {precision}, as the suite asks; numbers on them do not "
                "agree with those in float32, and compare with each other alone"
            )
        trained = set(self.plan.subject.training_data)
        reference = self.plan.reference.dataset if self.plan.reference else None
        held_out = self.plan.held_out.dataset if self.plan.held_out else None
        for role, source in (("data", self.plan.data), ("reference", reference), ("held-out set", held_out)):
            if source is not None and trained & data_labels(source):
                found.append(
                    f"{self.plan.name}: the model's card lists the task's {role} ({source.name}) as training data; "
                    "results may flatter it"
                )
        return found

    def unusable(self) -> bool:
        """Whether not a single output can be used."""
        facts = [facts for _, facts in self.outputs.ensure(Rows(0, self.plan.target))]
        return all(f["unusable"] == f["rows"] for f in facts)

    def record(self) -> dict[str, Any]:
        """What the evaluation's details say about the task, enough to read its scores again."""
        shards = self.outputs.shards(Rows(0, self.plan.target))
        hardware = sorted({facts["hardware"] for _, facts in shards if facts["hardware"]})
        data, reference = self.plan.data, self.plan.reference
        return {
            "outputs": self.plan.outputs_digest,
            "product": self.plan.product,
            "target": self.plan.target,
            "shard_size": self.plan.shard_size,
            "open_ended": self.plan.open_ended,
            "hardware": ", ".join(hardware) or None,
            "tokens": mean_tokens([facts for _, facts in shards]),
            "extractor": self.plan.loaded_extractor.identity() if self.plan.loaded_extractor else None,
            "data": {"name": data.name, "digest": data.digest, "rows": len(data)} if data else None,
            "reference": {"name": reference.dataset.name, "digest": reference.dataset.digest} if reference else None,
            "slices": self._slices(),
            "metrics": {plan.name: self._metric_record(plan) for plan in self.plan.metrics},
        }

    def _slices(self) -> dict[str, list[str]]:
        if self.plan.data is None:
            return {}
        values = slice_values(self.plan.data, self.plan.target)
        return {name: found for name, found in values.items() if name not in self._too_fine}

    def _metric_record(self, plan: MetricPlan) -> dict[str, Any]:
        state = held_out = None
        if plan.compares_rows and self.plan.reference is not None:
            state = row_reference_key(plan.metric, self.plan.reference)
        elif plan.metric.spec.uses_reference and self._reference_features is not None:
            assert self.plan.reference is not None
            state = reference_key(plan.metric, self.plan.reference, self._reference_features)
            if plan.held_out and self.plan.held_out is not None and self._held_out_features is not None:
                held_out = reference_key(plan.metric, self.plan.held_out, self._held_out_features)
        return {
            "scores": digest(self._scores_identity(plan)),
            "version": plan.metric.spec.version,
            "settings": dict(plan.settings),
            "reference_state": state,
            **({"held_out_state": held_out} if held_out else {}),
            "per_shard": plan.per_shard,
            "verdicts": digest(self.plan.verdicts_identity(plan)) if plan.asks_judge else None,
        }


def slice_values(data: Dataset, target: int) -> dict[str, list[str]]:
    """The values that each slice takes in the first rows."""
    return {name: data.slice_values(name, target) for name in data.slice_names()}
