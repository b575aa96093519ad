"""Drift of whole rows: maximum mean discrepancy and energy distance, with a null from one matrix of pairs.

A permutation only relabels rows, so that the sums of all permutations are one product of the matrix of pairs with a
matrix of labels; the matrix is neither made again nor gathered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec, State
from metrics.drift.intervals import LEAST_ROWS
from metrics.drift.nulls import permutation_p
from metrics.errors import InputError
from metrics.image.features import RowMetric, Sample, pair_of_matrices
from metrics.statistics.intervals import tail

_BANDWIDTHS = 5
_ERROR_DRAWS = 199
_SINGLE_PRECISION_ROWS = 500
_BLOCK = 32
_PRODUCT_BLOCK = 512
_INTERVAL = "triangle inequality with the multiplier-bootstrap error of both mean embeddings, conservative"
_MMD = "squared maximum mean discrepancy of the distributions, in the kernel that `method` names"
_ENERGY = "energy distance of the distributions"


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A kernel (or minus a distance) of all pairs of pooled rows, the reference's first.

    Attributes:
        matrix: ``[m + n, m + n]``, less its mean, which no comparison of two sets depends on and which would cost
            digits.
        m: rows of the reference.
        name: the kernel, for `method`.
    """

    matrix: FloatArray
    m: int
    name: str

    @property
    def n(self) -> int:
        """Rows of the current set."""
        return len(self.matrix) - self.m

    @property
    def tolerance(self) -> float:
        """Differences of mean entries up to this are rounding: ties between permutations."""
        single = len(self.matrix) > _SINGLE_PRECISION_ROWS
        return (1e-6 if single else 1e-12) * float(np.abs(self.matrix[0]).mean())


def _squared_distances(pooled: FloatArray) -> FloatArray:
    """Squared distances ``[N, N]``; rows are centred first, so that a large common mean costs no digits."""
    rows = pooled - pooled.mean(axis=0)
    squares = np.einsum("ij,ij->i", rows, rows)
    distances: FloatArray = rows @ rows.T
    distances *= -2.0
    distances += squares[:, None]
    distances += squares[None, :]
    np.maximum(distances, 0.0, out=distances)
    np.fill_diagonal(distances, 0.0)
    return distances


