"""``evalkit suite check``: what the judges of a suite will cost, before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.config import load_settings
from evalkit.judging.ledger import open_ledger
from judges.clients.base import Reply
from judges.ledger import Entry

from .conftest import Project

MODEL = "openai:/house@http://127.0.0.1:9/v1"
SUITE = f"""\
suite: judged
judge: {{model: "{MODEL}", price: {{input: 2, output: 8}}, budget: 1 USD, concurrency: 4}}
tasks:
  golden:
    data: questions.jsonl
    columns: {{id: id, prompt: question, expected: answers}}
    score: [{{judge: helpfulness}}]
"""


def judges(project: Project, suite: str) -> list[dict[str, Any]]:
    project.write("suite.yaml", suite)
    found: Any = project.call("suite", "check", "suite.yaml", "--json").json()
    costs: list[dict[str, Any]] = found["judges"]
    return costs


def ask(samples: int, *, prompt: int, output: int, seconds: float) -> None:
    """Leave replies in the ledger, as if the judge had been asked about so many samples, twice each."""
    ledger = open_ledger(load_settings())
    ledger.record(
        Entry(
            key=f"{sample}:{repeat}",
            judge="helpfulness",
            judge_version="v",
            model=MODEL,
            sample_id=f"s{sample}",
            step="verdict",
            repeat=repeat,
            reply=Reply("{}", "house", prompt_tokens=prompt, output_tokens=output, seconds=seconds),
            cost=None,
            created=1,
        )
        for sample in range(samples)
        for repeat in range(2)
    )
    ledger.close()


def test_what_was_asked_before_tells_the_cost(project: Project) -> None:
    ask(10, prompt=300, output=50, seconds=2.0)
    (cost,) = judges(project, SUITE)
    n = cost["n"]
    assert (cost["task"], cost["score"], cost["model"], cost["basis"]) == ("golden", "helpfulness", MODEL, "ledger")
    assert cost["requests"] == pytest.approx(2 * n)
    assert cost["tokens"] == pytest.approx(2 * n * 350)
    assert cost["dollars"] == pytest.approx(2 * n * (300 * 2 + 50 * 8) / 1e6)
    assert cost["seconds"] == pytest.approx(2 * n * 2.0 / 4)
    assert cost["warning"] is None
    shown = project.call("suite", "check", "suite.yaml")
    assert f"golden/helpfulness: {MODEL}, {2 * n:,} requests" in shown.out.replace("\n", " ")


def test_the_first_time_lengths_of_texts_stand_in(project: Project) -> None:
    (cost,) = judges(project, SUITE)
    assert cost["basis"] == "rough" and cost["seconds"] is None
    assert cost["requests"] == pytest.approx(1.32 * cost["n"]), "a third is probed"
    # the frame and the prompt of the judge alone are some hundred tokens, and the data add theirs
    assert 500 * cost["n"] < cost["tokens"] < 2_000 * cost["n"]
    assert "rough" in project.call("suite", "check", "suite.yaml").out
    (pair,) = judges(project, SUITE.replace("{judge: helpfulness}", "{judge: pairwise, baseline: answers}"))
    assert pair["requests"] == pytest.approx(2 * 1.4 * pair["n"]), "a probe asks in both orders, and of ties twice"


@pytest.mark.parametrize(("probe", "requests"), [("off", 1.0), ("suspicious", 1.32), ("always", 2.0)])
def test_the_probe_asks_more(project: Project, probe: str, requests: float) -> None:
    (cost,) = judges(project, SUITE.replace("{judge: helpfulness}", f"{{judge: helpfulness, probe: {probe}}}"))
    assert cost["requests"] == pytest.approx(requests * cost["n"])


def test_a_budget_that_ends_first_is_said(project: Project) -> None:
    (cost,) = judges(project, SUITE.replace("1 USD", "10 requests"))
    assert "needs more than its budget of 10 requests" in cost["warning"]
    assert "needs more than its budget" in project.call("suite", "check", "suite.yaml").out.replace("\n", " ")


def test_without_a_model_it_says_so(project: Project) -> None:
    (cost,) = judges(project, "\n".join(line for line in SUITE.splitlines() if not line.startswith("judge:")) + "\n")
    assert cost["requests"] is None and "has no model to ask" in cost["warning"]


def test_what_depends_on_the_outputs_stays_unknown(project: Project) -> None:
    grounded = SUITE.replace("{judge: helpfulness}", "{judge: groundedness}")
    (cost, *_) = judges(project, grounded.replace("expected: answers", "context: answers"))
    assert (cost["basis"], cost["requests"], cost["dollars"]) == ("unknown", None, None)
    assert "known once it was asked" in project.call("suite", "check", "suite.yaml").out.replace("\n", " ")
