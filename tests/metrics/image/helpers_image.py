"""Batches of feature rows, for the tests of image metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics.base import Batch, Metric, State


def batch(rows: Any, *, column: str = "features", start: int = 0, **rest: Any) -> Batch:
    return Batch(sample_ids=[f"s{start + i}" for i in range(len(rows))], columns={column: rows}, **rest)


def state_of(metric: Metric, rows: Any, **rest: Any) -> State:
    return metric.update(metric.init(), batch(rows, **rest))


def features(seed: int, n: int, d: int) -> np.ndarray:
    """Correlated, non-negative features, as a network's last layer gives."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(d, d)) / np.sqrt(d)
    return np.maximum(rng.normal(size=(n, d)) @ mixing + 0.3, 0) + 0.01 * rng.normal(size=(n, d))
