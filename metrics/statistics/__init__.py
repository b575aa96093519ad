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
    mean_power,
    mean_samples_needed,
    paired_power,
    paired_rate_deviation,
    rate_power,
    rate_samples_needed,
    samples_needed,
)

__all__ = [
    "Comparison",
    "alpha_at",
    "alpha_shares",
    "clopper_pearson_interval",
    "compare_paired",
    "constant_interval",
    "holm",
    "independent_difference",
    "mean_power",
    "mean_samples_needed",
    "one_sided",
    "paired_power",
    "paired_rate_deviation",
    "quantile_interval",
    "rate_power",
    "rate_samples_needed",
    "samples_needed",
    "t_interval",
    "tango_interval",
    "welch_difference",
    "wilson_interval",
]
