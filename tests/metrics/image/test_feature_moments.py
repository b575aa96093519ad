from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.errors import InputError
from metrics.image import FeatureMoments, frechet_distance, gaussian


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=4).filter(lambda s: sum(s) > 1), st.integers(0, 99))
def test_batches_and_merging_give_the_moments_of_all_rows(sizes, seed):
    rows = np.random.default_rng(seed).normal(size=(sum(sizes), 3)) + 1000
    cuts = np.cumsum([0, *sizes])
    whole, merged = FeatureMoments(3), FeatureMoments(3)
    for a, b in itertools.pairwise(cuts):
        whole.update(rows[a:b])
        part = FeatureMoments(3)
        part.update(rows[a:b])
        merged.merge(part)
    for made in (whole, merged):
        assert len(made) == len(rows)
        mean, covariance = made.moments()
        np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-12)
        np.testing.assert_allclose(covariance, np.cov(rows.T), rtol=1e-8, atol=1e-10)


def test_a_buffer_that_fills_many_times_changes_nothing(features):
    rows = features(1, 3000, 2000)[:, :1500]
    exact, fast = FeatureMoments(1500), FeatureMoments(1500, precision="fast")
    for start in range(0, 3000, 64):
        exact.update(rows[start : start + 64].astype(np.float32))
        fast.update(rows[start : start + 64].astype(np.float32))
    expected = np.cov(rows.astype(np.float32).astype(np.float64).T)
    np.testing.assert_allclose(exact.moments()[1], expected, rtol=1e-9, atol=1e-12)
    assert np.abs(fast.moments()[1] - expected).max() < 1e-6 * np.abs(expected).max()


def test_the_distance_needs_no_rows(features):
    x, y = features(1, 400, 8), features(2, 300, 8) * 1.2
    made = []
    for rows in (x, y):
        moments = FeatureMoments(8)
        moments.update(rows)
        made.append(moments.gaussian())
    assert frechet_distance(*made).value == pytest.approx(frechet_distance(x, y).value, rel=1e-9)
    assert frechet_distance(gaussian(x), made[1]).n == 300


def test_bad_features_are_refused_as_a_whole(features):
    moments = FeatureMoments(4)
    rows = features(1, 10, 4)
    moments.update(rows)
    broken = rows.copy()
    broken[7, 2] = np.nan
    with pytest.raises(InputError, match="row 7 is not finite"):
        moments.update(broken)
    with pytest.raises(InputError, match="3 dimensions, expected 4"):
        moments.update(rows[:, :3])
    assert len(moments) == 10
    with pytest.raises(InputError, match="of 4 and of 3"):
        moments.merge(FeatureMoments(3))
    for bad in ({"dimensions": 0}, {"dimensions": 3, "precision": "half"}):
        with pytest.raises(InputError, match="expected at least 1"):
            FeatureMoments(**bad)
    with pytest.raises(InputError, match="moments of 0 samples"):
        FeatureMoments(3).gaussian()
