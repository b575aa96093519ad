"""Metrics of bias: differences between groups that should not be there."""

from __future__ import annotations

from metrics.bias.bbq import Bbq, bbq_scores

__all__ = [
    "Bbq",
    "bbq_scores",
]
