"""Drift of whole rows by a classifier that tries to tell the two sets apart, and what it goes by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.base import PRIMARY, Estimate, FloatArray, MetricSpec, State
from metrics.errors import InputError
from metrics.image.features import RowMetric, Sample, pair_of_matrices
from metrics.statistics.intervals import normal_quantile, tail

Kind = Literal["auto", "trees", "linear"]

LEAST_ROWS = 40
"""Rows of each set below which half of them are too few to hold out."""

_TREES_UP_TO = 64
_ESTIMAND = "probability that the classifier, trained on the other half, ranks a current row above a reference row"
_INTERVAL = "logit-transformed DeLong interval on the held-out half, given the classifier"


@dataclass(frozen=True, slots=True)
class DomainClassification:
    """A classifier two-sample test.

    Attributes:
        estimates: ``value`` (area under the ROC curve on the held-out half, 0.5 is no drift), ``p_value``,
            ``critical``.
        importances: held-out loss of area ``[d]`` when a feature is shuffled: what tells the sets apart.
        examples: positions of held-out current rows that look least like the reference, most telling first.
    """

    estimates: Mapping[str, Estimate]
    importances: FloatArray
    examples: NDArray[np.intp]


def area_under_curve(negative: FloatArray, positive: FloatArray) -> tuple[float, float]:
    """Area under the ROC curve and its DeLong variance (DeLong et al. 1988; ties count half).

    Args:
        negative: scores ``[m]`` of the reference.
        positive: scores ``[n]`` of the current set.
    """
    m, n = len(negative), len(positive)
    below = _placements(negative, positive)
    above = 1 - _placements(positive, negative)
    variance = (above.var(ddof=1) / m if m > 1 else 0.0) + (below.var(ddof=1) / n if n > 1 else 0.0)
    return float(below.mean()), float(variance)


def _placements(among: FloatArray, values: FloatArray) -> FloatArray:
    """Share of `among` that lies below each value, ties half."""
    ordered = np.sort(among)
    left, right = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    shares: FloatArray = (left + right) / (2 * len(among))
    return shares


def _auc_interval(area: float, variance: float, sizes: tuple[int, int], confidence: float) -> tuple[float, float]:
    """Interval on the logit scale; at 0 or 1, and where DeLong's variance is 0, from the counts alone."""
    if variance <= 0 or not 0 < area < 1:
        # an area of 1 needs every one of min(m, n) disjoint, hence independent, pairs to be in order
        reach = 1 - tail(confidence) ** (1 / min(sizes))
        return max(0.0, area - reach), min(1.0, area + reach)
    centre = math.log(area / (1 - area))
    half = normal_quantile(confidence) * math.sqrt(variance) / (area * (1 - area))
    low, high = (1 / (1 + math.exp(-end)) for end in (centre - half, centre + half))
    return low, high


def _model(kind: Kind, d: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "trees" or (kind == "auto" and d <= _TREES_UP_TO):
        return HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=seed)
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


