import io
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from evalkit.reports import terminal
from evalkit.reports.numbers import interval, number, percent
from evalkit.reports.serialise import estimates_json, to_json
from metrics.base import Estimate
from registry.entities import DatasetRecord
from registry.gate.power import RulePower


def printed(function, *arguments, width=100, **settings):
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    function(*arguments, console, **settings)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_scorecard_fits_and_leads_with_the_verdict(card, width):
    text = printed(terminal.show, card, width=width)
    lines = text.splitlines()
    assert lines[0].startswith("FAIL  digits-gan version 2")
    assert max(map(len, lines)) <= width
    order = [text.index(word) for word in ("Quality", "Diversity", "Speed", "Safety")]
    assert order == sorted(order)
    assert "not measured" in text[order[-1] :]
    assert "warning: 3 % of the outputs" in " ".join(text.split())
    for word in ("images/recall", "no interval", "n/a", "412 MiB", "(96 %)", "inconclusive", "value [interval]"):
        assert word in text, word


def test_champion_stands_beside_where_there_is_room(card):
    assert "champion v1" in printed(terminal.show, card, width=100)
    assert "0.222 [0.198, 0.246]" in printed(terminal.show, card, width=100)
    assert "champion v1" not in printed(terminal.show, card, width=60)


@pytest.mark.parametrize("width", [60, 100])
def test_decision_has_a_line_for_each_rule_and_the_reason_of_what_did_not_pass(records, width):
    text = printed(terminal.decision, records.decision(), width=width)
    lines = text.splitlines()
    assert lines[0].startswith("FAIL") and max(map(len, lines)) <= width
    flat = " ".join(text.split())
    assert "fail images/recall >= 0.45 bound 0.191 0.212 [0.191, 0.233] is below 0.45." in flat
    assert "About 1,200 more samples would decide." in flat
    assert "Clears the margin." not in flat
    assert "decided on intervals, one-sided alpha 0.05 · champion: version 1" in flat
    assert "note: The anchor is the first champion." in flat


@pytest.mark.parametrize("outcome", ["pass", "fail", "inconclusive"])
def test_every_outcome_is_a_word_without_colour(records, outcome):
    assert printed(terminal.decision, records.decision(outcome)).startswith(outcome.upper())


def test_further_samples_are_said_once(records):
    rule = replace(records.decision().rules[2], reason="about 1200 more samples would decide")
    assert printed(terminal.decision, records.decision(rules=(rule,))).count("more samples") == 1


def test_the_confidence_of_the_intervals_is_said(card):
    assert "intervals: 95 % where no rule applies; 90 % where the gate decides" in printed(terminal.show, card)


def test_looks_and_thresholds_are_named(records):
    text = printed(terminal.decision, records.decision(looks=3, look=2, method="thresholds", champion=None))
    assert "decided on thresholds" in text and "look 2 of 3" in text and "no champion" in text


DIFFERENCES = [
    ("lower", -0.03, -0.01, "better"),
    ("lower", 0.01, 0.03, "worse"),
    ("higher", 0.01, 0.03, "better"),
    ("higher", -0.03, -0.01, "worse"),
    ("higher", -0.01, 0.03, "undecided"),
    ("higher", 0.0, 0.03, "undecided"),
    ("lower", None, None, "undecided"),
    ("none", 0.01, 0.03, "no direction"),
]


@pytest.mark.parametrize(("direction", "low", "high", "standing"), DIFFERENCES)
def test_a_difference_decides_only_where_its_interval_excludes_zero(direction, low, high, standing):
    value = 0.0 if low is None else (low + high) / 2
    row = terminal.ComparisonRow("t/m", "", direction, Estimate(1), Estimate(2), Estimate(value, low, high))
    assert row.standing == standing
    assert standing in printed(terminal.compare, "a", "b", [row])


@pytest.mark.parametrize("width", [60, 100])
def test_comparison_fits_and_names_what_is_paired(width):
    rows = [
        terminal.ComparisonRow("answers/token_f1", "language=de", "higher", Estimate(0.6), Estimate(0.5), None),
        terminal.ComparisonRow("answers/em", "", "higher", Estimate(0.6), None, Estimate(0.1, 0.05, 0.15), paired=True),
    ]
    text = printed(terminal.compare, "models:/a/1", "models:/a/2", rows, width=width)
    assert "not comparable" in text and "+0.1 [0.05, 0.15] *" in text and "* paired by sample" in text
    assert max(map(len, text.splitlines())) <= width


def test_nothing_to_compare_or_list_is_said():
    assert "Nothing to compare" in printed(terminal.compare, "a", "b", [])
    assert "No model" in printed(terminal.versions, [], {})
    assert "No data set" in printed(terminal.datasets, [])


def test_lists(records):
    text = printed(
        terminal.versions, [records.version(1, aliases=("champion",)), records.version(2)], {"version-2": "fail"}
    )
    assert "models:/digits-gan/1" in text and "champion" in text and "not decided" in text and "fail" in text
    record = DatasetRecord("d", "digits", "test", "sha256:" + "f" * 64, "x", 1797, "CC-BY-4.0", {}, 0)
    assert "digits@test" in printed(terminal.datasets, [record]) and "1,797" in printed(terminal.datasets, [record])


