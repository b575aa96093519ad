"""CMMD: squared maximum mean discrepancy with a Gaussian kernel, on normalised CLIP features."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec, State
from metrics.errors import InputError
from metrics.image.features import ContentCache, RowMetric, Sample, pair_of_matrices, unit_rows
from metrics.image.kernel import LEAST_FOR_INTERVAL, KernelSums, kernel_interval, unbiased_discrepancy

SCALE = 1000.0
NARROWEST = 0.1
"""Mean kernel between generated samples below which the bandwidth is too narrow for an interval that covers."""

_BLOCK_CELLS = 4_000_000
_NO_INTERVAL = (
    "no valid interval: the biased statistic exceeds the discrepancy by about its diagonal over n; see `unbiased`"
)
_ESTIMAND = "1,000 times the squared discrepancy of n generated samples to the reference: biased upwards by order 1/n"
_UNBIASED = "1,000 times the squared discrepancy between the generator's distribution and the fixed reference set"

_reference_sums = ContentCache()


def _kernel_sums(a: FloatArray, b: FloatArray, sigma: float) -> tuple[FloatArray, float]:
    """Per row of `a`, the sum over `b` of ``exp(-|a - b|^2 / (2 sigma^2))``, and the sum of its squares over all."""
    middle = b.mean(axis=0)  # a common offset would cancel badly
    first, second = a - middle, b - middle
    norms, to_norms = np.einsum("ij,ij->i", first, first), np.einsum("ij,ij->i", second, second)
    sums, squares = np.empty(len(a)), 0.0
    step = max(1, _BLOCK_CELLS // len(b))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        block = first[rows] @ second.T
        block *= 2.0
        block -= norms[rows, None]
        block -= to_norms
        np.minimum(block, 0.0, out=block)
        block /= 2 * sigma**2
        sums[rows] = np.exp(block, out=block).sum(axis=1)
        squares += float(np.vdot(block, block))
    return sums, squares


def _estimates(
    reference: FloatArray, generated: Sample, sigma: float, normalise: bool, confidence: float
) -> dict[str, Estimate]:
    x, y = (unit_rows(reference), unit_rows(generated.rows)) if normalise else (reference, generated.rows)
    m, n = len(x), len(y)
    own = float(_reference_sums.get(x, sigma, lambda: _kernel_sums(x, x, sigma)[0]).sum())
    rows, squares = _kernel_sums(y, y, sigma)
    cross, _ = _kernel_sums(y, x, sigma)
    biased = max(own / m**2 + rows.sum() / n**2 - 2 * cross.sum() / (m * n), 0.0)
    sums = KernelSums(
        reference=own - m,  # the kernel of a sample with itself is 1
        rows=rows - 1.0,
        cross=cross,
        diagonal=np.ones(n),
        squares=squares,
        reference_diagonal=float(m),
        subsets=np.empty(0),
    )
    if sums.rows.sum() < NARROWEST * n * (n - 1):
        low, high, method = None, None, f"no valid interval: `sigma` {sigma:g} is too narrow for these features"
    else:
        low, high, method = kernel_interval(sums, m, confidence, generated.dependent)
    common: dict[str, Any] = {"n": n, "coverage": generated.coverage, "confidence": confidence}
    return {
        PRIMARY: Estimate(float(SCALE * biased), method=_NO_INTERVAL, estimand=_ESTIMAND, **common),
        "unbiased": Estimate(
            SCALE * unbiased_discrepancy(sums, m),
            None if low is None else SCALE * low,
            None if high is None else SCALE * high,
            method=method,
            estimand=_UNBIASED,
            **common,
        ),
    }


def _check_sigma(sigma: float, what: str) -> None:
    if not (np.isfinite(sigma) and sigma > 0):
        raise InputError(f"{what}: `sigma` is {sigma}; give a positive number")


def cmmd(reference: Any, generated: Any, *, sigma: float = 10.0, normalise: bool = True) -> dict[str, Estimate]:
    """Maximum mean discrepancy between two sets of CLIP features. Lower is better.

    Args:
        reference: features ``[m, d]``, NumPy or torch, any float type or uint8; computed in float64.
        generated: features ``[n, d]``.
        sigma: bandwidth of the Gaussian kernel ``exp(-|x - y|^2 / (2 sigma^2))``.
        normalise: scale rows to length one first, as google-research's extractor does.

    Returns:
        ``value``: 1,000 times the biased statistic, 0 to 2,000, without interval; ``unbiased``: 1,000 times the
        U-statistic, which may fall below 0 within its noise, with an interval from 50 samples on.

    Raises:
        InputError: values that are not finite, different dimensions, fewer than two samples, sigma not positive.

    Source: Jayasumana et al. 2024 (arXiv:2401.09603); ``value`` agrees with google-research/cmmd.
    """
    _check_sigma(sigma, "cmmd")
    x, y = pair_of_matrices(reference, generated)
    return _estimates(x, Sample(y, len(y), False), sigma, normalise, 0.95)


class ClipDiscrepancy(RowMetric):
    """CMMD of a CLIP extractor's features. Settings: `sigma` of the kernel, `normalise` rows to length one."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="cmmd",
        measures="maximum mean discrepancy between generated and reference CLIP features, Gaussian kernel, times 1,000",
        low=0.0,
        high=2 * SCALE,
        direction="lower",
        quadrant="quality",
        needs=("features",),
        estimand=_ESTIMAND,
        interval="value: none, biased upwards; unbiased: as kid, over generated samples with the reference fixed",
        validity=f"unbiased: {LEAST_FOR_INTERVAL} or more independent generated samples and a bandwidth where their "
        f"mean kernel is {NARROWEST} or more",
        source="Jayasumana et al. 2024 (arXiv:2401.09603); value as google-research/cmmd",
        keys={"unbiased": "the same without the bias, with an interval; below 0 within its noise"},
        uses_reference=True,
    )

    def __init__(self, *, reference: State | None = None, sigma: float = 10.0, normalise: bool = True) -> None:
        _check_sigma(sigma, "metric 'cmmd'")
        super().__init__(reference=reference, sigma=sigma, normalise=normalise)
        self._sigma, self._normalise = float(sigma), normalise

    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return both statistics."""
        return _estimates(reference, generated, self._sigma, self._normalise, confidence)
