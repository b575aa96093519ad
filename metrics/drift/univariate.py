"""Drift of one column: distances with intervals, p-values and the noise floor at the actual sizes.

Every function returns a dictionary of estimates with at least ``value`` (the peer's statistic), ``p_value`` (of "both
columns have one distribution") and ``critical``: what the effect exceeds in one of twenty comparisons without drift at
these sizes (at confidence 0.95). Rows are taken for independent. Missing rows are left out and lower `coverage`.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from metrics.base import PRIMARY, Estimate, FloatArray
from metrics.drift import distances
from metrics.drift.comparison import CRITICAL, P_VALUE, Comparison, pair_of_columns
from metrics.drift.distances import BinScheme, Table, table
from metrics.drift.distribution import Categories, Distribution, category_column
from metrics.drift.intervals import (
    BINNED,
    BRIDGE,
    DKW,
    LEAST_EXPECTED,
    LEAST_ROWS,
    binned_interval,
    dkw_interval,
    harmonic_size,
    norm_interval,
)
from metrics.drift.nulls import PERMUTED_ROWS, Statistic, line_error, line_null, permutation_p, table_null
from metrics.errors import InputError

_EXACT_PAIRS = 1_000_000
_SERIES_SIZE = 10_000


def _numeric(pair: Comparison, name: str) -> tuple[Distribution, Distribution]:
    if isinstance(pair.reference, Categories) or isinstance(pair.current, Categories):
        raise InputError(f"{name} compares numbers, but a column holds categories; use chi_square or psi")
    return pair.reference, pair.current


def kolmogorov_smirnov(reference: Any, current: Any, *, confidence: float = 0.95) -> dict[str, Estimate]:
    """Kolmogorov-Smirnov distance of two numeric columns: 0 to 1, lower is closer.

    Args:
        reference: ``[m]`` numbers (NumPy, torch, pandas, list; None and NaN are missing) or a `Distribution`.
        current: ``[n]`` numbers.
        confidence: two-sided level of the interval, and one minus the level of ``critical``.

    Returns:
        ``value``, ``p_value`` (SciPy's exact one up to m n = 1,000,000, its asymptotic one beyond; conservative with
        ties) and ``critical``.

    Raises:
        InputError: infinite values, categories, a column without values.

    Source: `scipy.stats.ks_2samp`; the interval follows Massart 1990.
    """
    pair = pair_of_columns(reference, current, confidence, "kolmogorov_smirnov")
    a, b = _numeric(pair, "kolmogorov_smirnov")
    value = distances.ks_statistic(a, b)
    p, null = _ks_p(a, b, value)
    from scipy.special import kolmogi

    return {
        PRIMARY: pair.estimate(
            value, "largest difference of the distribution functions", DKW, dkw_interval(value, a.n, b.n, confidence)
        ),
        P_VALUE: pair.test(p, null),
        CRITICAL: pair.critical(min(1.0, float(kolmogi(1 - confidence)) / math.sqrt(harmonic_size(a.n, b.n)))),
    }


def _ks_p(a: Distribution, b: Distribution, value: float) -> tuple[float, str]:
    from scipy import stats
    from scipy.special import kolmogorov

    if value == 0:
        return 1.0, "exact"
    if a.counts is None and b.counts is None and a.n * b.n <= _EXACT_PAIRS:
        with warnings.catch_warnings(record=True) as gave_up:  # SciPy warns and answers asymptotically near p = 1
            warnings.simplefilter("always")
            p = float(stats.ks_2samp(a.values, b.values, method="exact").pvalue)
        return p, "asymptotic" if gave_up else "exact for values without ties"
    size = harmonic_size(a.n, b.n)
    if size <= _SERIES_SIZE:
        return float(np.clip(stats.kstwo.sf(value, max(1, round(size))), 0, 1)), "asymptotic"
    # SciPy sums as many terms as rows, for the same figures
    root = math.sqrt(size)
    scaled = root * value + 1 / (6 * root) + (root * value - 1) / (4 * size)
    return float(kolmogorov(scaled)), "asymptotic (Vrbik 2018)"


def wasserstein_distance(
    reference: Any, current: Any, *, confidence: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """First Wasserstein distance of two numeric columns, in their unit: 0 upwards, lower is closer.

    Args:
        reference: ``[m]`` numbers or a `Distribution`.
        current: ``[n]`` numbers.
        confidence: two-sided level of the interval, and one minus the level of ``critical``.
        seed: of the null's and the interval's draws.

    Returns:
        ``value`` (SciPy's), ``normalised`` (divided by the reference's standard deviation, at least 0.001, as
        Evidently does), ``p_value``, and ``critical`` of the normalised distance.

    Raises:
        InputError: as `kolmogorov_smirnov`.

    Source: `scipy.stats.wasserstein_distance`; the null is the permutation one or its limit (nulls.py).
    """
    pair = pair_of_columns(reference, current, confidence, "wasserstein_distance")
    a, b = _numeric(pair, "wasserstein_distance")
    value, unit = distances.wasserstein_1(a, b), max(a.deviation(), 0.001)
    null, interval = line_null(a, b, 1, seed=seed), None
    if enough := min(a.n, b.n) >= LEAST_ROWS and value > 0:
        interval = norm_interval(value, line_error(a, b, 1, seed=seed), confidence)
    method = BRIDGE if enough else _too_few(a.n, b.n)
    what = "first Wasserstein distance of the distributions"
    scaled = (interval[0] / unit, interval[1] / unit) if interval else None
    return {
        PRIMARY: pair.estimate(value, what, method, interval),
        "normalised": pair.estimate(value / unit, f"{what}, in the reference's standard deviations", method, scaled),
        P_VALUE: pair.test(permutation_p(value, null), _line_null_name(a, b)),
        CRITICAL: pair.critical(float(np.quantile(null, confidence)) / unit),
    }


def energy_distance_1d(reference: Any, current: Any, *, confidence: float = 0.95, seed: int = 0) -> dict[str, Estimate]:
    """Energy distance of two numeric columns, as SciPy scales it: 0 upwards, lower is closer.

    The square root of ``2 E|X - Y| - E|X - X'| - E|Y - Y'|``. Arguments, keys and errors as `wasserstein_distance`,
    without ``normalised``; ``critical`` is in the unit of ``value``.

    Source: `scipy.stats.energy_distance`; Székely and Rizzo 2004.
    """
    pair = pair_of_columns(reference, current, confidence, "energy_distance")
    a, b = _numeric(pair, "energy_distance")
    value = math.sqrt(2 * distances.gap(a, b).integral(2))
    null, interval = np.sqrt(2 * line_null(a, b, 2, seed=seed)), None
    if enough := min(a.n, b.n) >= LEAST_ROWS and value > 0:
        interval = norm_interval(value, math.sqrt(2) * line_error(a, b, 2, seed=seed), confidence)
    return {
        PRIMARY: pair.estimate(
            value, "energy distance of the distributions", BRIDGE if enough else _too_few(a.n, b.n), interval
        ),
        P_VALUE: pair.test(permutation_p(value, null), _line_null_name(a, b)),
        CRITICAL: pair.critical(float(np.quantile(null, confidence))),
    }


def _too_few(m: int, n: int) -> str:
    if min(m, n) >= LEAST_ROWS:
        return "no valid interval: the columns are equal"
    return f"no valid interval: {min(m, n)} rows, {LEAST_ROWS} of each column are needed"


def _line_null_name(a: Distribution, b: Distribution) -> str:
    permuted = a.n + b.n <= PERMUTED_ROWS and a.counts is None and b.counts is None
    return "999 permutations of the labels" if permuted else "999 Brownian bridges at these sizes"


def _binned(
    pair: Comparison, counts: Table, statistic: Statistic, gradients: tuple[FloatArray, FloatArray], scale: float
) -> tuple[float, tuple[float, float] | None]:
    """Value and interval of a divergence between bin shares."""
    value = float(statistic(*counts.shares))
    return value, binned_interval(value, scale, gradients, counts, pair.confidence)


def _binned_method(counts: Table, interval: object) -> str:
    if interval is not None:
        return f"{BINNED}; bins: {counts.scheme}"
    rare = f"no valid interval: a bin expects {counts.least_expected:.2g} rows, {LEAST_EXPECTED:g} are needed"
    return f"{rare if len(counts.reference) > 1 else 'no valid interval: one bin'}; bins: {counts.scheme}"


def population_stability_index(
    reference: Any, current: Any, *, bins: BinScheme = "evidently", confidence: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Population stability index of two columns: 0 upwards, lower is closer; 0.1 and 0.25 are the usual limits.

    The value depends on the bins, which `method` names; an empty bin counts as 0.0001 (Evidently's rule).

    Args:
        reference: ``[m]`` numbers or categories.
        current: ``[n]`` of the same kind.
        bins: ``"evidently"`` or ``"deciles"`` of the reference; categories are bins of their own.
        confidence: two-sided level of the interval, and one minus the level of ``critical``.
        seed: of the null's permutations.

    Returns:
        ``value``, ``p_value``, ``critical``. The interval exists where every bin expects 5 rows and has one.

    Raises:
        InputError: as `kolmogorov_smirnov`; numbers against categories.

    Source: Evidently 0.7.23, `psi_stat_test`.
    """
    pair = pair_of_columns(reference, current, confidence, "population_stability_index")
    counts = table(pair.reference, pair.current, bins)
    p, q = (distances.filled(share) for share in counts.shares)
    ratio = np.log(p / q)
    gradients = ratio + 1 - q / p, 1 - ratio - p / q
    size = harmonic_size(pair.reference.n, pair.current.n)
    value, interval = _binned(pair, counts, distances.psi, gradients, size)
    null = table_null(counts, distances.psi, seed=seed)
    return {
        PRIMARY: pair.estimate(
            value, "population stability index of the bin shares", _binned_method(counts, interval), interval
        ),
        P_VALUE: pair.test(permutation_p(value, null), _table_null_name(null)),
        CRITICAL: pair.critical(float(np.quantile(null, confidence))),
    }


