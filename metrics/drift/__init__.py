"""Drift between two samples: columns, categories and features, with the noise at the actual sizes."""

from __future__ import annotations

from metrics.drift.columns import ChiSquare, JensenShannon, KolmogorovSmirnov, PopulationStability, Wasserstein
from metrics.drift.distribution import Categories, Distribution
from metrics.drift.domain_classifier import DomainClassification, DomainClassifier, domain_classifier
from metrics.drift.kernel import EnergyDistance, MaximumMeanDiscrepancy, energy_distance, maximum_mean_discrepancy
from metrics.drift.sketch import ColumnSketch
from metrics.drift.slices import OVERALL, SlicedDrift, sliced_drift
from metrics.drift.texts import TellingWord, TextDrift, text_drift
from metrics.drift.two_sample import TESTS, ColumnVerdict, TableDrift, table_drift, two_sample
from metrics.drift.univariate import (
    chi_square,
    energy_distance_1d,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein_distance,
)

__all__ = [
    "OVERALL",
    "TESTS",
    "Categories",
    "ChiSquare",
    "ColumnSketch",
    "ColumnVerdict",
    "Distribution",
    "DomainClassification",
    "DomainClassifier",
    "EnergyDistance",
    "JensenShannon",
    "KolmogorovSmirnov",
    "MaximumMeanDiscrepancy",
    "PopulationStability",
    "SlicedDrift",
    "TableDrift",
    "TellingWord",
    "TextDrift",
    "Wasserstein",
    "chi_square",
    "domain_classifier",
    "energy_distance",
    "energy_distance_1d",
    "jensen_shannon_distance",
    "kolmogorov_smirnov",
    "maximum_mean_discrepancy",
    "population_stability_index",
    "sliced_drift",
    "table_drift",
    "text_drift",
    "two_sample",
    "wasserstein_distance",
]
