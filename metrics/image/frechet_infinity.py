"""Fréchet distance extrapolated to infinitely many generated samples (FID-infinity), with an interval."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec, State
from metrics.errors import InputError
from metrics.image.features import RowMetric, Sample, finite_float64
from metrics.image.frechet import Gaussian, fit_gaussian, gaussians
from metrics.statistics.intervals import t_interval

SIZES = 15
LARGEST_FIRST = 5000
"""The smallest of the sizes is this, or a tenth of n where that is less."""
SAMPLES_PER_DIMENSION = 2
"""Samples per dimension in the smallest subset, below which the bias does not follow 1/n and the interval was not
found to cover in simulation."""

_LEAST = 20
_INTERVAL = (
    "t interval around the extrapolation: variance of the distance by its influence function (reference fixed) plus "
    "the regression's own, robust to unequal errors"
)
_ESTIMAND = "Fréchet distance of the generator's distribution to the fixed reference set"


def _projected(target: Gaussian, rows: FloatArray) -> FloatArray:
    """Rows times the reference's factor: their covariance is F C F.T, whose root's trace the distance needs."""
    return rows @ target.factor.T


def _distance(target: Gaussian, rows: FloatArray, projected: FloatArray) -> float:
    """Squared Fréchet distance of some rows, through the eigenvalues of their projected covariance."""
    n = len(rows)
    centre = rows.mean(axis=0)
    offset = centre - target.mean
    own = float((np.einsum("ij,ij->", rows, rows) - n * (centre @ centre)) / (n - 1))
    around = projected - projected.mean(axis=0)
    gram = around @ around.T if n < around.shape[1] else around.T @ around
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(gram / (n - 1)), 0.0))
    return float(offset @ offset + np.vdot(target.factor, target.factor) + own - 2 * roots.sum())


def _influences(target: Gaussian, rows: FloatArray, projected: FloatArray) -> FloatArray:
    """First-order effect of each row on the distance, ``[n]``, mean 0.

    With C the rows' covariance and C_r = F.T F: d tr(C_r C)^(1/2) = tr(T dC) / 2, T = F.T (F C F.T)^(-1/2) F, the
    optimal transport map from the rows to the reference.
    """
    n = len(rows)
    centre = rows.mean(axis=0)
    around = projected - projected.mean(axis=0)
    values, vectors = np.linalg.eigh(around.T @ around / (n - 1))
    real = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    turned = around @ (vectors[:, real] * values[real] ** -0.25)
    shifted = rows - centre
    effect = 2 * shifted @ (centre - target.mean) + np.einsum("ij,ij->i", shifted, shifted)
    effect -= np.einsum("ij,ij->i", turned, turned)
    influences: FloatArray = effect - effect.mean()
    return influences


def subset_sizes(n: int) -> list[int]:
    """The 15 sizes, evenly spaced from min(5,000, n / 10) to n."""
    return [int(size) for size in np.linspace(max(min(LARGEST_FIRST, n // 10), 2), n, SIZES)]


def _extrapolate(sizes: list[int], distances: FloatArray) -> tuple[float, float]:
    """Intercept of the line through (1 / size, distance), and its standard error (HC3)."""
    design = np.stack([np.ones(len(sizes)), 1 / np.array(sizes)], axis=1)
    solve = np.linalg.pinv(design)
    coefficients = solve @ distances
    leverages = np.einsum("ij,ji->i", design, solve)
    # the last size holds all rows: no draw, so no residual of its own to spread
    residuals = (distances - design @ coefficients) / np.maximum(1 - leverages, 1e-9)
    return float(coefficients[0]), float(np.sqrt(((solve[0] * residuals) ** 2).sum()))


def _estimate(target: Gaussian, generated: Sample, seed: int, confidence: float) -> dict[str, Estimate]:
    rows, n = generated.rows, generated.n
    rng = np.random.default_rng(seed)
    sizes = subset_sizes(n)
    shifted = rows - target.mean  # a common offset would cancel badly in the traces
    moved = Gaussian(np.zeros_like(target.mean), target.factor, target.n)
    projected = _projected(moved, shifted)
    picks = [rng.choice(n, size, replace=False, shuffle=False) for size in sizes[:-1]]
    distances = np.array([
        *(_distance(moved, shifted[pick], projected[pick]) for pick in picks),
        _distance(moved, shifted, projected),
    ])  # fmt: skip
    value, error = _extrapolate(sizes, distances)
    common: dict[str, Any] = {"n": n, "coverage": generated.coverage, "confidence": confidence}
    low = high = None
    method = _reason(generated)
    if not method:
        influences = _influences(moved, shifted, projected)
        total = math.sqrt(float(influences.var(ddof=1)) / n + error**2)
        low, high = t_interval(value, total, SIZES - 2, confidence=confidence)
        method = _INTERVAL
    return {
        PRIMARY: Estimate(value, low, high, spread=error, method=method, estimand=_ESTIMAND, **common),
        "bias": Estimate(
            float(distances[-1] - value),
            method="no valid interval: the distance of all samples minus the extrapolated one",
            estimand="bias of the Fréchet distance at n under a 1/n law, the reference held fixed",
            **common,
        ),
    }


def _reason(generated: Sample) -> str:
    """Why there is no interval; empty where there is one."""
    n, d = generated.rows.shape
    if generated.dependent:
        return "no valid interval: samples share clusters"
    least = SAMPLES_PER_DIMENSION * d
    if subset_sizes(n)[0] < least:
        needed = f"{10 * least} are needed" if least <= LARGEST_FIRST else "too many for subsets of 5,000"
        return f"no valid interval: {n} generated samples of {d} dimensions, {needed} for the bias to follow 1/n"
    return ""


def frechet_distance_infinity(reference: Any, generated: Any, *, seed: int = 0) -> Estimate:
    """Fréchet distance extrapolated to infinitely many generated samples. Lower is better.

    The bias of the Fréchet distance falls as 1/n for n well above d, so the least-squares line through the distances
    of 15 seeded subsets (sizes evenly spaced from min(5,000, n / 10) to n) over 1/size meets 1/size = 0 at the limit.
    The reference set is taken as it is: its own size still biases the value.

    Args:
        reference: features ``[m, d]``, computed in float64, or their `gaussian`.
        generated: features ``[n, d]``, n at least 20.
        seed: of the subsets.

    Returns:
        The extrapolated distance, in squared feature units (it may fall below 0 within its noise), with an interval
        from 20 samples per dimension on; `spread` is the regression's own standard error, which leaves out that all
        subsets share the samples.

    Raises:
        InputError: as `frechet_distance`, and for n below 20.

    Source: Chong and Forsyth 2020 (arXiv:1911.07023).
    """
    rows = finite_float64(generated, "generated features")
    if len(rows) < _LEAST:
        raise InputError(f"generated features: got {len(rows)} samples, at least {_LEAST} are needed to extrapolate")
    target, _ = gaussians(reference, Gaussian(rows[0], rows[:0], len(rows)))
    return _estimate(target, Sample(rows, len(rows), False), seed, 0.95)[PRIMARY]


class FrechetDistanceInfinity(RowMetric):
    """FID-infinity: the Fréchet distance without its low-sample bias, with an interval. Settings: `seed`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="fid_infinity",
        measures="Fréchet distance between generated and reference features, extrapolated to infinitely many samples",
        low=None,
        high=None,
        direction="lower",
        quadrant="quality",
        needs=("features",),
        estimand=_ESTIMAND,
        interval=_INTERVAL,
        validity="20 or more independent generated samples per feature dimension, up to 2,500 dimensions; covered 95 "
        "to 99 % in simulation; the reference's own sampling is not covered",
        source="Chong and Forsyth 2020 (arXiv:1911.07023)",
        keys={"bias": "estimated low-sample bias of the plain distance at n"},
        uses_reference=True,
    )

    def __init__(self, *, reference: State | None = None, seed: int = 0) -> None:
        super().__init__(reference=reference, seed=seed)
        self._seed = seed

    def least_samples(self) -> int:
        """Two in the smallest size."""
        return _LEAST

    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the extrapolated distance, and the bias that it takes away."""
        return _estimate(fit_gaussian(reference), generated, self._seed, confidence)
