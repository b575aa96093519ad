"""Statistics behind every estimate: intervals, comparisons, multiple tests, looks and power."""

from __future__ import annotations

from metrics.statistics.comparison import Comparison, compare_paired, welch_difference
from metrics.statistics.intervals import (
    clopper_pearson_interval,
    constant_interval,
    quantile_interval,
    t_interval,
    tango_interval,
    wilson_interval,
)
from metrics.statistics.looks import alpha_at, alpha_shares, one_sided
from metrics.statistics.multiplicity import holm
from metrics.statistics.pairing import independent_difference
from metrics.statistics.power import (
    bounded_difference_power,
    bounded_mean_power,
    mean_power,
    rate_power,
    samples_needed,
)

__all__ = [
    "Comparison",
    "alpha_at",
    "alpha_shares",
    "bounded_difference_power",
    "bounded_mean_power",
    "clopper_pearson_interval",
    "compare_paired",
    "constant_interval",
    "holm",
    "independent_difference",
    "mean_power",
    "one_sided",
    "quantile_interval",
    "rate_power",
    "samples_needed",
    "t_interval",
    "tango_interval",
    "welch_difference",
    "wilson_interval",
]
