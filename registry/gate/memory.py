"""Evidence from scores in memory: for comparisons without a store, simulations and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from metrics.base import PRIMARY, Estimate, SampleMetric, Scores
from registry.entities import ModelVersion
from registry.gate.evidence import Address, Missing

Results = Mapping[str, Scores]
"""``task/metric`` to the scores of one version."""


@dataclass(frozen=True, slots=True)
class ScoresEvidence:
    """`Evidence` computed from per-sample scores whenever the gate asks.

    Attributes:
        metrics: metric name to the metric that scored.
        candidate: the candidate's scores, ``task/metric`` to `Scores`.
        versions: version number to the scores of that version.
        machine: the hardware class, for speed rules.
    """

    metrics: Mapping[str, SampleMetric]
    candidate: Results
    versions: Mapping[int, Results] = field(default_factory=dict)
    machine: str | None = None

    def estimate(self, address: Address, *, confidence: float) -> Estimate | Missing:
        """Return the candidate's own estimate."""
        return self._summary(self.candidate, address, confidence)

    def difference(self, address: Address, against: ModelVersion, *, confidence: float) -> Estimate | Missing:
        """Return candidate minus `against`, paired where both scored the same samples."""
        own = _rows(self.candidate, address)
        other = _rows(self.versions.get(against.version, {}), address)
        if own is None or other is None:
            return Missing(f"{'the candidate' if own is None else against.reference} has no scores of {address}")
        return _pick(self.metrics[address.metric].compare(own, other, confidence=confidence), address)

    def other(self, address: Address, against: ModelVersion, *, confidence: float) -> Estimate | Missing:
        """Return the estimate of `against` itself."""
        return self._summary(self.versions.get(against.version, {}), address, confidence)

    def slices(self, task: str, name: str) -> list[str]:
        """Return the values of a slice in the candidate's scores of a task."""
        prefix = f"{task}/"
        found = [scores for key, scores in self.candidate.items() if key.startswith(prefix)]
        return sorted({value for scores in found for value in scores.slices.get(name, ())})

    def hardware(self, task: str) -> str | None:
        """Return the hardware class."""
        return self.machine

    def _summary(self, results: Results, address: Address, confidence: float) -> Estimate | Missing:
        rows = _rows(results, address)
        if rows is None:
            return Missing(f"there are no scores of {address}")
        return _pick(self.metrics[address.metric].summarise(rows, confidence=confidence), address)


def _rows(results: Results, address: Address) -> Scores | None:
    """Scores at an address; None where there are none."""
    scores = results.get(f"{address.task}/{address.metric}")
    if scores is None or not address.slice:
        return scores
    name, _, value = address.slice.partition("=")
    kept = [row for row, given in enumerate(scores.slices.get(name, ())) if given == value]
    return scores.select(np.array(kept, dtype=np.intp)) if kept else None


def _pick(estimates: Mapping[str, Estimate], address: Address) -> Estimate | Missing:
    if address.key in estimates:
        return estimates[address.key]
    return Missing(f"'{address.metric}' gives no '{address.key}' from scores, only {', '.join(estimates) or PRIMARY}")
