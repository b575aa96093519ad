"""Fréchet distance between Gaussian fits of two feature sets (FID, where the features are Inception's)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec, State
from metrics.errors import InputError
from metrics.image.features import RowMetric, Sample, checked_matrix, checked_pair
from metrics.image.stored import RowSource, column_means, reordered

_NO_INTERVAL = "no valid interval: the estimator is biased upwards at any n, so resampling does not cover the truth"
_EIGENVALUE_ERROR = 8 * float(np.finfo(np.float64).eps)
"""Relative to the largest; LAPACK's symmetric solvers were seen to err by a fifth of it at most."""
_ROUNDING = 1e-9
_BLOCK_CELLS = 2_000_000
_AT_N = "Fréchet distance of n generated samples to the fixed reference set: a value at n, biased upwards"


@dataclass(frozen=True, slots=True)
class Gaussian:
    """A Gaussian fit: mean ``[d]`` and a factor ``[r, d]`` with factor.T @ factor = covariance (ddof 1).

    `n` counts the rows behind it; `triangular` tells that the factor is ``[d, d]`` with zeros below its diagonal, so
    that a product with it takes half the operations.
    """

    mean: FloatArray
    factor: FloatArray
    n: int
    triangular: bool = False


def fit_gaussian(rows: RowSource) -> Gaussian:
    """Fit finite rows ``[n, d]`` in float64, by rank: for n <= d the factor is the centred rows, turned into n - 1."""
    n, d = rows.shape
    mean = column_means(rows)
    if n <= d:
        # a reflection that takes the direction (1, ..., 1), where centred rows have nothing, to the first row
        factor = rows[1:] - (mean + (rows[0] - mean) / (np.sqrt(n) + 1))
        factor /= np.sqrt(n - 1)
        return Gaussian(mean, factor, n)
    from scipy.linalg.blas import dsyrk

    scatter = np.zeros((d, d), order="F")
    step = max(d, _BLOCK_CELLS // d)
    for start in range(0, n, step):
        centred = rows[start : start + step] - mean
        # half of the symmetric matrix is computed, and added to what is there without a copy
        scatter = dsyrk(1 / (n - 1), centred.T, beta=1.0, c=scatter, lower=1, overwrite_c=1)
    return gaussian_of(mean, scatter, n)


def gaussian_of(mean: FloatArray, covariance: FloatArray, n: int) -> Gaussian:
    """Return the Gaussian of known moments: the Cholesky factor or, where it is singular, the eigen factor.

    Only the triangle on and below the diagonal of `covariance` is read.
    """
    from scipy.linalg.lapack import dpotrf

    lower, failed = dpotrf(covariance, lower=1, clean=1)  # in Fortran's order, so that its transpose is in C's
    if not failed:
        return Gaussian(mean, lower.T, n, triangular=True)
    values, vectors = np.linalg.eigh(covariance)
    real = values > values[-1] * len(mean) * np.finfo(np.float64).eps
    return Gaussian(mean, np.sqrt(values[real])[:, None] * vectors[:, real].T, n)


def _cross(a: Gaussian, b: Gaussian) -> FloatArray:
    """``a.factor @ b.factor.T`` or its transpose, which has the same singular values."""
    if not (a.triangular or b.triangular):
        return a.factor @ b.factor.T
    from scipy.linalg.blas import dtrmm

    left, right = (a, b) if b.triangular else (b, a)
    # BLAS reads the transposes of arrays in C's order: U.T is lower, and U @ left.T is its transpose times left.T
    product: FloatArray = dtrmm(1.0, right.factor.T, left.factor.T, lower=1, trans_a=1).T
    return product


def squared_distance(a: Gaussian, b: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), before clamping.

    With C = F.T F, tr (C1 C2)^(1/2) is the sum of the singular values of F1 F2.T: square roots of the eigenvalues
    of its Gram matrix, which take a quarter of the time but lose the small ones to rounding. They are used where
    a bound on that loss stays below `_ROUNDING` of the distance; else (nearly equal or singular sets) the singular
    values are computed directly, to machine precision.
    """
    offset = a.mean - b.mean
    own = float(offset @ offset + np.vdot(a.factor, a.factor) + np.vdot(b.factor, b.factor))
    cross = _cross(a, b)
    if not cross.size:  # a constant set
        return own
    gram = cross.T @ cross if cross.shape[0] > cross.shape[1] else cross @ cross.T
    squares = np.linalg.eigvalsh(gram)
    roots = np.sqrt(np.maximum(squares, 0.0))
    distance = own - 2 * float(roots.sum())
    error = _EIGENVALUE_ERROR * max(float(squares[-1]), 0.0)  # of each eigenvalue
    loss = float(2 * np.minimum(error / np.maximum(roots, np.sqrt(error) + np.finfo(float).tiny), np.sqrt(error)).sum())
    if loss <= _ROUNDING * distance:
        return distance
    return own - 2 * float(np.linalg.svd(cross, compute_uv=False).sum())


def _clamped(raw: float, method: str, **rest: Any) -> Estimate:
    note = f"; rounding gave {raw:.3g}, shown as 0" if raw < 0 else ""
    return Estimate(max(raw, 0.0), method=method + note, **rest)


def gaussian(features: Any) -> Gaussian:
    """Fit a Gaussian once, for a reference set that many generated sets are compared with.

    Args:
        features: ``[n, d]``, at least two rows; NumPy or torch, any float type or uint8; computed in float64.

    Raises:
        InputError: values that are not finite, fewer than two samples.
    """
    rows = checked_matrix(features, "features")
    if len(rows) < 2:
        raise InputError(f"features: got {len(rows)} samples, at least 2 are needed")
    return fit_gaussian(rows)


def gaussians(reference: Any, generated: Any) -> tuple[Gaussian, Gaussian]:
    """Check two sets, each features or a `Gaussian` already, and return their fits."""
    known = [isinstance(given, Gaussian) for given in (reference, generated)]
    if not any(known):
        first, second = checked_pair(reference, generated)
        return fit_gaussian(first), fit_gaussian(second)
    a, b = (given if isinstance(given, Gaussian) else gaussian(given) for given in (reference, generated))
    if len(a.mean) != len(b.mean):
        raise InputError(
            f"reference features have {len(a.mean)} dimensions, generated ones {len(b.mean)}; "
            "extract both with the same extractor"
        )
    return a, b


def frechet_distance(reference: Any, generated: Any) -> Estimate:
    """Fréchet distance between Gaussian fits of two feature sets. Lower is better; 0 for identical sets.

    Args:
        reference: features ``[m, d]``, NumPy or torch, any float type or uint8; computed in float64. Or what `gaussian`
            or `FeatureMoments.gaussian` made of them, which saves most of the time where one reference serves often.
        generated: features ``[n, d]``, or a `Gaussian` as well.

    Returns:
        The squared distance, in squared feature units, 0 to infinity, without interval: the estimator is biased
        upwards, and the bias depends on n and on the model (see `frechet_distance_infinity`).

    Raises:
        InputError: values that are not finite, different dimensions, fewer than two samples.

    Agrees with scipy's ``sqrtm`` formula (Heusel et al. 2017, arXiv:1706.08500; covariance with ddof 1) where that
    is well conditioned, and with the closed form on centred rows for n < d.

    >>> estimate = frechet_distance([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]], [[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]])
    >>> round(estimate.value, 9)
    1.0
    """
    first, second = gaussians(reference, generated)
    return _clamped(squared_distance(first, second), _NO_INTERVAL, n=second.n, estimand=_AT_N)


def _half_distances(target: Gaussian, rows: RowSource, seed: int) -> FloatArray:
    """Distances of seeded disjoint halves; wide features, where each costs seconds, get one division only."""
    rng = np.random.default_rng(seed)
    divisions = 5 if rows.shape[1] <= 512 else 1
    half = len(rows) // 2
    distances = []
    for _ in range(divisions):
        order = rng.permutation(len(rows))
        halves = (reordered(rows, order[i * half : (i + 1) * half]) for i in range(2))
        distances += [squared_distance(target, fit_gaussian(some)) for some in halves]
    return np.array(distances)


class FrechetInceptionDistance(RowMetric):
    """FID with its low-sample bias shown: `value` at n, and `bias`, what the distance at n exceeds the limit by.

    The task's extractor says which of the field's numbers it is: ``inception-v3`` FID as pytorch-fid's,
    ``inception-v3-clean`` clean-fid's, ``inception-v3-spatial`` sFID, ``dinov2-large`` FD-DINOv2.

    Settings: `seed` of the halves from which the bias is extrapolated. The state keeps rows (by reference where
    they are stored), not moments: below d samples a d x d scatter is larger than the rows, and the bias needs rows.
    """

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fid",
        measures="Fréchet distance between Gaussian fits of generated and reference features",
        low=0.0,
        high=None,
        direction="lower",
        quadrant="quality",
        needs=("features",),
        estimand=_AT_N,
        interval="none: biased upwards at any n, and a bootstrap does not cover the truth",
        validity="compare only at equal n, reference and extractor; `bias` shows how much of the value is sample size",
        source="Heusel et al. 2017; numbers as pytorch-fid and torch-fidelity on the same features",
        keys={"bias": "estimated low-sample bias contained in the value: FID(n/2) - FID(n)"},
        uses_reference=True,
    )

    blockwise: ClassVar[bool] = True
    streamed: ClassVar[bool] = True

    def __init__(self, *, reference: State | None = None, seed: int = 0) -> None:
        super().__init__(reference=reference, seed=seed)
        self._seed = seed

    def estimate(self, reference: RowSource, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the distance, and its low-sample bias where four samples or more allow halves."""
        target = fit_gaussian(reference)
        raw = squared_distance(target, fit_gaussian(generated.rows))
        common: dict[str, Any] = {"n": generated.n, "coverage": generated.coverage, "confidence": confidence}
        result = {PRIMARY: _clamped(raw, _NO_INTERVAL, estimand=_AT_N, **common)}
        if generated.n < 4:
            return result | {"bias": self.missing(generated, "not computed: halves need 4 samples", confidence)}
        halves = _half_distances(target, generated.rows, self._seed)
        result["bias"] = Estimate(
            float(halves.mean() - raw),
            spread=float(halves.std(ddof=1)),
            method="no valid interval: mean distance of seeded halves minus distance of all; spread is over halves",
            estimand="bias of the Fréchet distance at n under a 1/n law, the reference held fixed",
            **common,
        )
        return result
