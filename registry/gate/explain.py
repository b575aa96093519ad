"""A decision in words, for a terminal, a log or a commit status."""

from __future__ import annotations

import math

from registry.entities import Decision, RuleOutcome

_VERDICTS = {
    "pass": "PASS: every rule holds",
    "fail": "FAIL: at least one rule is broken",
    "inconclusive": "INCONCLUSIVE: nothing is shown to be broken, but not everything is shown to hold",
}
_ORDER = {"fail": 0, "inconclusive": 1, "pass": 2}


def explain(decision: Decision) -> str:
    """Return the verdict, one line per rule (broken ones first), notes, and what would change the verdict."""
    lines = [f"{decision.model} v{decision.version}: {_VERDICTS[decision.outcome]} ({_level(decision)})"]
    lines += [f"  {_rule_line(rule)}" for rule in sorted(decision.rules, key=lambda r: _ORDER[r.outcome])]
    lines += [f"  note: {note}" for note in decision.notes]
    lines.append(f"What would change the verdict: {what_would_change(decision)}")
    return "\n".join(lines)


def what_would_change(decision: Decision) -> str:
    """One sentence on what it would take to reach another verdict."""
    broken = [rule for rule in decision.rules if rule.outcome == "fail"]
    open_rules = [rule for rule in decision.rules if rule.outcome == "inconclusive"]
    if broken:
        return "a model for which " + " and ".join(_name(rule) for rule in broken) + " holds."
    if open_rules:
        return "; ".join(f"{_name(rule)}: {_remedy(rule)}" for rule in open_rules) + "."
    close = [(slack, rule) for rule in decision.rules if (slack := _slack(rule)) is not None]
    if not close:
        return "a rule on a number that the suite measures." if decision.rules else "rules in the suite's gate."
    slack, rule = min(close, key=lambda pair: pair[0] / (abs(pair[1].limit) or 1.0))
    return f"the closest rule is {_name(rule)}, which clears its limit by {slack:.3g}."


def _level(decision: Decision) -> str:
    if decision.method == "thresholds":
        return "plain thresholds on point estimates"
    look = f", look {decision.look} of {decision.looks}" if decision.looks > 1 else ""
    return f"one-sided alpha {decision.alpha:.4g}{look}"


def _rule_line(rule: RuleOutcome) -> str:
    seen = "no result"
    if rule.estimate is not None:
        seen = str(rule.estimate)
        if rule.difference is not None:
            seen += f", difference to {rule.against} {rule.difference}"
    bound = "" if rule.bound is None else f"; bound {rule.bound:.4g}"
    limit = "" if math.isnan(rule.limit) or rule.estimate is None else f", limit {rule.limit:.4g}"
    return f"{rule.outcome:<12} {_name(rule)}: {seen}{bound}{limit}; {rule.reason}"


def _name(rule: RuleOutcome) -> str:
    return f"{rule.rule} [{rule.slice}]" if rule.slice else rule.rule


def _remedy(rule: RuleOutcome) -> str:
    return f"about {rule.more_samples} more samples" if rule.more_samples is not None else rule.reason


def _slack(rule: RuleOutcome) -> float | None:
    return None if rule.bound is None else abs(rule.bound - rule.limit)
