"""Networks in mixed precision: half the memory and, on a GPU, several times the speed, for features that differ.

Off by default, and never chosen by evalkit: features in bfloat16 differ from those in float32 by about 1 % (in float16
by 0.1 %), so that numbers no longer agree with the field's to the 1e-6 that the metrics keep. A suite asks for it in
the extractor's name, ``inception-v3@bf16``; the precision is part of the features' identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from evalkit.extractors.base import Extracted, Extractor, Image
from evalkit.extractors.batched import Batched, Rows, best_device, extract_batches
from metrics.errors import InputError, did_you_mean

Precision = Literal["bf16", "fp16"]
SEPARATOR = "@"


def split_precision(name: str) -> tuple[str, Precision | None]:
    """``inception-v3@bf16`` as its name and precision; None where it names none."""
    base, separator, given = name.rpartition(SEPARATOR)
    if not separator or name.endswith(".pt2"):  # the name of a file
        return name, None
    for known in get_args(Precision):
        if given == known:
            return base, known
    raise InputError(
        f"extractor '{name}': there is no precision '{given}'{did_you_mean(given, get_args(Precision))}; known are "
        f"{', '.join(get_args(Precision))}, and without '{SEPARATOR}' features are computed in float32"
    )


class MixedPrecision:
    """An extractor whose network runs under torch's autocast."""

    fixed_batch = False

    def __init__(self, inner: Batched, precision: Precision) -> None:
        self.name = f"{inner.name}{SEPARATOR}{precision}"
        self.precision = precision
        self._inner = inner

    @property
    def usual_batch(self) -> int:
        """That of the network in float32."""
        return self._inner.usual_batch

    def identity(self) -> dict[str, Any]:
        """That of the network in float32, and the precision."""
        assert isinstance(self._inner, Extractor)
        return {**self._inner.identity(), "precision": self.precision}

    def prepare(self, images: Sequence[Image], position: int, first: Image) -> Any:
        """As in float32."""
        return self._inner.prepare(images, position, first)

    def forward(self, prepared: Any) -> Rows:
        """The network in mixed precision; its rows come back in float32."""
        import torch

        kind = torch.bfloat16 if self.precision == "bf16" else torch.float16
        with torch.autocast(best_device(), dtype=kind):
            return self._inner.forward(prepared)

    def extract(self, images: Sequence[Image]) -> Extracted:
        """Return the features of images, in order."""
        return extract_batches(self, images)


def in_precision(extractor: Extractor, precision: Precision) -> Extractor:
    """An extractor with its network in mixed precision.

    Raises:
        InputError: an extractor without a network of ours: pixels, or a program, which has its own types.
    """
    if not isinstance(extractor, Batched) or extractor.fixed_batch or getattr(extractor, "has_own_types", False):
        raise InputError(
            f"extractor '{extractor.name}' has no network that can run in {precision}; leave '{SEPARATOR}{precision}' "
            "out, or export the program in that precision"
        )
    return MixedPrecision(extractor, precision)
