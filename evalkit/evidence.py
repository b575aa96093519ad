"""Stored results, read again at any confidence: what gates, comparisons and reports stand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from evalkit.config import Settings
from evalkit.outputs import read_shard
from evalkit.runner.features import feature_loader, load_reference_state
from evalkit.runner.outputs import SUFFIX, speed_batch
from evalkit.runner.scores import ROWS, STATES, MetricScores, slices_of
from evalkit.runner.shards import Rows, ShardFolder, cover, grid
from evalkit.runner.sources import HELD_OUT
from judges.judged import get_metric, spec_of
from metrics.base import Estimate, Metric, SampleMetric, Scores, State
from metrics.errors import InputError
from metrics.statistics import independent_difference
from registry.digests import short
from registry.entities import Evaluation, ModelVersion
from registry.gate.evidence import Address, Missing

if TYPE_CHECKING:
    from evalkit.judging.demands import Doubts
    from registry.store import Registry

Kept = TypeVar("Kept")
SPEED = frozenset({"latency", "throughput", "peak_memory"})
"""Metrics whose numbers compare on equal hardware only."""


@dataclass(slots=True)
class StoredResults:
    """The stored scores of one evaluation.

    Attributes:
        home: the ``.evalkit`` folder with the shards.
        evaluation: whose details say where the scores lie.
    """

    home: Path
    evaluation: Evaluation
    _kept: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def task(self, name: str) -> Mapping[str, Any] | None:
        """What the evaluation recorded about a task."""
        found: Mapping[str, Any] | None = self.evaluation.details.get("tasks", {}).get(name)
        return found

    def record(self, task: str, metric: str) -> Mapping[str, Any] | None:
        """What it recorded about a metric of a task."""
        found: Mapping[str, Any] | None = (self.task(task) or {}).get("metrics", {}).get(metric)
        return found

    def metric(self, task: str, name: str) -> Metric:
        """The metric with its settings and the state of its reference."""

        def make() -> Metric:
            record = self._known(task, name)
            version = spec_of(name, record["settings"]).version
            if version != record["version"]:
                raise InputError(
                    f"'{name}' is at version {version}, these scores are of version {record['version']}; evaluate again"
                )
            states: dict[str, State] = {}
            for argument, kept in (("reference", "reference_state"), (HELD_OUT, "held_out_state")):
                if record.get(kept) is not None:
                    state = load_reference_state(self.home, record[kept])
                    if state is None:
                        raise InputError(f"the reference of '{task}/{name}' is gone from {self.home}; evaluate again")
                    states[argument] = state
            return get_metric(name, **{**record["settings"], **states})

        return self._keep(("metric", task, name), make)

    def rows(self, task: str, metric: str, slice_name: str = "") -> Scores | None:
        """Per-sample scores, of one slice where it is named; None for a metric that has none."""
        if self._known(task, metric)["per_shard"] or not isinstance(self.metric(task, metric), SampleMetric):
            return None
        target, size = self._extent(task)
        everything = self._keep(("rows", task, metric), lambda: self._scores(task, metric, ROWS).rows(target, size))
        return everything if not slice_name else slices_of(everything, slice_name).get(slice_name)

    def some_rows(self, task: str, metric: str, start: int, stop: int) -> Scores | None:
        """Per-sample scores of the rows ``start <= i < stop`` alone, as `rows` but not kept in memory."""
        if self._known(task, metric)["per_shard"] or not isinstance(self.metric(task, metric), SampleMetric):
            return None
        target, size = self._extent(task)
        return self._scores(task, metric, ROWS).some_rows(Rows(start, min(stop, target)), target, size)

    def outputs(
        self, task: str, start: int = 0, stop: int | None = None, *, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Stored outputs of a task, in order; of some columns alone where they are named."""
        record = self.task(task)
        if record is None:
            raise InputError(f"this evaluation has no task '{task}'")
        wanted = Rows(start, record["target"] if stop is None else min(stop, record["target"]))
        folder = ShardFolder.known(self.home / "outputs", record["outputs"])
        parts = []
        for run, holding in cover(folder.existing(SUFFIX), wanted):
            if holding is None:
                raise InputError(f"outputs {run.start} to {run.stop} of '{task}' are gone from {folder.path}")
            table, _ = read_shard(folder.file(holding, SUFFIX), columns)
            parts.append(table.slice(run.start - holding.start, len(run)).replace_schema_metadata(None))
        return pa.concat_tables(parts)

    def estimates(self, task: str, metric: str, slice_name: str, confidence: float) -> dict[str, Estimate] | None:
        """All keys of a metric at a confidence; None where there is no such slice."""
        return self._keep(
            ("estimates", task, metric, slice_name, repr(confidence)),
            lambda: self._estimates(task, metric, slice_name, confidence),
        )

    def _estimates(self, task: str, name: str, slice_name: str, confidence: float) -> dict[str, Estimate] | None:
        metric = self.metric(task, name)
        target, size = self._extent(task)
        if self._known(task, name)["per_shard"]:
            state = self._keep(("state", task, name), lambda: self._speed_state(task, metric))
            return metric.compute(state, confidence=confidence) if not slice_name else None
        stored = MetricScores(ShardFolder.known(self.home / "scores", self._known(task, name)["scores"]), metric)
        if stored.from_rows:
            rows = self.rows(task, name, slice_name)
            assert isinstance(metric, SampleMetric)
            return None if rows is None else metric.summarise(rows, confidence=confidence)
        self._scores(task, name, STATES)
        states = self._keep(("states", task, name), lambda: stored.states(target, size))
        if slice_name not in states:
            return None
        return metric.compute(states[slice_name], confidence=confidence, load=feature_loader(self.home))

    def _speed_state(self, task: str, metric: Metric) -> State:
        record = self.task(task)
        assert record is not None
        folder = ShardFolder.known(self.home / "outputs", record["outputs"])
        return metric.update(metric.init(), speed_batch(folder, Rows(0, record["target"])))

    def _scores(self, task: str, metric: str, suffix: str) -> MetricScores:
        """The stored scores, all of them there."""
        folder = ShardFolder.known(self.home / "scores", self._known(task, metric)["scores"])
        for rows in grid(*self._extent(task)):
            if not folder.file(rows, suffix).exists():
                raise InputError(f"scores of '{task}/{metric}' are gone from {folder.path}; evaluate again")
        return MetricScores(folder, self.metric(task, metric))

    def _extent(self, task: str) -> tuple[int, int]:
        record = self.task(task)
        assert record is not None
        return record["target"], record["shard_size"]

    def _known(self, task: str, metric: str) -> Mapping[str, Any]:
        record = self.record(task, metric)
        if record is None:
            raise InputError(f"this evaluation has no '{task}/{metric}'")
        return record

    def _keep(self, key: tuple[str, ...], make: Callable[[], Kept]) -> Kept:
        if key not in self._kept:
            self._kept[key] = make()
        kept: Kept = self._kept[key]
        return kept


