"""One version: its verdict rule by rule, its scorecard, its samples, and what led to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from evalkit.pages.rendering import new_router, page
from evalkit.project import Project
from evalkit.reports.scorecard import Scorecard, build, spec_named
from evalkit.server.api.models import find
from evalkit.server.api.project import InProject
from evalkit.server.api.schema import ModelName
from evalkit.server.identity import needs
from evalkit.views import gallery, judged
from evalkit.views.gallery import SampleView
from evalkit.views.modes import Modes, modes_of_task
from evalkit.views.rules import RuleLine, measured_specs, rule_lines
from evalkit.views.stored import stored_task
from metrics.base import MetricSpec
from metrics.errors import InputError
from registry.actors import APPROVER, EVALUATOR, intent
from registry.digests import short
from registry.entities import Decision, Evaluation, ModelVersion, Promotion
from registry.pages import version_page

router = new_router()
CHAMPION = "champion"
COPYING = "memorization"
Number = Annotated[int, Path(ge=1, le=10**9)]
_WITH_SAMPLES = 3
"""Rules whose samples stand on the page itself; those of the others are a link away."""
_PREVIEW = 4
_TRIED = 4
DONE = {
    "promoted": "The alias was moved to this version.",
    "approved": "Your approval is recorded.",
    "demoted": "The alias was taken away from this version.",
    "decided": "The gate has decided on the stored results.",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Samples beside a rule: the worst by `metric`, or for one on the whole set (empty) its modes with the outputs that
    they name; or why there are none, or the rule `instead` that has the same ones.
    """

    metric: str
    outputs: str
    samples: tuple[SampleView, ...] = ()
    missing: str = ""
    modes: Modes | None = None
    instead: int | None = None
    shown: Mapping[int, SampleView] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doings:
    """What the present actor may do to the version."""

    promote: bool
    override: bool
    approve: bool
    demote: bool
    decide: bool

    @property
    def any(self) -> bool:
        """Whether there is a form to show."""
        return self.promote or self.override or self.approve or self.demote or self.decide


@dataclass(frozen=True, slots=True)
class Judged:
    """A version with what was measured of it."""

    version: ModelVersion
    evaluation: Evaluation
    decision: Decision | None
    specs: Mapping[str, MetricSpec]


