"""How often the gate is wrong, and how often it is right, by simulating whole gates.

Runs the real `registry.gate.decide` on simulated per-sample scores, and prints four tables: passes with the truth
exactly on the limit (at most 6 % may pass at alpha 5 %), passes three standard errors better (at least 80 %),
a chain of promotions that each lose less than the margin, and predicted against simulated power.

    python benchmarks/gate_simulation.py [--gates 2000] [--seed 7] [--json]

Exits with 1 when one of the targets is missed.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from metrics.base import Estimate, SampleMetric, Scores
from metrics.catalogue import get
from metrics.statistics import t_interval
from registry.entities import Evaluation, ModelVersion, Outcome, StoredEstimate
from registry.gate import decide
from registry.gate.memory import ScoresEvidence
from registry.gate.power import predict
from registry.spec import SuiteSpec

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
"""A generator and n to the candidate's and the champion's scores."""

FALSE_PASS, LEAST_POWER, AGREEMENT = 0.06, 0.80, 0.05


@dataclass(frozen=True)
class Scenario:
    """One rule, the truth, and how its scores are drawn."""

    name: str
    rule: Mapping[str, Any]
    draw: Draw
    n: int
    looks: int = 1
    assumed: Estimate | None = None


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    table: str
    scenario: str
    n: int
    looks: int
    passed: float
    failed: float
    target: str
    met: bool
    facts: dict[str, float] = field(default_factory=dict)


def suite_for(rule: Mapping[str, Any], looks: int = 1) -> SuiteSpec:
    """A suite with one task, one metric and one rule."""
    metric = rule["metric"].partition("/")[2].partition(".")[0]
    tasks = {"task": {"data": "rows.jsonl", "score": [metric]}}
    return SuiteSpec.model_validate({"suite": "simulation", "tasks": tasks, "gate": {"looks": looks, "rules": [rule]}})


def version(number: int) -> ModelVersion:
    """A registered version."""
    return ModelVersion(
        id=str(number), name="model", version=number, kind="llm", source="", model_id=None, run_id=None,
        artifact_digest=f"sha256:{number}", suite_id="", suite_digest="", generator={}, training_data=(), created_at=0,
    )  # fmt: skip


def evaluation(of: ModelVersion, look: int) -> Evaluation:
    """Its finished evaluation."""
    stored = StoredEstimate("task", "metric", "value", "", Estimate(0.0), "sha256:scores")
    return Evaluation(
        id="", digest="", look=look, version_id=of.id, suite_digest="", preset=None, status="finished", run_id=None,
        started_at=0, finished_at=0, targets={}, estimates=(stored,),
    )  # fmt: skip


def scores(values: np.ndarray) -> Scores:
    """Per-sample scores of samples 0 to n - 1."""
    n = len(values)
    return Scores([str(i) for i in range(n)], values, np.ones(n), np.ones(n), None, [None] * n)


def one_gate(scenario: Scenario, suite: SuiteSpec, metric: SampleMetric, rng: np.random.Generator) -> Outcome:
    """Draw all samples of one candidate, look as often as declared at growing data, and stop at a verdict."""
    candidate, champion = scenario.draw(rng, scenario.n)
    name = f"task/{metric.spec.name}"
    outcome: Outcome = "inconclusive"
    for look in range(1, scenario.looks + 1):
        n = scenario.n * look // scenario.looks
        evidence = ScoresEvidence(
            {metric.spec.name: metric}, {name: scores(candidate[:n])}, {1: {name: scores(champion[:n])}}
        )
        outcome = decide(
            suite, evidence, version=version(2), evaluation=evaluation(version(2), look), champion=version(1),
            anchor=version(1), look=look,
        ).outcome  # fmt: skip
        if outcome != "inconclusive":
            break
    return outcome


def shares(scenario: Scenario, gates: int, rng: np.random.Generator) -> tuple[float, float]:
    """Shares of gates that pass and that fail."""
    suite = suite_for(scenario.rule, scenario.looks)
    metric = get(suite.tasks["task"].score[0].metric)
    assert isinstance(metric, SampleMetric)
    outcomes = [one_gate(scenario, suite, metric, rng) for _ in range(gates)]
    return outcomes.count("pass") / gates, outcomes.count("fail") / gates


def rates(p: float, champion: float = 0.5, agreement: float = 0.0) -> Draw:
    """0/1 scores; a share `agreement` of the samples is as hard for both versions."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        common, shared = rng.random(n), rng.random((2, n)) < agreement
        own = np.where(shared, common, rng.random((2, n)))
        return (own[0] < p).astype(float), (own[1] < champion).astype(float)

    return draw


