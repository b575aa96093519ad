"""Drift by name: one comparison, and whole tables with a verdict per column that allows for many tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from metrics.base import PRIMARY, Estimate
from metrics.drift.comparison import CRITICAL, P_VALUE
from metrics.drift.distribution import Categories, Column, as_column
from metrics.drift.domain_classifier import domain_classifier
from metrics.drift.kernel import energy_distance, maximum_mean_discrepancy
from metrics.drift.univariate import (
    chi_square,
    energy_distance_1d,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein_distance,
)
from metrics.errors import InputError, did_you_mean
from metrics.statistics.intervals import tail

K = TypeVar("K", str, tuple[str, str])
Verdict = Literal["drift", "negligible", "no drift", "insufficient data"]


@dataclass(frozen=True, slots=True)
class Test:
    """A drift test by name.

    Attributes:
        compare: the function behind it.
        effect: key of the estimate that says how large the drift is.
        floor: effect below which drift is negligible; None where the effect has no common scale.
        rows: whether it compares matrices, not columns.
    """

    compare: Callable[..., dict[str, Estimate]]
    effect: str = PRIMARY
    floor: float | None = None
    rows: bool = False


def _classified(reference: Any, current: Any, *, confidence: float) -> dict[str, Estimate]:
    return dict(domain_classifier(reference, current, confidence=confidence).estimates)


def _energy(reference: Any, current: Any, *, confidence: float) -> dict[str, Estimate]:
    compare = energy_distance if _is_matrix(reference) else energy_distance_1d
    return compare(reference, current, confidence=confidence)


TESTS: Mapping[str, Test] = {
    "chi_square": Test(chi_square, "cramers_v", 0.1),
    "domain_classifier": Test(_classified, PRIMARY, 0.55, rows=True),
    "energy_distance": Test(_energy),
    "jensen_shannon": Test(jensen_shannon_distance, PRIMARY, 0.1),
    "ks": Test(kolmogorov_smirnov, PRIMARY, 0.1),
    "mmd": Test(maximum_mean_discrepancy, rows=True),
    "psi": Test(population_stability_index, PRIMARY, 0.1),
    "wasserstein": Test(wasserstein_distance, "normalised", 0.1),
}
"""Drift tests by name; 0.1 is Evidently's threshold for the distances that it has."""


def _is_matrix(values: Any) -> bool:
    return len(getattr(values, "shape", ())) == 2


def _test(name: str, reference: Any) -> str:
    if name == "auto":
        if _is_matrix(reference):
            return "mmd"
        return "chi_square" if isinstance(as_column(reference, "reference"), Categories) else "ks"
    if name not in TESTS:
        raise InputError(f"unknown drift test '{name}'{did_you_mean(name, TESTS)}; it is auto or {', '.join(TESTS)}")
    return name


def two_sample(reference: Any, current: Any, *, test: str = "auto", confidence: float = 0.95) -> dict[str, Estimate]:
    """Compare two samples by a drift test.

    Args:
        reference: ``[m]`` numbers or categories, a column from a sketch, or features ``[m, d]``.
        current: ``[n]`` or ``[n, d]`` of the same kind.
        test: ``"ks"``, ``"wasserstein"``, ``"psi"``, ``"jensen_shannon"``, ``"chi_square"``,
            ``"energy_distance"``, ``"mmd"``, ``"domain_classifier"``; ``"auto"`` takes ks for numbers, chi_square
            for categories and mmd for features, whatever the sizes, so that a trend never changes its test.
        confidence: two-sided level of the intervals, and one minus the level of ``critical``.

    Returns:
        ``value``, ``p_value`` and ``critical`` (what the effect exceeds by chance in 1 - confidence of comparisons
        without drift at these sizes), and the test's further keys. Lower values are closer.

    Raises:
        InputError: an unknown test, or values that it cannot compare.

    >>> two_sample(["a", "b"] * 50, ["a", "b"] * 40)["p_value"].value
    1.0
    """
    return TESTS[_test(test, reference)].compare(reference, current, confidence=confidence)


