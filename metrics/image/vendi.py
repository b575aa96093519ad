"""Vendi score: the effective number of different samples in a set."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec
from metrics.errors import InputError
from metrics.image.features import RowMetric, Sample, finite_float64, unit_rows

_NO_INTERVAL = "no valid interval: a value at n, which grows with the number of samples; compare at equal n"
_ESTIMAND = "effective number of different samples among n, cosine similarity"


def _check_order(order: float, what: str) -> None:
    if isinstance(order, bool) or not isinstance(order, (int, float)) or math.isnan(order) or order < 0:
        raise InputError(f"{what}: `order` is {order!r}; give a number from 0 up (1 is Shannon's entropy)")


def _spectrum(rows: FloatArray) -> FloatArray:
    """Positive eigenvalues of K / n, K the cosine similarities: of ``X X.T`` or, where n > d, of ``X.T X``."""
    x = unit_rows(rows)
    gram = x.T @ x if x.shape[0] > x.shape[1] else x @ x.T
    values = np.linalg.eigvalsh(gram) / len(x)
    real: FloatArray = values[values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)]
    return real


def _exponential_entropy(values: FloatArray, order: float) -> float:
    """Hill number of that order: the exponential of Rényi's entropy."""
    if not values.size:
        return 0.0
    if order == 1:
        return float(np.exp(-(values * np.log(values)).sum()))
    if math.isinf(order):
        return float(1 / values[-1])
    return float(np.exp(np.log((values**order).sum()) / (1 - order)))


def _estimate(rows: FloatArray, order: float, **rest: Any) -> Estimate:
    value = _exponential_entropy(_spectrum(rows), order)
    return Estimate(value, n=len(rows), method=_NO_INTERVAL, estimand=f"{_ESTIMAND}, order {order:g}", **rest)


def vendi_score(features: Any, *, order: float = 1.0) -> Estimate:
    """Effective number of different samples. Higher is more diverse; 1 (all alike) to n (all orthogonal).

    Args:
        features: ``[n, d]``, NumPy or torch, any float type or uint8; computed in float64.
        order: of the entropy, 0 (counts eigenvalues above rounding) to infinity (the largest alone); above 1 it
            weighs common samples more, below 1 rare ones.

    Returns:
        The exponential of the entropy of the eigenvalues of K / n, K the matrix of cosine similarities. It grows with
        n and has no interval.

    Raises:
        InputError: values that are not finite, no samples, an order below 0.

    Source: Friedman and Dieng 2023 (arXiv:2210.02410); orders: Pasarkar and Dieng 2024 (arXiv:2310.12952). Agrees with
    vendi-score's ``score_X`` and ``score_dual``, of which the former ignores the order it is given.

    >>> vendi_score([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]).value
    2.0
    """
    _check_order(order, "vendi_score")
    rows = finite_float64(features, "features")
    if not len(rows):
        raise InputError("features: got no samples, at least 1 is needed")
    return _estimate(rows, order)


class VendiScore(RowMetric):
    """Effective number of different samples among the generated ones. Settings: `order` of the entropy."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="vendi_score",
        measures="effective number of different samples: exponential entropy of the cosine similarities",
        low=0.0,
        high=None,
        direction="higher",
        quadrant="diversity",
        needs=("features",),
        estimand=_ESTIMAND,
        interval="none: a value at n, which grows with n",
        validity="compare at equal n and extractor",
        source="Friedman and Dieng 2023 (arXiv:2210.02410); values as vendi-score",
    )

    def __init__(self, *, order: float = 1.0) -> None:
        _check_order(order, "metric 'vendi_score'")
        super().__init__(order=order)
        self._order = order

    def least_samples(self) -> int:
        """One."""
        return 1

    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the score; there is no reference."""
        return {PRIMARY: _estimate(generated.rows, self._order, coverage=generated.coverage, confidence=confidence)}