def means(mean: float, champion: float = 0.5, *, deviation: float = 0.12, correlation: float = 0.0) -> Draw:
    """Scores between 0 and 1 about a mean, normal before the (rare) clipping."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        common = math.sqrt(correlation) * rng.standard_normal(n)
        own = common + math.sqrt(1 - correlation) * rng.standard_normal((2, n))
        return np.clip(mean + deviation * own[0], 0, 1), np.clip(champion + deviation * own[1], 0, 1)

    return draw


def skewed(mean: float, champion: float) -> Draw:
    """Positive log-normal scores with correlated pairs, such as latencies."""

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        spread = 0.4
        logs = spread * (rng.standard_normal(n) + rng.standard_normal((2, n))) / math.sqrt(2) - spread**2 / 2
        return mean * np.exp(logs[0]), champion * np.exp(logs[1])

    return draw


def floor(metric: str, limit: float) -> dict[str, Any]:
    """An absolute rule."""
    return {"metric": f"task/{metric}", "min": limit}


def versus(metric: str, margin: float | str) -> dict[str, Any]:
    """A non-inferiority rule."""
    return {"metric": f"task/{metric}", "versus": "champion", "margin": margin}


def on_the_limit(looks: int) -> list[Scenario]:
    """The truth is exactly on the limit."""
    return [
        Scenario("rate >= 0.9", floor("exact_match", 0.9), rates(0.9), 500, looks),
        Scenario("rate >= 0.98", floor("exact_match", 0.98), rates(0.98), 300, looks),
        Scenario("rate <= 0.01", {"metric": "task/empty", "max": 0.01}, rates(0.01), 335, looks),
        Scenario("mean >= 0.5", floor("token_f1", 0.5), means(0.5), 500, looks),
        Scenario("paired rate, margin 0.02", versus("exact_match", 0.02), rates(0.88, 0.9, 0.6), 1000, looks),
        Scenario("paired mean, margin 0.02", versus("token_f1", 0.02), means(0.58, 0.6, correlation=0.5), 500, looks),
        Scenario("skewed, margin 10 %", versus("latency", "10%"), skewed(2.2, 2.0), 1000, looks),
    ]


def three_errors_better(looks: int) -> list[Scenario]:
    """The truth is three standard errors (at the last look) on the good side."""
    n = 1000
    rate = 0.9 + 3 * math.sqrt(0.925 * 0.075 / n)
    low = 0.06 - 3 * math.sqrt(0.04 * 0.96 / n)
    mean = 0.12 * 3 / math.sqrt(n)
    return [
        Scenario("rate >= 0.9", floor("exact_match", 0.9), rates(rate), n, looks),
        Scenario("rate <= 0.06", {"metric": "task/empty", "max": 0.06}, rates(low), n, looks),
        Scenario("mean >= 0.5", floor("token_f1", 0.5), means(0.5 + mean), n, looks),
        Scenario(
            "paired mean, margin 0.02", versus("token_f1", 0.02), means(0.58 + mean, 0.6, correlation=0.5), n, looks
        ),
    ]


def power_scenarios() -> list[Scenario]:
    """Rules whose power is predicted before anything is drawn."""
    found = []
    for n, limit, truth in [
        (200, 0.9, 0.95), (500, 0.9, 0.93), (1000, 0.9, 0.92), (300, 0.97, 0.99), (1000, 0.85, 0.87), (300, 0.5, 0.58)
    ]:  # fmt: skip
        rule = floor("exact_match", limit) | {"expected": truth}
        found.append(Scenario(f"rate {truth} >= {limit}", rule, rates(truth), n))
    for n, limit, truth in [(1000, 0.02, 0.01), (500, 0.06, 0.04)]:
        rule = {"metric": "task/empty", "max": limit, "expected": truth}
        found.append(Scenario(f"rate {truth} <= {limit}", rule, rates(truth), n))
    for n, shift in [(20, 0.08), (100, 0.03), (400, 0.012)]:
        rule = floor("token_f1", 0.6) | {"expected": 0.6 + shift}
        found.append(Scenario(f"mean {0.6 + shift:g} >= 0.6", rule, means(0.6 + shift), n, assumed=_pilot(0.6)))
    for n in (100, 250, 600):
        draw = means(0.6, 0.6, correlation=0.5)
        rule = versus("token_f1", 0.015) | {"expected": 0.6}
        found.append(Scenario("paired mean, margin 0.015", rule, draw, n, assumed=_pilot(0.6)))
    few = versus("token_f1", 0.15) | {"expected": 0.6}
    found.append(Scenario("paired mean, margin 0.15", few, means(0.6, 0.6, correlation=0.5), 25, assumed=_pilot(0.6)))
    return found


def _pilot(mean: float, deviation: float = 0.12, n: int = 400) -> Estimate:
    """What an earlier version's results say about the spread."""
    low, high = t_interval(mean, deviation / math.sqrt(n), n - 1)
    return Estimate(mean, low, high, n=n)


