"""CLIP features of images and texts: what CMMD and the CLIP score are computed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.extractors.base import Extracted, Image, check_images, check_rows
from evalkit.extractors.batched import extract_batches
from evalkit.extractors.transformer import BATCH, load_pretrained, pixels_of, run, weights_digest
from metrics.errors import InputError

_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class ClipExtractor:
    """Projected image features of a CLIP network, ``[n, projection]``, not normalised; `embed_texts` for prompts.

    Images are resized to a square without cropping, as google-research/cmmd does; CMMD's numbers are those of
    ``clip-vit-large-patch14-336``.

    Args:
        model: name on the hub or a folder, ``openai/clip-vit-base-patch32`` say.
        network: an image network to use instead, a ``CLIPVisionModelWithProjection``.
        text: a pair of a ``CLIPTextModelWithProjection`` and a tokenizer to use instead; loaded when asked for.
    """

    usual_batch = BATCH
    fixed_batch = False

    def __init__(self, model: str, *, network: Any = None, text: tuple[Any, Any] | None = None) -> None:
        if network is None:
            from transformers import CLIPVisionModelWithProjection

            network = load_pretrained(CLIPVisionModelWithProjection, model)
        self._network = network.eval().requires_grad_(False)
        self._side = int(network.config.image_size)
        self._model, self._text = model, text
        self.name = model.rpartition("/")[2]
        self._weights = weights_digest(network)

    def identity(self) -> dict[str, Any]:
        """Weights and preprocessing of images."""
        return {
            "extractor": "clip",
            "version": 1,
            "weights": self._weights,
            "preprocessing": f"bicubic with antialiasing to {self._side} by PIL, CLIP's mean and deviation",
        }

    def extract(self, images: Sequence[Image]) -> Extracted:
        """Return the image features; images may differ in size."""
        return extract_batches(self, images)

    def prepare(self, images: Sequence[Image], position: int, first: Image) -> Any:
        """Images as the network takes them."""
        del first  # sizes may differ
        check_images(images, self.name, position)
        return pixels_of(images, self._side, _MEAN, _DEVIATION)

    def forward(self, prepared: Any) -> tuple[NDArray[Any], None]:
        """Run the network on a batch."""
        return run(self._network, [{"pixel_values": prepared}], "image_embeds"), None

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return projected text features ``[n, projection]``; texts over the network's length are cut there."""
        if not texts or not all(isinstance(text, str) for text in texts):
            raise InputError(f"extractor '{self.name}': expected texts, got {list(texts)[:1]!r}")
        if self._text is None:
            from transformers import CLIPTextModelWithProjection, CLIPTokenizerFast

            self._text = (
                load_pretrained(CLIPTextModelWithProjection, self._model),
                load_pretrained(CLIPTokenizerFast, self._model),
            )
        network, tokenizer = self._text
        longest = int(network.config.max_position_embeddings)
        batches = (
            dict(
                tokenizer(
                    list(texts[start : start + BATCH]),
                    padding=True,
                    truncation=True,
                    max_length=longest,
                    return_tensors="pt",
                )
            )
            for start in range(0, len(texts), BATCH)
        )
        return check_rows(run(network, batches, "text_embeds"), len(texts), self.name)
