"""64-bit hashes of words and of runs of words, as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_FACTOR = 0x9E3779B97F4A7C15
_INVERSE = pow(_FACTOR, -1, 1 << 64)


def word_hashes(words: Sequence[str]) -> Hashes:
    """BLAKE2 hashes of words, the same in every process, ``[n]``."""
    known = {word: _hash(word) for word in set(words)}
    return np.fromiter(map(known.__getitem__, words), dtype=np.uint64, count=len(words))


def run_hashes(words: Hashes, lengths: NDArray[np.int64], order: int) -> tuple[Hashes, NDArray[np.int64]]:
    """Hash of every run of `order` words within a text, and the text's position.

    Args:
        words: the texts' word hashes one after the other ``[sum of lengths]``.
        lengths: words per text.
        order: words per run, at least 1.

    Runs are polynomials in the hashes of their words modulo 2^64, from one running sum: the cost does not depend on
    `order`. The words' hashes are uniform, so two runs agree by chance with probability of about 2^-64.
    """
    texts = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.repeat(np.cumsum(lengths), lengths)
    starts = np.flatnonzero(np.arange(len(words)) + order <= ends)
    sums = np.zeros(len(words) + 1, dtype=np.uint64)
    np.cumsum(words * _powers(_FACTOR, len(words)), out=sums[1:])
    return (sums[starts + order] - sums[starts]) * _powers(_INVERSE, len(words))[starts], texts[starts]


def _powers(factor: int, count: int) -> Hashes:
    powers = np.full(count, factor, dtype=np.uint64)
    if count:
        powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
