"""Stable JSON of what reports show: what ``--json`` prints and what is stored beside a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from evalkit.reports.scorecard import Scorecard
from metrics.base import Estimate
from registry.entities import Decision, Evaluation, ModelVersion
from registry.gate import serialise as gate


def to_json(value: Any) -> Any:
    """Return a JSON-ready copy of a record, or of any nesting of records, mappings and sequences.

    Not-a-number and infinities become None; bytes (images) become their length; key order is that of the fields.
    """
    if isinstance(value, ModelVersion):
        return {"reference": value.reference, **_fields(value)}
    if isinstance(value, Estimate):
        return value.to_json()
    if isinstance(value, Decision):
        return gate.to_json(value)
    if isinstance(value, Evaluation):
        return {**_fields(value), "estimates": estimates_json(value)}
    if isinstance(value, Scorecard):
        return {"title": value.title, **_fields(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, bytes):
        return {"bytes": len(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def estimates_json(evaluation: Evaluation) -> list[dict[str, Any]]:
    """All estimates of an evaluation, slices included."""
    return [
        {"name": stored.name, "slice": stored.slice, **stored.estimate.to_json(), "scores_digest": stored.scores_digest}
        for stored in evaluation.estimates
    ]


def _fields(record: Any) -> dict[str, Any]:
    return {f.name: to_json(getattr(record, f.name)) for f in fields(record)}
