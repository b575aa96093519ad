"""The state of a `SampleMetric`: moments per key, and all scores where quantiles are asked for."""

from __future__ import annotations

import numpy as np

from metrics.base import PRIMARY, Estimate, FloatArray, SampleMetric, Scores, State
from metrics.errors import InputError
from metrics.scoring import check_state
from metrics.statistics.intervals import tail
from metrics.statistics.moments import Moments, moments_of
from metrics.statistics.pairing import compare_rows, independent_difference
from metrics.statistics.rows import estimate, quantile_estimate

_OBSERVED = "observed"


def empty(metric: SampleMetric) -> State:
    """State of no samples."""
    return _state(metric, {key: Moments() for key in metric.quantities()}, np.empty(0))


def state_of(metric: SampleMetric, components: dict[str, Scores]) -> State:
    """State of rows; keys without rows are left out."""
    quantities = metric.quantities()
    moments = {
        key: moments_of(scores, low=quantities[key].low, high=quantities[key].high)
        for key, scores in components.items()
    }
    return _state(metric, moments, _observed(components[PRIMARY]))


def merge(metric: SampleMetric, a: State, b: State) -> State:
    """State of both runs of samples."""
    left, right = _moments(metric, a), _moments(metric, b)
    if set(left) != set(right):
        raise InputError(f"states of '{metric.spec.name}' hold {sorted(left)} and {sorted(right)}; they do not merge")
    observed = np.concatenate([a.arrays[_OBSERVED], b.arrays[_OBSERVED]]) if metric.quantiles else np.empty(0)
    return _state(metric, {key: left[key].merge(right[key]) for key in left}, observed)


def compute(metric: SampleMetric, state: State, confidence: float) -> dict[str, Estimate]:
    """Estimates of every key that the state holds."""
    tail(confidence)
    quantities, moments = metric.quantities(), _moments(metric, state)
    results = {key: estimate(part, quantities[key], confidence=confidence) for key, part in moments.items()}
    missing = int(moments[PRIMARY].numbers.missing)
    for key, quantile in metric.quantiles.items():
        values = state.arrays[_OBSERVED]
        results[key] = quantile_estimate(values, quantile, missing=missing, confidence=confidence)
    return results


def compare(metric: SampleMetric, candidate: Scores, champion: Scores, confidence: float) -> dict[str, Estimate]:
    """Candidate minus champion for every key that follows from stored rows."""
    quantities = metric.quantities()
    left, right = metric.components(candidate), metric.components(champion)
    results = {key: compare_rows(left[key], right[key], quantities[key], confidence=confidence) for key in left}
    for key, quantile in metric.quantiles.items():
        sides = []
        for scores in (candidate, champion):
            values = _observed(scores)
            lost = len(scores) - len(values)
            sides.append(quantile_estimate(values, quantile, missing=lost, confidence=confidence))
        results[key] = independent_difference(*sides)
    return results


def _observed(scores: Scores) -> FloatArray:
    return scores.values[np.isfinite(scores.values)]


def _state(metric: SampleMetric, moments: dict[str, Moments], observed: FloatArray) -> State:
    arrays = {f"{key}.{name}": a for key, part in moments.items() for name, a in part.to_arrays().items()}
    if metric.quantiles:
        arrays[_OBSERVED] = observed
    return State(metric.spec.name, metric.spec.version, {"keys": list(moments)}, arrays)


def _moments(metric: SampleMetric, state: State) -> dict[str, Moments]:
    check_state(metric, state)
    found = {}
    for key in state.facts["keys"]:
        prefix = f"{key}."
        own = {name.removeprefix(prefix): a for name, a in state.arrays.items() if name.startswith(prefix)}
        found[key] = Moments.from_arrays(own)
    return found