def jensen_shannon_distance(
    reference: Any, current: Any, *, bins: BinScheme = "evidently", confidence: float = 0.95, seed: int = 0
) -> dict[str, Estimate]:
    """Jensen-Shannon distance of two columns' bin shares: 0 to 0.833 (root of ln 2), lower is closer.

    Arguments, keys and errors as `population_stability_index`.

    Source: `scipy.spatial.distance.jensenshannon` (natural logarithm) on Evidently 0.7.23's bins.
    """
    pair = pair_of_columns(reference, current, confidence, "jensen_shannon_distance")
    counts = table(pair.reference, pair.current, bins)
    p, q = (np.maximum(share, 1e-300) for share in counts.shares)
    middle = (p + q) / 2
    gradients = np.log(p / middle) / 2, np.log(q / middle) / 2
    scale = 8 * harmonic_size(pair.reference.n, pair.current.n)
    squared, interval = _binned(pair, counts, distances.jensen_shannon_divergence, gradients, scale)
    null = table_null(counts, distances.jensen_shannon_divergence, seed=seed)
    root = (math.sqrt(interval[0]), min(math.sqrt(interval[1]), math.sqrt(math.log(2)))) if interval else None
    return {
        PRIMARY: pair.estimate(
            math.sqrt(squared), "Jensen-Shannon distance of the bin shares", _binned_method(counts, interval), root
        ),
        P_VALUE: pair.test(permutation_p(squared, null), _table_null_name(null)),
        CRITICAL: pair.critical(math.sqrt(float(np.quantile(null, confidence)))),
    }


