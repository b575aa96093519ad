"""Before anything is spent: how likely each rule passes at the planned number of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

from metrics.base import Estimate, MetricSpec, SampleMetric
from metrics.catalogue import metric_class
from registry.gate.exact import rate_power
from registry.gate.rules import Side, margin_text, side_of
from registry.spec import Rule, SuiteSpec

TARGET = 0.8
RATE_MARGIN = 0.02
"""How far on the good side of its limit a rate is taken to be when nothing else is known."""
PAIR_CORRELATION = 0.5
"""Correlation between two versions' scores of the same sample when nothing else is known."""


@dataclass(frozen=True, slots=True)
class RulePower:
    """The prediction for one comparison of one rule.

    Attributes:
        rule: the comparison as text; `metric`, `slice` as in the decision.
        n: planned samples; `truth` and `limit`: what is assumed, and what it is compared with (differences for
            ``versus`` rules); None where nothing can be assumed.
        power: probability that the comparison passes at the first look; 0 where it is undecidable, None where
            too little is known to say.
        needed: fewest samples for 80 % power; None where no number of samples does it, or none is known to.
        basis: how it was computed, and what was assumed.
    """

    rule: str
    metric: str
    slice: str
    n: int
    truth: float | None
    limit: float | None
    power: float | None
    needed: int | None
    basis: str

    def __str__(self) -> str:
        if self.power is None:
            return f"{self.rule}: unknown ({self.basis})"
        if self.truth is None:
            return f"{self.rule}: undecidable at this n ({self.basis})"
        truth = f"passes {self.power:.0%} of the time if the truth is {self.truth:.4g}"
        needed = "no number of samples is enough" if self.needed is None else f"{self.needed} needed"
        return f"{self.rule}: n = {self.n}: {truth}; {needed} for {TARGET:.0%} ({self.basis})"


