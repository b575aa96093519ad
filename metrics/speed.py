"""Speed of a generator: latency, throughput and peak memory. Compare on equal hardware only."""

from __future__ import annotations

import math

import numpy as np

from metrics.base import PRIMARY, Batch, Estimate, Loader, Metric, MetricSpec, SampleMetric, Scores, State
from metrics.scoring import check_state, errors_of, number_column, rows
from metrics.statistics.rows import Quantity


class Latency(SampleMetric):
    """Mean time a caller waited for a sample, in seconds, lower is better; keys ``p50`` and ``p95``.

    Samples made in one batch share its wall time and are not independent: give the batch as their cluster. The
    quantiles' order-statistic intervals take samples as independent. The state keeps every latency.
    """

    spec = MetricSpec(
        name="latency",
        measures="mean seconds that a caller waited for a sample",
        low=0.0,
        high=None,
        direction="lower",
        quadrant="speed",
        needs=("latency",),
        estimand="mean latency on this hardware and load",
        interval="t, clustered where samples share a cluster; order statistics for p50 and p95",
        validity="independent samples; p95 from 72 samples at 95 %",
        source="Hahn and Meeker 1991, Statistical Intervals, chapter 5 (order statistics)",
        keys={"p50": "median latency", "p95": "95th percentile of latency"},
        units="s",
    )
    quantiles = {"p50": 0.5, "p95": 0.95}  # noqa: RUF012 (declared as ClassVar in the base class)

    def __init__(self) -> None:
        super().__init__()

    def score(self, batch: Batch) -> Scores:
        """Score the column ``latency``."""
        reasons = errors_of(batch)
        values = number_column(batch, "latency", self.spec.name, reasons)
        return rows(batch, values, reasons)


class Throughput(SampleMetric):
    """Samples per second of busy time, higher is better: a batch has one entry per shard.

    Columns: ``samples`` (finished in the shard) and ``seconds`` (busy time of the generator for it).
    """

    spec = MetricSpec(
        name="throughput",
        measures="samples per second of the generator's busy time",
        low=0.0,
        high=None,
        direction="higher",
        quadrant="speed",
        needs=("samples", "seconds"),
        estimand="samples per second on this hardware and load",
        interval="t with the delta method over shards",
        validity="five shards and more of about equal size",
        source="Cochran 1977, Sampling Techniques, chapter 6 (ratio estimator)",
        units="1/s",
    )

    def __init__(self) -> None:
        super().__init__()

    def quantities(self) -> dict[str, Quantity]:
        """Key to what it estimates."""
        return {PRIMARY: Quantity(low=0.0, estimand=self.spec.estimand, fewest=5)}

    def score(self, batch: Batch) -> Scores:
        """Rows of samples (values) and seconds (denominators)."""
        reasons = errors_of(batch)
        samples = number_column(batch, "samples", self.spec.name, reasons)
        seconds = number_column(batch, "seconds", self.spec.name, reasons)
        return rows(batch, samples, reasons, denominators=seconds)


class PeakMemory(Metric):
    """Largest memory of the generator's process, in bytes, lower is better; one entry per shard or sample."""

    spec = MetricSpec(
        name="peak_memory",
        measures="peak memory of the generator's process",
        low=0.0,
        high=None,
        direction="lower",
        quadrant="speed",
        needs=("peak_memory",),
        estimand="largest value seen in this run",
        interval="none: a maximum of dependent readings has no valid interval",
        validity="this run on this hardware",
        source="the operating system's accounting",
        units="B",
    )

    def __init__(self) -> None:
        super().__init__()

    def init(self) -> State:
        """Return the state of no samples."""
        return self._state(0, 0, None)

    def update(self, state: State, batch: Batch) -> State:
        """Return the state with a batch's readings added."""
        reasons = errors_of(batch)
        values = number_column(batch, "peak_memory", self.spec.name, reasons)
        used = values[np.array([reason is None for reason in reasons], dtype=bool)]
        peak = float(used.max()) if len(used) else None
        return self.merge(state, self._state(len(used), len(batch) - len(used), peak))

    def merge(self, a: State, b: State) -> State:
        """Return the state of both runs of samples."""
        for state in (a, b):
            check_state(self, state)
        peaks = [state.facts["peak"] for state in (a, b) if state.facts["peak"] is not None]
        n, missing = (int(a.facts[name]) + int(b.facts[name]) for name in ("n", "missing"))
        return self._state(n, missing, max(peaks) if peaks else None)

    def compute(self, state: State, *, confidence: float = 0.95, load: Loader | None = None) -> dict[str, Estimate]:
        """Return the peak; NaN without readings."""
        n, missing, peak = (state.facts[name] for name in ("n", "missing", "peak"))
        return {
            PRIMARY: Estimate(
                math.nan if peak is None else peak,
                n=n,
                coverage=n / (n + missing) if n + missing else 0.0,
                method="no interval: " + self.spec.interval.removeprefix("none: "),
                estimand=self.spec.estimand,
                confidence=confidence,
            )
        }

    def _state(self, n: int, missing: int, peak: float | None) -> State:
        facts = {"n": n, "missing": missing, "peak": peak}
        return State(self.spec.name, self.spec.version, facts, {})
