"""Bits per dimension, the measure of likelihood models of images: flows, autoregressive models, VAEs by their bound."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from metrics.base import PRIMARY, Batch, Estimate, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError
from metrics.scoring import batch_of, errors_of, number_column, rows


class BitsPerDimension(SampleMetric):
    """Negative log-likelihood in bits over the number of dimensions (pixels times channels).

    Settings: `dimensions` of every sample, else the column ``dimensions``; `levels`, where the model is a density of
    values scaled from that many levels to [0, 1] (256 for dequantised bytes), which adds ``log2(levels)``. Left out
    for a likelihood of the discrete values. An evidence lower bound gives an upper bound.
    """

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="bits_per_dimension",
        measures="negative log-likelihood of images in bits per pixel and channel",
        low=None,
        high=None,
        direction="lower",
        quadrant="quality",
        needs=("nll", "dimensions"),
        estimand="expected negative log2-likelihood over expected dimensions",
        interval="delta method for ratios, t where all samples have the same dimensions; clustered errors where shared",
        validity="two or more samples, independent or in known clusters",
        source="Theis, van den Oord and Bethge 2016 (arXiv:1511.01844)",
        units="bits",
    )

    def __init__(self, *, dimensions: int | None = None, levels: int | None = None) -> None:
        if dimensions is not None and (isinstance(dimensions, bool) or dimensions < 1):
            raise InputError(f"metric 'bits_per_dimension': `dimensions` is {dimensions}; give at least 1")
        if levels is not None and (isinstance(levels, bool) or levels < 2):
            raise InputError(f"metric 'bits_per_dimension': `levels` is {levels}; give at least 2, or leave it out")
        super().__init__(dimensions=dimensions, levels=levels)
        self._dimensions = dimensions
        self._offset = 0.0 if levels is None else math.log2(levels)

    def score(self, batch: Batch) -> Scores:
        """Bits and dimensions of every sample."""
        name, reasons = self.spec.name, errors_of(batch)
        nll = number_column(batch, "nll", name, reasons, least=-math.inf)
        if self._dimensions is not None:
            sizes = np.full(len(batch), float(self._dimensions))
        else:
            sizes = number_column(batch, "dimensions", name, reasons, least=1.0)
        lost = np.array([reason is not None for reason in reasons], dtype=bool)
        nll, sizes = np.where(lost, np.nan, nll), np.where(lost, np.nan, sizes)
        return rows(batch, nll / math.log(2) + sizes * self._offset, reasons, denominators=sizes)


def bits_per_dimension(nll: Any, dimensions: int, *, levels: int | None = None) -> Estimate:
    """Mean negative log-likelihood of images in bits per dimension. Lower is better.

    Args:
        nll: negative log-likelihood of each image in nats, ``[n]``; NaN is unscored.
        dimensions: pixels times channels of an image.
        levels: where the density is of values scaled to [0, 1], the levels of the stored values (256 for bytes).

    Raises:
        InputError: no numbers, `dimensions` below 1 or `levels` below 2.

    >>> round(bits_per_dimension([math.log(2) * 3072 * 2] * 2, 3072).value, 9)
    2.0
    """
    values = [nll] if np.ndim(nll) == 0 else list(nll)
    metric = BitsPerDimension(dimensions=dimensions, levels=levels)
    return metric.compute(metric.update(metric.init(), batch_of({"nll": values}, len(values))))[PRIMARY]
