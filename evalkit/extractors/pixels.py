"""Plain pixels as features: for tiny images and for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evalkit.extractors.base import Extracted, Image, check_images
from metrics.errors import InputError


class PixelExtractor:
    """Pixels over 255, row by row: features float32 ``[n, height * width * 3]`` between 0 and 1."""

    name = "pixels"

    def identity(self) -> dict[str, Any]:
        """There are no weights."""
        return {"extractor": self.name, "version": 1, "weights": None, "preprocessing": "pixels / 255, flattened"}

    def extract(self, images: Sequence[Image]) -> Extracted:
        """Return the pixels; images of different sizes raise `InputError`."""
        check_images(images, self.name)
        sizes = {image.shape[:2] for image in images}
        if len(sizes) > 1:
            first, second = sorted(sizes)[:2]
            raise InputError(
                f"extractor 'pixels' needs images of one size, got {first[1]}x{first[0]} and {second[1]}x{second[0]}; "
                "use a network such as 'inception-v3', which resizes"
            )
        return Extracted(np.stack([image.reshape(-1) for image in images]).astype(np.float32) / np.float32(255))