def promotions(rng: np.random.Generator, *, anchored: bool, steps: int = 20, n: int = 5000) -> tuple[int, float]:
    """Promotions, each a point worse than the last at a margin of two, until the gate stops one.

    Without an anchor, the champion is its own anchor. Returns how many passed and what they lost in all.
    """
    metric = get("exact_match")
    assert isinstance(metric, SampleMetric)
    suite = suite_for(versus("exact_match", 0.02))
    common = rng.random(n)

    def answers(rate: float) -> Scores:
        seen = np.where(rng.random(n) < 0.01, rng.random(n), common)
        return scores((seen < rate).astype(float))

    name, rate = "task/exact_match", 0.9
    known = {0: {name: answers(rate)}}
    for step in range(1, steps + 1):
        candidate = {name: answers(rate - 0.01 * step)}
        decision = decide(
            suite, ScoresEvidence({"exact_match": metric}, candidate, known), version=version(step),
            evaluation=evaluation(version(step), 1), champion=version(step - 1),
            anchor=version(0 if anchored else step - 1),
        )  # fmt: skip
        if not decision.passed:
            return step - 1, 0.01 * (step - 1)
        known[step] = candidate
    return steps, 0.01 * steps


def simulate(gates: int, seed: int) -> list[Row]:
    """Run all tables; each scenario has a random stream of its own."""
    rows: list[Row] = []
    streams = iter(np.random.SeedSequence(seed).spawn(200))

    def run(table: str, scenario: Scenario, judge: Callable[[float], tuple[str, bool, dict[str, float]]]) -> None:
        passed, failed = shares(scenario, gates, np.random.default_rng(next(streams)))
        target, met, facts = judge(passed)
        rows.append(Row(table, scenario.name, scenario.n, scenario.looks, passed, failed, target, met, facts))

    for looks in (1, 5):
        for scenario in on_the_limit(looks):
            run("truth on the limit", scenario, lambda p: (f"<= {FALSE_PASS:.0%}", p <= FALSE_PASS, {}))
        for scenario in three_errors_better(looks):
            run("three standard errors better", scenario, lambda p: (f">= {LEAST_POWER:.0%}", p >= LEAST_POWER, {}))
    for anchored in (True, False):
        count, lost = promotions(np.random.default_rng(next(streams)), anchored=anchored)
        name = "20 promotions, each 0.01 worse" + ("" if anchored else " (anchor moves along)")
        target = "stopped" if anchored else "(for comparison)"
        rows.append(
            Row("no ratchet", name, 5000, 1, count / 20, 0.0, target, not anchored or count < 20,
                {"promoted": count, "lost": lost})
        )  # fmt: skip
    for scenario in power_scenarios():
        (prediction,) = predict(
            suite_for(scenario.rule), sizes={"task": scenario.n},
            assumed={scenario.rule["metric"]: scenario.assumed} if scenario.assumed else None,
        )  # fmt: skip
        expected = prediction.power
        assert expected is not None

        def close(p: float, expected: float = expected) -> tuple[str, bool, dict[str, float]]:
            return f"{expected:.1%} +- 5", abs(p - expected) <= AGREEMENT, {"predicted": expected}

        run("predicted power", scenario, close)
    return rows


def show(rows: Sequence[Row]) -> None:
    """Print the tables."""
    table = ""
    for row in rows:
        if row.table != table:
            table = row.table
            print(f"\n{table}\n{'scenario':<48}{'n':>6}{'looks':>7}{'pass':>9}{'fail':>9}  target")
        note = "; ".join(f"{k} {v:g}" for k, v in row.facts.items() if k != "predicted")
        mark = "" if row.met else "  MISSED"
        print(
            f"{row.scenario:<48}{row.n:>6}{row.looks:>7}{row.passed:>9.1%}{row.failed:>9.1%}  {row.target}"
            f"{'; ' + note if note else ''}{mark}"
        )


def main() -> int:
    """Parse the command line, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=2000, help="gates per scenario")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = parser.parse_args()
    rows = simulate(given.gates, given.seed)
    if given.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        show(rows)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
