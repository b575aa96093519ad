"""Metrics of image generators, on features and class probabilities."""

from __future__ import annotations

from metrics.image.frechet import FrechetInceptionDistance, frechet_distance, frechet_distance_infinity
from metrics.image.inception import InceptionScore, inception_score
from metrics.image.kernel import KernelInceptionDistance, kernel_distance
from metrics.image.manifold import Coverage, Density, Precision, Recall, density_coverage, precision_recall

__all__ = [
    "Coverage",
    "Density",
    "FrechetInceptionDistance",
    "InceptionScore",
    "KernelInceptionDistance",
    "Precision",
    "Recall",
    "density_coverage",
    "frechet_distance",
    "frechet_distance_infinity",
    "inception_score",
    "kernel_distance",
    "precision_recall",
]