@dataclass(frozen=True, slots=True)
class ColumnVerdict:
    """What became of one column.

    Attributes:
        name: the column.
        test: the test used.
        estimates: what it found; empty where a side has no value.
        p_adjusted: p-value after Benjamini and Hochberg over all columns; NaN without a test.
        verdict: ``drift`` (beyond chance and at least the floor), ``negligible`` (beyond chance, below the floor),
            ``no drift``, or ``insufficient data``: at these sizes chance alone reaches the floor.
        reason: the numbers behind the verdict.
    """

    name: str
    test: str
    estimates: Mapping[str, Estimate]
    p_adjusted: float
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class TableDrift:
    """All columns of a table, in the reference's order."""

    columns: tuple[ColumnVerdict, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that drifted."""
        return tuple(c.name for c in self.columns if c.verdict == "drift")


def table_drift(
    reference: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    tests: Mapping[str, str] | str = "auto",
    floors: Mapping[str, float] | None = None,
    confidence: float = 0.95,
) -> TableDrift:
    """Compare tables column by column and say which drifted, with the false discovery rate under control.

    Args:
        reference: column name to values: a dictionary or a data frame; a matrix counts as one column.
        current: the same columns; further ones are ignored.
        tests: a test for all columns, or by column name (``auto`` for the rest).
        floors: smallest effect that matters, by test name; the defaults are in `TESTS`.
        confidence: one minus the false discovery rate; two-sided level of the intervals.

    Raises:
        InputError: a column is missing from `current`, an unknown test or column, infinite values.

    Source: Benjamini and Hochberg 1995 (`scipy.stats.false_discovery_control`).
    """
    chosen = planned(reference, current, tests, floors, confidence)
    found = {n: compared(n, reference[n], current[n], test, confidence) for n, test in chosen.items()}
    return TableDrift(tuple(verdicts(found, floors, confidence).values()))


def planned(
    reference: Mapping[str, Any],
    current: Mapping[str, Any],
    tests: Mapping[str, str] | str,
    floors: Mapping[str, float] | None,
    confidence: float,
) -> dict[str, str]:
    """Column to test, checked."""
    tail(confidence)
    names = [str(name) for name in reference.keys()]  # noqa: SIM118 - a data frame iterates by its keys only so
    missing = [name for name in names if name not in current]
    chosen = dict.fromkeys(names, tests) if isinstance(tests, str) else dict(tests)
    if missing:
        raise InputError(f"column '{missing[0]}' of the reference is missing from the current data")
    if unknown := set(chosen) - set(names):
        raise InputError(f"`tests` names the column {sorted(unknown)[0]!r}, which the reference lacks")
    if unknown := set(floors or {}) - set(TESTS):
        raise InputError(f"`floors` names {sorted(unknown)[0]!r}; expected tests among {', '.join(TESTS)}")
    return {name: chosen.get(name, "auto") for name in names}


Found = tuple[str, Mapping[str, Estimate]]
"""A test's name and what it found."""


def verdicts(found: Mapping[K, Found], floors: Mapping[str, float] | None, confidence: float) -> dict[K, ColumnVerdict]:
    """Verdicts on comparisons that were made, with one false discovery rate over all of them.

    Args:
        found: a column's name, or slice and name, to its test and what `two_sample` gave; empty without a test.
        floors: smallest effect that matters, by test name; the defaults are in `TESTS`.
        confidence: one minus the false discovery rate.
    """
    adjusted = _adjusted({key: estimates for key, (_, estimates) in found.items()})
    limits = {name: test.floor for name, test in TESTS.items()} | dict(floors or {})
    made = {}
    for key, (test, estimates) in found.items():
        verdict, reason = _verdict(test, estimates, adjusted[key], limits[test], 1 - confidence)
        name = key if isinstance(key, str) else key[-1]
        made[key] = ColumnVerdict(name, test, estimates, adjusted[key], verdict, reason)
    return made


def compared(
    name: str, reference: Any, current: Any, test: str, confidence: float
) -> tuple[str, Mapping[str, Estimate]]:
    """The comparison of one column, or no estimates where a side has no value."""
    try:
        chosen = _test(test, reference)
        if _is_matrix(reference):
            return chosen, TESTS[chosen].compare(reference, current, confidence=confidence)
        if TESTS[chosen].rows:
            raise InputError(f"test '{chosen}' compares features [n, d], not one column")
        pair: tuple[Column, Column] = as_column(reference, "reference"), as_column(current, "current")
        if min(pair[0].n, pair[1].n) == 0:
            return chosen, {}
        return chosen, TESTS[chosen].compare(*pair, confidence=confidence)
    except InputError as error:
        raise InputError(f"column '{name}': {error}") from error


def _adjusted(found: Mapping[K, Mapping[str, Estimate]]) -> dict[K, float]:
    from scipy.stats import false_discovery_control

    p = {name: estimates[P_VALUE].value for name, estimates in found.items() if estimates}
    tested = [name for name, value in p.items() if not math.isnan(value)]
    adjusted = dict.fromkeys(found, math.nan)
    if tested:
        values = false_discovery_control(np.array([p[name] for name in tested]))
        adjusted.update(zip(tested, values.tolist(), strict=True))
    return adjusted


def _verdict(
    test: str, estimates: Mapping[str, Estimate], p: float, floor: float | None, alpha: float
) -> tuple[Verdict, str]:
    if not estimates:
        return "insufficient data", "a side has no row with a value"
    if math.isnan(p):
        return "insufficient data", "rows share clusters, so that the test's null does not hold"
    effect, critical = estimates[TESTS[test].effect], estimates[CRITICAL].value
    numbers = f"effect {effect.value:.3g}, adjusted p {p:.3g}, chance reaches {critical:.3g}"
    least = -math.inf if floor is None else floor
    floor_text = "" if floor is None else f", floor {floor:g}"
    if p <= alpha:
        return ("drift" if effect.value >= least else "negligible"), numbers + floor_text
    if floor is not None and critical >= floor:
        return "insufficient data", f"{numbers}{floor_text}: more rows are needed to tell"
    return "no drift", numbers + floor_text
