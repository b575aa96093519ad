"""The scorecard as data: what every report (HTML, terminal, JSON, MLflow) draws from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from evalkit.reports.numbers import percent
from evalkit.reports.samples import Sample, worst_first
from judges.judged import spec_of
from metrics.base import Direction, Estimate, MetricSpec, Quadrant
from metrics.errors import InputError
from registry.current import IMPORTED
from registry.digests import short
from registry.entities import Decision, Evaluation, ModelVersion, Outcome, RuleOutcome, StoredEstimate
from registry.spec import SuiteSpec

QUADRANTS: tuple[Quadrant, ...] = ("quality", "diversity", "speed", "safety")
GALLERY_IMAGES = 24
GALLERY_TEXTS = 12


def worst(outcomes: Iterable[Outcome]) -> Outcome | None:
    """The worst of some outcomes; None where there are none."""
    found = set(outcomes)
    ordered: tuple[Outcome, ...] = ("fail", "inconclusive", "pass")
    return next((outcome for outcome in ordered if outcome in found), None)


@dataclass(frozen=True, slots=True)
class Line:
    """One estimate of the scorecard.

    Attributes:
        name: ``task/metric`` or ``task/metric.key``; `slice`: ``name=value`` or empty.
        measures: one line for people.
        estimate: as the gate saw it where a rule is on it (at the gate's own level), else as stored.
        champion: the champion's estimate; None where there is none.
        rules: outcomes of the gate's rules on this estimate.
    """

    name: str
    slice: str
    measures: str
    direction: Direction
    units: str
    estimate: Estimate
    champion: Estimate | None
    rules: tuple[RuleOutcome, ...]

    @property
    def label(self) -> str:
        """Name and slice as one text."""
        return f"{self.name} [{self.slice}]" if self.slice else self.name

    @property
    def outcome(self) -> Outcome | None:
        """The worst outcome of its rules; None where no rule is on it."""
        return worst(rule.outcome for rule in self.rules)

    @property
    def limits(self) -> tuple[float, ...]:
        """Absolute limits on the estimate's own scale, for drawing."""
        return tuple(r.limit for r in self.rules if r.against is None and math.isfinite(r.limit))


@dataclass(frozen=True, slots=True)
class Section:
    """A quadrant of the scorecard; empty `lines` means not measured."""

    quadrant: Quadrant
    lines: tuple[Line, ...]

    @property
    def measured(self) -> bool:
        """Whether the suite measured anything here."""
        return bool(self.lines)

    @property
    def outcome(self) -> Outcome | None:
        """The worst outcome of the rules on its lines; None where no rule is on any."""
        return worst(rule.outcome for line in self.lines for rule in line.rules)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Samples of one task, the worst first; `ordered_by` names the metric that ordered them."""

    task: str
    samples: tuple[Sample, ...]
    total: int
    ordered_by: str | None


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Everything a report says about one evaluation of one version."""

    model: str
    version: int
    kind: str
    aliases: tuple[str, ...]
    suite: str
    description: str
    status: str
    verdict: Outcome | None
    headline: str
    sections: tuple[Section, ...]
    rules: tuple[RuleOutcome, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    galleries: tuple[Gallery, ...]
    champion: int | None
    provenance: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """Model and version as one text."""
        return f"{self.model} version {self.version}"

    @property
    def levels(self) -> str:
        """Which confidence levels the intervals have, in words; empty where there is no interval."""
        lines = [line for section in self.sections for line in section.lines if line.estimate.has_interval]
        free = sorted({percent(line.estimate.confidence) for line in lines if not line.rules})
        gated = sorted({percent(line.estimate.confidence) for line in lines if line.rules})
        parts = [f"{', '.join(free)} where no rule applies"] if free else []
        return "; ".join(parts + ([f"{', '.join(gated)} where the gate decides"] if gated else []))


def specs_of(evaluation: Evaluation) -> dict[str, MetricSpec]:
    """Specification by metric: the judge's or the catalogue's, or a neutral one for a metric it no longer has."""
    return {s.metric: spec_named(s.metric, evaluation.settings_of(s.task, s.metric)) for s in evaluation.estimates}


def spec_named(name: str, settings: Mapping[str, Any] | None) -> MetricSpec:
    """The specification of a metric by the settings it was scored with, or a neutral one."""
    try:
        return spec_of(name, settings)
    except InputError:
        gone = "not in this installation's catalogue"
        return MetricSpec(name, gone, None, None, "none", "quality", (), gone, gone, gone, gone)


def build(
    version: ModelVersion,
    suite: SuiteSpec,
    evaluation: Evaluation,
    *,
    decision: Decision | None = None,
    champion: Evaluation | None = None,
    champion_version: ModelVersion | None = None,
    samples: Sequence[Sample] = (),
    specs: Mapping[str, MetricSpec] | None = None,
) -> Scorecard:
    """Put together the scorecard of an evaluation.

    Args:
        version, suite, evaluation: what was judged, by what, with which results.
        decision: the gate's decision on this evaluation, if one was made.
        champion, champion_version: the champion's evaluation on the same suite; lines are matched by name.
        samples: stored outputs for the gallery, in any order.
        specs: metric specifications by name; by default those behind the evaluation.
    """
    rules = decision.rules if decision is not None else ()
    specs = specs_of(evaluation) if specs is None else specs
    others = {(s.name, s.slice): s.estimate for s in champion.estimates} if champion else {}
    lines = [(specs[s.metric].quadrant, _line(s, specs[s.metric], others, rules)) for s in evaluation.estimates]
    sections = tuple(Section(q, tuple(line for quadrant, line in lines if quadrant == q)) for q in QUADRANTS)
    return Scorecard(
        model=version.name,
        version=version.version,
        kind=version.kind,
        aliases=version.aliases,
        suite=suite.suite,
        description=suite.description,
        status=evaluation.status,
        verdict=decision.outcome if decision is not None else None,
        headline=headline(decision, evaluation),
        sections=sections,
        rules=rules,
        notes=decision.notes if decision is not None else (),
        warnings=evaluation.warnings,
        galleries=_galleries(suite, specs, samples),
        champion=champion_version.version if champion_version else None,
        provenance=_provenance(version, suite, evaluation, decision),
    )


def headline(decision: Decision | None, evaluation: Evaluation) -> str:
    """One sentence that says what came out."""
    if decision is None:
        return {
            "finished": "Evaluated; no gate has decided on it yet.",
            "running": "The evaluation is still running.",
            "failed": "The evaluation did not produce usable results.",
            "imported": "Imported; no gate has decided on it.",
        }[evaluation.status]
    if evaluation.status == IMPORTED:
        return f"Imported, and counts for nothing here; where it was made the gate said {decision.outcome}."
    count = len(decision.rules)
    broken = [r.metric for r in decision.rules if r.outcome == "fail"]
    open_rules = [r.metric for r in decision.rules if r.outcome == "inconclusive"]
    if decision.outcome == "fail":
        return f"{len(broken)} of {count} rules broken: {', '.join(dict.fromkeys(broken))}."
    if decision.outcome == "inconclusive":
        undecided = ", ".join(dict.fromkeys(open_rules)) or "coverage or required results are missing"
        return f"Neither passed nor failed; undecided: {undecided}."
    return "The rule holds." if count == 1 else f"All {count} rules hold."


def explanation(rule: RuleOutcome) -> str:
    """Why a rule came out as it did, with the number of further samples unless the reason has it."""
    if not rule.more_samples or "more samples" in rule.reason:
        return rule.reason
    return f"{rule.reason} About {rule.more_samples:,} more samples would decide."


def rule_name(rule: RuleOutcome) -> str:
    """A rule's text with its slice."""
    return f"{rule.rule} [{rule.slice}]" if rule.slice and rule.slice not in rule.rule else rule.rule


def utc(milliseconds: int) -> str:
    """A time for people, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _line(
    stored: StoredEstimate,
    spec: MetricSpec,
    champions: Mapping[tuple[str, str], Estimate],
    rules: Sequence[RuleOutcome],
) -> Line:
    own = tuple(r for r in rules if r.metric == stored.name and r.slice == stored.slice)
    seen = next((r.estimate for r in own if r.estimate is not None), None)
    measures = spec.measures if stored.key == "value" else spec.keys.get(stored.key, spec.measures)
    return Line(
        name=stored.name,
        slice=stored.slice,
        measures=measures,
        direction=spec.direction_of(stored.key),
        units=spec.units,
        estimate=seen or stored.estimate,
        champion=champions.get((stored.name, stored.slice)),
        rules=own,
    )


def _galleries(suite: SuiteSpec, specs: Mapping[str, MetricSpec], samples: Sequence[Sample]) -> tuple[Gallery, ...]:
    galleries = []
    by_task = groupby(sorted(samples, key=lambda s: s.task), key=lambda s: s.task)
    for task, group in by_task:
        members = list(group)
        metric, direction = order_of(suite, specs, task, members)
        ordered = worst_first(members, metric, direction)
        shown = GALLERY_IMAGES if any(s.image for s in members) else GALLERY_TEXTS
        galleries.append(Gallery(task, tuple(ordered[:shown]), len(members), metric))
    return tuple(galleries)


def order_of(
    suite: SuiteSpec, specs: Mapping[str, MetricSpec], task: str, samples: Sequence[Sample]
) -> tuple[str | None, Direction]:
    """The metric that orders a task's samples: the first gated one with per-sample scores, else the first scored."""
    gated = [rule.metric_name for rule in suite.gate.rules if rule.task == task]
    listed = [score.metric for score in suite.tasks[task].score] if task in suite.tasks else []
    for name in dict.fromkeys(gated + listed):
        if name in specs and specs[name].direction != "none" and any(name in s.scores for s in samples):
            return name, specs[name].direction
    return None, "none"


def _provenance(
    version: ModelVersion, suite: SuiteSpec, evaluation: Evaluation, decision: Decision | None
) -> tuple[tuple[str, str], ...]:
    targets = ", ".join(f"{task} {n}" for task, n in evaluation.targets.items())
    facts = [
        ("Suite", f"{suite.suite} ({short(evaluation.suite_digest)})"),
        ("Model", f"{version.reference} ({short(version.artifact_digest)})"),
        ("Source", version.source),
        ("Evaluation", f"{evaluation.id} ({short(evaluation.digest)})"),
        ("MLflow run", evaluation.run_id or "none"),
        ("Look", f"{evaluation.look} of {suite.gate.looks}"),
        ("Seed", str(suite.gate.seed)),
        ("Preset", evaluation.preset or "none"),
        ("Samples", targets or "none"),
        ("Finished", utc(evaluation.finished_at) if evaluation.finished_at else "no"),
    ]
    if decision is not None:
        facts += [
            ("Decision", f"{decision.id} ({short(decision.digest)})"),
            ("Method", f"{decision.method}, one-sided alpha {decision.alpha:g}"),
            ("Champion", f"version {decision.champion}" if decision.champion is not None else "none"),
            ("Anchor", f"version {decision.anchor}" if decision.anchor is not None else "none"),
            ("Decided", utc(decision.created_at)),
        ]
    return tuple(facts)