@dataclass(frozen=True, slots=True)
class Worst:
    """The slices in which one number is worst."""

    name: str
    units: str
    lines: Sequence[judged.SliceLine]


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Everything on the page; `card` is None where nothing was evaluated yet."""

    version: ModelVersion
    home: str
    champion: int | None
    evaluation: Evaluation | None
    decision: Decision | None
    counts: bool
    card: Scorecard | None
    lines: int
    rules: Sequence[RuleLine]
    evidence: Mapping[int, Evidence]
    looks: Sequence[judged.Look]
    approvals: Sequence[judged.Approval]
    promotions: Sequence[Promotion]
    tasks: Sequence[str]
    slices: Sequence[str]
    worst: Worst | None
    doings: Doings
    approvals_needed: int


@router.get("/models/{name}/@{alias}", dependencies=[Depends(needs())])
def by_alias(project: InProject, name: ModelName, alias: Annotated[str, Path(max_length=100)]) -> Response:
    """To the version that holds an alias."""
    return RedirectResponse(version_page(name, find(project, name, f"@{alias}").version), 303)


class Filters(BaseModel):
    """Which evaluation, and which of its estimates."""

    evaluation: str = Field("", pattern=r"^(?:[0-9a-f-]{36})?$")
    task: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,60}$")
    slice: str = Field("", max_length=500)
    done: str = Field("", max_length=20)


@router.get("/models/{name}/{number:int}", dependencies=[Depends(needs())])
def version(
    request: Request, project: InProject, name: ModelName, number: Number, chosen: Annotated[Filters, Query()]
) -> Response:
    """A version."""
    shown = gather(project, find(project, name, str(number)), chosen)
    return page(
        request, "version.html", of=shown, chosen=chosen.evaluation, task=chosen.task, slice=chosen.slice,
        done=DONE.get(chosen.done, ""), most_lines=judged.MOST_LINES,
    )  # fmt: skip


def gather(project: Project, version: ModelVersion, chosen: Filters) -> VersionPage:
    """What the page of a version shows."""
    engine = project.engine
    holder = project.registry.mlflow.holder(version.name, CHAMPION)
    evaluation, decision = judged.chosen(engine, version, chosen.evaluation or None)
    looks = judged.looks(engine, version)
    current = next((made.id for look in looks for made in look.decisions if made.counts), None)
    counts = decision is not None and decision.id == current
    card, lines, rules, evidence, worst = None, 0, [], {}, None
    if evaluation is not None:
        champion = find(project, version.name, str(holder)) if holder not in {None, version.version} else None
        ruled = frozenset((rule.metric, rule.slice) for rule in decision.rules) if decision is not None else frozenset()
        shown = judged.Shown(chosen.task, chosen.slice, ruled)
        filled, lines = judged.with_estimates(engine, evaluation, shown)
        specs = _specs(filled)
        card = _card(project, Judged(version, filled, decision, specs), champion, shown)
        rules = rule_lines(decision, specs) if decision is not None else []
        evidence = _evidence(project, version, evaluation, rules)
        worst = _worst_slices(project, evaluation, card)
    policy = project.registry.policy(version.name)
    return VersionPage(
        version, version_page(version.name, version.version), holder, evaluation, decision, counts, card, lines, rules,
        evidence, looks, judged.approvals(engine, version), judged.promotions(engine, version),
        sorted(evaluation.details.get("tasks", {})) if evaluation else [],
        judged.slices(engine, evaluation) if evaluation else [],
        worst,
        _doings(version, evaluation, decision if counts else None),
        policy.approvals if policy is not None and policy.protects(CHAMPION) else 0,
    )  # fmt: skip


def _card(project: Project, judged_one: Judged, champion: ModelVersion | None, shown: judged.Shown) -> Scorecard:
    other = judged.beside(project.engine, champion, judged_one.evaluation) if champion is not None else None
    if other is not None:
        other, _ = judged.with_estimates(project.engine, other, shown)
    suite = judged.suite_of(project.engine, judged_one.evaluation.suite_digest)
    return build(
        judged_one.version, suite, judged_one.evaluation, decision=judged_one.decision, champion=other,
        champion_version=champion, specs=judged_one.specs,
    )  # fmt: skip


def _worst_slices(project: Project, evaluation: Evaluation, card: Scorecard) -> Worst | None:
    """Of the first number that a rule is on, else of the first that has slices at all."""
    lines = [line for section in card.sections for line in section.lines if not line.slice]
    for line in sorted(lines, key=lambda line: not line.rules)[:_TRIED]:
        found = judged.worst_slices(project.engine, evaluation, line.name, line.direction)
        if found:
            return Worst(line.name, line.units, found)
    return None


def _specs(evaluation: Evaluation) -> dict[str, MetricSpec]:
    """Specification by metric of everything that was measured, whether it is shown or not."""
    found = measured_specs(evaluation)
    return found | {s.metric: spec_named(s.metric, None) for s in evaluation.estimates if s.metric not in found}


def _evidence(
    project: Project, version: ModelVersion, evaluation: Evaluation, rules: Sequence[RuleLine]
) -> dict[int, Evidence]:
    """Samples for the first rules that do not pass."""
    found: dict[int, Evidence] = {}
    seen: dict[tuple[str, bool], int] = {}
    for line in [line for line in rules if line.outcome != "pass" and line.measured][:_WITH_SAMPLES]:
        task = stored_task(project.settings.home, evaluation, line.task)
        if task is None or line.metric not in task.record["metrics"]:
            continue
        outputs = short(task.record["outputs"])
        try:
            if line.metric in task.metrics():
                wanted = gallery.Wanted(line.metric, line.slice, size=_PREVIEW)
                found[line.number] = Evidence(line.metric, outputs, gallery.gallery(task, wanted).samples)
            elif (task.name, line.metric == COPYING) in seen:
                found[line.number] = Evidence("", outputs, instead=seen[task.name, line.metric == COPYING])
            else:
                seen[task.name, line.metric == COPYING] = line.number
                modes = modes_of_task(project, version, evaluation, task)
                places = sorted(modes.places) if modes is not None else []
                shown = dict(zip(places, gallery.views(task, places, ()), strict=True))
                found[line.number] = Evidence("", outputs, modes=modes, shown=shown)
        except InputError as error:  # gone, or a slice that the samples do not have
            found[line.number] = Evidence(line.metric, outputs, missing=str(error))
    return found


def _doings(version: ModelVersion, evaluation: Evaluation | None, decision: Decision | None) -> Doings:
    actor = intent().actor
    promotes, approves = actor.may(EVALUATOR) or actor.may(APPROVER), actor.may(APPROVER)
    champion, passed = CHAMPION in version.aliases, decision is not None and decision.passed
    return Doings(
        promote=promotes and passed and not champion,
        override=approves and not passed and not champion,
        approve=approves and passed,
        demote=approves and champion,
        decide=actor.may(EVALUATOR) and evaluation is not None and evaluation.status == "finished",
    )
