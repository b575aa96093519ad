"""Group-sequential boundaries against published ones, the multivariate normal and simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metrics import InputError
from metrics.statistics import alpha_spent, group_sequential_bounds

FIVE = [0.2, 0.4, 0.6, 0.8, 1.0]
# R: ldbounds::ldBounds(1:5 / 5, iuse = c(1, 1)) and iuse = c(2, 2), alpha = c(0.025, 0.025).
PUBLISHED = {
    "obrien-fleming": (4.8769, 3.3569, 2.6803, 2.2898, 2.0310),
    "pocock": (2.4380, 2.4268, 2.4101, 2.3966, 2.3859),
}


@pytest.mark.parametrize("spending", PUBLISHED)
def test_boundaries_agree_with_ldbounds(spending: Any) -> None:
    found = group_sequential_bounds(FIVE, alpha=0.025, spending=spending)
    assert found.z == pytest.approx(PUBLISHED[spending], abs=2e-4)
    assert found.spent[-1] == pytest.approx(0.025)


def test_one_look_is_the_plain_test() -> None:
    found = group_sequential_bounds([1.0], alpha=0.05)
    assert found.z[0] == pytest.approx(stats.norm.ppf(0.95), abs=1e-9)
    assert found.alphas[0] == pytest.approx(0.05, abs=1e-10)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(0.05, 1.0), min_size=2, max_size=3),
    st.sampled_from(["obrien-fleming", "pocock"]),
    st.floats(0.01, 0.2),
)
def test_what_is_spent_is_the_multivariate_normals_tail(gaps: list[float], spending: Any, alpha: float) -> None:
    fractions = np.cumsum(gaps) / np.sum(gaps)
    fractions[-1] = 1.0
    found = group_sequential_bounds(fractions.tolist(), alpha=alpha, spending=spending)
    correlation = np.sqrt(np.minimum.outer(fractions, fractions) / np.maximum.outer(fractions, fractions))
    for looks in range(1, len(fractions) + 1):
        part = correlation[:looks, :looks]
        stay = stats.multivariate_normal(cov=part, allow_singular=True).cdf(np.array(found.z[:looks]))
        assert 1 - stay == pytest.approx(found.spent[looks - 1], abs=2e-5)


@pytest.mark.parametrize("spending", PUBLISHED)
def test_error_over_all_looks_is_alpha_and_unadjusted_looks_exceed_it(spending: Any) -> None:
    rng = np.random.default_rng(0)
    paths = np.cumsum(rng.normal(size=(20_000, 5)), axis=1) / np.sqrt(np.arange(1, 6))
    z = np.array(group_sequential_bounds(FIVE, spending=spending).z)
    assert np.mean((paths >= z).any(axis=1)) == pytest.approx(0.05, abs=0.005)
    assert np.mean((paths >= 1.645).any(axis=1)) > 0.11


def test_uneven_and_close_looks() -> None:
    found = group_sequential_bounds([0.3, 0.305, 0.31, 0.9, 1.0])
    rng = np.random.default_rng(1)
    steps = np.sqrt(np.diff([0.0, *found.fractions]))
    paths = np.cumsum(rng.normal(size=(40_000, 5)) * steps, axis=1) / np.sqrt(found.fractions)
    crossed = np.maximum.accumulate(paths >= np.array(found.z), axis=1).mean(axis=0)
    assert crossed == pytest.approx(np.array(found.spent), abs=0.004)


@given(st.floats(0.01, 0.99), st.floats(0.001, 0.4))
def test_spending_rises_to_alpha_and_obrien_fleming_spends_late(fraction: float, alpha: float) -> None:
    late, even = (alpha_spent(fraction, alpha=alpha, spending=s) for s in ("obrien-fleming", "pocock"))  # type: ignore[arg-type]
    assert 0 < late < alpha_spent(1.0, alpha=alpha) == pytest.approx(alpha)
    assert even < alpha
    assert fraction > 0.5 or late < even


@pytest.mark.parametrize("fractions", [[], [0.5, 0.5], [0.5, 0.4], [0.5, 1.2], [0.0, 1.0], [float("nan")]])
def test_looks_that_do_not_rise_are_refused(fractions: list[float]) -> None:
    with pytest.raises(InputError, match="expected rising shares"):
        group_sequential_bounds(fractions)


def test_bad_levels_are_refused() -> None:
    with pytest.raises(InputError, match="expected 0 < alpha"):
        group_sequential_bounds([1.0], alpha=0.7)
    with pytest.raises(InputError, match="expected 'obrien-fleming'"):
        group_sequential_bounds([1.0], spending="linear")  # type: ignore[arg-type]