def results_home(home: Path, evaluation: Evaluation) -> Path:
    """Folder of an evaluation's shards: the project's, or one of its own where somebody submitted them.

    Shards are found by what they describe, so that those of others must never lie among our own.
    """
    submission = evaluation.details.get("submission")
    return home if submission is None else home / "submitted" / short(submission["bundle"], 32)


class StoredEvidence:
    """What the gate asks for, from stored results of a candidate and of the versions it is compared with."""

    def __init__(
        self, settings: Settings, registry: Registry, evaluation: Evaluation, doubts: Doubts | None = None
    ) -> None:
        self._doubts = doubts or {}
        self.candidate = StoredResults(results_home(settings.home, evaluation), evaluation)
        self._home, self._registry = settings.home, registry
        self._others: dict[str, list[StoredResults]] = {}

    def estimate(self, address: Address, *, confidence: float) -> Estimate | Missing:
        """Return the candidate's own estimate."""
        if (address.task, address.metric) in self._doubts:
            return Missing(self._doubts[address.task, address.metric])
        return _estimate(self.candidate, address, confidence)

    def other(self, address: Address, against: ModelVersion, *, confidence: float) -> Estimate | Missing:
        """Return the estimate of `against` itself."""
        results = self._comparable(address, against)
        return results if isinstance(results, Missing) else _estimate(results, address, confidence)

    def difference(self, address: Address, against: ModelVersion, *, confidence: float) -> Estimate | Missing:
        """Return candidate minus `against`: paired by sample where there are per-sample scores, else independent."""
        results = self._comparable(address, against)
        if isinstance(results, Missing):
            return results
        if address.metric in SPEED:
            here, there = self.hardware(address.task), (results.task(address.task) or {}).get("hardware")
            if here != there:
                return Missing(f"measured on {here or 'unknown hardware'}, {against.reference} on {there or 'unknown'}")
        paired = paired_differences(
            self.candidate, results, address.task, address.metric, address.slice, confidence=confidence
        )
        if address.key in paired:
            return paired[address.key]
        own, other = _estimate(self.candidate, address, confidence), _estimate(results, address, confidence)
        if isinstance(own, Missing):
            return own
        return other if isinstance(other, Missing) else independent_difference(own, other)

    def slices(self, task: str, name: str) -> list[str]:
        """Return the values that a slice takes in a task."""
        record = self.candidate.task(task) or {}
        return list(record.get("slices", {}).get(name, []))

    def hardware(self, task: str) -> str | None:
        """Return the hardware class on which the task's outputs were generated."""
        found: str | None = (self.candidate.task(task) or {}).get("hardware")
        return found

    def _comparable(self, address: Address, against: ModelVersion) -> StoredResults | Missing:
        """The newest results of `against` that were measured in the same way on the same data."""
        if against.id not in self._others:
            finished = [e for e in self._registry.evaluations(against) if e.status == "finished"]
            self._others[against.id] = [StoredResults(results_home(self._home, found), found) for found in finished]
        wanted = measured(self.candidate, address)
        if wanted is None:
            return Missing(f"the evaluation has no {address.name}")
        for results in self._others[against.id]:
            if measured(results, address) == wanted:
                return results
        return Missing(f"{against.reference} has no results for {address.name} on these data; evaluate it first")


