from __future__ import annotations

import numpy as np
import pytest

from metrics.errors import InputError
from metrics.image import frechet_distance, frechet_distance_by_class, intra_class_diversity


def test_each_class_is_compared_with_itself(features):
    x, y = features(1, 120, 6), features(2, 90, 6) + 0.3
    real, fake = [i % 3 for i in range(120)], [i % 2 for i in range(90)]
    found = frechet_distance_by_class(x, real, y, fake)
    assert list(found) == [0, 1, 2]
    assert found[1] == frechet_distance(x[1::3], y[1::2])
    assert np.isnan(found[2].value)
    assert "40 reference and 0 generated" in found[2].method


def test_a_class_that_is_drawn_wrongly_stands_out(features):
    x, y = features(1, 400, 4), features(2, 400, 4)
    y[::2] += 2.0
    found = frechet_distance_by_class(x, ["a", "b"] * 200, y, ["a", "b"] * 200)
    assert found["a"].value > 10 * found["b"].value


def test_diversity_is_the_mean_over_pairs(features):
    x = features(1, 40, 5)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = np.mean([1 - unit[i] @ unit[j] for i in range(40) for j in range(40) if i != j])
    found = intra_class_diversity(x, ["a"] * 40)["a"]
    assert found.value == pytest.approx(expected, rel=1e-9)
    assert found.low < found.value < found.high


def test_the_interval_of_diversity_covers(features):
    truth = intra_class_diversity(features(0, 20_000, 5), [0] * 20_000)[0].value
    pool = features(1, 50 * 400, 5)
    found = intra_class_diversity(pool, [i // 50 for i in range(len(pool))])
    assert 0.92 <= np.mean([e.low <= truth <= e.high for e in found.values()]) <= 0.98


def test_a_class_that_repeats_one_image_has_no_diversity_and_no_interval(features):
    x = np.concatenate([np.repeat(features(1, 1, 5), 40, axis=0), features(2, 40, 5), features(3, 1, 5)])
    found = intra_class_diversity(x, ["same"] * 40 + ["varied"] * 40 + ["one"])
    assert found["same"].value == pytest.approx(0, abs=1e-12)
    assert not found["same"].has_interval
    assert found["varied"].low > 0.01
    assert np.isnan(found["one"].value)


def test_labels_that_do_not_fit_are_named(features):
    x = features(1, 10, 3)
    with pytest.raises(InputError, match="reference: 9 labels for 10"):
        frechet_distance_by_class(x, [0] * 9, x, [0] * 10)
    with pytest.raises(InputError, match="class 'z', which the reference lacks"):
        frechet_distance_by_class(x, ["a"] * 10, x, ["z"] * 10)
    with pytest.raises(InputError, match="features: 3 labels"):
        intra_class_diversity(x, [1, 2, 3])
