"""Statistics behind every estimate: intervals, comparisons, multiple tests, looks and power."""

from __future__ import annotations

from metrics.statistics.agreement import cohen_kappa, gwet_ac1, krippendorff_alpha
from metrics.statistics.alarm_thresholds import Threshold, alarm_threshold
from metrics.statistics.bradley_terry import BradleyTerry, bradley_terry
from metrics.statistics.change_detection import Baseline, Observation, known_limit, learn_baseline
from metrics.statistics.comparison import Comparison, compare_paired, welch_difference
from metrics.statistics.confidence_sequences import ConfidenceSequence, confidence_sequence
from metrics.statistics.dawid_skene import DawidSkene, dawid_skene
from metrics.statistics.e_processes import EProcess, ShiryaevRobertsDetector, e_process
from metrics.statistics.equivalence import Equivalence, cliff_delta, cohen_d, equivalence_test
from metrics.statistics.false_discovery import benjamini_hochberg
from metrics.statistics.group_sequential import GroupSequentialBounds, alpha_spent, group_sequential_bounds
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
from metrics.statistics.paired_tests import (
    SignificanceTest,
    mcnemar,
    permutation_paired,
    permutation_two_sample,
    wilcoxon_signed_rank,
)
from metrics.statistics.pairing import independent_difference
from metrics.statistics.poisson_bootstrap import PoissonBootstrap
from metrics.statistics.post_stratified import TwoStageRate, two_stage_rate
from metrics.statistics.power import (
    bounded_difference_power,
    bounded_mean_power,
    mean_power,
    rate_power,
    samples_needed,
)
from metrics.statistics.prediction_powered import prediction_powered_mean, rogan_gladen
from metrics.statistics.resampling import bootstrap
from metrics.statistics.two_phase import Drawn, TwoPhaseMean, two_phase_mean

__all__ = [
    "Baseline",
    "BradleyTerry",
    "Comparison",
    "ConfidenceSequence",
    "DawidSkene",
    "Drawn",
    "EProcess",
    "Equivalence",
    "GroupSequentialBounds",
    "Observation",
    "PoissonBootstrap",
    "ShiryaevRobertsDetector",
    "SignificanceTest",
    "Threshold",
    "TwoPhaseMean",
    "TwoStageRate",
    "alarm_threshold",
    "alpha_at",
    "alpha_shares",
    "alpha_spent",
    "benjamini_hochberg",
    "bootstrap",
    "bounded_difference_power",
    "bounded_mean_power",
    "bradley_terry",
    "cliff_delta",
    "clopper_pearson_interval",
    "cohen_d",
    "cohen_kappa",
    "compare_paired",
    "confidence_sequence",
    "constant_interval",
    "dawid_skene",
    "e_process",
    "equivalence_test",
    "group_sequential_bounds",
    "gwet_ac1",
    "holm",
    "independent_difference",
    "known_limit",
    "krippendorff_alpha",
    "learn_baseline",
    "mcnemar",
    "mean_power",
    "one_sided",
    "permutation_paired",
    "permutation_two_sample",
    "prediction_powered_mean",
    "quantile_interval",
    "rate_power",
    "rogan_gladen",
    "samples_needed",
    "t_interval",
    "tango_interval",
    "two_phase_mean",
    "two_stage_rate",
    "welch_difference",
    "wilcoxon_signed_rank",
    "wilson_interval",
]