def measured(results: StoredResults, address: Address) -> dict[str, Any] | None:
    """How and on what a number was measured: equal for two versions whose results compare."""
    task, record = results.task(address.task), results.record(address.task, address.metric)
    if task is None or record is None:
        return None
    return {
        "data": task["data"] and task["data"]["digest"],
        "reference": (record["reference_state"], record.get("held_out_state")),
        "extractor": task["extractor"] if record["reference_state"] is not None else None,
        "metric": (record["version"], record["settings"]),
    }


def _estimate(results: StoredResults, address: Address, confidence: float) -> Estimate | Missing:
    if results.record(address.task, address.metric) is None:
        return Missing(f"the evaluation has no {address.name}")
    try:
        found = results.estimates(address.task, address.metric, address.slice, confidence)
    except InputError as error:
        return Missing(str(error))
    if found is None:
        return Missing(f"{address.name} has no slice '{address.slice}'")
    return found.get(address.key) or Missing(f"{address.task}/{address.metric} has no key '{address.key}'")


def paired_differences(
    a: StoredResults, b: StoredResults, task: str, metric: str, slice_name: str = "", *, confidence: float = 0.95
) -> dict[str, Estimate]:
    """What `a` minus `b` is for every key of a metric that follows from scores of the same samples.

    Empty where there are no such scores; whether the two were measured in the same way is the caller's to know.
    """
    if a.record(task, metric) is None:
        return {}
    try:
        mine, theirs = (results.rows(task, metric, slice_name) for results in (a, b))
        known = a.metric(task, metric)
    except InputError:
        return {}  # the estimates themselves say what is missing
    if mine is None or theirs is None or not isinstance(known, SampleMetric):
        return {}
    return known.compare(*_shared(mine, theirs), confidence=confidence)


def _shared(a: Scores, b: Scores) -> tuple[Scores, Scores]:
    """The samples that both have, where one of them has looked at more; all where they share none."""
    known = set(a.sample_ids) & set(b.sample_ids)
    if not known or (len(known) == len(a) and len(known) == len(b)):
        return a, b
    sides = []
    for scores in (a, b):
        places = np.array([i for i, sample in enumerate(scores.sample_ids) if sample in known], dtype=np.intp)
        sides.append(scores.select(places))
    return sides[0], sides[1]
