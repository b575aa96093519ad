"""Metrics of generative models: pure numerics on arrays and text, each with an interval where one is valid."""

from __future__ import annotations

from metrics.base import Batch, Estimate, Metric, MetricSpec, SampleMetric, Score, Scores, State
from metrics.catalogue import catalogue, get, register
from metrics.errors import InputError

__all__ = [
    "Batch",
    "Estimate",
    "InputError",
    "Metric",
    "MetricSpec",
    "SampleMetric",
    "Score",
    "Scores",
    "State",
    "catalogue",
    "get",
    "register",
]
