"""Features whose squared distance is LPIPS, with the weights checked by digest."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.extractors.base import Extracted, Image, check_images
from evalkit.extractors.batched import best_device, channels_first, extract_batches
from evalkit.extractors.weights import WeightsFile, find_weights
from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.extractors.lpips_network import LpipsNetwork, Trunk

_HEADS = "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1"

TRUNKS: dict[Trunk, WeightsFile] = {
    "alex": WeightsFile(
        name="alexnet-owt-7be5be79.pth",
        url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        sha256="7be5be79",
        size=260_000_000,
    ),
    "vgg": WeightsFile(
        name="vgg16-397923af.pth",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        sha256="397923af",
        size=560_000_000,
    ),
}
"""torchvision's ImageNet classifiers; PyTorch publishes the first eight digits of their digests."""

HEADS: dict[Trunk, WeightsFile] = {
    "alex": WeightsFile(
        name="lpips-v0.1-alex.pth",
        url=f"{_HEADS}/alex.pth",
        sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        size=6009,
    ),
    "vgg": WeightsFile(
        name="lpips-v0.1-vgg.pth",
        url=f"{_HEADS}/vgg.pth",
        sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        size=7289,
    ),
}
"""The linear heads of version 0.1 (BSD-2-Clause), as in the package lpips 0.1.4."""

LEAST_SIDE = 32
_BATCH = 16


class LpipsExtractor:
    """Features ``[n, d]`` whose squared distance is LPIPS version 0.1; the metric `lpips` takes it.

    All images need one size, which is not changed; d grows with it (32,000 at 64 x 64 for ``alex``, 15 times that for
    ``vgg``), and features are stored: for images above 256 x 256 keep to ``alex`` and to few.

    Args:
        trunk: ``alex`` (what the field reports) or ``vgg``.
        network: a network to use instead of the published weights; `weights` is then its digest.
        weights: digest of the weights of `network`.
    """

    usual_batch = _BATCH
    fixed_batch = False

    def __init__(self, trunk: Trunk, *, network: LpipsNetwork | None = None, weights: str = "") -> None:
        if (network is None) == bool(weights):
            raise InputError("give a network together with the digest of its weights, or neither")
        self.name = f"lpips-{trunk}"
        self._weights = weights or f"sha256:{TRUNKS[trunk].sha256} with heads sha256:{HEADS[trunk].sha256}"
        self._network = network or load_published(trunk)
        self._network.eval().requires_grad_(False)

    def identity(self) -> dict[str, Any]:
        """Weights and preprocessing."""
        return {
            "extractor": self.name,
            "version": 1,
            "weights": self._weights,
            "preprocessing": "pixels to -1..1 at their own size, LPIPS's shift and scale",
        }

    def extract(self, images: Sequence[Image]) -> Extracted:
        """Return the features; images of different sizes, or smaller than 32 x 32, raise `InputError`."""
        return extract_batches(self, images)

    def prepare(self, images: Sequence[Image], position: int, first: Image) -> Any:
        """Check the images' sizes and stack them."""
        check_images(images, self.name, position)
        sizes = sorted({image.shape[:2] for image in (first, *images)})
        if len(sizes) > 1 or min(sizes[0]) < LEAST_SIDE:
            shown = " and ".join(f"{width}x{height}" for height, width in sizes[:2])
            raise InputError(
                f"extractor '{self.name}' needs images of one size, at least {LEAST_SIDE}x{LEAST_SIDE}; got {shown}"
            )
        return channels_first(images)

    def forward(self, prepared: Any) -> tuple[np.ndarray, None]:
        """Run the network on a batch."""
        import torch

        device = best_device()
        network = self._network.to(device)
        inputs = prepared.to(device, non_blocking=True)
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            rows: np.ndarray = network(inputs).float().cpu().numpy()
        return rows, None


def load_published(trunk: Trunk) -> LpipsNetwork:
    """Return the network with the published weights, downloaded once and checked; never unpickles code."""
    import torch

    from evalkit.extractors.lpips_network import LpipsNetwork

    network = LpipsNetwork(trunk)
    files = [find_weights(published[trunk]) for published in (TRUNKS, HEADS)]
    try:
        network.load_published(*(torch.load(file, map_location="cpu", weights_only=True) for file in files))
    except (pickle.UnpicklingError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{files[0]} or {files[1]} does not hold what it should: {reason}") from None
    return network
