"""What gates read again from the store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evalkit.evidence import StoredEvidence
from evalkit.runner import logger_for, run
from metrics.base import Estimate
from registry.entities import ModelVersion
from registry.gate.decide import decide
from registry.gate.evidence import Address, Missing

from .conftest import BOT, QUESTIONS, Project

Register = Callable[..., ModelVersion]
EXACT = Address("questions", "exact_match")
RULES = QUESTIONS.replace("[exact_match]", "[exact_match, distinct_n]").replace(
    "rules: [", "rules: [{metric: questions/exact_match, versus: champion, margin: 0.02, slice: parity}, "
)


def estimate(given: Estimate | Missing) -> Estimate:
    assert isinstance(given, Estimate), given
    return given


@pytest.fixture
def versions(project: Project, counting: Register) -> tuple[ModelVersion, ModelVersion]:
    """A champion, and a candidate that is wrong a little less often."""
    champion = counting(RULES)
    project.write("better.py", BOT.replace("% 3", "% 4"))
    candidate = project.registry.register("bot", model="call: better:answer", suite=project.registry.suite(champion))
    return champion, candidate


def test_bounds_follow_the_confidence_and_pairs_the_samples(
    project: Project, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    champion, candidate = versions
    known = run(project.registry, project.settings, champion)
    evaluation = run(project.registry, project.settings, candidate)
    evidence = StoredEvidence(project.settings, project.registry, evaluation)
    stored = next(e.estimate for e in evaluation.estimates if e.name == EXACT.name and not e.slice)
    assert estimate(evidence.estimate(EXACT, confidence=0.95)) == stored
    narrow, wide = (estimate(evidence.estimate(EXACT, confidence=c)) for c in (0.0005, 1 - 1e-9))
    assert wide.low < stored.low < narrow.low <= stored.value <= narrow.high < stored.high < wide.high
    other = estimate(evidence.other(EXACT, champion, confidence=0.95))
    assert other == next(e.estimate for e in known.estimates if e.name == EXACT.name and not e.slice)
    difference = estimate(evidence.difference(EXACT, champion, confidence=0.95))
    assert difference.value == pytest.approx(stored.value - other.value)
    assert "paired" in difference.method
    odd = Address("questions", "exact_match", slice="parity=odd")
    assert estimate(evidence.estimate(odd, confidence=0.95)).n == sum(i % 2 and i % 11 != 5 for i in range(300))
    assert evidence.slices("questions", "parity") == ["even", "odd"]
    assert evidence.hardware("questions").startswith("cpu-")
    diverse = Address("questions", "distinct_n")
    assert estimate(evidence.difference(diverse, champion, confidence=0.9)).low is None
    speed = Address("questions", "throughput")
    assert estimate(evidence.estimate(speed, confidence=0.95)).value > 0


def test_what_is_not_there_is_missing_with_a_reason(
    project: Project, versions: tuple[ModelVersion, ModelVersion]
) -> None:
    champion, candidate = versions
    evaluation = run(project.registry, project.settings, candidate)
    evidence = StoredEvidence(project.settings, project.registry, evaluation)
    reasons = [
        evidence.difference(EXACT, champion, confidence=0.95),
        evidence.estimate(Address("questions", "token_f1"), confidence=0.95),
        evidence.estimate(Address("questions", "exact_match", key="p95"), confidence=0.95),
        evidence.estimate(Address("questions", "exact_match", slice="parity=none"), confidence=0.95),
    ]
    for reason, words in zip(reasons, ["evaluate it first", "token_f1", "no key 'p95'", "no slice"], strict=True):
        assert isinstance(reason, Missing)
        assert words in reason.reason
    for path in (project.settings.home / "scores").rglob("rows-*"):
        path.unlink()
    gone = StoredEvidence(project.settings, project.registry, evaluation).estimate(EXACT, confidence=0.95)
    assert isinstance(gone, Missing)
    assert "evaluate again" in gone.reason


def test_the_gate_decides_on_stored_results(project: Project, versions: tuple[ModelVersion, ModelVersion]) -> None:
    champion, candidate = versions
    suite = project.registry.suite(candidate)
    for version in versions:
        evaluation = run(
            project.registry,
            project.settings,
            version,
            log=logger_for(project.settings, project.registry, version, suite),
        )
    evidence = StoredEvidence(project.settings, project.registry, evaluation)
    decision = decide(
        suite.spec, evidence, version=candidate, evaluation=evaluation, champion=champion, anchor=champion
    )
    # One output in eleven is unusable, and the gate never passes below its coverage floor
    assert decision.outcome == "inconclusive"
    assert {rule.slice for rule in decision.rules} == {"", "parity=even", "parity=odd"}
    assert all("cover" in rule.reason for rule in decision.rules), [rule.reason for rule in decision.rules]
