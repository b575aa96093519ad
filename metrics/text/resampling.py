"""Bootstrap of corpus values: sums of per-sample counts over resamples, as one matrix product a block."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metrics.base import FloatArray

_BLOCK_CELLS = 1 << 16
"""Draws at a time: what fits into a core's cache; larger blocks are half as fast."""


def resampled_sums(rows: FloatArray, resamples: int, seed: int) -> FloatArray:
    """Sums of rows ``[n, k]`` over samples of n drawn with replacement, ``[resamples, k]``.

    The draws are those of ``numpy.random.default_rng(seed).choice(n, (resamples, n))``, as in sacreBLEU.
    """
    n = len(rows)
    rng = np.random.default_rng(seed)
    # float32 holds sums of whole numbers up to there without rounding, at half the cost
    single = n * np.abs(rows).max(initial=0.0) <= 2**24 and np.array_equal(rows, np.rint(rows))
    values = rows.astype(np.float32 if single else np.float64)
    sums = np.empty((resamples, rows.shape[1]))
    block = max(1, _BLOCK_CELLS // n)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = rng.integers(0, n, size=(count, n))
        drawn += np.arange(count)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n)
        sums[start : start + count] = times.astype(values.dtype) @ values
    return sums


def expanded_tails(outside: float, units: int) -> tuple[float, float]:
    """Quantiles of the resampled values between which a percentile interval lies.

    Resamples of n units vary by a factor ``sqrt((n - 1) / n)`` too little and have normal tails where t's are due; the
    quantiles are moved outward by both (Hesterberg 2015, "What teachers should know about the bootstrap").
    """
    from scipy import special

    wide = np.sqrt(units / (units - 1)) * special.stdtrit(units - 1, outside)
    low = float(special.ndtr(wide))
    return low, 1 - low


def cluster_keys(names: Sequence[str]) -> NDArray[np.uint64]:
    """A 64-bit key of each cluster name, the same in every process."""
    digests = b"".join(hashlib.blake2b(str(n).encode("utf-8", "surrogatepass"), digest_size=8).digest() for n in names)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def cluster_sums(rows: FloatArray, keys: NDArray[np.uint64]) -> FloatArray:
    """Rows added up by cluster, in the order of their keys."""
    distinct, places = np.unique(keys, return_inverse=True)
    sums = np.zeros((len(distinct), rows.shape[1]))
    np.add.at(sums, places, rows)
    return sums