def _table_null_name(null: FloatArray) -> str:
    return f"{len(null)} permutations of the labels, bins fixed"


def chi_square(reference: Any, current: Any, *, confidence: float = 0.95, seed: int = 0) -> dict[str, Estimate]:
    """Chi-square test of two columns of categories; ``cramers_v`` is the effect: 0 to 1, lower is closer.

    Args:
        reference: ``[m]`` categories; numbers count as categories by their text.
        current: ``[n]`` categories.
        confidence: two-sided level of the interval, and one minus the level of ``critical``.
        seed: of the permutations.

    Returns:
        ``value`` (the statistic, no continuity correction), ``cramers_v`` with an interval, ``p_value`` (asymptotic
        where every cell expects 5 rows; else exact for two categories and by permutation for more) and ``critical`` of
        Cramér's V.

    Raises:
        InputError: a column without values.

    Source: `scipy.stats.chi2_contingency(correction=False)`, `scipy.stats.hypergeom`.
    """
    pair = pair_of_columns(_as_categories(reference), _as_categories(current), confidence, "chi_square")
    counts = table(pair.reference, pair.current)
    m, n = pair.reference.n, pair.current.n
    weight = m / (m + n)

    def statistic(p: FloatArray, q: FloatArray) -> FloatArray:
        return distances.phi_squared(p, q, weight)

    p, q = counts.shares
    middle = weight * p + (1 - weight) * q
    contrast = (p - q) / middle
    slope = weight * (1 - weight)
    gradients = slope * (2 * contrast - weight * contrast**2), slope * (-2 * contrast - (1 - weight) * contrast**2)
    value, interval = _binned(pair, counts, statistic, gradients, m + n)
    p_value, null, critical = _chi_square_test(counts, statistic, value, confidence, seed)
    root = (math.sqrt(interval[0]), min(1.0, math.sqrt(interval[1]))) if interval else None
    statistic_value = value * (m + n)
    return {
        PRIMARY: pair.estimate(
            statistic_value, "chi-square statistic at these sizes", "no interval: the statistic grows with n"
        ),
        "cramers_v": pair.estimate(
            math.sqrt(value), "Cramér's V of category and column", _binned_method(counts, interval), root
        ),
        P_VALUE: pair.test(p_value, null),
        CRITICAL: pair.critical(critical),
    }


