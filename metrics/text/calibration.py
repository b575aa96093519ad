"""Whether a model's stated confidence fits how often it is right: Brier score and expected calibration error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import PRIMARY, Batch, Estimate, FloatArray, Loader, Metric, MetricSpec, SampleMetric, Scores, State
from metrics.errors import InputError
from metrics.scoring import batch_of, check_state, errors_of, number_column, rows

CONFIDENCE = "confidence"
CORRECT = "correct"


def _columns(batch: Batch, metric: str) -> tuple[FloatArray, FloatArray, list[str | None]]:
    """Confidence and correctness of every sample, and why it is unscored."""
    reasons = errors_of(batch)
    stated = number_column(batch, CONFIDENCE, metric, reasons)
    correct = number_column(batch, CORRECT, metric, reasons)
    for row, reason in enumerate(reasons):
        if reason is not None:
            continue
        if stated[row] > 1:
            raise InputError(
                f"sample {batch.sample_ids[row]!r}: confidence is {stated[row]:g}; '{metric}' expects 0 to 1, so "
                "divide percentages by 100"
            )
        if correct[row] not in (0, 1):
            raise InputError(
                f"sample {batch.sample_ids[row]!r}: correct is {correct[row]:g}; '{metric}' expects 0 or 1"
            )
    return stated, correct, reasons


class BrierScore(SampleMetric):
    """Mean squared difference of stated confidence and correctness, 0 to 1, lower is better.

    Reads ``confidence`` (0 to 1, that the answer is right) and ``correct`` (0 or 1). Stating the share of right answers
    always scores ``p (1 - p)``, so compare at equal accuracy.
    """

    spec = MetricSpec(
        name="brier",
        measures="mean squared error of stated confidence",
        low=0.0,
        high=1.0,
        direction="lower",
        quadrant="quality",
        needs=(CONFIDENCE, CORRECT),
        estimand="mean squared error of confidence in the population of questions",
        interval="t, clustered where samples share a cluster; score interval near 0 and 1",
        validity="independent questions or clusters; n of about 30 and more",
        source="Brier 1950; the value of scikit-learn's brier_score_loss",
    )

    def __init__(self) -> None:
        super().__init__()

    def score(self, batch: Batch) -> Scores:
        """Score the squared difference."""
        stated, correct, reasons = _columns(batch, self.spec.name)
        return rows(batch, (stated - correct) ** 2, reasons)


class ExpectedCalibrationError(Metric):
    """Mean gap between stated confidence and accuracy over bins of confidence, 0 to 1, lower is better.

    Bins have equal width, closed above: ``(0, 1/b]``, ..., with 0 in the first. The state is three numbers a bin.

    Args:
        bins: how many, 1 to 1,000.
    """

    spec = MetricSpec(
        name="ece",
        measures="mean gap between stated confidence and accuracy, by bins of confidence",
        low=0.0,
        high=1.0,
        direction="lower",
        quadrant="quality",
        needs=(CONFIDENCE, CORRECT),
        estimand="value at n and bins: noise in the bins adds to it, the more the fewer samples they hold",
        interval="none: the value is biased upwards in n and not smooth at 0, so no resampling interval is valid",
        validity="compare at equal n and bins",
        source="Naeini et al. 2015; Guo et al. 2017 (15 bins)",
    )

    def __init__(self, *, bins: int = 15) -> None:
        if not isinstance(bins, int) or isinstance(bins, bool) or not 1 <= bins <= 1000:
            raise InputError(f"metric 'ece' has bins {bins!r}; expected 1 to 1000")
        super().__init__(bins=bins)
        self._bins = bins

    def init(self) -> State:
        """Return the state of no samples."""
        return self._state(0, 0, np.zeros((self._bins, 3)))

    def update(self, state: State, batch: Batch) -> State:
        """Return the state with a batch added; sampling weights count."""
        stated, correct, reasons = _columns(batch, self.spec.name)
        used = np.array([reason is None for reason in reasons], dtype=bool)
        weights = np.ones(len(batch)) if batch.weights is None else np.asarray(batch.weights, dtype=np.float64)
        stated, correct, weights = stated[used], correct[used], weights[used]
        place = np.clip(np.ceil(stated * self._bins).astype(np.int64) - 1, 0, self._bins - 1)
        sums = np.zeros((self._bins, 3))
        np.add.at(sums, place, np.stack([weights, weights * stated, weights * correct], axis=1))
        return self.merge(state, self._state(len(batch), int(used.sum()), sums))

    def merge(self, a: State, b: State) -> State:
        """Return the state of both runs of samples."""
        for state in (a, b):
            check_state(self, state)
            if len(state.arrays["bins"]) != self._bins:
                raise InputError(f"a state of '{state.metric}' was given to 'ece' with {self._bins} bins")
        counts = [int(a.facts[name]) + int(b.facts[name]) for name in ("offered", "scored")]
        return self._state(counts[0], counts[1], a.arrays["bins"] + b.arrays["bins"])

    def compute(self, state: State, *, confidence: float = 0.95, load: Loader | None = None) -> dict[str, Estimate]:
        """Return the error."""
        offered, scored = int(state.facts["offered"]), int(state.facts["scored"])
        bins = state.arrays["bins"]
        value = float(np.abs(bins[:, 1] - bins[:, 2]).sum() / bins[:, 0].sum()) if scored else math.nan
        return {
            PRIMARY: Estimate(
                value,
                n=scored,
                coverage=scored / offered if offered else 0.0,
                method="no interval: " + self.spec.interval.removeprefix("none: "),
                estimand=f"calibration error of {scored} answers in {self._bins} bins",
                confidence=confidence,
            )
        }

    def _state(self, offered: int, scored: int, bins: FloatArray) -> State:
        return State(self.spec.name, self.spec.version, {"offered": offered, "scored": scored}, {"bins": bins})


def brier_score(confidences: ArrayLike, correct: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Brier score of stated confidences ``[n]``, 0 to 1, and whether each answer was right ``[n]``, 0 or 1.

    Lower is better. NaN is unscored. `InputError` on different lengths or values out of range.
    """
    metric = BrierScore()
    return metric.summarise(metric.score(_batch(confidences, correct)), confidence=confidence)[PRIMARY]


def expected_calibration_error(confidences: ArrayLike, correct: ArrayLike, *, bins: int = 15) -> Estimate:
    """Expected calibration error over bins of equal width; arguments as for `brier_score`. It has no interval."""
    metric = ExpectedCalibrationError(bins=bins)
    return metric.compute(metric.update(metric.init(), _batch(confidences, correct)))[PRIMARY]


def _batch(confidences: Any, correct: Any) -> Batch:
    sides: list[Sequence[Any]] = [list(confidences), list(correct)]
    if len(sides[0]) != len(sides[1]):
        raise InputError(f"{len(sides[0])} confidences for {len(sides[1])} answers; expected one each")
    return batch_of({CONFIDENCE: sides[0], CORRECT: sides[1]}, len(sides[0]))
