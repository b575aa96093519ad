"""Decisions as JSON, both ways. Not-a-number and infinities become None, as JSON has neither."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from metrics.base import Estimate
from metrics.errors import InputError
from registry.entities import Decision, RuleOutcome

_OUTCOMES = ("pass", "fail", "inconclusive")


def to_json(decision: Decision) -> dict[str, Any]:
    """Return a JSON-ready dictionary with every field of the decision."""
    data = {f.name: getattr(decision, f.name) for f in fields(Decision)}
    data["notes"] = list(decision.notes)
    data["rules"] = [_rule_to_json(rule) for rule in decision.rules]
    return data


def from_json(data: Mapping[str, Any]) -> Decision:
    """Rebuild from `to_json`; fields that are unknown or missing, and outcomes that do not exist, are refused."""
    values = _fields_of(Decision, data, "a decision")
    values["rules"] = tuple(_rule_from_json(rule) for rule in values["rules"])
    values["notes"] = tuple(values["notes"])
    return Decision(**values)


def _rule_to_json(rule: RuleOutcome) -> dict[str, Any]:
    data = {f.name: _finite(getattr(rule, f.name)) for f in fields(rule)}
    for name in ("estimate", "difference"):
        data[name] = None if data[name] is None else data[name].to_json()
    return data


def _rule_from_json(data: Mapping[str, Any]) -> RuleOutcome:
    values = _fields_of(RuleOutcome, data, "a rule's outcome")
    for name in ("estimate", "difference"):
        values[name] = None if values[name] is None else Estimate.from_json(values[name])
    values["limit"] = math.nan if values["limit"] is None else values["limit"]
    return RuleOutcome(**values)


def _fields_of(cls: type, data: Mapping[str, Any], what: str) -> dict[str, Any]:
    known = {f.name for f in fields(cls)}
    for name in sorted(known ^ set(data)):
        raise InputError(f"{what} {'lacks' if name in known else 'has no'} field '{name}'")
    if data["outcome"] not in _OUTCOMES:
        raise InputError(f"{what} is one of {', '.join(_OUTCOMES)}, not {data['outcome']!r}")
    return dict(data)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
