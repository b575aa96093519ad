"""Do the catalogue's intervals cover what they say? Simulated inside each metric's declared regime.

A nominal two-sided 95 % interval has to cover 92 to 98 %, a conservative one at least 94 %. Every metric that is a
mean, rate or ratio of sample scores is simulated without being listed: a large pool of random samples is the
population, its value the truth, and samples (or whole clusters) are drawn from it. Other metrics have a generator
with a known truth below.

    python -m benchmarks.interval_coverage [--runs 2000] [--metric NAME ...] [--json FILE]

Exits with 1 when an interval covers too little or too much, or when a metric that gives intervals was not simulated.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import metrics
from benchmarks.populations import make_batch
from metrics.base import PRIMARY, Batch, Estimate, FloatArray, Metric, SampleMetric
from metrics.catalogue import metric_class
from metrics.statistics.sample_state import state_of

Rng = np.random.Generator
Results = Mapping[str, Estimate]
POOL = 5_000
NOMINAL = (0.92, 0.98)
CONSERVATIVE = 0.94
LEAST_OF_EACH = 5
"""Expected samples of the rarer outcome below which a rate's interval is not declared valid."""
SAFE_METHODS = ("bound on unseen scores", "Wilson, as wide as a rate's", "order statistics", "union of")
"""Beginnings of methods that promise at least their level: such an interval may cover more."""


@dataclass(frozen=True)
class Case:
    """A generator with known truths.

    Attributes:
        metric: its name in the catalogue.
        regime: sample size and kind of data.
        truths: key to what the estimate of a drawn sample has to cover.
        draw: one simulated evaluation.
    """

    metric: str
    regime: str
    truths: Mapping[str, float]
    draw: Callable[[Rng], Results]


@dataclass(frozen=True)
class Coverage:
    """How often an interval covered the truth; `conservative` when its method promises at least its level."""

    metric: str
    key: str
    regime: str
    runs: int
    without: int
    covered: float
    conservative: bool

    def passes(self, errors: float = 0.0) -> bool:
        """Whether coverage is within the limits, with so many standard errors of the simulation allowed for."""
        given = self.runs - self.without
        slack = errors * math.sqrt(0.95 * 0.05 / max(1, given))
        if self.conservative:
            return self.covered >= CONSERVATIVE - slack
        return NOMINAL[0] - slack <= self.covered <= NOMINAL[1] + slack


def simulate(case: Case, runs: int, seed: int = 0) -> list[Coverage]:
    """Coverage of every key of a case; a key without any interval is left out."""
    rng = np.random.default_rng(seed)
    hits, given = dict.fromkeys(case.truths, 0), dict.fromkeys(case.truths, 0)
    safe = dict.fromkeys(case.truths, 0)
    for _ in range(runs):
        found = case.draw(rng)
        for key, truth in case.truths.items():
            e = found[key]
            if e.low is None or e.high is None:
                continue
            given[key] += 1
            hits[key] += e.low <= truth <= e.high
            safe[key] += e.method.startswith(SAFE_METHODS)
    return [
        Coverage(
            case.metric, key, case.regime, runs, runs - given[key], hits[key] / given[key], safe[key] > given[key] / 2
        )
        for key in case.truths
        if given[key]
    ]