def test_power_says_what_is_undecidable_unknown_and_needed():
    rows = [
        RulePower("qa/token_f1 >= 0.85", "qa/token_f1", "language=de", 300, 0.87, 0.85, 0.22, 1900, "as measured"),
        RulePower("images/fid <= 30", "images/fid", "", 1000, None, 30, 0.0, None, "no valid interval at this n"),
        RulePower("images/kid <= 1", "images/kid", "", 1000, None, None, None, None, "nothing is known"),
    ]
    for width in (60, 100):
        text = printed(terminal.power, rows, width=width, overall=0.22)
        assert "22 %" in text and "1,900" in text and "undecidable" in text and "no valid interval at this n" in text
        assert "[language=de]" in text and "unknown" in text and "nothing is known" in text
        assert "All rules together pass 22 % of the time." in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_each_metric_is_one_line_and_n_is_said_once(card, width):
    section = next(section for section in card.sections if len({line.estimate.n for line in section.lines}) == 1)
    text = printed(terminal.show, replace(card, sections=(section,), rules=()), width=width)
    assert text.count("n=") == 1 and f"  n={section.lines[0].estimate.n:,}" in text
    for line in section.lines:
        (shown,) = (shown for shown in text.splitlines() if f" {line.label} " in shown)
        assert interval(line.estimate, line.units) in shown


def test_a_comparison_has_units():
    both = Estimate(0.0012, 0.001, 0.0013), Estimate(0.0011, 0.001, 0.0013)
    row = terminal.ComparisonRow("t/latency", "", "lower", *both, Estimate(-0.0001, -0.00015, -0.00005), units="s")
    text = printed(terminal.compare, "a", "b", [row])
    assert "1.2 ms" in text and "-100 [-150, -50] µs" in text


def test_hostile_names_neither_drive_the_terminal_nor_rich(records, card):
    evil = "[red]x[/red]\x1b]0;pwned\x07[link=file:///etc/passwd]y[/link]"
    rule = replace(records.decision().rules[0], rule=evil, reason=evil)
    text = printed(terminal.decision, records.decision(rules=(rule,), notes=(evil,), model=evil), width=160)
    text += printed(terminal.show, replace(card, model=evil, kind=evil, warnings=(evil,)), width=160)
    assert "\x1b" not in text and "\x07" not in text
    assert text.count("[red]x[/red]") >= 6


def test_json_is_strict_stable_and_complete(card, records):
    text = json.dumps(to_json(card), allow_nan=False)
    assert text == json.dumps(to_json(card), allow_nan=False)
    data = json.loads(text)
    assert data["title"] == "digits-gan version 2" and data["verdict"] == "fail"
    assert data["sections"][0]["lines"][5]["estimate"]["value"] is None  # not a number
    assert data["galleries"][1]["samples"][0]["image"] == {"bytes": len(records.samples()[-20].image)}
    made = to_json(records.decision())
    assert [rule["outcome"] for rule in made["rules"]] == ["fail", "pass", "inconclusive"]
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert to_json(records.version())["reference"] == "models:/digits-gan/2"


def test_estimates_survive_json(records):
    evaluation = records.evaluation()
    for stored, data in zip(evaluation.estimates, json.loads(json.dumps(estimates_json(evaluation))), strict=True):
        rest = {key: value for key, value in data.items() if key not in {"name", "slice", "scores_digest"}}
        again = Estimate.from_json(rest)
        assert again == stored.estimate or (math.isnan(again.value) and math.isnan(stored.estimate.value))


@pytest.mark.parametrize(
    ("value", "units", "text"),
    [
        (None, "", "n/a"), (math.nan, "s", "n/a"), (math.inf, "", "n/a"), (0.0, "", "0"), (0.0041, "s", "4.1 ms"),
        (2.5e-5, "s", "25 µs"), (1.5, "s", "1.5 s"), (0.0, "s", "0 s"),
        (2.0**20 * 412, "bytes", "412 MiB"), (12, "B", "12 B"),
        (0.8421, "", "0.842"), (0.0351, "", "0.0351"), (123456.7, "", "123,457"), (12.346, "", "12.35"),
        (-0.5, "", "-0.5"),
    ],
)  # fmt: skip
def test_numbers_read_as_people_write_them(value, units, text):
    assert number(value, units) == text


def test_intervals_and_shares():
    assert interval(Estimate(0.842, 0.811, 0.869)) == "0.842 [0.811, 0.869]"
    assert interval(Estimate(0.002, 0.0011, 0.003), "s") == "2 [1.1, 3] ms"
    assert interval(Estimate(0.9, 0.8, 1.2), "s") == "900 ms [800 ms, 1.2 s]"
    assert interval(Estimate(12.0)) == "12 (no interval)"
    assert interval(Estimate(math.nan)) == "n/a"
    assert interval(Estimate(0.1, 0.05, 0.2), signed=True).startswith("+0.1")
    assert percent(0.9999) == ">99.9 %" and percent(1.0) == "100 %" and percent(0.00001) == "<0.1 %"


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(["", "s", "bytes", "bits"]))
def test_any_number_has_a_short_form(value, units):
    assert 0 < len(number(value, units)) < 32
