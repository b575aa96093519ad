"""Vectors of texts for drift: of their words (fast, every day) or of their sentences (slow, closer to meaning)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from judges.minilm import MiniLm, packaged
from metrics.errors import InputError
from metrics.optional import optional

Vectors = NDArray[np.float32]
Embedder = Callable[[Sequence[str]], Vectors]

_LONGEST = 256
_AT_A_TIME = 1000


class WordVectors:
    """Mean of the word vectors of all-MiniLM-L6-v2 (its first layer), of length one; float32 ``[n, 384]``.

    It knows which words are used, not their order; 5,000 texts take about a second on one core, where the whole model
    takes a minute or more. Needs no torch. Only the first 256 tokens of a text are read.

    Raises:
        InputError: `tokenizers`, `safetensors` or the weights are missing.
    """

    def __init__(self) -> None:
        folder = packaged()
        tokenizers = optional("tokenizers", "the vectors of words")
        safetensors = optional("safetensors", "the vectors of words")
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_LONGEST)
        with safetensors.safe_open(folder / "model.safetensors", "np") as weights:
            name = next(name for name in weights.keys() if name.endswith("word_embeddings.weight"))  # noqa: SIM118
            self._table: Vectors = weights.get_tensor(name).astype(np.float32)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Embed texts; the row of a text does not depend on the others, and one without words is all zeros."""
        found = np.zeros((len(texts), self._table.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), _AT_A_TIME):
            part = self._tokenizer.encode_batch(list(texts[start : start + _AT_A_TIME]), add_special_tokens=False)
            for place, encoded in enumerate(part, start=start):
                if encoded.ids:
                    mean = self._table[encoded.ids].mean(axis=0)
                    found[place] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return found


@cache
def _words() -> WordVectors:
    return WordVectors()


@cache
def _sentences() -> MiniLm:
    return MiniLm(longest=128)


EMBEDDERS: Mapping[str, Callable[[], Embedder]] = {"words": _words, "sentences": _sentences}
"""Embedders by name, each loaded once a process."""


def embed(name: str, texts: Sequence[str]) -> Vectors:
    """Vectors ``[n, d]`` of texts."""
    if name not in EMBEDDERS:
        raise InputError(f"no embedder '{name}'; known are {', '.join(EMBEDDERS)}")
    return EMBEDDERS[name]()(texts)
