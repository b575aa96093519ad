"""Mean and covariance of features that come batch by batch and are not kept."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from metrics.base import FloatArray
from metrics.errors import InputError
from metrics.image.features import as_matrix
from metrics.image.frechet import Gaussian, gaussian_of

_BLOCK_CELLS = {"exact": 4_000_000, "fast": 1_000_000}
"""Numbers gathered before a product: batches are usually too small for one to be worth its memory traffic.
Fewer in float32, whose sums lose digits with their length."""


class FeatureMoments:
    """Running mean and scatter in float64, for a Fréchet distance over more samples than memory holds.

    Rows are gathered and added some at a time, shifted by the mean of the first ones, so that a large common offset
    costs no digits.

    Args:
        dimensions: width of the features.
        precision: ``exact`` multiplies in float64; ``fast`` in float32, about twice as fast, with a covariance within
            1e-6 of the exact one, relative to its largest entry.

    Raises:
        InputError: features that are not finite or of another width.
    """

    def __init__(self, dimensions: int, *, precision: Literal["exact", "fast"] = "exact") -> None:
        if dimensions < 1 or precision not in ("exact", "fast"):
            raise InputError(
                f"dimensions {dimensions}, precision {precision!r}; expected at least 1, and 'exact' or 'fast'"
            )
        self.dimensions = dimensions
        self._kind: type[Any] = np.float64 if precision == "exact" else np.float32
        self._waiting = np.empty((max(256, _BLOCK_CELLS[precision] // dimensions), dimensions))
        self._held = 0
        self._n = 0
        self._shift: FloatArray | None = None
        self._sum = np.zeros(dimensions)
        self._scatter = np.zeros((dimensions, dimensions))

    def __len__(self) -> int:
        """Rows so far."""
        return self._n + self._held

    def update(self, features: Any) -> None:
        """Add a batch ``[n, dimensions]`` of any float type or uint8, or refuse it as a whole."""
        rows = as_matrix(features, "features")
        if rows.shape[1] != self.dimensions:
            raise InputError(f"features have {rows.shape[1]} dimensions, expected {self.dimensions}")
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if bad.size:
            raise InputError(f"features: row {bad[0]} is not finite ({bad.size} such rows); leave failed samples out")
        start = 0
        while start < len(rows):
            taken = min(len(rows) - start, len(self._waiting) - self._held)
            self._waiting[self._held : self._held + taken] = rows[start : start + taken]
            self._held += taken
            start += taken
            if self._held == len(self._waiting):
                self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        rows = self._waiting[: self._held]
        if self._shift is None:
            self._shift = rows.mean(axis=0)
        rows -= self._shift
        self._sum += rows.sum(axis=0)
        block = rows.astype(self._kind, copy=False)
        self._scatter += block.T @ block
        self._n += self._held
        self._held = 0

    def merge(self, other: FeatureMoments) -> None:
        """Add the rows of another one."""
        if other.dimensions != self.dimensions:
            raise InputError(f"moments of {self.dimensions} and of {other.dimensions} dimensions do not add up")
        other._flush()
        self._flush()
        if other._shift is None:
            return
        if self._shift is None:
            self._shift = other._shift
        move = other._shift - self._shift
        cross = np.outer(other._sum, move)
        self._scatter += other._scatter + cross + cross.T + other._n * np.outer(move, move)
        self._sum += other._sum + other._n * move
        self._n += other._n

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Mean ``[d]`` and covariance ``[d, d]`` (ddof 1) of all rows so far."""
        self._flush()
        if self._n < 2 or self._shift is None:
            raise InputError(f"moments of {self._n} samples; at least 2 are needed")
        mean = self._sum / self._n
        covariance = (self._scatter - self._n * np.outer(mean, mean)) / (self._n - 1)
        return mean + self._shift, covariance

    def gaussian(self) -> Gaussian:
        """The Gaussian fit of all rows so far, for `frechet_distance`."""
        mean, covariance = self.moments()
        return gaussian_of(mean, covariance, self._n)
