"""Precision, recall, density and coverage: do generated and reference samples lie on each other's manifold?

The reference set is held fixed. Precision and density are means over generated samples; recall and coverage depend
on how many samples were generated, so their value is the mean over independent blocks of a declared size.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec, State
from metrics.errors import InputError
from metrics.image.features import SHARED_CLUSTERS, RowMetric, Sample, checked_pair, mean_interval, share
from metrics.image.neighbours import Balls, memberships, memberships_by_point, neighbour_radii, reference_radii
from metrics.image.stored import RowSource, reordered

LEAST_BLOCKS = 8
"""Blocks below which no t interval is given."""

_NO_INTERVAL_AT_N = "no valid interval: one value at n; the metric gives an interval over blocks"
_KYNKAANNIEMI = "Kynkäänniemi et al. 2019 (arXiv:1904.06991)"
_NAEEM = "Naeem et al. 2020 (arXiv:2002.09797)"


def _in_manifold(points: RowSource, centres: RowSource, radii: FloatArray) -> NDArray[np.bool_]:
    """Whether each point lies in (or on) any centre's ball, ``[points]``."""
    inside = np.zeros(len(points), bool)
    for ((point, _),) in memberships(points, centres, Balls(radii, inclusive=True)):
        inside[point] = True
    return inside


def _recalled(reference: RowSource, generated: RowSource, k: int) -> float:
    return float(_in_manifold(reference, generated, neighbour_radii(generated, k)).mean())


def _densities(reference: RowSource, generated: RowSource, k: int) -> FloatArray:
    """Reference balls around each generated sample, over k: ``[n]``, 0 to m / k."""
    counts = np.zeros(len(generated))
    balls = Balls(reference_radii(reference, k), inclusive=False)
    for ((point, _),) in memberships(generated, reference, balls):
        counts += np.bincount(point, minlength=len(counts))
    return counts / k


