"""Intervals of distances between distributions, which ordinary standard errors get wrong near "no drift"."""

from __future__ import annotations

import math

import numpy as np

from metrics.base import FloatArray
from metrics.drift.distances import Table
from metrics.statistics.intervals import normal_quantile, tail

LEAST_EXPECTED = 5.0
"""Expected count of every bin from which intervals of binned distances were found to cover."""

LEAST_ROWS = 50
"""Rows of each column from which bridge intervals were found to cover."""

DKW = "Dvoretzky-Kiefer-Wolfowitz bounds of both columns, conservative at any n"
BRIDGE = "triangle inequality with the simulated sampling error of both columns, conservative"
BINNED = "union of the noncentral chi-square and the delta-method interval, bins fixed"


def dkw_interval(distance: float, m: int, n: int, confidence: float) -> tuple[float, float]:
    """Interval of a Kolmogorov-Smirnov distance: each column's function is off by at most its Massart bound."""
    alpha = tail(confidence) * 2
    radius = sum(math.sqrt(math.log(4 / alpha) / (2 * size)) for size in (m, n))
    return max(0.0, distance - radius), min(1.0, distance + radius)


def noncentral_interval(statistic: float, degrees: float, confidence: float) -> tuple[float, float]:
    """Noncentralities at which a noncentral chi-square puts either tail's probability beyond the statistic."""
    from scipy.special import chndtrinc

    alpha = tail(confidence)
    low, high = (float(chndtrinc(statistic, degrees, p)) for p in (1 - alpha, alpha))
    return (0.0 if math.isnan(low) else max(low, 0.0)), (0.0 if math.isnan(high) else max(high, 0.0))


def binned_interval(
    value: float, scale: float, gradients: tuple[FloatArray, FloatArray], counts: Table, confidence: float
) -> tuple[float, float] | None:
    """Interval of a divergence between bin shares, or None where a bin is too rare for one.

    Args:
        value: the divergence found.
        scale: what times the divergence is chi-square, with bins - 1 degrees, around "no drift".
        gradients: derivatives by reference and current shares ``[bins]``, for the delta method away from it.
        counts: rows per bin.
        confidence: two-sided level.
    """
    if counts.least_expected < LEAST_EXPECTED or len(counts.reference) < 2:
        return None
    if min(counts.reference.min(), counts.current.min()) == 0:
        return None
    low, high = noncentral_interval(scale * value, len(counts.reference) - 1, confidence)
    variance = sum(
        float(share @ gradient**2 - (share @ gradient) ** 2) / rows
        for share, gradient, rows in zip(
            counts.shares, gradients, (counts.reference.sum(), counts.current.sum()), strict=True
        )
    )
    bias = (len(counts.reference) - 1) / scale  # of the plug-in value; the noncentral interval corrects for it
    half = normal_quantile(confidence) * math.sqrt(max(variance, 0.0))
    return max(0.0, min(low / scale, value - bias - half)), max(high / scale, value + half)


def harmonic_size(m: float, n: float) -> float:
    """``m n / (m + n)``: the size that two samples are together worth in a difference."""
    return m * n / (m + n)


def norm_interval(distance: float, error: FloatArray, confidence: float) -> tuple[float, float]:
    """Interval of a norm from draws of the norm of its error."""
    radius = float(np.quantile(error, confidence, method="higher"))
    return max(0.0, distance - radius), distance + radius
