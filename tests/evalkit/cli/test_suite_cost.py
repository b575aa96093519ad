"""``evalkit suite check --model``: what the tokens of an earlier version say about the price."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Project

BOT = """
def answer(prompt):
    return {"text": "4", "prompt_tokens": 50, "output_tokens": 4 if prompt.startswith("1") else None}

def untold(prompt):
    return "4"
"""
SUITE = """\
suite: priced
tasks:
  golden:
    data: questions.jsonl
    columns: {id: id, prompt: question, expected: answers}
    generate: {price: {prompt: 0.15, output: 0.60}}
    score: [exact_match]
"""


def dollars(project: Project, *, model: str) -> float | None:
    found: Any = project.call("suite", "check", "suite.yaml", "--model", model, "--json").json()
    cost: float | None = found["tasks"][0]["dollars"]
    return cost


def test_the_price_of_the_tokens(project: Project) -> None:
    project.write("bot.py", BOT)
    project.write("suite.yaml", SUITE)
    for name in ("answer", "untold"):
        assert project.call("register", name, "--model", f"call:bot:{name}", "--suite", "suite.yaml").code == 0
        assert project.call("evaluate", f"models:/{name}/1").code == 0
    assert dollars(project, model="answer") == pytest.approx(60 * (50 * 0.15 + 4 * 0.60) / 1e6)
    assert dollars(project, model="untold") is None

    # the price changes no output, so that editing it generates nothing
    folder = project.folder / ".evalkit" / "outputs"
    before = sorted(folder.rglob("*.parquet"))
    project.write("suite.yaml", SUITE.replace("0.60", "1.20"))
    assert project.call("evaluate", "models:/answer/1", "--suite", "suite.yaml").code == 0
    assert sorted(folder.rglob("*.parquet")) == before
    assert dollars(project, model="answer") == pytest.approx(60 * (50 * 0.15 + 4 * 1.20) / 1e6)


@pytest.mark.parametrize("price", ["{prompt: free}", "{input: 0.1}", "-1", "{output: -0.1}"])
def test_a_price_that_cannot_be_used(project: Project, price: str) -> None:
    project.write("suite.yaml", SUITE.replace("{prompt: 0.15, output: 0.60}", price))
    refused = project.call("suite", "check", "suite.yaml")
    assert refused.code == 2
    assert "USD per million tokens" in refused.err
