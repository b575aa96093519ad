"""Where the effective number of modes has an interval: block values of few equal modes are too skewed for t."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.image import mode_collapse

CENTRES = 20 * np.eye(8)


def drawn(counts: list[int]) -> np.ndarray:
    at = np.repeat(np.arange(len(counts)), counts)
    return CENTRES[at] + np.random.default_rng(1).normal(size=(len(at), 8))


REFERENCE = drawn([30] * 8)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([200, 200], "10 blocks are too few where 2 modes are used alike"),
        ([133, 133, 134], "10 blocks are too few where 3 modes are used alike"),
        ([391, 5, 4], "9 samples outside the largest mode, 10 are needed"),
        ([400], None),
        ([300, 100], None),
        ([200, 100, 100], None),
        ([50] * 8, None),
        ([800, 800, 800], None),
    ],
)
def test_the_interval_is_withheld_where_it_would_not_cover(counts, reason):
    found = mode_collapse(REFERENCE, drawn(counts), modes=8, block=40, seed=3)["value"]
    assert found.has_interval is (reason is None)
    assert reason is None or reason in found.method