def _as_categories(values: Any) -> Any:
    if isinstance(values, Distribution):
        if not values.exact:
            raise InputError("chi_square counts categories, but the column is a sketch of numbers; use ks or psi")
        counts = np.ones(values.n) if values.counts is None else values.counts
        keys, at = np.unique(values.values, return_inverse=True)
        rows = np.bincount(at, weights=counts).tolist()
        return Categories(
            {f"{k:g}": round(c) for k, c in zip(keys.tolist(), rows, strict=True)}, values.offered, values.dependent
        )
    if isinstance(values, Categories):
        return values
    return category_column(values.detach().cpu().numpy() if hasattr(values, "detach") else values)


def _chi_square_test(
    counts: Table, statistic: Statistic, value: float, confidence: float, seed: int
) -> tuple[float, str, float]:
    """p-value, how it was made, and the critical V."""
    degrees, rows = len(counts.reference) - 1, float(counts.reference.sum() + counts.current.sum())
    if degrees == 0:
        return 1.0, "one category", 0.0
    if counts.least_expected >= LEAST_EXPECTED:
        from scipy.special import chdtrc, chdtri

        critical = math.sqrt(float(chdtri(degrees, 1 - confidence)) / rows)
        return float(chdtrc(degrees, value * rows)), "asymptotic: every cell expects 5 rows", critical
    null = table_null(counts, statistic, seed=seed)
    critical = math.sqrt(float(np.quantile(null, confidence)))
    if degrees == 1:
        return _exact_two(counts, statistic, value), "exact, all tables with these margins", critical
    return permutation_p(value, null), _table_null_name(null), critical


def _exact_two(counts: Table, statistic: Statistic, value: float) -> float:
    """Probability of all 2 x 2 tables with these margins whose statistic is at least as large."""
    from scipy.stats import hypergeom

    m, n = round(float(counts.reference.sum())), round(float(counts.current.sum()))
    first = round(float(counts.reference[0] + counts.current[0]))
    cells = np.arange(max(0, first - n), min(m, first) + 1)
    shares = np.stack((cells, m - cells), axis=1) / m, np.stack((first - cells, n - first + cells), axis=1) / n
    extreme = statistic(*shares) >= value - 1e-12
    return float(min(1.0, hypergeom(m + n, first, m).pmf(cells)[extreme].sum()))