def _rbf_mixture(x: FloatArray, y: FloatArray) -> _Pairs:
    """Mean of five Gaussian kernels whose bandwidths are 1/4, 1/2, 1, 2 and 4 times the median distance."""
    squared = _squared_distances(np.concatenate((x, y)))
    step = max(1, len(squared) // 500)
    some = squared[::step, ::step]
    off = some[np.triu_indices(len(some), 1)]
    positive = off[off > 0]
    median = float(np.median(positive)) if positive.size else 1.0
    for start in range(0, len(squared), _BLOCK):  # in the cache, and without a second matrix
        block = squared[start : start + _BLOCK]
        block *= -1 / (32 * median)
        kernel = np.exp(block)  # four times the median's bandwidth; each fourth power halves it
        block[:] = kernel
        for _ in range(_BANDWIDTHS - 1):
            np.square(kernel, out=kernel)
            np.square(kernel, out=kernel)
            block += kernel
        block /= _BANDWIDTHS
    squared -= squared.mean()
    name = f"mean of 5 Gaussian kernels, bandwidths 1/4 to 4 times the median distance {math.sqrt(median):.4g}"
    return _Pairs(squared, len(x), name)


def _minus_distances(x: FloatArray, y: FloatArray) -> _Pairs:
    squared = _squared_distances(np.concatenate((x, y)))
    np.sqrt(squared, out=squared)
    squared *= -1.0
    squared -= squared.mean()
    return _Pairs(squared, len(x), "Euclidean distance")


def _label_sums(pairs: _Pairs, permutations: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums within the reference, within the current set, and across, diagonal included; ``[1 + permutations]`` each.

    The first entry is the labelling as given.
    """
    size = pairs.m + pairs.n
    kind = np.float32 if size > _SINGLE_PRECISION_ROWS else np.float64
    labels: NDArray[Any] = np.zeros((size, 1 + permutations), dtype=kind)
    labels[: pairs.m] = 1.0
    shuffled = labels[:, 1:]
    np.random.default_rng(seed).permuted(shuffled, axis=0, out=shuffled)
    products: NDArray[Any] = np.empty_like(labels)
    for start in range(0, size, _PRODUCT_BLOCK):  # without a copy of the whole matrix
        rows = slice(start, start + _PRODUCT_BLOCK)
        np.matmul(pairs.matrix[rows].astype(kind, copy=False), labels, out=products[rows])
    within_x: FloatArray = np.einsum("ij,ij->j", labels, products, dtype=np.dtype(np.float64))
    within_x[0] = pairs.matrix[: pairs.m, : pairs.m].sum()
    across = pairs.matrix.sum(axis=1) @ labels - within_x
    return within_x, pairs.matrix.sum() - within_x - 2 * across, across


def _error_norms(pairs: _Pairs, seed: int) -> FloatArray:
    """Draws of the norm of the sampling error of the difference of both mean embeddings."""
    weights = np.random.default_rng(seed).standard_normal((pairs.m + pairs.n, _ERROR_DRAWS))
    for rows, count in ((slice(0, pairs.m), pairs.m), (slice(pairs.m, None), pairs.n)):
        weights[rows] -= weights[rows].mean(axis=0)
        weights[rows] /= count
    squared: FloatArray = np.einsum("ij,ij->j", weights, pairs.matrix @ weights)
    return np.sqrt(np.maximum(squared, 0.0))


def _radius(pairs: _Pairs, confidence: float, seed: int) -> float | None:
    if min(pairs.m, pairs.n) < LEAST_ROWS:
        return None
    return float(np.quantile(_error_norms(pairs, seed + 1), confidence, method="higher"))


def _checked(reference: Any, current: Any, permutations: int, rows: int) -> tuple[FloatArray, FloatArray]:
    _check_settings(permutations, rows, "drift of rows")
    return pair_of_matrices(_as_rows(reference), _as_rows(current))


def _as_rows(values: Any) -> Any:
    shape = getattr(values, "shape", None)
    return values[:, None] if shape is not None and len(shape) == 1 else values


def _check_settings(permutations: int, rows: int, what: str) -> None:
    if permutations < 19 or rows < 2:
        raise InputError(f"{what}: `permutations` is {permutations} and `rows` {rows}; give at least 19 and 2")


def _thinned(x: FloatArray, rows: int, seed: int) -> FloatArray:
    if len(x) <= rows:
        return x
    return x[np.sort(np.random.default_rng(seed).choice(len(x), rows, replace=False))]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What estimates say beside their value."""

    n: int
    coverage: float
    dependent: bool
    confidence: float
    note: str

    def estimate(
        self, value: float, estimand: str, method: str, interval: tuple[float, float] | None = None
    ) -> Estimate:
        if self.dependent:
            interval, method = None, "no valid interval: samples share clusters"
        low, high = interval or (None, None)
        return Estimate(
            value, low, high, n=self.n, coverage=self.coverage, method=f"{method}; {self.note}", estimand=estimand,
            confidence=self.confidence,
        )  # fmt: skip

    def tests(self, observed: float, null: FloatArray, tolerance: float, power: float = 1.0) -> dict[str, Estimate]:
        """p-value and critical value of a statistic that is reported to a power."""
        p = math.nan if self.dependent else permutation_p(observed - tolerance, null)
        name = f"no interval: a p-value; {len(null)} permutations of the labels"
        critical = float(np.quantile(null, self.confidence))
        critical = critical if power == 1 else max(critical, 0.0) ** power
        return {
            "p_value": self.estimate(p, "probability of a distance at least this large without drift", name),
            "critical": self.estimate(
                critical,
                f"{self.confidence:g} quantile of the value without drift, at these sizes",
                "no interval: a property of the test at these sizes",
            ),
        }


def _method(radius: float | None, pairs: _Pairs) -> str:
    if radius is not None:
        return _INTERVAL
    return f"no valid interval: {min(pairs.m, pairs.n)} rows, {LEAST_ROWS} of each set are needed"


def _discrepancy(x: FloatArray, y: FloatArray, facts: _Facts, permutations: int, seed: int) -> dict[str, Estimate]:
    pairs = _rbf_mixture(x, y)
    m, n = pairs.m, pairs.n
    xx, yy, xy = _label_sums(pairs, permutations, seed)
    diagonal = float(pairs.matrix[0, 0])
    values = (xx - m * diagonal) / (m * (m - 1)) + (yy - n * diagonal) / (n * (n - 1)) - 2 * xy / (m * n)
    value, radius = float(values[0]), _radius(pairs, facts.confidence, seed)
    interval = None
    if radius is not None:
        length = math.sqrt(max(float(xx[0] / m**2 + yy[0] / n**2 - 2 * xy[0] / (m * n)), 0.0))
        interval = min(value, max(length - radius, 0.0) ** 2), max(value, (length + radius) ** 2)
    method = f"{_method(radius, pairs)}; {pairs.name}"
    return {PRIMARY: facts.estimate(value, _MMD, method, interval), **facts.tests(value, values[1:], pairs.tolerance)}


def _polynomial(x: FloatArray, y: FloatArray, facts: _Facts, permutations: int, seed: int) -> dict[str, Estimate]:
    pooled = np.concatenate((x, y))
    kernel: FloatArray = (pooled @ pooled.T / pooled.shape[1] + 1.0) ** 3
    # The U-statistic leaves each row's kernel with itself out: zeros there, and a mean of 0 elsewhere
    np.fill_diagonal(kernel, 0.0)
    kernel -= kernel.sum() / (len(kernel) * (len(kernel) - 1))
    np.fill_diagonal(kernel, 0.0)
    pairs = _Pairs(kernel, len(x), "kernel (x . y / d + 1)^3")
    m, n = pairs.m, pairs.n
    xx, yy, xy = _label_sums(pairs, permutations, seed)
    values = xx / (m * (m - 1)) + yy / (n * (n - 1)) - 2 * xy / (m * n)
    value, method = float(values[0]), f"no interval: both sets are samples; {pairs.name}"
    return {PRIMARY: facts.estimate(value, _MMD, method), **facts.tests(value, values[1:], pairs.tolerance)}


def _energy(x: FloatArray, y: FloatArray, facts: _Facts, permutations: int, seed: int) -> dict[str, Estimate]:
    pairs = _minus_distances(x, y)
    m, n = pairs.m, pairs.n
    xx, yy, xy = _label_sums(pairs, permutations, seed)
    squares = xx / m**2 + yy / n**2 - 2 * xy / (m * n)
    value, radius = math.sqrt(max(float(squares[0]), 0.0)), _radius(pairs, facts.confidence, seed)
    interval = None if radius is None else (max(value - radius, 0.0), value + radius)
    tests = facts.tests(float(squares[0]), squares[1:], pairs.tolerance, power=0.5)
    return {PRIMARY: facts.estimate(value, _ENERGY, _method(radius, pairs), interval), **tests}


def _run(kind: Any, x: FloatArray, y: FloatArray, facts: _Facts, draws: tuple[int, int, int]) -> dict[str, Estimate]:
    """Thin both sets to the allowed rows, then compute; `draws` is permutations, rows and seed."""
    permutations, rows, seed = draws
    thinned = max(len(x), len(y)) > rows
    x, y = _thinned(x, rows, seed), _thinned(y, rows, seed + 1)
    note = f"seeded subsets of {len(x)} and {len(y)} rows" if thinned else f"{len(x)} and {len(y)} rows"
    facts = _Facts(len(y), facts.coverage, facts.dependent, facts.confidence, note)
    result: dict[str, Estimate] = kind(x, y, facts, permutations, seed)
    return result


def maximum_mean_discrepancy(
    reference: Any, current: Any, *, permutations: int = 999, rows: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Squared maximum mean discrepancy, unbiased: lower is closer; it may fall below 0 within its noise.

    Args:
        reference: ``[m, d]`` features, or ``[m]`` numbers; NumPy or torch; computed in float64.
        current: ``[n, d]``.
        permutations: of the labels; the smallest p-value is 1 / (1 + permutations).
        rows: of each set at most, drawn with the seed; memory grows with its square (2,000: 0.4 GB).
        confidence: two-sided level of the interval, and one minus the level of ``critical``.
        seed: of the permutations.

    Returns:
        ``value``, ``p_value`` ((1 + b) / (1 + P)) and ``critical``.

    Raises:
        InputError: values that are not finite, different dimensions, fewer than two rows.

    Source: Gretton et al. 2012 (JMLR 13), U-statistic; kernel: mean of five Gaussians around the median distance.
    """
    tail(confidence)
    x, y = _checked(reference, current, permutations, rows)
    facts = _Facts(len(y), 1.0, False, confidence, "")
    return _run(_discrepancy, x, y, facts, (permutations, rows, seed))


def polynomial_discrepancy(
    reference: Any, current: Any, *, permutations: int = 999, rows: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Squared maximum mean discrepancy with KID's kernel, and whether chance explains it at these sizes.

    Arguments, keys and errors as `maximum_mean_discrepancy`; no interval, for which see `kernel_distance`, whose
    ``value`` this one's is where no set is thinned.

    Source: Gretton et al. 2012 (JMLR 13), U-statistic; kernel ``(x . y / d + 1)^3`` of Bińkowski et al. 2018.
    """
    tail(confidence)
    x, y = _checked(reference, current, permutations, rows)
    facts = _Facts(len(y), 1.0, False, confidence, "")
    return _run(_polynomial, x, y, facts, (permutations, rows, seed))


def energy_distance(
    reference: Any, current: Any, *, permutations: int = 999, rows: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Energy distance of rows: root of ``2 E|X - Y| - E|X - X'| - E|Y - Y'|``; 0 upwards, lower is closer.

    In one dimension SciPy's `energy_distance`. Arguments, keys and errors as `maximum_mean_discrepancy`; features
    count by their scale, so bring columns of different units to one scale first.

    Source: Székely and Rizzo 2004.
    """
    tail(confidence)
    x, y = _checked(reference, current, permutations, rows)
    facts = _Facts(len(y), 1.0, False, confidence, "")
    return _run(_energy, x, y, facts, (permutations, rows, seed))


_TEST_KEYS = {
    "p_value": "permutation p-value of no drift",
    "critical": "quantile of the value without drift, at these sizes",
}
_VALIDITY = f"{LEAST_ROWS} or more independent rows of each set; conservative"


class _RowDrift(RowMetric):
    def __init__(
        self, *, reference: State | None = None, permutations: int = 999, rows: int = 2000, seed: int = 0
    ) -> None:
        _check_settings(permutations, rows, f"metric '{self.spec.name}'")
        super().__init__(reference=reference, permutations=permutations, rows=rows, seed=seed)
        self._draws = permutations, rows, seed

    def _facts(self, sample: Sample, confidence: float) -> _Facts:
        return _Facts(sample.n, sample.coverage, sample.dependent, confidence, "")


class MaximumMeanDiscrepancy(_RowDrift):
    """MMD of features against a reference. Settings: `permutations`, `rows` (at most, of each set), `seed`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="mmd",
        measures="drift of features: maximum mean discrepancy with a mixture of Gaussian kernels",
        low=None,
        high=None,
        direction="lower",
        quadrant="quality",
        needs=("features",),
        estimand=_MMD,
        interval=_INTERVAL,
        validity=_VALIDITY,
        source="Gretton et al. 2012, unbiased U-statistic",
        keys=_TEST_KEYS,
        key_directions={"p_value": "none", "critical": "none"},
        uses_reference=True,
    )

    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the discrepancy, its p-value and its critical value."""
        return _run(_discrepancy, reference, generated.rows, self._facts(generated, confidence), self._draws)


class EnergyDistance(_RowDrift):
    """Energy distance of features to a reference. Settings: `permutations`, `rows` (at most, of each set), `seed`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="energy_distance",
        measures="drift of features: energy distance",
        low=0.0,
        high=None,
        direction="lower",
        quadrant="quality",
        needs=("features",),
        estimand=_ENERGY,
        interval=_INTERVAL,
        validity=_VALIDITY,
        source="Székely and Rizzo 2004; scipy.stats.energy_distance in one dimension",
        keys=_TEST_KEYS,
        key_directions={"p_value": "none", "critical": "none"},
        uses_reference=True,
    )

    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the distance, its p-value and its critical value."""
        return _run(_energy, reference, generated.rows, self._facts(generated, confidence), self._draws)