def random_halves(size: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of two halves of `size` rows, the first for training, the second held out."""
    order = rng.permutation(size)
    return np.sort(order[: size // 2]), np.sort(order[size // 2 :])


def _scores(model: Any, rows: FloatArray) -> FloatArray:
    scores: FloatArray = model.decision_function(rows)
    return scores


def _importances(model: Any, x: FloatArray, y: FloatArray, area: float, rng: np.random.Generator) -> FloatArray:
    loss = np.empty(x.shape[1])
    rows = np.concatenate((x, y))
    for j in range(x.shape[1]):
        kept = rows[:, j].copy()
        rows[:, j] = rng.permutation(kept)
        scores = _scores(model, rows)
        rows[:, j] = kept
        loss[j] = area - area_under_curve(scores[: len(x)], scores[len(x) :])[0]
    return loss


def held_out_estimates(
    held: tuple[FloatArray, FloatArray], n: int, coverage: float, dependent: bool, confidence: float
) -> dict[str, Estimate]:
    """``value``, ``p_value`` and ``critical`` from held-out scores of reference and current rows."""
    from scipy.special import ndtri
    from scipy.stats import mannwhitneyu

    reference, current = held
    area, variance = area_under_curve(reference, current)
    sizes = len(reference), len(current)
    low: float | None
    high: float | None
    (low, high), method = _auc_interval(area, variance, sizes, confidence), _INTERVAL
    p = float(mannwhitneyu(current, reference, alternative="greater").pvalue)
    if dependent:
        (low, high), method, p = (None, None), "no valid interval: samples share clusters", math.nan
    deviation = math.sqrt((sum(sizes) + 1) / (12 * sizes[0] * sizes[1]))
    common: dict[str, Any] = {"n": n, "coverage": coverage, "confidence": confidence}
    return {
        PRIMARY: Estimate(area, low, high, method=method, estimand=_ESTIMAND, **common),
        "p_value": Estimate(
            p,
            method="no interval: a p-value; Mann-Whitney on the held-out half",
            estimand="probability of an area at least this large without drift",
            **common,
        ),
        "critical": Estimate(
            min(1.0, 0.5 + float(ndtri(confidence)) * deviation),
            method="no interval: a property of the test at these sizes",
            estimand=f"{confidence:g} quantile of the area without drift, at these sizes",
            **common,
        ),
    }


def domain_classifier(
    reference: Any,
    current: Any,
    *,
    classifier: Kind = "auto",
    examples: int = 10,
    confidence: float = 0.95,
    seed: int = 0,
) -> DomainClassification:
    """Classifier two-sample test: trained on one half, judged on the other. 0.5 is no drift, 1 complete drift.

    Args:
        reference: ``[m, d]`` features, NumPy or torch, 40 rows at least.
        current: ``[n, d]``.
        classifier: ``"trees"`` (gradient boosting), ``"linear"`` (logistic regression on standardised features) or
            ``"auto"``: trees up to 64 dimensions.
        examples: how many telling rows to name.
        confidence: two-sided level of the interval, and one minus the level of ``critical``.
        seed: of the split, the classifier and the shuffles.

    Raises:
        InputError: values that are not finite, different dimensions, fewer than 40 rows.

    Needs scikit-learn. Source: Lopez-Paz and Oquab 2017 (arXiv:1610.06545); the p-value is exact given the
    classifier, since without drift held-out scores are exchangeable.
    """
    tail(confidence)
    if classifier not in {"auto", "trees", "linear"}:
        raise InputError(f"classifier is {classifier!r}; expected 'auto', 'trees' or 'linear'")
    x, y = pair_of_matrices(reference, current, minimum=LEAST_ROWS)
    model, rng, (held_x, held_y) = _trained(x, y, classifier, seed)
    scores = _scores(model, x[held_x]), _scores(model, y[held_y])
    estimates = held_out_estimates(scores, len(y), 1.0, False, confidence)
    importances = _importances(model, x[held_x], y[held_y], estimates[PRIMARY].value, rng)
    telling = held_y[np.argsort(-scores[1], kind="stable")[:examples]]
    return DomainClassification(estimates, importances, telling)


def _trained(
    x: FloatArray, y: FloatArray, kind: Kind, seed: int
) -> tuple[Any, np.random.Generator, tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """A classifier of one half of each set; the generator, and the rows of the other halves."""
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(seed)
    (fit_x, held_x), (fit_y, held_y) = random_halves(len(x), rng), random_halves(len(y), rng)
    rows = np.concatenate((x[fit_x], y[fit_y]))
    labels = np.repeat([0, 1], [len(fit_x), len(fit_y)])
    weights = np.repeat([0.5 / len(fit_x), 0.5 / len(fit_y)], [len(fit_x), len(fit_y)]) * len(labels)
    model = _model(kind, x.shape[1], seed)
    prefix = "logisticregression__" if hasattr(model, "steps") else ""
    with threadpool_limits(1):  # rows are few: threads cost more than they bring, and results repeat
        model.fit(rows, labels, **{f"{prefix}sample_weight": weights})
    return model, rng, (held_x, held_y)


class DomainClassifier(RowMetric):
    """Classifier two-sample test of features against a reference. Settings: `classifier`, `seed`."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="domain_classifier",
        measures="drift of features: area under the curve of a classifier that tells them from the reference",
        low=0.0,
        high=1.0,
        direction="lower",
        quadrant="quality",
        needs=("features",),
        estimand=_ESTIMAND,
        interval=_INTERVAL,
        validity=f"{LEAST_ROWS} or more independent rows of each set, given the trained classifier",
        source="Lopez-Paz and Oquab 2017; DeLong et al. 1988",
        keys={
            "p_value": "Mann-Whitney p-value of no drift",
            "critical": "quantile of the area without drift, at these sizes",
        },
        key_directions={"p_value": "none", "critical": "none"},
        uses_reference=True,
    )

    def __init__(self, *, reference: State | None = None, classifier: Kind = "auto", seed: int = 0) -> None:
        if classifier not in {"auto", "trees", "linear"}:
            raise InputError(
                f"metric 'domain_classifier': classifier is {classifier!r}; expected 'auto', 'trees' or 'linear'"
            )
        super().__init__(reference=reference, classifier=classifier, seed=seed)
        self._kind: Kind = classifier
        self._seed = seed

    def least_samples(self) -> int:
        """Fewest samples with a value."""
        return LEAST_ROWS

    def least_reference(self) -> int:
        """Fewest reference samples with a value."""
        return LEAST_ROWS

    def estimate(self, reference: FloatArray, generated: Sample, confidence: float) -> dict[str, Estimate]:
        """Return the area, its p-value and its critical value."""
        model, _, (held_x, held_y) = _trained(reference, generated.rows, self._kind, self._seed)
        scores = _scores(model, reference[held_x]), _scores(model, generated.rows[held_y])
        return held_out_estimates(scores, generated.n, generated.coverage, generated.dependent, confidence)