@dataclass(frozen=True, slots=True)
class Overall:
    """Probability that all rules pass: `low` and `high` whatever their dependence, `independent` if there is none."""

    low: float
    high: float
    independent: float


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is assumed about one number before it is measured."""

    spec: MetricSpec
    rate: bool
    per_sample: bool
    value: float | None
    earlier: float | None
    deviation: float | None
    known: str


def predict(
    suite: SuiteSpec, *, sizes: Mapping[str, int], assumed: Mapping[str, Estimate] | None = None
) -> list[RulePower]:
    """Predict for every rule how likely it passes at the first look.

    Args:
        suite: a suite that `check_rules` accepts.
        sizes: planned samples per task, and where known per slice as ``task [name=value]``.
        assumed: what is known of a number (``task/metric.key``) from an earlier version, usually the champion:
            its value, and its interval from which the spread of one sample is taken.

    The assumed truth is the rule's ``expected``, else the earlier value, else (for scores between 0 and 1) 0.02
    on the good side of the limit. In ``versus`` rules it is a difference: ``expected`` minus the earlier value, else
    0; pairs are taken to correlate by 0.5 where both versions answer the same rows, and generated sets not at
    all. Rates are computed exactly from the binomial distribution and the gate's exact bound, the rest from the
    noncentral t distribution of the gate's t bound.
    """
    found = dict(assumed or {})
    return [power for rule in suite.gate.rules for power in _rule(suite, rule, sizes, found.get(rule.metric))]


def overall(powers: Sequence[RulePower]) -> Overall | None:
    """Combine the predictions; None where one of them is unknown."""
    known = [p.power for p in powers if p.power is not None]
    if len(known) < len(powers) or not powers:
        return None
    return Overall(max(0.0, 1 - sum(1 - p for p in known)), min(known), math.prod(known))


def _rule(suite: SuiteSpec, rule: Rule, sizes: Mapping[str, int], known: Estimate | None) -> Iterator[RulePower]:
    plan = _plan(rule, known)
    alpha = suite.gate.alpha_at(1)
    for slice_name, n, note in _sizes(rule, sizes):
        for side, limit, truth, deviation, name, extra in _comparisons(suite, rule, plan):
            basis = "; ".join(filter(None, [extra, note]))
            build = partial(RulePower, rule=name, metric=rule.metric, slice=slice_name, n=n, limit=limit)
            if plan.spec.interval.startswith("none"):
                why = f"no valid interval: {plan.spec.interval.partition(':')[2].strip() or plan.spec.validity}"
                yield build(truth=None, power=0.0, needed=None, basis=why)
                continue
            if truth is None or limit is None or (deviation is None and not plan.rate):
                yield build(truth=truth, power=None, needed=None, basis=f"nothing is known of its {_lack(truth)}")
                continue
            exact = plan.rate and rule.versus is None
            at = _power_at(truth, limit, side, alpha, None if exact else deviation)
            better = truth > limit if side == "min" else truth < limit
            yield build(truth=truth, power=at(n), needed=_needed(at) if better else None, basis=basis)


def _lack(truth: float | None) -> str:
    return (
        "value; give `expected`, or evaluate a first version"
        if truth is None
        else ("spread; evaluate a first version, and its interval tells")
    )


def _sizes(rule: Rule, sizes: Mapping[str, int]) -> Iterator[tuple[str, int, str]]:
    """Yield slice, planned samples and a note."""
    if rule.slice is None:
        yield "", sizes[rule.task], ""
        return
    name, _, value = rule.slice.partition("=")
    prefix = f"{rule.task} [{name}={value}"
    slices = sorted(key for key in sizes if key.startswith(prefix) and key.endswith("]"))
    if not slices:
        yield rule.slice, sizes[rule.task], "the sizes of the slices are not known: each has less than this"
    for key in slices:
        yield key.partition("[")[2][:-1], sizes[key], ""


def _plan(rule: Rule, known: Estimate | None) -> _Plan:
    target = metric_class(rule.metric_name)
    spec = target.spec
    per_sample = issubclass(target, SampleMetric)
    rate = per_sample and spec.interval.lower().startswith("wilson")
    earlier = None if known is None else known.value
    value = rule.expected if rule.expected is not None else earlier
    bounded = per_sample and (spec.low, spec.high) == (0, 1)
    if value is None and bounded:
        absolute = rule.min if rule.min is not None else rule.max
        shift = RATE_MARGIN if rule.min is not None else -RATE_MARGIN
        value = None if absolute is None else min(1.0, max(0.0, absolute + shift))
    deviation, source = None, ""
    if known is not None and known.low is not None and known.high is not None and known.n > 1:
        z = NormalDist().inv_cdf(0.5 + known.confidence / 2)
        deviation = (known.high - known.low) / (2 * z) * math.sqrt(known.n)
        source = f"deviation {deviation:.3g} per sample, as measured on {known.n}"
    elif bounded and value is not None:
        deviation = math.sqrt(value * (1 - value))
        source = f"deviation {deviation:.3g}, the largest possible"
    if "block" in spec.interval:
        source += ", t over blocks, which at another n measure another value"
    return _Plan(spec, rate, per_sample, value, earlier, deviation, source)


def _comparisons(
    suite: SuiteSpec, rule: Rule, plan: _Plan
) -> Iterator[tuple[Side, float | None, float | None, float | None, str, str]]:
    """Yield side, limit, assumed truth, deviation of one sample, text and basis of each comparison of a rule."""
    method = "exact binomial" if plan.rate else plan.known
    absolute: list[tuple[Side, float | None, str]] = [("min", rule.min, ">="), ("max", rule.max, "<=")]
    if isinstance(rule.anchor, (int, float)):
        side = side_of(rule)
        absolute.append((side, float(rule.anchor), ">=" if side == "min" else "<="))
    for side, limit, relation in absolute:
        if limit is not None:
            yield side, limit, plan.value, plan.deviation, f"{rule.metric} {relation} {limit:.6g}", method
    if rule.versus is None or rule.margin is None:
        return
    side = side_of(rule)
    sign = 1 if side == "min" else -1
    paired = plan.per_sample and suite.tasks[rule.task].data is not None
    correlation = PAIR_CORRELATION if paired else 0.0
    base = plan.earlier if plan.earlier is not None else plan.value
    limit = None if rule.margin.relative and base is None else -sign * rule.margin.absolute(base or 0.0)
    better = 0.0 if rule.expected is None or plan.earlier is None else rule.expected - plan.earlier
    deviation = None
    if plan.deviation is not None:
        widening = rule.margin.amount if rule.margin.relative else 0.0
        deviation = plan.deviation * (math.sqrt(2 * (1 - correlation)) + widening)
    name = f"{rule.metric} {'>=' if sign > 0 else '<='} champion {'-' if sign > 0 else '+'} {margin_text(rule.margin)}"
    truth = f"{better:+.3g} against the champion" if better else "equal to the champion"
    basis = f"{truth}, {'pairs correlate by' if paired else 'correlation'} {correlation:g}; {plan.known}"
    yield side, limit, better, deviation, name, basis


def _power_at(truth: float, limit: float, side: Side, alpha: float, deviation: float | None) -> Callable[[int], float]:
    if deviation is None:
        return lambda n: rate_power(truth, n, limit=limit, alpha=alpha, side=side)
    from metrics.statistics.power import mean_power

    if deviation == 0:
        return lambda n: float(truth >= limit if side == "min" else truth <= limit)
    return lambda n: mean_power(truth, deviation, n, limit=limit, alpha=alpha, side=side)


def _needed(power_at: Callable[[int], float]) -> int | None:
    """Fewest samples for the target, by a monotone search: for a rate, near one of the teeth of its power."""
    from metrics.statistics.power import samples_needed

    return samples_needed(power_at, power=TARGET)


def tasks_of(powers: Iterable[RulePower]) -> dict[str, int]:
    """Samples that each task needs so that every rule of known power reaches 80 %."""
    needed: dict[str, int] = {}
    for power in powers:
        task = power.metric.partition("/")[0]
        if power.needed is not None:
            needed[task] = max(needed.get(task, 0), power.needed)
    return needed
