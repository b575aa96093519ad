"""Seeds: one per sample, so that a sample does not depend on the batch, shard or process that makes it."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from evalkit.generators.base import Request

SEED_SCHEME = "sha256-63/1"
"""Name of the scheme below; part of the identity of outputs."""


def sample_seed(seed: int, position: int) -> int:
    """Return the seed of the sample at `position` (from 0) under the suite's `seed`: 0 to 2**63 - 1.

    It is the top 63 bits of sha256 of ``"evalkit-sample:<seed>:<position>"``: neighbouring positions and
    neighbouring suite seeds share nothing, and the seeds of a run of any length are distinct for all purposes.
    """
    hashed = hashlib.sha256(f"evalkit-sample:{seed}:{position}".encode()).digest()
    return int.from_bytes(hashed[:8], "big") >> 1


def unconditional_requests(seed: int, start: int, stop: int) -> list[Request]:
    """Return the requests at positions ``start <= position < stop`` of a task that has no data rows."""
    return [Request(str(position), position, sample_seed(seed, position)) for position in range(start, stop)]


def standard_normal(seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw float32 standard normal values of one sample with NumPy's PCG64, which uses all 63 bits of the seed.

    PyTorch's CPU generator keeps 32 bits only: among 10,000 samples two would be equal in one run of a hundred.
    """
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
