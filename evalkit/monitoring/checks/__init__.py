"""The catalogue of checks: to add one, write its module and add its line here, and its name to `spec.MEASURES`."""

from __future__ import annotations

import importlib
from functools import cache

from evalkit.monitoring.checks.base import Check
from evalkit.monitoring.spec import CheckSpec, MonitorSpec

_TARGETS = {
    "drift": "evalkit.monitoring.checks.drift:Drift",
    "groups": "evalkit.monitoring.checks.groups:Groups",
    "hallucination": "evalkit.monitoring.checks.hallucination:Hallucination",
    "images": "evalkit.monitoring.checks.images:Images",
    "operational": "evalkit.monitoring.checks.operational:Operational",
    "perplexity": "evalkit.monitoring.checks.perplexity:Perplexity",
    "probes": "evalkit.monitoring.checks.probes:Probes",
    "refusal": "evalkit.monitoring.checks.embedded:Refusal",
    "stereotypes": "evalkit.monitoring.checks.stereotypes:Stereotypes",
    "suite": "evalkit.monitoring.checks.suite:GoldenSuite",
    "toxicity": "evalkit.monitoring.checks.embedded:Toxicity",
}


def names() -> tuple[str, ...]:
    """Names of all checks, sorted."""
    return tuple(_TARGETS)


def build_check(spec: CheckSpec, monitor: MonitorSpec) -> Check:
    """The check that a monitor names, its settings checked."""
    return _class(spec.kind)(spec, monitor)


@cache
def _class(kind: str) -> type[Check]:
    module, _, name = _TARGETS[kind].partition(":")
    found: type[Check] = getattr(importlib.import_module(module), name)
    return found
