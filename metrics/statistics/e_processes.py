"""Evidence that may be looked at after every sample: e-processes for bounded means, and the Shiryaev-Roberts
e-detector for changes. Both bet a mixture of fixed stakes, so that neither needs to know how large an effect is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metrics.base import FloatArray
from metrics.errors import InputError
from metrics.statistics.confidence_sequences import unit_scores

Side = Literal["greater", "less"]

STAKES = np.geomspace(0.01, 0.9, 16)
"""Shares of the largest stake that cannot lose everything; small ones find small effects."""

_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class EProcess:
    """Evidence against "the mean is at most (greater) or at least (less) the null value", after each sample.

    Attributes:
        log_e: logarithm of the e-value after each sample ``[n]``; its expectation under the null is at most 1 at
            every stopping time.
        p_value: ``1 / max(e)``, valid however often and whenever one looked (Ville's inequality), at most 1.
        n: samples that count.
    """

    log_e: FloatArray
    p_value: float
    n: int


def e_process(
    values: ArrayLike, null: float, *, alternative: Side = "greater", low: float = 0.0, high: float = 1.0
) -> EProcess:
    """Test that a bounded mean is above (or below) a value, with as many looks as one likes.

    Args:
        values: scores ``[n]`` in the order in which they came; NaNs are left out.
        null: the mean under the null, strictly inside the range.
        alternative: ``greater``: evidence that the mean is larger than `null`.
        low, high: range of a score.
        high: see `low`.

    The e-value is the average wealth of the stakes in `STAKES` in the game that pays ``1 + stake (x - null)``; the
    null holds for any scores whose conditional mean keeps to its side (Waudby-Smith and Ramdas 2024). `InputError`
    on a score outside the range.
    """
    x, _ = unit_scores(values, low, high)
    gains, stakes = _game(x, null, alternative, low, high)
    parts = [np.zeros(0)]
    wealth = np.zeros(len(stakes))
    step = max(1, _CELLS // len(stakes))
    for start in range(0, len(x), step):
        path = wealth + np.cumsum(np.log1p(gains[start : start + step, None] * stakes), axis=0)
        wealth = path[-1]
        parts.append(np.logaddexp.reduce(path, axis=1) - math.log(len(stakes)))
    log_e = np.concatenate(parts)
    return EProcess(log_e, math.exp(-max(0.0, float(log_e.max(initial=0.0)))), len(x))


def _game(x: FloatArray, null: float, side: Side, low: float, high: float) -> tuple[FloatArray, FloatArray]:
    """What each unit score pays on a stake of 1, and stakes at which no score loses everything."""
    if side not in {"greater", "less"}:
        raise InputError(f"alternative {side!r}; expected 'greater' or 'less'")
    if not low < null < high:
        raise InputError(f"the null mean is {null}; expected a number strictly between {low} and {high}")
    centre = (null - low) / (high - low)
    gains = x - centre if side == "greater" else centre - x
    return gains, STAKES / (centre if side == "greater" else 1 - centre)


class ShiryaevRobertsDetector:
    """Alarm when a bounded mean has risen above (or fallen below) a value at some unknown time.

    Every sample starts a new game, and the statistic adds up the wealth of all of them:
    ``R_t = (1 + R_{t-1}) (1 + stake (x_t - null))``, averaged over the stakes in `STAKES`. While the mean keeps to its
    side, ``R_t - t`` is a supermartingale; hence P(alarm by T) <= T / threshold and the mean time to a false alarm is
    at least the threshold, whatever the distribution (Shin, Ramdas and Rinaldo 2023, "E-detectors").

    Args:
        null: the mean without a change at worst, strictly inside the range.
        threshold: alarm at this value; T / alpha holds the chance of a false alarm within T samples to alpha.
        alternative: the change to find.
        low, high: range of a score.
        high: see `low`.

    Attributes:
        n: samples seen so far (without NaNs).
        alarm: n at which the threshold was first reached; None before.
        log_statistic: logarithm of the statistic now.
    """

    def __init__(
        self, null: float, *, threshold: float, alternative: Side = "less", low: float = 0.0, high: float = 1.0
    ) -> None:
        if not threshold >= 1:
            raise InputError(f"the threshold is {threshold}; expected at least 1: horizon / chance of a false alarm")
        self.null, self.threshold, self.alternative = null, threshold, alternative
        self.low, self.high = low, high
        self.n = 0
        self.alarm: int | None = None
        _, stakes = _game(np.zeros(0), null, alternative, *self._range())
        self._logs = np.full(len(stakes), -math.inf)

    @property
    def log_statistic(self) -> float:
        """Logarithm of the statistic; minus infinity before the first sample."""
        return float(np.logaddexp.reduce(self._logs)) - math.log(len(self._logs))

    def false_alarm_bound(self) -> float:
        """Largest chance that a stream without a change had an alarm by now."""
        return min(1.0, self.n / self.threshold)

    def update(self, values: ArrayLike) -> FloatArray:
        """Add scores in the order in which they came; return the log of the statistic after each ``[n]``.

        NaNs are left out. `InputError` on a score outside the range; the detector is then as it was.
        """
        x, _ = unit_scores(values, *self._range())
        gains, stakes = _game(x, self.null, self.alternative, *self._range())
        parts = [np.zeros(0)]
        step = max(1, _CELLS // len(stakes))
        for start in range(0, len(x), step):
            sums = np.cumsum(np.log1p(gains[start : start + step, None] * stakes), axis=0)
            # R_t = exp(S_t) (R_0 + sum over j < t of exp(-S_j)), so that one pass does without a loop over samples.
            starts = np.vstack([np.logaddexp(self._logs, 0.0), -sums[:-1]])
            path = sums + np.logaddexp.accumulate(starts, axis=0)
            self._logs = path[-1]
            parts.append(np.logaddexp.reduce(path, axis=1) - math.log(len(stakes)))
        path = np.concatenate(parts)
        over = np.flatnonzero(path >= math.log(self.threshold))
        if self.alarm is None and len(over):
            self.alarm = self.n + int(over[0]) + 1
        self.n += len(x)
        return path

    def _range(self) -> tuple[float, float]:
        return self.low, self.high
