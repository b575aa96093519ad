"""Feature rows, batches and states for the tests of image metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from metrics.base import Batch, Metric, State


def _batch(rows: Any, *, column: str = "features", start: int = 0, **rest: Any) -> Batch:
    return Batch(sample_ids=[f"s{start + i}" for i in range(len(rows))], columns={column: rows}, **rest)


@pytest.fixture(scope="session")
def batch() -> Callable[..., Batch]:
    return _batch


@pytest.fixture(scope="session")
def state_of() -> Callable[..., State]:
    def make(metric: Metric, rows: Any, **rest: Any) -> State:
        return metric.update(metric.init(), _batch(rows, **rest))

    return make


@pytest.fixture(scope="session")
def features() -> Callable[[int, int, int], np.ndarray]:
    """Correlated, mostly non-negative features, as a network's last layer gives."""

    def make(seed: int, n: int, d: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        mixing = np.random.default_rng(99).normal(size=(d, d)) / np.sqrt(d)
        return np.maximum(rng.normal(size=(n, d)) @ mixing + 0.3, 0) + 0.01 * rng.normal(size=(n, d))

    return make
