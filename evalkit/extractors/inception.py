"""The Inception-v3 feature extractor, with the FID weights checked by digest."""

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
    from evalkit.extractors.inception_network import InceptionV3

FID_WEIGHTS = WeightsFile(
    name="pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size=95_628_359,
)
"""TensorFlow's inception-2015-12-05 graph as a PyTorch state dict (Apache-2.0), published by pytorch-fid."""

SIDE = 299

_BATCH = 32


class InceptionV3Extractor:
    """Pool features ``[n, 2048]`` and class probabilities ``[n, 1008]`` of the FID Inception-v3.

    Numbers agree with torch-fidelity's ``inception-v3-compat``: TensorFlow 1's bilinear resize, pixels (x - 128) / 128,
    probabilities from logits without bias. Runs on a GPU where torch finds one, in full float32.

    Args:
        network: a network to use instead of the published weights; `weights` is then its digest.
        weights: digest of the weights of `network`.
    """

    name = "inception-v3"
    preprocessing = "bilinear to 299 as TensorFlow 1, (x - 128) / 128"
    usual_batch = _BATCH
    fixed_batch = False

    def __init__(self, network: InceptionV3 | None = None, *, weights: str = "") -> None:
        if (network is None) == bool(weights):
            raise InputError("give a network together with the digest of its weights, or neither")
        self._weights = weights or f"sha256:{FID_WEIGHTS.sha256}"
        self._network = network or load_published()
        self._network.eval().requires_grad_(False)

    def identity(self) -> dict[str, Any]:
        """Weights and preprocessing."""
        return {
            "extractor": self.name,
            "version": 1,
            "weights": self._weights,
            "preprocessing": self.preprocessing,
        }

    def extract(self, images: Sequence[Image]) -> Extracted:
        """Return features and probabilities; images may differ in size."""
        return extract_batches(self, images)

    def prepare(self, images: Sequence[Image], position: int, first: Image) -> list[tuple[list[int], Any]]:
        """Images of each size as a tensor, with their places in the batch; the network resizes them."""
        del first  # sizes may differ
        check_images(images, self.name, position)
        places: dict[tuple[int, ...], list[int]] = {}
        for place, image in enumerate(images):
            places.setdefault(image.shape, []).append(place)
        return [(group, self._stack([images[place] for place in group])) for group in places.values()]

    def forward(self, prepared: list[tuple[list[int], Any]]) -> tuple[np.ndarray, np.ndarray | None]:
        """Features and, where the network computes them, logits, in the order of the batch."""
        back = np.argsort([place for group, _ in prepared for place in group])
        parts = [self._run(inputs) for _, inputs in prepared]
        logits = [some for _, some in parts if some is not None]
        return np.concatenate([rows for rows, _ in parts])[back], np.concatenate(logits)[back] if logits else None

    def _stack(self, images: Sequence[Image]) -> Any:
        return channels_first(images)

    def _run(self, inputs: Any) -> tuple[np.ndarray, np.ndarray | None]:
        features, logits = self._forward("__call__", inputs)
        return features.float().cpu().numpy(), logits.float().cpu().numpy()

    def _forward(self, method: str, inputs: Any) -> Any:
        import torch

        device = best_device()
        network = self._network.to(device)
        # cuDNN's default of TF32 convolutions would move features by about 1e-3
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            return getattr(network, method)(inputs.to(device, non_blocking=True))


class CleanInceptionV3Extractor(InceptionV3Extractor):
    """The same network on images resized as clean-fid does: PIL's bicubic filter with antialiasing, not rounded.

    Numbers agree with clean-fid's ``mode="clean"`` (Parmar, Zhang and Zhu 2022, arXiv:2104.11222); they are not
    comparable with those of ``inception-v3``.
    """

    name = "inception-v3-clean"
    preprocessing = "bicubic with antialiasing to 299 in float32 by PIL, clipped to 0..255, (x - 128) / 128"

    def _stack(self, images: Sequence[Image]) -> Any:
        return channels_first([resize_like_clean_fid(image, SIDE) for image in images])


class SpatialInceptionV3Extractor(InceptionV3Extractor):
    """Features before the pooling, ``[n, 2023]``: `fid` on them is sFID, which sees where in the image things are.

    The first 7 channels of the 17 x 17 block that TensorFlow's graph calls ``mixed_6/conv``, as guided-diffusion's
    evaluator takes them (Nash et al. 2021, arXiv:2103.03841; Dhariwal and Nichol 2021, arXiv:2105.05233). There are no
    probabilities.
    """

    name = "inception-v3-spatial"

    def _run(self, inputs: Any) -> tuple[np.ndarray, np.ndarray | None]:
        return self._forward("spatial", inputs).float().cpu().numpy(), None


def resize_like_clean_fid(image: Image, side: int) -> np.ndarray:
    """Resize uint8 ``[height, width, 3]`` to float32 ``[side, side, 3]``, 0 to 255, each channel by itself."""
    from PIL import Image as Picture

    channels = [
        np.asarray(
            Picture.fromarray(np.ascontiguousarray(image[:, :, channel], dtype=np.float32)).resize(
                (side, side), resample=Picture.Resampling.BICUBIC
            )
        )
        for channel in range(3)
    ]
    return np.stack(channels, axis=2).clip(0, 255)


def load_published() -> InceptionV3:
    """Return the network with the published weights, downloaded once and checked; never unpickles code."""
    import torch

    from evalkit.extractors.inception_network import InceptionV3

    path = find_weights(FID_WEIGHTS)
    network = InceptionV3()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} does not hold what it should: not the published weights ({reason})") from None
    return network
