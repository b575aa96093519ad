"""Bootstrap of a stream: every sample enters replicate r a Poisson(1) number of times, so that replicates merge."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metrics.base import Batch, Estimate, FloatArray, SampleMetric, Scores, State
from metrics.errors import InputError
from metrics.statistics.intervals import tail
from metrics.statistics.sample_state import state_of

FEWEST_UNITS = 50
"""Samples or clusters below which a percentile interval was not found to cover in simulation."""

_OWN, _REPLICATES = "own.", "replicates."
_CELLS = 4_000_000
_POISSON_CDF = np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 20)]))


class PoissonBootstrap:
    """Replicates of a sample metric's value beside its own state, as one mergeable state.

    How often a sample enters a replicate depends on its id (or its cluster's name), the replicate and the seed
    alone: any split into batches, shards and windows gives the same replicates, up to rounding. A replicate costs two
    numbers per key.

    Args:
        metric: what is estimated: its means, rates and ratios; quantiles keep the interval that the metric gives.
        replicates: at least 100.
        seed: another seed draws other replicates.

    Source: Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive data streams".
    """

    def __init__(self, metric: SampleMetric, *, replicates: int = 500, seed: int = 0) -> None:
        if replicates < 100:
            raise InputError(f"{replicates} replicates; a bootstrap interval needs at least 100")
        self.metric = metric
        self.replicates = replicates
        self.seed = seed

    def init(self) -> State:
        """Return the state of no samples."""
        totals = {key: np.zeros((self.replicates, 2)) for key in self.metric.quantities()}
        return self._state(self.metric.init(), totals)

    def update(self, state: State, batch: Batch) -> State:
        """Return the state with a batch added; the given state is left as it was."""
        components = self.metric.batch_components(batch)
        totals = {key: self._totals(scores) for key, scores in components.items()}
        return self.merge(state, self._state(state_of(self.metric, components), totals))

    def merge(self, a: State, b: State) -> State:
        """Return the state of both runs of samples; `InputError` where seed or number of replicates differ."""
        mine = {"seed": self.seed, "replicates": self.replicates}
        for state in (a, b):
            theirs = {name: state.facts[name] for name in mine}
            if theirs != mine:
                raise InputError(f"a bootstrap state was drawn with {theirs}; this bootstrap has {mine}")
        left, right = _totals_of(a), _totals_of(b)
        own = self.metric.merge(_own(a), _own(b))
        return self._state(own, {key: left[key] + right[key] for key in left})

    def compute(self, state: State, *, confidence: float = 0.95) -> dict[str, Estimate]:
        """Return the metric's estimates with percentile intervals; `spread` is the bootstrap's standard error.

        A key has no interval with fewer than 50 samples or clusters, or where its replicates do not vary.
        """
        levels = [tail(confidence), 1 - tail(confidence)]
        own = _own(state)
        results = self.metric.compute(own, confidence=confidence)
        for key, totals in _totals_of(state).items():
            found = results[key]
            clusters = own.arrays.get(f"{key}.clusters")
            units = found.n if clusters is None else len(clusters)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                values = totals[:, 0] / totals[:, 1]
                if self.metric.quantities()[key].scale == "log":
                    values = np.exp(values)
            low: float | None = None
            high: float | None = None
            error: float | None = None
            if units < FEWEST_UNITS:
                what = "samples" if clusters is None else "clusters"
                method = f"no interval: {units} {what}, {FEWEST_UNITS} needed"
            elif not np.isfinite(values).all():
                method = "no interval: some replicates are undefined"
            elif np.ptp(values) <= 1e-12 * np.abs(values).max():
                method = "no interval: the replicates do not vary"
            else:
                low, high = (float(end) for end in np.quantile(values, levels))
                error = float(values.std(ddof=1))
                method = "percentile, Poisson bootstrap" + ("" if clusters is None else ", clustered")
            results[key] = replace(found, low=low, high=high, spread=error, method=method)
        return results

    def _totals(self, scores: Scores) -> FloatArray:
        """Sums of weighted values and denominators in every replicate ``[replicates, 2]``."""
        scored = np.isfinite(scores.values) & np.isfinite(scores.denominators)
        weights = np.asarray(scores.weights, dtype=np.float64)
        terms = np.stack([weights * scores.values, weights * scores.denominators], axis=1)[scored]
        names = scores.sample_ids if scores.clusters is None else scores.clusters
        keys = _hashes([str(name) for name, use in zip(names, scored, strict=True) if use], self.seed)
        totals = np.zeros((self.replicates, 2))
        step = max(1, _CELLS // self.replicates)
        for start in range(0, len(keys), step):
            part = slice(start, start + step)
            totals += _poisson(keys[part], self.replicates) @ terms[part]
        return totals

    def _state(self, own: State, totals: dict[str, FloatArray]) -> State:
        facts = {"seed": self.seed, "replicates": self.replicates, "own": dict(own.facts)}
        arrays: dict[str, NDArray[np.generic]] = {_OWN + name: array for name, array in own.arrays.items()}
        arrays |= {_REPLICATES + key: part for key, part in totals.items()}
        return State(own.metric, own.version, facts, arrays)


def _own(state: State) -> State:
    arrays = {name.removeprefix(_OWN): array for name, array in state.arrays.items() if name.startswith(_OWN)}
    return State(state.metric, state.version, state.facts["own"], arrays)


def _totals_of(state: State) -> dict[str, FloatArray]:
    return {
        name.removeprefix(_REPLICATES): array for name, array in state.arrays.items() if name.startswith(_REPLICATES)
    }


def _hashes(names: list[str], seed: int) -> NDArray[np.uint64]:
    salt = str(seed).encode()
    digests = (
        hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=salt[:64]).digest() for name in names
    )
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _poisson(keys: NDArray[np.uint64], replicates: int) -> FloatArray:
    """Poisson(1) counts ``[replicates, len(keys)]`` from a hash of key and replicate (SplitMix64's finaliser)."""
    steps = np.arange(1, replicates + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = keys[None, :] + steps[:, None]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    uniform = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    counts: FloatArray = np.searchsorted(_POISSON_CDF, uniform, side="right").astype(np.float64)
    return counts
