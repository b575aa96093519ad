"""Which samples show a collapse."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.errors import InputError
from metrics.image.examples import closest_copies, missed_groups, repetitions


def _around(centres: list[float], each: int, seed: int, spread: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(centre, spread, (each, 4)) for centre in centres])


REFERENCE = _around([0.0, 20.0, -20.0], 60, 0)


def test_what_is_not_generated_is_found():
    (missed, *rest) = missed_groups(REFERENCE, _around([0.0, 20.0], 90, 1))
    assert all(120 <= place < 180 for place in missed.reference)  # the mode at -20
    assert missed.share + sum(group.share for group in rest) == pytest.approx(1 / 3, abs=0.06)


def test_two_missing_modes_are_two_groups():
    groups = missed_groups(REFERENCE, _around([0.0], 120, 1), groups=2)
    assert {place // 60 for group in groups for place in group.reference} == {1, 2}
    assert all(len({place // 60 for place in group.reference}) == 1 for group in groups)


def test_nothing_is_missed_where_everything_is_generated():
    assert missed_groups(REFERENCE, REFERENCE) == []


def test_copies_are_found_and_told_from_honest_samples():
    generated = _around([0.0, 20.0, -20.0], 60, 2)
    (honest, *_) = repetitions(REFERENCE, generated)
    generated[[3, 50, 70, 90, 120, 150]] = generated[3] + np.arange(6)[:, None] * 1e-6
    (copies, second) = repetitions(REFERENCE, generated)
    assert set(copies.generated) == {3, 50, 70, 90, 120, 150}
    assert copies.closeness < 1e-3 < 0.2 < honest.closeness
    assert not set(copies.generated) & set(second.generated)


def test_a_copied_training_sample_is_found():
    generated = _around([0.0, 20.0, -20.0], 60, 2)
    generated[17] = REFERENCE[130] + 1e-4
    (copy, *others) = closest_copies(REFERENCE, generated)
    assert (copy.generated, copy.reference) == (17, 130)
    assert copy.closeness < 0.01 < others[0].closeness
    assert len({one.reference for one in (copy, *others)}) == 6


def test_doubles_in_the_reference_say_nothing_of_copies():
    doubled = np.concatenate([REFERENCE, REFERENCE[:1]])
    assert all(one.reference not in {0, 180} for one in closest_copies(doubled, REFERENCE[:1].repeat(3, axis=0)))


def test_too_few_say_nothing():
    assert repetitions(REFERENCE[:4], REFERENCE[:4]) == []
    assert missed_groups(REFERENCE[:4], REFERENCE[:4]) == []


@pytest.mark.parametrize("function", [missed_groups, repetitions, closest_copies])
def test_other_dimensions_are_refused(function):
    with pytest.raises(InputError, match="dimensions"):
        function(REFERENCE, REFERENCE[:, :2])