def _covered(reference: RowSource, generated: RowSource, k: int, size: int) -> NDArray[np.bool_]:
    """Which reference balls hold a sample of each run of `size` generated ones, ``[runs, m]``; the last is shorter."""
    covered = np.zeros((-(-len(generated) // size), len(reference)), dtype=bool)
    balls = Balls(reference_radii(reference, k), inclusive=False)
    for ((point, centre),) in memberships(generated, reference, balls):
        covered[point // size, centre] = True
    return covered


def _check_k(k: int, reference: FloatArray, generated: FloatArray | None) -> None:
    for name, rows in (("reference", reference), ("generated", generated)):
        if k < 1 or (rows is not None and len(rows) <= k):
            size = "" if rows is None else f" with {len(rows)} {name} samples"
            raise InputError(f"`k` is {k}{size}; give at least 1 and fewer than the samples")


def precision_recall(reference: Any, generated: Any, *, k: int = 3) -> dict[str, Estimate]:
    """Improved precision and recall of all samples at once. Higher is better; 0 to 1.

    Args:
        reference: features ``[m, d]``, NumPy or torch, any float type or uint8; computed in float64.
        generated: features ``[n, d]``.
        k: neighbour that gives the radius of a sample's ball; below m and n.

    Returns:
        ``precision``: share of generated samples within the reference's manifold, with Wilson's interval (the
        reference held fixed); ``recall``: share of reference samples within the manifold of the n generated
        ones, a value at n without interval (the metric `Recall` has one, over blocks).

    Raises:
        InputError: values that are not finite, different dimensions, k too large for a set.

    Source: Kynkäänniemi et al. 2019 (arXiv:1904.06991), balls with their boundary.
    """
    x, y = checked_pair(reference, generated)
    _check_k(k, x, y)
    inside = _in_manifold(y, x, reference_radii(x, k))
    return {
        "precision": _precision(inside, Sample(y, len(y), False), 0.95),
        "recall": Estimate(
            _recalled(x, y, k), n=len(y), method=_NO_INTERVAL_AT_N, estimand="recall at n generated samples"
        ),
    }


def density_coverage(reference: Any, generated: Any, *, k: int = 5) -> dict[str, Estimate]:
    """Density and coverage of all samples at once. Higher is better; density 0 to m / k, coverage 0 to 1.

    Args:
        reference: features ``[m, d]``, NumPy or torch, any float type or uint8; computed in float64.
        generated: features ``[n, d]``.
        k: neighbour that gives the radius of a reference sample's ball; below m.

    Returns:
        ``density``: mean count of reference balls around a generated sample over k, with a t interval (the
        reference held fixed); ``coverage``: share of reference balls that hold a generated sample, a value at n
        without interval (the metric `Coverage` has one, over blocks).

    Raises:
        InputError: values that are not finite, different dimensions, k too large for the reference.

    Source: Naeem et al. 2020 (arXiv:2002.09797), balls without their boundary.
    """
    x, y = checked_pair(reference, generated)
    _check_k(k, x, None)
    return {
        "density": _density(_densities(x, y, k), len(x) / k, Sample(y, len(y), False), 0.95),
        "coverage": Estimate(
            float(_covered(x, y, k, len(y)).mean()),
            n=len(y),
            method=_NO_INTERVAL_AT_N,
            estimand="coverage at n generated samples",
        ),
    }


def precision_recall_density_coverage(
    reference: Any, generated: Any, *, k: int = 3, k_density: int = 5
) -> dict[str, Estimate]:
    """All four of all samples at once, in half the time of `precision_recall` and `density_coverage`.

    Args:
        reference: features ``[m, d]``, NumPy or torch, any float type or uint8.
        generated: features ``[n, d]``.
        k: neighbour of precision and recall; below m and n.
        k_density: neighbour of density and coverage; below m.

    Returns:
        What the two functions return, the same numbers.

    Raises:
        InputError: as the two functions.
    """
    x, y = checked_pair(reference, generated)
    _check_k(k, x, y)
    _check_k(k_density, x, None)
    radii, wide = reference_radii(x, k, k_density)
    balls = (
        Balls(radii, inclusive=True),
        Balls(neighbour_radii(y, k), inclusive=True, around="points"),
        Balls(wide, inclusive=False),
    )
    precise, counts = np.zeros(len(y), bool), np.zeros(len(y))
    recalled, covered = np.zeros(len(x), bool), np.zeros(len(x), bool)
    for (inside, _), (_, around), (dense, holding) in memberships(y, x, *balls):
        precise[inside] = True
        recalled[around] = True
        counts += np.bincount(dense, minlength=len(y))
        covered[holding] = True
    sample = Sample(y, len(y), False)
    result = {
        "precision": _precision(precise, sample, 0.95),
        "density": _density(counts / k_density, len(x) / k_density, sample, 0.95),
    }
    for name, hits in (("recall", recalled), ("coverage", covered)):
        estimand = f"{name} at n generated samples"
        result[name] = Estimate(float(hits.mean()), n=len(y), method=_NO_INTERVAL_AT_N, estimand=estimand)
    return result


def _precision(inside: NDArray[np.bool_], generated: Sample, confidence: float) -> Estimate:
    return share(
        inside, generated, "share of the generator's distribution within the fixed reference's manifold", confidence
    )


def _density(values: FloatArray, highest: float, generated: Sample, confidence: float) -> Estimate:
    valid = not generated.dependent and len(values) >= 2
    low, high = mean_interval(values, highest, confidence) if valid else (None, None)
    reason = SHARED_CLUSTERS if generated.dependent else "no valid interval: one sample"
    return Estimate(
        float(values.mean()),
        low,
        high,
        n=generated.n,
        coverage=generated.coverage,
        worst_low=float(values.sum()) / generated.offered,
        worst_high=(float(values.sum()) + highest * (generated.offered - generated.n)) / generated.offered,
        spread=float(values.std(ddof=1)) if len(values) > 1 else None,
        method="t interval over generated samples, the reference fixed" if valid else reason,
        estimand="mean local density of the reference around the generator's distribution",
        confidence=confidence,
    )


def _spec(name: str, measures: str, **facts: Any) -> MetricSpec:
    return MetricSpec(
        name=name, measures=measures, low=0.0, direction="higher", needs=("features",), uses_reference=True, **facts
    )


class _NeighbourMetric(RowMetric):
    """What the four share: k, and enough samples for it."""

    blockwise: ClassVar[bool] = True
    streamed: ClassVar[bool] = True

    def __init__(self, *, reference: State | None, k: int, **settings: Any) -> None:
        if k < 1:
            raise InputError(f"metric '{self.spec.name}': `k` is {k}; give at least 1")
        super().__init__(reference=reference, k=k, **settings)
        self.k = k

    def least_samples(self) -> int:
        """One."""
        return 1

    def least_reference(self) -> int:
        """Every reference sample needs k others."""
        return self.k + 1


class Precision(_NeighbourMetric):
    """Share of generated samples within the reference's manifold. Settings: `k`."""

    spec: ClassVar[MetricSpec] = _spec(
        "precision",
        "share of generated samples that lie within the reference's manifold",
        high=1.0,
        quadrant="quality",
        estimand="share of the generator's distribution within the fixed reference's manifold",
        interval="Wilson over generated samples, the reference held fixed",
        validity="independent samples; 5 or more expected of each outcome, else it covers 84 % and more",
        source=_KYNKAANNIEMI,
    )

    def __init__(self, *, reference: State | None = None, k: int = 3) -> None:
        super().__init__(reference=reference, k=k)

    def estimate(self, reference: RowSource, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the share."""
        inside = _in_manifold(generated.rows, reference, reference_radii(reference, self.k))
        return {PRIMARY: _precision(inside, generated, confidence)}


class Density(_NeighbourMetric):
    """Mean count of reference balls around a generated sample, over k. Settings: `k`."""

    spec: ClassVar[MetricSpec] = _spec(
        "density",
        "how densely reference samples surround the generated ones; about 1 for equal distributions",
        high=None,
        quadrant="quality",
        estimand="mean local density of the reference around the generator's distribution",
        interval="t over generated samples, the reference held fixed",
        validity="two or more independent samples",
        source=_NAEEM,
    )

    def __init__(self, *, reference: State | None = None, k: int = 5) -> None:
        super().__init__(reference=reference, k=k)

    def estimate(self, reference: RowSource, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the mean."""
        values = _densities(reference, generated.rows, self.k)
        return {PRIMARY: _density(values, len(reference) / self.k, generated, confidence)}


class _BlockMetric(_NeighbourMetric):
    """A value that depends on the number of generated samples: the mean over independent blocks of that size.

    `block` is fixed rather than a share of n, so that generating more narrows the interval and does not move
    what is estimated. Samples are dealt to blocks by a seeded permutation; a last, smaller block is left out.
    """

    def __init__(self, *, reference: State | None, k: int, block: int, seed: int) -> None:
        super().__init__(reference=reference, k=k, block=block, seed=seed)
        if block < self.least_samples():
            raise InputError(f"metric '{self.spec.name}': `block` is {block}; give at least {self.least_samples()}")
        self.block, self.seed = block, seed

    @abstractmethod
    def shares(self, reference: RowSource, generated: RowSource, size: int) -> tuple[FloatArray, float]:
        """The share of reference samples that each whole run of `size` generated samples reaches, and that all do."""

    def estimate(self, reference: RowSource, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the mean over blocks, and the value of all samples at once under ``full``."""
        name, n = self.spec.name, generated.n
        size = min(self.block, n)
        order = np.random.default_rng(self.seed).permutation(n)
        count = n // size
        shares, full = self.shares(reference, reordered(generated.rows, order), size)
        low, high, method = self._interval(shares, size, generated.dependent, confidence)
        common: dict[str, Any] = {"n": n, "coverage": generated.coverage, "confidence": confidence}
        return {
            PRIMARY: Estimate(
                float(shares.mean()),
                low,
                high,
                spread=float(shares.std(ddof=1)) if count > 1 else None,
                method=method,
                estimand=f"{name} of {size} generated samples against the fixed reference set",
                **common,
            ),
            "full": Estimate(full, method=_NO_INTERVAL_AT_N, estimand=f"{name} at n generated samples", **common),
        }

    def _interval(
        self, shares: FloatArray, size: int, dependent: bool, confidence: float
    ) -> tuple[float | None, float | None, str]:
        blocks = f"{len(shares)} blocks of {size} samples"
        if dependent:
            return None, None, f"{SHARED_CLUSTERS}; mean of {blocks}"
        if size < self.block or len(shares) < LEAST_BLOCKS:
            needed = LEAST_BLOCKS * self.block
            return None, None, f"no valid interval: {blocks}; generate {needed} samples or set a smaller `block`"
        low, high = mean_interval(shares, 1.0, confidence)
        return low, high, f"t interval over {blocks}, the reference fixed"


_BLOCK_FACTS: dict[str, Any] = {
    "high": 1.0,
    "quadrant": "diversity",
    "interval": "t over independent blocks of generated samples, the reference held fixed",
    "validity": f"{LEAST_BLOCKS} or more blocks of independent samples (800 samples at the default block of 100)",
    "keys": {"full": "the value of all samples at once, as in the paper; depends on n, no interval"},
}


class Recall(_BlockMetric):
    """Share of reference samples within the manifold of `block` generated ones. Settings: `k`, `block`, `seed`."""

    spec: ClassVar[MetricSpec] = _spec(
        "recall",
        "share of reference samples that lie within the generated samples' manifold",
        estimand="recall of `block` generated samples against the fixed reference set",
        source=_KYNKAANNIEMI,
        **_BLOCK_FACTS,
    )

    def __init__(self, *, reference: State | None = None, k: int = 3, block: int = 100, seed: int = 0) -> None:
        super().__init__(reference=reference, k=k, block=block, seed=seed)

    def least_samples(self) -> int:
        """Every generated sample needs k others."""
        return self.k + 1

    def shares(self, reference: RowSource, generated: RowSource, size: int) -> tuple[FloatArray, float]:
        """Recall of each block, and of all samples."""
        count = len(generated) // size
        used = reordered(generated, np.arange(count * size))
        runs = (generated[i * size : (i + 1) * size] for i in range(count))
        radii = np.concatenate([neighbour_radii(run, self.k) for run in runs])
        hits, totals, current = np.empty((0, count), bool), np.zeros(count), slice(0, 0)
        for at, ((point, centre),) in memberships_by_point(reference, used, Balls(radii, inclusive=True)):
            if at != current:  # all blocks in one pass, and what they hit of one run of reference samples at a time
                totals += hits.sum(axis=0)
                hits, current = np.zeros((at.stop - at.start, count), bool), at
            hits[point - at.start, centre // size] = True
        shares: FloatArray = (totals + hits.sum(axis=0)) / len(reference)
        return shares, float(shares[0]) if size == len(generated) else _recalled(reference, generated, self.k)


class Coverage(_BlockMetric):
    """Share of reference balls that hold one of `block` generated samples. Settings: `k`, `block`, `seed`."""

    spec: ClassVar[MetricSpec] = _spec(
        "coverage",
        "share of reference samples with a generated sample among their neighbours",
        estimand="coverage of `block` generated samples against the fixed reference set",
        source=_NAEEM,
        **_BLOCK_FACTS,
    )

    def __init__(self, *, reference: State | None = None, k: int = 5, block: int = 100, seed: int = 0) -> None:
        super().__init__(reference=reference, k=k, block=block, seed=seed)

    def shares(self, reference: RowSource, generated: RowSource, size: int) -> tuple[FloatArray, float]:
        """Coverage of each block, and of all samples."""
        covered = _covered(reference, generated, self.k, size)
        return covered[: len(generated) // size].mean(axis=1), float(covered.any(axis=0).mean())
