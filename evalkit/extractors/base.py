"""The contract of feature extractors: images in, features and class probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an extractor returns, one row per image.

    Attributes:
        features: float32 ``[n, d]``, finite.
        probabilities: float32 ``[n, classes]``, each row a distribution; None where there is no classifier.
    """

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None = None


@runtime_checkable
class Extractor(Protocol):
    """Anything that turns images into features. Rows do not depend on the images around them."""

    name: str

    def identity(self) -> dict[str, Any]:
        """Return what the features depend on, JSON-ready: name, version, digest of weights, preprocessing."""
        ...

    def extract(self, images: Sequence[Image]) -> Extracted:
        """Return the features of uint8 RGB images ``[height, width, 3]``, in order."""
        ...


def check_images(images: Sequence[Image], extractor: str, position: int = 0) -> None:
    """Raise `InputError` for the first array that is not a uint8 RGB image, or where there is none.

    `position` is that of the first one within a larger set.
    """
    if len(images) == 0:
        raise InputError(f"extractor '{extractor}': got no images")
    for place, image in enumerate(images, start=position):
        shape, kind = list(np.shape(image)), getattr(image, "dtype", type(image).__name__)
        if kind != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise InputError(
                f"extractor '{extractor}': image {place} is {kind} {shape}; expected uint8 [height, width, 3]"
            )


def check_rows(values: NDArray[Any], count: int, extractor: str) -> NDArray[np.float32]:
    """Return a network's output as float32 ``[count, d]``; other shapes and non-finite values raise `InputError`."""
    if values.ndim != 2 or len(values) != count or values.shape[1] == 0:
        raise InputError(f"extractor '{extractor}' returned {list(values.shape)} for {count} images; expected [n, d]")
    rows = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise InputError(
            f"extractor '{extractor}' returned values that are not finite for {bad.size} of {count} images"
        )
    return rows


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Class probabilities ``[n, classes]`` of logits, computed in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities
