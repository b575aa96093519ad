"""A mean from few labels and many verdicts of a judge: prediction-powered inference, and Rogan and Gladen's correction
of a judged rate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import Estimate, FloatArray
from metrics.errors import InputError
from metrics.statistics.intervals import normal_quantile, t_interval, tail

FEWEST_LABELS = 50
"""Labelled samples below which the simulated coverage fell under 92 %."""

FEWEST_OF_A_KIND = 10
"""Where labels are 0 or 1: labels of either kind below which the simulated coverage fell under 92 %."""


def prediction_powered_mean(
    labels: ArrayLike,
    judged_labelled: ArrayLike,
    judged_unlabelled: ArrayLike,
    *,
    power: float | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of the labels that a person would give, from a labelled sample and a judge's verdicts on the rest.

    ``mean(labels) + power (mean(judged_unlabelled) - mean(judged_labelled))``: unbiased whatever the judge's errors,
    and as tight as the judge is good. With power 0 it is the plain mean of the labels.

    Args:
        labels: a person's labels ``[n]`` on a random part of the samples.
        judged_labelled: the judge's verdicts ``[n]`` on the same samples.
        judged_unlabelled: its verdicts ``[m]`` on other samples from the same population.
        power: weight of the judge; None tunes it to the smallest variance, between 0 and 1.
        confidence: two-sided level.

    A pair with a missing side, and a missing verdict, are left out and lower the coverage. `effective_n` is the number
    of plain labels that would be as tight. No interval below 50 labels or, where they are 0 or 1, below 10 of
    either kind: a handful says too little about the judge's errors.

    Source: Angelopoulos, Duchi and Zrnic 2023 (PPI++, arXiv:2311.01453). Value and power agree with the package
    ppi-python; the interval is slightly wider: unbiased variances and Student's t with n - 1 degrees of freedom.
    """
    tail(confidence)
    y, f, g = (
        _numbers(side, name) for side, name in zip((labels, judged_labelled, judged_unlabelled), _SIDES, strict=True)
    )
    if len(y) != len(f):
        raise InputError(f"{len(y)} labels and {len(f)} verdicts on them; expected one verdict per label")
    if power is not None and not math.isfinite(power):
        raise InputError(f"the power is {power}; expected a number, or None to tune it")
    offered = len(y) + len(g)
    both = np.isfinite(y) & np.isfinite(f)
    y, f, g = y[both], f[both], g[np.isfinite(g)]
    n, m = len(y), len(g)
    if n == 0 or m == 0:
        why = "no interval: no labelled sample was scored" if n == 0 else "no interval: no verdict without a label"
        value = float(y.mean()) if n else math.nan
        return Estimate(value, n=n, coverage=n / offered if offered else 0.0, method=why, confidence=confidence)
    weight = _tuned(y, f, g) if power is None else float(power)
    value = float(y.mean() + weight * (g.mean() - f.mean()))
    low: float | None = None
    high: float | None = None
    effective: float | None = None
    if n < FEWEST_LABELS or m < 2:
        method = f"no interval: {n} labels and {m} more verdicts, {FEWEST_LABELS} and 2 needed"
    elif (rarest := _rarest(y)) < FEWEST_OF_A_KIND:
        method = f"no interval: the rarer label occurs {rarest} times, {FEWEST_OF_A_KIND} needed"
    else:
        variance = float((y - weight * f).var(ddof=1)) / n + weight**2 * float(g.var(ddof=1)) / m
        method = f"prediction-powered, power {weight:.3g}"
        effective = float(y.var(ddof=1)) / variance if variance > 0 else None
        low, high = t_interval(value, math.sqrt(variance), n - 1, confidence=confidence)
        if variance == 0:
            low, high, method = None, None, "no interval: the judge fits every label; nothing bounds its errors"
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=n,
        effective_n=effective,
        coverage=(n + m) / offered,
        method=method,
        estimand="mean of the labels over all samples",
        confidence=confidence,
    )


_SIDES = ("labels", "judged_labelled", "judged_unlabelled")


def _rarest(labels: FloatArray) -> int:
    """How often the rarer of two labels occurs; any number of labels where there are more than two values."""
    distinct, counts = np.unique(labels, return_counts=True)
    if len(distinct) == 1:
        return 0
    return int(counts.min()) if len(distinct) == 2 else len(labels)


def _tuned(y: FloatArray, f: FloatArray, g: FloatArray) -> float:
    """Power of the smallest variance (PPI++, equation 6), clipped to 0 .. 1."""
    everything = np.concatenate([f, g])
    spread = float(everything.var(ddof=1)) if len(everything) > 1 else 0.0
    if spread <= 1e-24 * float(np.abs(everything).max()) ** 2:
        return 0.0
    shared = float(np.mean((y - y.mean()) * (f - f.mean())))
    return min(1.0, max(0.0, shared / ((1 + len(y) / len(g)) * spread)))