def sample_cases(name: str) -> Iterator[Case]:
    """Independent samples, and whole clusters of correlated ones, of a metric that scores single samples."""
    metric = metrics.get(name)
    assert isinstance(metric, SampleMetric)
    batch = replace(make_batch(metric.spec, 7, POOL, slices={}), sample_ids=np.arange(POOL).astype(str))
    pool = metric.batch_components(batch)
    values = pool[PRIMARY].values
    if np.ptp(values[np.isfinite(values)]) == 0:
        return  # nothing to estimate in this population: the metric needs a case of its own
    truths = {key: e.value for key, e in metric.compute(state_of(metric, pool)).items()}

    def independent(n: int) -> Callable[[Rng], Results]:
        def draw(rng: Rng) -> Results:
            picked = rng.integers(0, POOL, n)
            return metric.compute(state_of(metric, {key: rows.select(picked) for key, rows in pool.items()}))

        return draw

    rare = _rarer_outcome(values)
    for n in (30, 200):
        if n * rare < LEAST_OF_EACH:
            continue
        yield Case(name, f"{n} independent samples", truths, independent(n))

    # neighbours in a noisy order of their scores share a cluster: about half of the variance lies between clusters
    size, count = 5, 60
    ratio = pool[PRIMARY].values / pool[PRIMARY].denominators
    ranks = np.argsort(np.argsort(np.nan_to_num(ratio))) / POOL
    order = np.argsort(ranks + np.random.default_rng(8).normal(scale=0.3, size=POOL)).reshape(-1, size)

    def clustered(rng: Rng) -> Results:
        picked = order[rng.integers(0, len(order), count)].ravel()
        names = [str(i) for i in np.repeat(np.arange(count), size)]
        parts = {key: replace(rows.select(picked), clusters=names) for key, rows in pool.items()}
        return metric.compute(state_of(metric, parts))

    quantiles = metric.quantiles  # their order statistics are declared for independent samples only
    yield Case(
        name,
        f"{count} clusters of {size} correlated samples",
        {key: truth for key, truth in truths.items() if key not in quantiles},
        clustered,
    )


def _rarer_outcome(values: FloatArray) -> float:
    """Share of the rarer outcome where scores are only 0 and 1, else 1."""
    scored = values[np.isfinite(values)]
    rate = float(scored.mean())
    return min(rate, 1 - rate) if np.isin(scored, (0.0, 1.0)).all() else 1.0


def _batch(column: str, rows: Any) -> Batch:
    return Batch([str(i) for i in range(len(rows))], {column: rows})


def _computed(metric: Metric, column: str, rows: Any) -> Results:
    return metric.compute(metric.update(metric.init(), _batch(column, rows)))


def _against(name: str, reference: FloatArray, **settings: Any) -> Metric:
    plain = metrics.get(name, **settings)
    return metrics.get(name, reference=plain.update(plain.init(), _batch("features", reference)), **settings)


def manifold_cases(name: str) -> Iterator[Case]:
    """A fixed Gaussian reference and wider or narrower Gaussian samples; the truth from many of them."""
    reference = np.random.default_rng(1).normal(size=(200, 4))
    for spread in (0.8, 1.2):
        if name in ("precision", "density"):
            metric = _against(name, reference)
            many = spread * np.random.default_rng(2).normal(size=(50_000, 4))
            truth = _computed(metric, "features", many)[PRIMARY].value
            yield Case(
                name,
                f"150 samples, reference of 200, spread {spread}",
                {PRIMARY: truth},
                lambda rng, m=metric, s=spread: _computed(m, "features", s * rng.normal(size=(150, 4))),
            )
        else:
            blocks = _against(name, reference, block=50)
            many = spread * np.random.default_rng(3).normal(size=(60, 50 * 20, 4))
            truth = float(np.mean([_computed(blocks, "features", each)[PRIMARY].value for each in many]))
            yield Case(
                name,
                f"10 blocks of 50, reference of 200, spread {spread}",
                {PRIMARY: truth},
                lambda rng, m=blocks, s=spread: _computed(m, "features", s * rng.normal(size=(500, 4))),
            )


def kernel_truth(reference: FloatArray, shift: float) -> float:
    """The distance of N(shift, I) to a fixed reference: the cubic kernel of two means needs three moments only."""
    m, d = reference.shape
    mean, unit = np.full(d, shift), np.eye(d)
    second = unit + np.outer(mean, mean)
    sides = [np.einsum(form, mean, unit) for form in ("i,jk->ijk", "j,ik->ijk", "k,ij->ijk")]
    third = np.einsum("i,j,k->ijk", mean, mean, mean) + sum(sides)
    generated = 1 + 3 * mean @ mean / d + 3 * (second**2).sum() / d**2 + (third**2).sum() / d**3
    x = reference
    cross = (
        1
        + 3 * (x @ mean).mean() / d
        + 3 * np.einsum("ni,nj,ij->n", x, x, second).mean() / d**2
        + np.einsum("ni,nj,nk,ijk->n", x, x, x, third, optimize=True).mean() / d**3
    )
    gram = (x @ x.T / d + 1) ** 3
    return float(generated - 2 * cross + (gram.sum() - np.trace(gram)) / (m * (m - 1)))


