"""Inception Score: exp of the mean divergence between class probabilities and their marginal."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec
from metrics.errors import InputError
from metrics.image.features import RowMetric, Sample, finite_float64

_ESTIMAND = "mean over splits of the Inception Score at n / splits samples: a value at n, biased"
_NO_INTERVAL = "no valid interval: a biased value at n; the spread is over splits"


def _split_scores(probabilities: FloatArray, splits: int, seed: int) -> FloatArray:
    n = len(probabilities)
    shuffled = probabilities[np.random.RandomState(seed).permutation(n)]
    scores = []
    for i in range(splits):
        part = shuffled[i * n // splits : (i + 1) * n // splits]
        marginal = np.broadcast_to(part.mean(axis=0), part.shape)
        # 0 log 0 is 0: one-hot rows are legitimate
        ratio = np.divide(part, marginal, out=np.ones_like(part), where=part > 0)
        scores.append(np.exp((part * np.log(ratio)).sum(axis=1).mean()))
    return np.array(scores)


def _check_probabilities(probabilities: FloatArray, what: str) -> None:
    sums = probabilities.sum(axis=1)
    bad = np.flatnonzero((probabilities < 0).any(axis=1) | (np.abs(sums - 1) > 1e-2))
    if bad.size:
        raise InputError(
            f"{what}: row {bad[0]} sums to {sums[bad[0]]:.4g} with minimum {probabilities[bad[0]].min():.4g}; "
            "expected class probabilities (softmax of the logits)"
        )


def inception_score(probabilities: Any, *, splits: int = 10, seed: int = 2020) -> Estimate:
    """Inception Score. Higher is better; 1 to the number of classes.

    Args:
        probabilities: ``[n, classes]``, each row a distribution; computed in float64.
        splits: number of parts, cut at ``i * n // splits`` after a seeded shuffle.
        seed: of the shuffle (`numpy.random.RandomState`).

    Returns:
        Mean over splits; `spread` is their standard deviation (ddof 0), not an interval.

    Raises:
        InputError: rows that are no distributions, or fewer samples than splits.

    Agrees with torch-fidelity (Salimans et al. 2016, arXiv:1606.03498); one-hot rows give no NaN.
    """
    matrix = finite_float64(probabilities, "probabilities")
    _check_probabilities(matrix, "probabilities")
    if not 1 <= splits <= len(matrix):
        raise InputError(f"`splits` is {splits}, with {len(matrix)} samples; give 1 to {len(matrix)}")
    scores = _split_scores(matrix, splits, seed)
    return Estimate(
        float(scores.mean()), n=len(matrix), spread=float(scores.std()), method=_NO_INTERVAL, estimand=_ESTIMAND
    )


class InceptionScore(RowMetric):
    """Inception Score on the column ``probabilities``. Settings: `splits`, `seed`."""

    column: ClassVar[str] = "probabilities"
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="inception_score",
        measures="confidence and variety of the classes that a classifier sees in generated images",
        low=1.0,
        high=None,
        direction="higher",
        quadrant="quality",
        needs=("probabilities",),
        estimand=_ESTIMAND,
        interval="none: biased at any n; the spread over splits is descriptive",
        validity="compare only at equal n, splits and classifier",
        source="Salimans et al. 2016; numbers as torch-fidelity",
    )

    def __init__(self, *, splits: int = 10, seed: int = 2020) -> None:
        if splits < 1:
            raise InputError(f"metric 'inception_score': `splits` is {splits}; give 1 or more")
        super().__init__(splits=splits, seed=seed)
        self._splits, self._seed = splits, seed

    def least_samples(self) -> int:
        """One sample per split."""
        return self._splits

    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the score; there is no reference."""
        _check_probabilities(generated.rows, "metric 'inception_score': probabilities")
        scores = _split_scores(generated.rows, self._splits, self._seed)
        estimate = Estimate(
            float(scores.mean()),
            n=generated.n,
            coverage=generated.coverage,
            spread=float(scores.std()),
            method=_NO_INTERVAL,
            estimand=_ESTIMAND,
            confidence=confidence,
        )
        return {PRIMARY: estimate}