class _Share(NamedTuple):
    """A rate and the trials that it rests on."""

    rate: float
    n: float

    @property
    def variance(self) -> float:
        return self.rate * (1 - self.rate) / self.n


def rogan_gladen(
    labels: ArrayLike, judged_labelled: ArrayLike, judged_unlabelled: ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """Rate of what a judge looks for, corrected for its sensitivity and specificity.

    ``(judged rate + specificity - 1) / (sensitivity + specificity - 1)``. Against `prediction_powered_mean`: the
    labelled samples need not be drawn like the others (positives may be sought out), as long as the judge errs alike
    on both.

    Args:
        labels: the truth, 0 or 1, ``[n]``.
        judged_labelled: the judge's verdicts ``[n]`` on the same samples.
        judged_unlabelled: its verdicts ``[m]`` on the samples whose rate is asked for.
        confidence: two-sided level.

    The value is clipped to 0 .. 1; Lang and Reiczigel's interval (2014, Preventive Veterinary Medicine 113), where
    there are 10 labels of either kind and the judge is better than chance. `InputError` on other values than 0 and 1.
    """
    q = normal_quantile(confidence)
    y, f, g = (
        _numbers(side, name) for side, name in zip((labels, judged_labelled, judged_unlabelled), _SIDES, strict=True)
    )
    if len(y) != len(f):
        raise InputError(f"{len(y)} labels and {len(f)} verdicts on them; expected one verdict per label")
    for side, name in zip((y, f, g), _SIDES, strict=True):
        if not np.all(np.isin(side[np.isfinite(side)], (0, 1))):
            raise InputError(f"'{name}' has a value other than 0 and 1; Rogan and Gladen's correction is for rates")
    offered = len(g)
    both = np.isfinite(y) & np.isfinite(f)
    y, f, g = y[both], f[both], g[np.isfinite(g)]
    positives, negatives, m = int(y.sum()), int(np.sum(1 - y)), len(g)
    value = math.nan
    low: float | None = None
    high: float | None = None
    method = f"no interval: {positives} positive and {negatives} negative labels, {FEWEST_OF_A_KIND} of each needed"
    if m == 0:
        method = "no interval: no verdict without a label"
    elif min(positives, negatives) >= FEWEST_OF_A_KIND:
        right, wrong = float(f[y == 1].sum()), float(f[y == 0].sum())
        sensitivity, specificity = right / positives, 1 - wrong / negatives
        if sensitivity + specificity <= 1:
            method = "no interval: the judge is no better than chance on the labels"
        else:
            value = (float(g.mean()) + specificity - 1) / (sensitivity + specificity - 1)
            value = min(1.0, max(0.0, value))
            low, high = _lang_reiczigel(
                _Share((float(g.sum()) + q * q / 2) / (m + q * q), m + q * q),
                _Share((right + 1) / (positives + 2), positives + 2),
                _Share((negatives - wrong + 1) / (negatives + 2), negatives + 2),
                q,
            )
            low, high = min(low, value), max(high, value)
            method = f"Lang and Reiczigel, sensitivity {sensitivity:.3g}, specificity {specificity:.3g}"
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=m,
        coverage=m / offered if offered else 0.0,
        method=method,
        estimand="true rate over the samples without a label",
        confidence=confidence,
    )


def _lang_reiczigel(judged: _Share, sensitivity: _Share, specificity: _Share, q: float) -> tuple[float, float]:
    """Interval from shares to which pseudo-counts have been added."""
    youden = sensitivity.rate + specificity.rate - 1
    if youden <= 0:
        return 0.0, 1.0
    rate = (judged.rate + specificity.rate - 1) / youden
    shift = 2 * q * q * (rate * sensitivity.variance - (1 - rate) * specificity.variance)
    spread = judged.variance + rate**2 * sensitivity.variance + (1 - rate) ** 2 * specificity.variance
    half = q * math.sqrt(spread) / youden
    return min(1.0, max(0.0, rate + shift - half)), min(1.0, max(0.0, rate + shift + half))


def _sides(*given: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Labels, verdicts on the same samples, and verdicts on others."""
    y, f, g = (_numbers(side, name) for side, name in zip(given, _SIDES, strict=True))
    if len(y) != len(f):
        raise InputError(f"{len(y)} labels and {len(f)} verdicts on them; expected one verdict per label")
    return y, f, g


def _numbers(values: ArrayLike, name: str) -> FloatArray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"'{name}' has entries that are not numbers") from None
    if array.ndim != 1:
        raise InputError(f"'{name}' has shape {array.shape}; expected one number per sample")
    return array