def kernel_cases(name: str) -> Iterator[Case]:
    """A fixed Gaussian reference and Gaussian samples, equal or shifted; the truth in closed form."""
    reference = np.random.default_rng(4).normal(size=(200, 8))
    metric = _against(name, reference)
    for shift, n in ((0.0, 100), (0.3, 100), (1.0, 400)):
        yield Case(
            name,
            f"{n} samples, reference of 200, shift {shift}",
            {PRIMARY: kernel_truth(reference, shift)},
            lambda rng, s=shift, n=n: _computed(metric, "features", rng.normal(size=(n, 8)) + s),
        )


def rate_cases(name: str) -> Iterator[Case]:
    """Rates near and far from the ends of their range."""

    def outputs(rng: Rng, metric: Metric, words: tuple[str, str], n: int, rate: float) -> Results:
        texts = np.where(rng.random(n) < rate, *words).tolist()
        batch = Batch([str(i) for i in range(n)], {"output": texts, "expected": [["yes"]] * n})
        return metric.compute(metric.update(metric.init(), batch))

    words = (" ", "text") if name == "empty" else ("yes", "no")
    for n, rate in ((20, 0.5), (50, 0.1), (400, 0.97)):
        draw = partial(outputs, metric=metrics.get(name), words=words, n=n, rate=rate)
        yield Case(name, f"{n} samples, rate {rate}", {PRIMARY: rate}, draw)


def shard_cases(name: str) -> Iterator[Case]:
    """Few shards."""
    speed = metrics.get(name)

    def shards(rng: Rng) -> Results:
        seconds = rng.uniform(9, 11, 5)
        columns = {"samples": 30 * seconds * rng.normal(1, 0.1, 5), "seconds": seconds}
        return speed.compute(speed.update(speed.init(), Batch([str(i) for i in range(5)], columns)))

    yield Case(name, "5 shards of about equal size", {PRIMARY: 30.0}, shards)


SPECIAL: Mapping[str, Callable[[str], Iterator[Case]]] = {
    "coverage": manifold_cases,
    "density": manifold_cases,
    "empty": rate_cases,
    "exact_match": rate_cases,
    "kid": kernel_cases,
    "precision": manifold_cases,
    "recall": manifold_cases,
    "throughput": shard_cases,
}


def cases(names: list[str]) -> Iterator[Case]:
    """All cases of the named metrics."""
    for name in names:
        if issubclass(metric_class(name), SampleMetric):
            yield from sample_cases(name)
        if name in SPECIAL:
            yield from SPECIAL[name](name)


def not_simulated(names: list[str], done: set[str]) -> list[str]:
    """Metrics that declare an interval and were not simulated."""
    return [name for name in names if name not in done and not metric_class(name).spec.interval.startswith("none")]


def main() -> int:
    """Print a table; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--metric", action="append")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = given.metric or [spec.name for spec in metrics.catalogue()]
    found: list[Coverage] = []
    for case in cases(names):
        for line in simulate(case, given.runs):
            found.append(line)
            verdict = "ok" if line.passes() else "MISSED"
            kind = "at least" if line.conservative else "nominal"
            print(f"{verdict:7}{line.covered:6.1%} {kind:9}{line.metric}.{line.key}: {line.regime}", flush=True)
    left = not_simulated(names, {line.metric for line in found})
    for name in left:
        print(f"MISSED {name}: it declares an interval and no case gives one; add a case to SPECIAL")
    if given.json:
        given.json.write_text(json.dumps([asdict(line) for line in found], indent=1))
    return 1 if left or not all(line.passes() for line in found) else 0


if __name__ == "__main__":
    sys.exit(main())
