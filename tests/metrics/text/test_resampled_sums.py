from __future__ import annotations

import numpy as np
import pytest

from metrics.text.resampling import resampled_sums


@pytest.mark.parametrize("scale", [1.0, 2.0**20 + 1, 0.1])
def test_sums_are_exact_for_counts_of_any_size(scale):
    """Large and fractional ones would be rounded in single precision."""
    rows = np.random.default_rng(0).integers(0, 30, (300, 10)) * scale
    drawn = np.random.default_rng(7).choice(300, (40, 300))
    np.testing.assert_allclose(resampled_sums(rows, 40, 7), rows[drawn].sum(axis=1), rtol=1e-14)
