"""A network exported by ``torch.export`` as feature extractor: what teams bring with a suite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.exported import load_exported
from evalkit.extractors.base import Extracted, Image, check_images
from evalkit.extractors.batched import extract_batches
from evalkit.generators.base import GenerationFailed
from metrics.errors import InputError
from registry.digests import file_digest

_BATCH = 64


class ProgramExtractor:
    """A ``.pt2`` program: uint8 ``[n, 3, height, width]`` in, features ``[n, d]`` or (features, logits) out.

    Preprocessing belongs into the program. Its image size is usually fixed; then images of other sizes are refused,
    since a resize that the program's author did not choose would change the features.
    """

    has_own_types = True
    """Casting is in the program."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._digest = file_digest(path)
        try:
            self._program = load_exported(path)
        except GenerationFailed as error:
            raise InputError(f"extractor '{self.name}': {error}") from None
        shape = self._program.input_shape
        if shape is not None and (len(shape) != 3 or shape[0] != 3):
            raise InputError(
                f"extractor '{self.name}' takes inputs {['n', *shape]}; expected uint8 ['n', 3, height, width]"
            )

    def identity(self) -> dict[str, Any]:
        """The digest of the file stands for weights and preprocessing."""
        return {"extractor": "program", "version": 1, "weights": self._digest, "preprocessing": "within the program"}

    @property
    def usual_batch(self) -> int:
        """That of the program, where it was exported with one."""
        return self._program.fixed_batch or _BATCH

    @property
    def fixed_batch(self) -> bool:
        """Whether the program was exported with a batch size."""
        return self._program.fixed_batch is not None

    def extract(self, images: Sequence[Image]) -> Extracted:
        """Return the program's features, and class probabilities where it returns logits."""
        return extract_batches(self, images)

    def prepare(self, images: Sequence[Image], position: int, first: Image) -> np.ndarray:
        """Check the images' sizes and stack them."""
        check_images(images, self.name, position)
        self._check_sizes(images, position, first)
        return np.stack(images)

    def forward(self, prepared: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Run the program on a batch."""
        return self._run(prepared)

    def _check_sizes(self, images: Sequence[Image], start: int, first: Image) -> None:
        fixed = self._program.input_shape
        expected = tuple(fixed[1:]) if fixed is not None else first.shape[:2]
        for position, image in enumerate(images, start=start):
            if image.shape[:2] != expected:
                raise InputError(
                    f"extractor '{self.name}' works on images {expected[1]}x{expected[0]}, but image {position} is "
                    f"{image.shape[1]}x{image.shape[0]}; generate that size, or export the program with a resize"
                )

    def _run(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        import torch

        count = len(pixels)
        # torch.export specialises batches of one; a fixed batch must be full
        missing = (self._program.fixed_batch or max(count, 2)) - count
        padded = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)]) if missing else pixels
        inputs = torch.from_numpy(np.ascontiguousarray(padded.transpose(0, 3, 1, 2)))
        try:
            with torch.inference_mode():
                outputs = self._program.module(inputs)
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputError(f"extractor '{self.name}' fails on uint8 {list(inputs.shape)}: {reason}") from None
        given = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        if not 1 <= len(given) <= 2 or not all(isinstance(o, torch.Tensor) for o in given):
            raise InputError(f"extractor '{self.name}' must return features [n, d], or (features, logits)")
        arrays = [output.float().numpy()[:count] for output in given]
        return arrays[0], arrays[1] if len(arrays) == 2 else None
