"""Looks at growing data: which one an evaluation is, and whether the suite declared it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.runner.plan import EvaluationPlan
from metrics.errors import InputError
from registry.digests import digest
from registry.entities import ModelVersion

if TYPE_CHECKING:
    from registry.store import Registry


def design_digest(plan: EvaluationPlan) -> str:
    """Digest of what is measured, without model and seed: two evaluations of one design look at the same thing."""
    return digest({task.name: task.design() for task in plan.tasks})


def at_look(
    registry: Registry, version: ModelVersion, plan: EvaluationPlan, look: int | None, extra: int
) -> EvaluationPlan:
    """The plan at the wanted look, refused where the suite did not declare it.

    Args:
        registry, version, plan: what is evaluated.
        look: the wanted look; by default the latest one, or with `extra` the next one.
        extra: further samples.
    """
    done = {e.look: e for e in registry.evaluations(version) if e.digest == plan.digest and e.status == "finished"}
    declared = plan.suite.spec.gate.looks
    if look is None:
        look = max(done, default=0) + 1 if extra else max(done, default=1)
    if look == 1:
        if extra:
            raise InputError("the first look has no samples to add to; evaluate without further samples first")
        _refuse_other_seed(registry, version, plan)
        return plan
    if look > declared:
        raise InputError(
            f"suite '{plan.suite.spec.suite}' declares {declared} look{'s' if declared > 1 else ''}; look {look} would "
            "be one too many. Samples beyond the declared looks do not reopen a gate"
        )
    if look in done:
        return plan.with_targets(done[look].targets, look)
    if look - 1 not in done:
        raise InputError(f"look {look} needs look {look - 1} first; evaluate it")
    running = [e for e in registry.evaluations(version) if e.digest == plan.digest and e.look == look]
    if not extra and running:
        return plan.with_targets(running[0].targets, look)
    if extra < 1:
        raise InputError(f"look {look} needs further samples; say how many (`--more N`)")
    before = done[look - 1].targets
    targets = {task.name: task.grown(before[task.name], extra) for task in plan.tasks}
    if targets == dict(before):
        raise InputError("no task of this suite has further samples: all rows of its data have been used")
    return plan.with_targets(targets, look)


def _refuse_other_seed(registry: Registry, version: ModelVersion, plan: EvaluationPlan) -> None:
    """Another seed on the same version and tasks is another look at it."""
    design = design_digest(plan)
    finished = [
        e for e in registry.evaluations(version) if e.status == "finished" and e.details.get("design") == design
    ]
    others = {e.details.get("seed") for e in finished} - {plan.seed}
    if others and len(others) + 1 > plan.suite.spec.gate.looks:
        raise InputError(
            f"{version.reference} was evaluated on these tasks with seed {min(map(str, others))}; another seed counts "
            f"as another look, and the suite declares {plan.suite.spec.gate.looks}"
        )
