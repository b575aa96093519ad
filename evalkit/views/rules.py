"""The gate rule by rule: what it saw, how far the bound is from the limit, and what would change the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.reports.numbers import number
from evalkit.reports.scorecard import rule_name, spec_named
from metrics.base import Estimate, MetricSpec
from registry.entities import Decision, Evaluation, RuleOutcome

_URGENCY = ("fail", "inconclusive", "pass")


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule of a decision.

    Attributes:
        number: its place in the suite, from 1: the anchor ``#rule-n``.
        name: the rule as text with its slice.
        outcome: its own; `rule`: all of it.
        task, metric, slice: what it is on; without its key.
        units: of its numbers.
        changes: what would change the verdict, one sentence each.
        measured: whether there is an estimate to show samples for.
    """

    number: int
    name: str
    outcome: str
    rule: RuleOutcome
    task: str
    metric: str
    slice: str
    units: str
    changes: tuple[str, ...]

    @property
    def measured(self) -> bool:
        """Whether it saw an estimate."""
        return self.rule.estimate is not None


def measured_specs(evaluation: Evaluation) -> dict[str, MetricSpec]:
    """Specification by metric of everything that was measured."""
    tasks = evaluation.details.get("tasks", {}).values()
    return {name: spec_named(name, record["settings"]) for task in tasks for name, record in task["metrics"].items()}


def rule_lines(decision: Decision, specs: Mapping[str, MetricSpec]) -> list[RuleLine]:
    """The rules of a decision, those that fail first."""
    lines = []
    for place, rule in enumerate(decision.rules, 1):
        task, _, rest = rule.metric.partition("/")
        metric = rest.partition(".")[0]
        spec = specs.get(metric)
        units = spec.units if spec is not None else ""
        changes = what_would_change(rule, units, spec.high if spec is not None else None, decision.method)
        lines.append(
            RuleLine(place, rule_name(rule), rule.outcome, rule, task, metric, rule.slice, units, tuple(changes))
        )
    return sorted(lines, key=lambda line: (_URGENCY.index(line.outcome), line.number))


def what_would_change(rule: RuleOutcome, units: str, highest: float | None, method: str = "intervals") -> list[str]:
    """What it would take for a rule to come out otherwise.

    Args:
        rule: what the gate recorded.
        units: of its numbers.
        highest: the largest value that the metric can have; None where it has no end.
        method: the gate's; plain thresholds have no bounds.
    """
    compared = rule.difference or rule.estimate
    if compared is None or not math.isfinite(rule.limit) or not math.isfinite(compared.value):
        return []
    least = ">=" in rule.rule
    limit = number(rule.limit, units)
    seen = compared.value if rule.bound is None or method == "thresholds" else rule.bound
    gap = seen - rule.limit if least else rule.limit - seen
    name = "estimate" if seen is compared.value else f"{'lower' if least else 'upper'} bound"
    if rule.outcome == "pass":
        return [f"It holds with {number(gap, units)} to spare: the {name} is {number(seen, units)}, the limit {limit}."]
    if gap >= 0:  # what keeps it from passing is not its bound: coverage, or the other rules' share of the error
        return []
    found = [f"The {name} is {number(seen, units)}, {number(-gap, units)} {'below' if least else 'above'} {limit}."]
    if method == "thresholds":
        return found
    found += _passing_value(rule, compared, units, highest if rule.difference is None else None)
    if rule.outcome == "fail":
        found.append("More samples do not mend it: the rule is shown to be broken.")
    elif rule.more_samples:
        found.append(f"About {rule.more_samples:,} more samples would decide, if the truth is where the estimate is.")
    return found


def _passing_value(rule: RuleOutcome, compared: Estimate, units: str, highest: float | None) -> Sequence[str]:
    if compared.low is None or compared.high is None:
        return []
    half = (compared.high - compared.low) / 2
    wide = f"with an interval as wide as this one (± {number(half, units)})"
    least = ">=" in rule.rule
    needed = rule.limit + half if least else rule.limit - half
    if least and highest is not None and needed > highest:
        return [f"No value would pass {wide}: a model as good needs more samples, too."]
    what = f"A difference from {rule.against}" if rule.difference is not None else "An estimate"
    return [f"{what} of at {'least' if least else 'most'} {number(needed, units)} would pass, {wide}."]
