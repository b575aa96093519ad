"""What the language-model judges of a suite will cost, told before anything is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalkit.config import Settings
from evalkit.datasets import Dataset
from evalkit.judging.ledger import SqlLedger, open_ledger
from evalkit.judging.open import CEILING
from judges.budget import Budget
from judges.definition import Definition
from judges.prices import parse_price, price_of
from judges.probed import RECORDED
from judges.prompts import FRAME
from registry.judged import Judged
from registry.scorers import judge_definition, model_of
from registry.suite import Suite

_CHARACTERS_A_TOKEN = 4
_UNSEEN_OUTPUT = 200
"""Tokens that an output is taken for while there is none."""
_REPLY = 150
"""Tokens that a reply with its rationale is taken for."""
_PROBES = {"off": 0.0, "suspicious": 0.32, "always": 1.0}
"""Share of samples that are probed, if every verdict is good: the filter marks 32 % of real outputs."""
_PROBED = {"pairwise": 1.25}
"""Answers of a sample that are probed, where more than one may be: both of a pair that ties or flips."""
_REQUESTS = {"scale": 1, "labels": 1, "pass_fail": 1, "pairwise": 2}
"""Requests per sample and repeat, for the kinds where it does not depend on the output."""


@dataclass(frozen=True, slots=True)
class JudgeCost:
    """What one judged score will take.

    Attributes:
        task, score: where the suite names the judge.
        model: which model is asked; None where none is named yet.
        n: samples.
        requests: to the model; None where it depends on outputs that nobody has seen.
        tokens: of prompts and replies.
        dollars: None where requests or the model's price are not known.
        seconds: at the suite's `concurrency`; None before the judge was ever asked.
        basis: ``ledger`` where this judge and model were asked before; ``rough`` where lengths of texts stand in (4
            characters a token, outputs of 200 tokens where there are none yet, replies of 150); ``unknown``.
        warning: that the budget will end first, or that no model is named.
    """

    task: str
    score: str
    model: str | None
    n: int
    requests: float | None
    tokens: float | None
    dollars: float | None
    seconds: float | None
    basis: Literal["ledger", "rough", "unknown"]
    warning: str | None = None


def forecast(
    suite: Suite, settings: Settings, sizes: dict[str, int], data: dict[str, Dataset | None]
) -> list[JudgeCost]:
    """Cost of every language-model judge in a suite; replies that the ledger holds already make it less.

    Args:
        suite: whose judges.
        settings: of the project with the ledger.
        sizes: task to number of samples.
        data: task to its rows.
    """
    asked = [
        (name, score.judged)
        for name, task in suite.spec.tasks.items()
        for score in task.score
        if score.judged is not None and score.judged.kind == "judge" and score.judged.registered is None
    ]
    if not asked:
        return []
    settings.home.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(settings)
    try:
        return [_one(suite, ledger, name, judged, (sizes[name], data[name])) for name, judged in asked]
    finally:
        ledger.close()


def _one(suite: Suite, ledger: SqlLedger, task: str, judged: Judged, rows: tuple[int, Dataset | None]) -> JudgeCost:
    n, data = rows
    defaults = suite.spec.judge
    definition = judge_definition(judged, suite.folder)
    model = model_of(judged, definition, defaults)
    if model is None:
        why = f"{task}/{judged.address} has no model to ask; name one, as in `judge: {{model: openai:/MODEL}}`"
        return JudgeCost(task, judged.address, None, n, None, None, None, None, "unknown", why)
    price = price_of(model) if defaults.price is None else parse_price(defaults.price)
    known = ledger.per_sample(definition.name, model)
    if known is not None:
        samples, usage = known
        requests = n * usage.requests / samples
        tokens = (n * usage.prompt_tokens / samples, n * usage.output_tokens / samples)
        seconds = n * usage.seconds / samples / defaults.concurrency
    else:
        per_sample = _REQUESTS.get(definition.kind)
        if per_sample is None:
            return JudgeCost(task, judged.address, model, n, None, None, None, None, "unknown")
        probed = definition.swappable and not model.startswith(RECORDED)
        probes = _PROBES[definition.probe] * _PROBED.get(definition.kind, 1.0) if probed else 0.0
        requests = n * per_sample * (definition.repeats + probes)
        tokens = (requests * _prompt_tokens(definition, data, suite.spec.tasks[task].stored), requests * _REPLY)
        seconds = None
    dollars = None if price is None else (price.input * tokens[0] + price.output * tokens[1]) / 1e6
    given = defaults.budget or (CEILING if price is not None else None)
    return JudgeCost(
        task,
        judged.address,
        model,
        n,
        requests,
        sum(tokens),
        dollars,
        seconds,
        "rough" if known is None else "ledger",
        _short(f"{task}/{judged.address}", given, requests, sum(tokens), dollars),
    )


def _prompt_tokens(definition: Definition, data: Dataset | None, stored: bool) -> float:
    """Tokens of one request, from the lengths of the texts."""
    own = len(FRAME) + len(definition.prompt) + len(definition.rubric or "")
    examples = sum(len(example.model_dump_json()) for example in definition.examples)
    texts = 0.0
    for name in definition.inputs:
        if name in {"output", "answers"}:
            length = _length(data, "output") if stored else None
            each = _UNSEEN_OUTPUT * _CHARACTERS_A_TOKEN if length is None else length
            texts += each * (2 if name == "answers" else 1)
        else:
            texts += _length(data, name) or 0.0
    return (own + examples + texts) / _CHARACTERS_A_TOKEN


def _length(data: Dataset | None, column: str) -> float | None:
    """Mean characters of a column's texts, lists of texts as their sum; None where there are none."""
    if data is None or not data.has_values(column):
        return None
    values = [value for value in data.rows[column].to_pylist() if value is not None]
    return sum(len(v) if isinstance(v, str) else sum(map(len, v)) for v in values) / len(values)


def _short(who: str, given: str | None, requests: float, tokens: float, dollars: float | None) -> str | None:
    """That a ceiling comes before the end."""
    if given is None:
        return None
    budget = Budget.parse(given)
    for ceiling, needed in ((budget.money, dollars), (budget.tokens, tokens), (budget.requests, requests)):
        if ceiling is not None and needed is not None and needed > ceiling:
            return f"{who} needs more than its budget of {budget}; it stops there, and goes on with a higher one"
    return None
