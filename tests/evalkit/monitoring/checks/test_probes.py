"""Counterfactual probes: gaps that were planted are found, equal treatment has none, and only today's window asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evalkit.monitoring.checks.base import Beside
from evalkit.monitoring.states import merge_all, pack, unpack
from metrics.bias.counterfactual import GENDER, ORIGIN, TEMPLATES
from metrics.bias.disparity import counterfactual_gaps
from metrics.errors import InputError

REFUSAL = "I'm sorry, but I can't help with that."
MEN = [str(variant["name"]) for variant in GENDER["male"]]
ROWS = [{"output": "anything"}]


def fair(prompt: str) -> str:
    return "Certainly, here it is."


def unfair(prompt: str) -> str:
    """Refuses men on every template but the first."""
    return REFUSAL if any(name in prompt for name in MEN) and "reference letter" not in prompt else fair(prompt)


def test_a_planted_gap_is_found_with_its_size_and_its_sides(bench: Any):
    tools = bench.tools(unfair)
    found = bench.signals(bench.check("{probes: {of: [refusal, length]}}"), ROWS, tools)
    assert len(tools.asked) == len(TEMPLATES) * 8
    gap = found["refusal.gap", ""]
    assert gap.estimate.value == pytest.approx(0.9)
    assert gap.estimate.low is not None and gap.estimate.low > 0.5
    assert gap.reason == "male against female"
    assert found["refusal.gap.female.male", ""].estimate.value == pytest.approx(-0.9)
    assert found["refusal", "group=male"].estimate.value == pytest.approx(0.9)
    assert found["refusal.ratio", ""].estimate.value == 0
    assert found["length.gap", ""].estimate.value == pytest.approx(0.9 * (len(REFUSAL) - len(fair(""))))


def test_equal_treatment_has_no_gap(bench: Any):
    found = bench.signals(bench.check("{probes: origin}"), ROWS, bench.tools(fair))
    assert {key for key, _ in found if key.startswith("refusal.gap.")} == {
        f"refusal.gap.{a}.{b}" for a in ORIGIN for b in ORIGIN if a < b
    }
    for key, signal in found.items():
        if ".gap" in key[0]:
            assert signal.estimate.value == 0
            assert signal.estimate.low is None or signal.estimate.low <= 0


def test_failed_probes_are_unscored_and_neither_side(bench: Any):
    def flaky(prompt: str) -> str | None:
        return None if "Peter" in prompt else fair(prompt)

    check = bench.check("{probes: {of: [refusal]}}")
    measured = check.measure(bench.window(check, ROWS), bench.tools(flaky))
    assert measured.notes == ["probes: 10 of 80 probes failed: timeout"]
    found = {(s.key, s.slice): s.estimate for s in check.signals(measured.states, Beside())}
    assert found["refusal", "group=male"].coverage == pytest.approx(0.75)
    assert found["refusal", "group=male"].value == 0
    assert found["refusal.gap", ""].coverage < 1


def test_windows_roll_up_by_template(bench: Any):
    check = bench.check("{probes: {of: [refusal]}}")
    parts = [
        check.measure(bench.window(check, ROWS, day), bench.tools(s)).states for day, s in ((0, fair), (1, unfair))
    ]
    merged = merge_all([unpack(pack(part)) for part in parts])
    (gap,) = [s.estimate for s in check.signals(merged, Beside()) if s.key == "refusal.gap.female.male"]
    sides = {g: np.concatenate([p["refusal", ""].arrays[f"group.{g}"] for p in parts]) for g in ("female", "male")}
    clusters = [f"t{k // 4}" for k in range(40)] * 2
    assert gap == counterfactual_gaps(sides, clusters=clusters).gaps["female", "male"]
    assert gap.value == pytest.approx(-0.45)


def test_a_window_of_the_past_is_not_asked_about(bench: Any):
    tools = bench.tools(unfair, late="the window ended at 2026-05-02T00:00:00Z")
    found = bench.signals(bench.check("{probes: {of: [refusal]}}"), ROWS, tools)
    assert tools.asked == []
    assert [(s.verdict, s.estimate.n) for s in found.values()] == [("no data", 0)]


def test_groups_and_templates_of_ones_own(bench: Any):
    tools = bench.tools(lambda prompt: "yes" if "Ann" in prompt else "certainly not")
    groups = "groups: {a: [{name: Ann}], b: [{name: Bo}]}, templates: ['May {name} in?']"
    found = bench.signals(bench.check(f"{{probes: {{{groups}, of: [words], repeats: 3}}}}"), ROWS, tools)
    assert tools.asked == ["May Ann in?", "May Bo in?"] * 3
    assert found["words.gap", ""].estimate.value == 1
    assert found["words.gap", ""].estimate.low is None  # one template says nothing about others


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{probes: sex}", "no groups 'sex'"),
        ("{probes: {of: [kindness]}}", "no score 'kindness'"),
        ("{probes: {groups: {a: [{name: Ann}]}}}", "two groups or more"),
        ("{probes: {templates: ['{name.__class__}']}}", "plain name"),
        ("{probes: {generate: {call: 'os:system'}}}", "names another model"),
        ("{probes: {repeats: 900}}", "72,000 probes"),
        ("{probes: {groups: {a.b: [{name: Ann}], c: [{name: Bo}]}, templates: ['{name}']}}", "a dot"),
    ],
)
def test_what_cannot_be_asked_is_refused(bench: Any, text: str, message: str):
    with pytest.raises(InputError, match=message):
        bench.check(text)


def test_a_monitor_without_a_model_has_nobody_to_ask(bench: Any):
    from evalkit.monitoring.definition import Definition

    text = "monitor: m\nsource: {files: x, columns: {time: time}}\nchecks: [probes]\n"
    with pytest.raises(InputError, match="give the monitor a `model:"):
        Definition.from_text(text, bench.folder)
