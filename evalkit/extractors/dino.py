"""DINOv2 features: what FD-DINOv2 is computed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from evalkit.extractors.base import Extracted, Image, check_images
from evalkit.extractors.batched import extract_batches
from evalkit.extractors.transformer import BATCH, load_pretrained, pixels_of, run, weights_digest

_SIDE = 224
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DinoV2Extractor:
    """The normalised class token of a DINOv2 network, ``[n, 384 / 768 / 1024 / 1536]``.

    Images are resized to 224 x 224 without cropping, as Stein et al. 2023 (arXiv:2306.04675) do for FD-DINOv2; their
    numbers are those of ``dinov2-large``.

    Args:
        model: name on the hub or a folder, ``facebook/dinov2-base`` say.
        network: a network to use instead.
    """

    usual_batch = BATCH
    fixed_batch = False

    def __init__(self, model: str, *, network: Any = None) -> None:
        if network is None:
            from transformers import Dinov2Model

            network = load_pretrained(Dinov2Model, model)
        self._network = network.eval().requires_grad_(False)
        self.name = model.rpartition("/")[2]
        self._weights = weights_digest(network)

    def identity(self) -> dict[str, Any]:
        """Weights and preprocessing."""
        return {
            "extractor": "dinov2",
            "version": 1,
            "weights": self._weights,
            "preprocessing": f"bicubic with antialiasing to {_SIDE} by PIL, ImageNet mean and deviation",
        }

    def extract(self, images: Sequence[Image]) -> Extracted:
        """Return the features; images may differ in size."""
        return extract_batches(self, images)

    def prepare(self, images: Sequence[Image], position: int, first: Image) -> Any:
        """Images as the network takes them."""
        del first  # sizes may differ
        check_images(images, self.name, position)
        return pixels_of(images, _SIDE, _MEAN, _DEVIATION)

    def forward(self, prepared: Any) -> tuple[NDArray[Any], None]:
        """Run the network on a batch."""
        return run(self._network, [{"pixel_values": prepared}], "pooler_output"), None
