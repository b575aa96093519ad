"""What a suite can decide, and what it will cost, before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.config import Settings
from evalkit.judging.forecast import JudgeCost, forecast
from evalkit.runner.outputs import TOKENS
from evalkit.runner.plan import check_task, plan_metric, task_target
from evalkit.runner.sources import read_sources
from evalkit.session import Session, open_session
from metrics.base import Estimate
from metrics.errors import InputError
from registry.entities import Evaluation
from registry.gate.power import Overall, RulePower, overall, predict
from registry.spec import Task
from registry.suite import Suite

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class TaskCost:
    """What one task takes.

    Attributes:
        task, n: the task and its planned samples.
        seconds: time to generate, from the speed of an earlier version; None where nothing is known.
        dollars: price of the tokens, from ``generate: {price: …}`` and an earlier version's token counts.
    """

    task: str
    n: int
    seconds: float | None
    dollars: float | None


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """The answer of `evalkit suite check`."""

    suite: str
    digest: str
    based_on: str | None
    tasks: tuple[TaskCost, ...]
    judges: tuple[JudgeCost, ...]
    rules: tuple[RulePower, ...]
    overall: Overall | None
    warnings: tuple[str, ...]


def plan(
    path: Path, *, preset: str | None = None, model: str | None = None, settings: Settings | None = None
) -> SuitePlan:
    """Predict power, time and cost of a suite.

    Args:
        path: the suite file.
        preset: ``quick`` or ``full``, as the suite defines them.
        model: name of a registered model whose champion (or newest evaluated version) says what values, spreads
            and speeds to expect; without it the rules' ``expected`` values and defaults are used.

    Raises:
        InputError: the suite, its data or the model's name cannot be used.
    """
    suite = Suite.load(path)
    with open_session(settings) as session:
        known = _known(session, model) if model else None
        return plan_suite(suite, session, preset, known)


def plan_suite(suite: Suite, session: Session, preset: str | None, known: tuple[str, Evaluation] | None) -> SuitePlan:
    """Predict power, time and cost of a suite from an evaluation of an earlier version, given with its reference."""
    sources = read_sources(suite, session.registry, session.settings)
    sizes = {
        name: task_target(name, task, suite.spec, sources[name].data, preset)[0]
        for name, task in suite.spec.tasks.items()
    }
    for name, task in suite.spec.tasks.items():
        metrics = [plan_metric(score, suite) for score in task.score]
        check_task(name, task, metrics, sources[name])
    earlier = known[1] if known else None
    assumed = {stored.name: stored.estimate for stored in earlier.estimates if not stored.slice} if earlier else {}
    judges = forecast(suite, session.settings, sizes, {name: source.data for name, source in sources.items()})
    powers = predict(suite.spec, sizes=sizes, assumed=assumed)
    return SuitePlan(
        suite=suite.name,
        digest=suite.digest,
        based_on=known[0] if known else None,
        tasks=tuple(_cost(name, task, sizes[name], earlier, assumed) for name, task in suite.spec.tasks.items()),
        judges=tuple(judges),
        rules=tuple(powers),
        overall=overall(powers),
        warnings=(*suite.warnings, *(cost.warning for cost in judges if cost.warning is not None)),
    )


def _known(session: Session, model: str) -> tuple[str, Evaluation] | None:
    """The champion's newest evaluation, else that of the newest version that has one."""
    versions = session.registry.versions(model)
    champion = session.champion(model)
    for version in [*([champion] if champion else []), *reversed(versions)]:
        evaluation = session.registry.evaluation(version)
        if evaluation is not None:
            return version.reference, evaluation
    return None


def _cost(name: str, task: Task, n: int, earlier: Evaluation | None, assumed: Mapping[str, Estimate]) -> TaskCost:
    throughput = assumed.get(f"{name}/throughput")
    seconds = n / throughput.value if throughput is not None and throughput.value > 0 else None
    record = earlier.details.get("tasks", {}).get(name, {}) if earlier else {}
    prices = _prices(name, task)
    return TaskCost(name, n, 0.0 if task.stored else seconds, _dollars(prices, n, record.get("tokens") or {}))


def _prices(name: str, task: Task) -> dict[str, float]:
    """Dollars per million tokens by kind, from ``generate: {price: {prompt: 0.15, output: 0.60}}``."""
    price = task.generate.get("price", {})
    sound = isinstance(price, Mapping) and all(
        kind in TOKENS and isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
        for kind, value in price.items()
    )
    if not sound:
        raise InputError(
            f"task '{name}': `price: {price}` cannot be used; expected USD per million tokens, such as "
            "{prompt: 0.15, output: 0.60}"
        )
    return dict(price)


def _dollars(prices: Mapping[str, float], n: int, tokens: Mapping[str, float | None]) -> float | None:
    """Prices times the tokens that an earlier version used per sample; None where either is not known."""
    used = [(price, tokens.get(kind)) for kind, price in prices.items()]
    known = [price * count for price, count in used if count is not None]
    return n * sum(known) / 1e6 if known and len(known) == len(used) else None


def render(found: SuitePlan, console: Console) -> None:
    """Print the plan for people."""
    from evalkit.reports import terminal

    based = f"values and speed of {found.based_on}" if found.based_on else "the suite alone (--model NAME knows more)"
    console.print(f"[bold]{found.suite}[/bold]: assumes {based}")
    if found.rules:
        terminal.power(found.rules, console, overall=found.overall.independent if found.overall else None)
    for task in found.tasks:
        time = "time unknown before the first evaluation" if task.seconds is None else f"about {task.seconds:,.0f} s"
        money = "" if task.dollars is None else f", about {task.dollars:,.2f} USD"
        console.print(f"{task.task}: {task.n:,} samples, {time}{money}")
    for judge in found.judges:
        console.print(_judge_line(judge), markup=False)
    terminal.warnings(found.warnings, console)


def _judge_line(cost: JudgeCost) -> str:
    who = f"{cost.task}/{cost.score}: {cost.model or 'no model'}"
    if cost.requests is None or cost.tokens is None:
        return f"{who}, {cost.n:,} samples; requests and price are known once it was asked"
    money = "price unknown" if cost.dollars is None else f"about {cost.dollars:,.2f} USD"
    time = "" if cost.seconds is None else f", about {cost.seconds:,.0f} s"
    rough = " (rough, from the lengths of the texts)" if cost.basis == "rough" else ""
    return f"{who}, {cost.requests:,.0f} requests, {cost.tokens:,.0f} tokens, {money}{time}{rough}"
