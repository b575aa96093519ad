"""Populations with a known truth for the drift metrics: both the reference and the current set are drawn anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

import metrics
from benchmarks.coverage_cases import Case, Results, Rng, batch_of_column
from metrics.base import PRIMARY, FloatArray

Draw = Callable[[Rng], FloatArray]


def _compared(name: str, column: str, reference: Draw, current: Draw, **settings: object) -> Callable[[Rng], Results]:
    """A draw of both sets, compared."""
    plain = metrics.get(name, **settings)

    def draw(rng: Rng) -> Results:
        against = plain.update(plain.init(), batch_of_column(column, reference(rng)))
        metric = metrics.get(name, reference=against, **settings)
        return metric.compute(metric.update(metric.init(), batch_of_column(column, current(rng))))

    return draw


def _normal(*shape: int, shift: float = 0.0) -> Draw:
    return lambda rng: rng.normal(shift, 1.0, shape)


def line_cases(name: str) -> Iterator[Case]:
    """Normal columns, equal or shifted; the truth in closed form."""
    for m, n, shift in ((50, 50, 0.0), (50, 200, 0.1), (100, 100, 1.0)):
        truth = {PRIMARY: shift if name == "wasserstein" else math.erf(shift / math.sqrt(8))}
        draw = _compared(name, "value", _normal(m), _normal(n, shift=shift))
        yield Case(name, f"{m} and {n} normal rows, shift {shift}", truth, draw)


def binned_cases(name: str) -> Iterator[Case]:
    """Six values with equal or other shares, a bin each; the truth follows from the shares."""
    p = np.full(6, 1 / 6)
    for m, n, drift in ((100, 150, 0.0), (100, 150, 0.15), (1000, 1500, 0.03), (1000, 1500, 0.3)):
        q = p + drift * np.array([1, -1, 0.5, -0.5, 0.2, -0.2]) / 2
        key, column, truth = PRIMARY, "value", float(((p - q) * np.log(p / q)).sum())
        if name == "jensen_shannon":
            middle = (p + q) / 2
            truth = math.sqrt(float((p * np.log(p / middle) + q * np.log(q / middle)).sum()) / 2)
        elif name == "chi_square":
            pooled = (m * p + n * q) / (m + n)
            slope = m * n / (m + n) ** 2
            key, column, truth = "cramers_v", "category", math.sqrt(slope * float(((p - q) ** 2 / pooled).sum()))

        def values(rows: int, shares: FloatArray) -> Draw:
            return lambda rng: rng.choice(6, rows, p=shares).astype(float)

        draw = _compared(name, column, values(m, p), values(n, q))
        yield Case(name, f"{m} and {n} rows in six bins, drift {drift}", {key: truth}, draw)


def mean_normal_distance(shift: float, d: int) -> float:
    """Mean distance of two independent normal rows whose means differ by `shift` in each of d dimensions."""
    from scipy.special import gammaln, hyp1f1

    scale = 2 * math.exp(gammaln((d + 1) / 2) - gammaln(d / 2))
    return float(scale * hyp1f1(-0.5, d / 2, -d * shift**2 / 4))


def normal_discrepancy(shift: float, d: int, width: float) -> float:
    """Squared discrepancy of N(0, I) and N(shift, I) in the Gaussian kernel of squared bandwidth `width`."""
    level = (width / (width + 2)) ** (d / 2)
    return 2 * level * -math.expm1(-d * shift**2 / (2 * (width + 2)))


def _median_square(shift: float, d: int) -> float:
    """Median squared distance of pooled rows, half of them shifted: what `mmd` chooses its bandwidths by."""
    rng = np.random.default_rng(5)
    pairs = rng.normal(size=(400_000, d)) * math.sqrt(2) + shift * rng.choice([-1, 0, 0, 1], (400_000, 1))
    return float(np.median((pairs**2).sum(axis=1)))


def row_cases(name: str) -> Iterator[Case]:
    """Normal rows, equal or shifted; the truth in closed form, for `mmd` at the population's bandwidths."""
    d = 3
    for n, shift in ((60, 0.0), (60, 0.3), (100, 1.0)):
        if name == "mmd":
            widths = _median_square(shift, d) * 4.0 ** np.arange(-2, 3)
            truth = float(np.mean([normal_discrepancy(shift, d, width) for width in widths]))
        else:
            truth = math.sqrt(2 * (mean_normal_distance(shift, d) - mean_normal_distance(0, d)))
        draw = _compared(name, "features", _normal(n, d), _normal(n, d, shift=shift), permutations=19)
        yield Case(name, f"{n} rows of each set in {d} dimensions, shift {shift}", {PRIMARY: truth}, draw)


def _redrawn(rows: FloatArray, held: NDArray[np.intp], shift: float) -> Draw:
    """Rows of which the held ones are drawn anew."""

    def draw(rng: Rng) -> FloatArray:
        drawn = rows.copy()
        drawn[held] = rng.normal(shift, 1.0, (len(held), rows.shape[1]))
        return drawn

    return draw


def classifier_cases(name: str) -> Iterator[Case]:
    """The classifier's own half stays, the held-out half is drawn anew; the truth from many held-out rows."""
    from metrics.drift.domain_classifier import _trained, area_under_curve

    d = 3
    for n, shift in ((40, 0.0), (40, 0.5), (100, 1.5)):
        fixed = np.random.default_rng(6)
        x, y = fixed.normal(size=(n, d)), fixed.normal(shift, 1.0, size=(n, d))
        model, _, (held_x, held_y) = _trained(x, y, "linear", 0)
        many = fixed.normal(size=(2, 100_000, d))
        scores = model.decision_function(many[0]), model.decision_function(many[1] + shift)
        draw = _compared(name, "features", _redrawn(x, held_x, 0.0), _redrawn(y, held_y, shift), classifier="linear")
        yield Case(name, f"{n} rows of each set, shift {shift}", {PRIMARY: area_under_curve(*scores)[0]}, draw)
