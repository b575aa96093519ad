"""Reconstruction quality of single images against their originals: PSNR and SSIM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from metrics.base import PRIMARY, Batch, Estimate, FloatArray, MetricSpec, SampleMetric, Scores
from metrics.errors import InputError
from metrics.scoring import batch_of, errors_of, is_missing, rows

CEILING = 100.0
"""PSNR in dB that identical images count as: it is infinite, and a mean needs a number."""

_RADIUS, _SIGMA = 5, 1.5
_NEEDS = ("image", "reference_image")
_VALIDITY = "two or more samples, independent or in known clusters"


def _image(given: Any, what: str) -> FloatArray:
    """One image as float64 ``[height, width, channels]``, 0 to 1."""
    if hasattr(given, "detach"):  # a torch tensor
        given = given.detach().cpu().numpy()
    try:
        image = np.asarray(given)
        scaled = image.astype(np.float64, casting="same_kind") / (255.0 if image.dtype == np.uint8 else 1.0)
    except (TypeError, ValueError):
        raise InputError(f"{what} is a {type(given).__name__}; expected an image [height, width, channels]") from None
    if scaled.ndim not in (2, 3) or 0 in scaled.shape or image.dtype.kind not in "uf":
        raise InputError(
            f"{what} is {image.dtype} {list(image.shape)}; expected uint8 or float [height, width, channels]"
        )
    if image.dtype.kind == "u" and image.dtype != np.uint8:
        raise InputError(f"{what} is {image.dtype}; expected uint8, or float between 0 and 1")
    if not (np.isfinite(scaled).all() and scaled.min() >= 0 and scaled.max() <= 1):
        raise InputError(f"{what} has values outside of its range; floats are expected between 0 and 1")
    return scaled[:, :, None] if scaled.ndim == 2 else scaled


def _psnr(image: FloatArray, reference: FloatArray) -> float:
    error = float(((image - reference) ** 2).mean())
    return min(-10 * math.log10(error), CEILING) if error > 0 else CEILING


def _ssim(image: FloatArray, reference: FloatArray) -> float:
    """Mean over pixels (the border of 5 left out) and channels."""
    from scipy.ndimage import gaussian_filter

    def blurred(x: FloatArray) -> FloatArray:
        result: FloatArray = gaussian_filter(x, (_SIGMA, _SIGMA, 0), radius=(_RADIUS, _RADIUS, 0))
        return result[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]

    a, b = blurred(image), blurred(reference)
    variances = blurred(image**2) - a**2 + blurred(reference**2) - b**2
    covariance = blurred(image * reference) - a * b
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * a * b + c1) * (2 * covariance + c2) / ((a**2 + b**2 + c1) * (variances + c2))
    return float(similarity.mean())


class _ImagePairMetric(SampleMetric):
    """A score of each image against its reference image; pairs of different sizes raise `InputError`."""

    least_side: ClassVar[int] = 1

    def _of(self, image: FloatArray, reference: FloatArray) -> float:
        raise NotImplementedError

    def score(self, batch: Batch) -> Scores:
        """Score every pair; a missing image is unscored."""
        name = self.spec.name
        given = [batch.column(column, name) for column in _NEEDS]
        reasons = errors_of(batch)
        values = np.full(len(batch), np.nan)
        for row, pair in enumerate(zip(*given, strict=True)):
            sample = batch.sample_ids[row]
            for column, entry in zip(_NEEDS, pair, strict=True):
                if is_missing(entry):
                    reasons[row] = reasons[row] or f"no {column.replace('_', ' ')}"
            if reasons[row] is not None:
                continue
            image, reference = (
                _image(entry, f"metric '{name}', sample '{sample}': '{column}'")
                for column, entry in zip(_NEEDS, pair, strict=True)
            )
            if image.shape != reference.shape or min(image.shape[:2]) < self.least_side:
                raise InputError(
                    f"metric '{name}', sample '{sample}': image {list(image.shape)} and reference image "
                    f"{list(reference.shape)}; expected equal sizes of at least {self.least_side} pixels a side"
                )
            values[row] = self._of(image, reference)
        return rows(batch, values, reasons)


class PeakSignalToNoiseRatio(_ImagePairMetric):
    """PSNR of each image against its reference image, in dB; identical images count as 100 dB."""

    spec: ClassVar[MetricSpec] = MetricSpec(
        name="psnr",
        measures="peak signal-to-noise ratio of reconstructions against their originals, mean over images",
        low=0.0,
        high=CEILING,
        direction="higher",
        quadrant="quality",
        needs=_NEEDS,
        estimand="mean PSNR per image; 100 dB where both are identical",
        interval="t interval, clustered where samples share clusters",
        validity=_VALIDITY,
        source="values as scikit-image's peak_signal_noise_ratio, up to 100 dB",
        units="dB",
    )

    def _of(self, image: FloatArray, reference: FloatArray) -> float:
        return _psnr(image, reference)


class StructuralSimilarity(_ImagePairMetric):
    """SSIM of each image against its reference image, mean over channels."""

    least_side: ClassVar[int] = 2 * _RADIUS + 1
    spec: ClassVar[MetricSpec] = MetricSpec(
        name="ssim",
        measures="structural similarity of reconstructions to their originals, mean over images",
        low=-1.0,
        high=1.0,
        direction="higher",
        quadrant="quality",
        needs=_NEEDS,
        estimand="mean structural similarity per image",
        interval="t interval, clustered where samples share clusters",
        validity=_VALIDITY,
        source="Wang et al. 2004 (Gaussian window 11 x 11, sigma 1.5); values as scikit-image with "
        "gaussian_weights and population covariance",
    )

    def _of(self, image: FloatArray, reference: FloatArray) -> float:
        return _ssim(image, reference)


def _mean(metric: SampleMetric, images: Sequence[Any], references: Sequence[Any]) -> Estimate:
    if len(images) != len(references):
        raise InputError(f"{metric.spec.name}: {len(images)} images for {len(references)} references")
    batch = batch_of({"image": images, "reference_image": references}, len(images))
    return metric.compute(metric.update(metric.init(), batch))[PRIMARY]


def psnr(images: Sequence[Any], references: Sequence[Any]) -> Estimate:
    """Mean peak signal-to-noise ratio of images against their references, in dB. Higher is better; 0 to 100.

    Args:
        images: ``[height, width]`` or ``[height, width, channels]`` each, uint8 or float between 0 and 1; None where
            there is none, which is unscored.
        references: of the same sizes, in the same order.

    Raises:
        InputError: pairs of different sizes, values out of range.

    >>> psnr([np.zeros((4, 4))], [np.full((4, 4), 0.1)]).value
    20.0
    """
    return _mean(PeakSignalToNoiseRatio(), images, references)


def ssim(images: Sequence[Any], references: Sequence[Any]) -> Estimate:
    """Mean structural similarity of images to their references. Higher is better; -1 to 1.

    Args:
        images: as `psnr`, at least 11 pixels a side.
        references: of the same sizes, in the same order.

    Raises:
        InputError: pairs of different sizes, images that are too small, values out of range.
    """
    return _mean(StructuralSimilarity(), images, references)
