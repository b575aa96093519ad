"""Fréchet distance between Gaussian fits of two feature sets (FID, where the features are Inception's)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec, State
from metrics.errors import InputError
from metrics.image.features import RowMetric, Sample, pair_of_matrices

_NO_INTERVAL = "no valid interval: the estimator is biased upwards at any n, so resampling does not cover the truth"
_AT_N = "Fréchet distance of n generated samples to the fixed reference set: a value at n, biased upwards"


@dataclass(frozen=True, slots=True)
class _Gaussian:
    """A Gaussian fit: mean ``[d]`` and a factor ``[r, d]`` with factor.T @ factor = covariance (ddof 1)."""

    mean: FloatArray
    factor: FloatArray


def _fit(rows: FloatArray) -> _Gaussian:
    """Fit by rank: centred rows for n <= d, else the Cholesky factor, else (singular) the eigen factor."""
    n, d = rows.shape
    mean = rows.mean(axis=0)
    centred = rows - mean
    if n <= d:
        return _Gaussian(mean, centred / np.sqrt(n - 1))
    covariance = centred.T @ centred / (n - 1)
    try:
        factor = np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        real = values > values[-1] * d * np.finfo(np.float64).eps
        factor = np.sqrt(values[real])[:, None] * vectors[:, real].T
    return _Gaussian(mean, factor)


def _squared_distance(a: _Gaussian, b: _Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), before clamping.

    With C = F.T F, tr (C1 C2)^(1/2) is the sum of the singular values of F1 F2.T. No square root of a
    computed eigenvalue is taken, so rounding stays at machine precision even for singular covariances.
    """
    offset = a.mean - b.mean
    cross = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum()
    return float(offset @ offset + (a.factor**2).sum() + (b.factor**2).sum() - 2 * cross)


def _clamped(raw: float, method: str, **rest: Any) -> Estimate:
    note = f"; rounding gave {raw:.3g}, shown as 0" if raw < 0 else ""
    return Estimate(max(raw, 0.0), method=method + note, **rest)


def frechet_distance(reference: Any, generated: Any) -> Estimate:
    """Fréchet distance between Gaussian fits of two feature sets. Lower is better; 0 for identical sets.

    Args:
        reference: features ``[m, d]``, NumPy or torch, any float type or uint8; computed in float64.
        generated: features ``[n, d]``.

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
    first, second = pair_of_matrices(reference, generated)
    raw = _squared_distance(_fit(first), _fit(second))
    return _clamped(raw, _NO_INTERVAL, n=len(second), estimand=_AT_N)


def frechet_distance_infinity(reference: Any, generated: Any, *, seed: int = 0) -> Estimate:
    """Fréchet distance extrapolated to infinitely many generated samples. Lower is better.

    The bias of the Fréchet distance falls as 1/n for n well above d (Chong and Forsyth 2020, arXiv:1911.07023), so
    the line through the distances at n (all samples) and n/2 (mean over seeded disjoint halves) meets 1/n = 0
    at ``2 FID(n) - FID(n/2)``. The reference set is taken as it is: its own size still biases the value.

    Args:
        reference: features ``[m, d]``.
        generated: features ``[n, d]``, n at least 4.
        seed: of the halves.

    Returns:
        The extrapolated distance (it may fall below 0 within its noise), without interval; `spread` is the standard
        deviation over the distances at n/2.

    Raises:
        InputError: as `frechet_distance`, and for n below 4.
    """
    first, second = pair_of_matrices(reference, generated)
    if len(second) < 4:
        raise InputError(f"generated features: got {len(second)} samples, at least 4 are needed to extrapolate")
    target = _fit(first)
    whole = _squared_distance(target, _fit(second))
    halves = _half_distances(target, second, seed)
    return Estimate(
        float(2 * whole - halves.mean()),
        n=len(second),
        spread=float(halves.std(ddof=1)),
        method="no valid interval: extrapolated from n and n/2, with a remainder of order 1/n^2",
        estimand="Fréchet distance of the generator's distribution to the fixed reference set",
    )


def _half_distances(target: _Gaussian, rows: FloatArray, seed: int) -> FloatArray:
    """Distances of seeded disjoint halves; wide features, where each costs seconds, get one division only."""
    rng = np.random.default_rng(seed)
    divisions = 5 if rows.shape[1] <= 512 else 1
    half = len(rows) // 2
    distances = []
    for _ in range(divisions):
        order = rng.permutation(len(rows))
        distances += [_squared_distance(target, _fit(rows[order[i * half : (i + 1) * half]])) for i in range(2)]
    return np.array(distances)


class FrechetInceptionDistance(RowMetric):
    """FID with its low-sample bias shown: `value` at n, and `bias`, what the distance at n exceeds the limit by.

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

    def __init__(self, *, reference: State | None = None, seed: int = 0) -> None:
        super().__init__(reference=reference, seed=seed)
        self._seed = seed

    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the distance, and its low-sample bias where four samples or more allow halves."""
        target = _fit(reference)
        raw = _squared_distance(target, _fit(generated.rows))
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
