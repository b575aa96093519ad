"""The page of a version: verdict, rules, scorecard, what one may do there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from sqlalchemy import insert, select

from evalkit.pages.bars import bar
from evalkit.reports.scorecard import Line
from evalkit.views.judged import MOST_LINES, worst_slices
from evalkit.views.rules import what_would_change
from metrics.base import Estimate
from registry.database import reading, writing
from registry.digests import new_id
from registry.entities import RuleOutcome
from registry.tables import EstimateRow, EvaluationRow

BAD, GOOD = "/evalkit/models/bot/2", "/evalkit/models/bot/1"
SEEN = Estimate(0.5, 0.4, 0.6, n=100)
RULE = RuleOutcome("golden/f1 >= 0.9", "golden/f1", "", "fail", 0.4, 0.9, SEEN, None, None, 1e-9, None, "broken")


def test_says_why_it_failed_and_shows_it(pages: Any):
    seen = pages.get(BAD)
    assert seen.status == 200
    assert "bot version 2" in seen.text and "1 of 1 rules broken" in seen.text
    assert any(given.get("id") == "rule-1" for _, given in seen.tags)
    assert "What would change it" in seen.text
    assert "The worst samples by exact_match" in seen.text
    assert "wrong" in seen.text  # an output of those
    assert GOOD in seen.links  # the champion
    assert "/evalkit/compare?versions=bot/2,bot/1" in seen.links
    assert any(link.startswith("/#/models/bot/versions/2") for link in seen.links)


def test_scorecard_stands_beside_the_champion(pages: Any):
    seen = pages.get(BAD)
    labels = [given["aria-label"] for tag, given in seen.tags if tag == "svg"]
    gated = next(label for label in labels if label.startswith("golden/exact_match:"))
    assert "champion 0.9" in gated and "limit 0.5" in gated
    for quadrant in ("quality", "diversity", "speed", "safety"):
        assert any(given.get("id") == quadrant for _, given in seen.tags)


def test_nothing_inline_and_nothing_hostile(pages: Any):
    for address in (BAD, GOOD, f"{BAD}/samples"):
        for tag, given in pages.get(address).tags:
            assert "style" not in given and tag != "style"
            assert not [name for name in given if name.startswith("on")]
            assert tag != "script" or given["src"]
            assert tag != "img" or str(given["src"]).startswith("/evalkit/")


def test_aliases_lead_to_the_version(pages: Any):
    answer = pages.client.get("/evalkit/models/bot/@champion")
    assert (answer.status_code, answer.headers["location"]) == (303, GOOD)
    assert pages.get("/evalkit/models/bot/@nobody").status == 404
    assert pages.get("/evalkit/models/bot/3").status == 404


def test_headings_are_in_order(pages: Any):
    levels = [int(tag[1]) for tag, _ in pages.get(BAD).tags if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit()]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_a_slice_is_a_filter(pages: Any):
    seen = pages.get(f"{BAD}?slice=language%3Dde")
    assert "golden/token_f1 [language=de]" in seen.text
    assert "language=de" not in " ".join(
        label for tag, given in pages.get(BAD).tags if tag == "svg" and (label := str(given["aria-label"]))
    )


def test_the_worst_slice_comes_first(pages: Any):
    engine, registry = pages.project.engine, pages.project.registry
    evaluation = registry.evaluations(registry.version("models:/bot/2"))[0]
    low, high = (worst_slices(engine, evaluation, "golden/exact_match", which) for which in ("higher", "lower"))
    assert {line.slice for line in low} == {"language=de", "language=en"}
    assert low[0].estimate.value <= low[1].estimate.value
    assert [line.slice for line in high] == [line.slice for line in reversed(low)]
    assert worst_slices(engine, evaluation, "golden/exact_match", "none") == []
    seen = pages.get(BAD)
    assert "Worst slices by golden/exact_match" in seen.text
    assert seen.text.index(low[0].slice, seen.text.index("Worst slices")) < seen.text.index(
        low[1].slice, seen.text.index("Worst slices")
    )


def test_the_evaluation_of_another_version_is_not_shown(pages: Any):
    with reading(pages.project.engine) as session:
        version = pages.project.registry.version("models:/bot/1")
        other = session.scalar(select(EvaluationRow.id).where(EvaluationRow.version_id == version.id))
    assert pages.get(f"{BAD}?evaluation={other}").status == 404
    assert pages.get(f"{GOOD}?evaluation={other}").status == 200
    assert pages.get(f"{BAD}?evaluation=x'--").status == 422


def test_results_that_are_gone_are_told(pages: Any):
    shutil.rmtree(pages.project.settings.home / "outputs")
    seen = pages.get(BAD)
    assert seen.status == 200
    assert "no longer" in seen.text
    assert pages.get(f"{BAD}/samples").status == 404


def test_thousands_of_slices_stay_a_small_page(pages: Any):
    engine = pages.project.engine
    with writing(engine) as session:
        version = pages.project.registry.version("models:/bot/2")
        evaluation = session.scalar(select(EvaluationRow.id).where(EvaluationRow.version_id == version.id))
        known = session.scalars(select(EstimateRow).where(EstimateRow.evaluation_id == evaluation)).first()
        row = {column.name: getattr(known, column.name) for column in EstimateRow.__table__.columns}
        more = [{**row, "id": new_id(), "slice": f"user={i}", "position": 100 + i} for i in range(3_000)]
        more += [{**row, "id": new_id(), "slice": "", "key": f"k{i}", "position": 9000 + i} for i in range(300)]
        session.execute(insert(EstimateRow), more)
    seen = pages.get(BAD)
    assert len(seen.html) < 100_000
    assert f"{MOST_LINES} of 3" in seen.text  # of 300 and the others
    assert "golden/exact_match" in " ".join(str(given.get("aria-label")) for tag, given in seen.tags if tag == "svg")


def test_readers_see_no_forms_and_may_send_none(pages: Any):
    seen = pages.get(BAD, who="vera:viewer")
    assert seen.status == 200
    assert not [given for tag, given in seen.tags if tag == "form" and given.get("method") == "post"]
    for what in ("promote", "approve", "demote", "decide"):
        assert pages.post(f"{BAD}/{what}", {}, "vera:viewer").status_code == 403
        assert pages.post(f"{BAD}/{what}", {}, "x:").status_code in {401, 403}


@pytest.mark.parametrize("what", ["promote", "approve", "demote", "decide"])
def test_a_form_from_elsewhere_is_refused(pages: Any, what: str):
    answer = pages.post(f"{BAD}/{what}", {"override": "because", "evaluation": new_id()})
    assert answer.status_code == 403
    assert pages.project.registry.mlflow.holder("bot", "champion") == 1


def test_an_override_needs_the_role_and_a_reason(pages: Any):
    form = {"override": "the customer asked"}
    refused = pages.submit(GOOD, f"{BAD}/promote", form, "eva:evaluator")
    assert refused.status_code == 403 and "approver" in refused.text
    assert pages.submit(BAD, f"{BAD}/promote", {"override": "  "}, "ada:approver").status_code == 422
    assert pages.project.registry.mlflow.holder("bot", "champion") == 1
    done = pages.submit(BAD, f"{BAD}/promote", form, "ada:approver")
    assert (done.status_code, done.headers["location"]) == (303, f"{BAD}?done=promoted")
    assert pages.project.registry.mlflow.holder("bot", "champion") == 2
    seen = pages.get(f"{BAD}?done=promoted")
    assert "the customer asked" in seen.text and "The alias was moved" in seen.text
    assert pages.submit(BAD, f"{BAD}/demote", {}, "ada:approver").status_code == 303
    assert pages.project.registry.mlflow.holder("bot", "champion") is None


def test_a_pass_is_promoted_and_approved_on_the_decision_that_was_seen(pages: Any):
    registry = pages.project.registry
    decision = registry.current_decision(registry.version("models:/bot/1")).id
    assert pages.submit(GOOD, f"{GOOD}/approve", {"decision": new_id()}, "ada:approver").status_code == 409
    assert pages.submit(GOOD, f"{GOOD}/promote", {"decision": new_id()}, "eva:evaluator").status_code == 409
    form = {"decision": decision, "comment": "<b>fine</b>"}
    assert pages.submit(GOOD, f"{GOOD}/approve", form, "ada:approver").status_code == 303
    seen = pages.get(GOOD)
    assert "ada for @champion" in seen.text and "<b>fine</b>" in seen.text
    assert not [tag for tag, _ in seen.tags if tag == "b"]


def test_a_failed_gate_refuses_with_the_way_to_its_rule(pages: Any):
    registry = pages.project.registry
    decision = registry.current_decision(registry.version("models:/bot/2")).id
    refused = pages.submit(BAD, f"{BAD}/promote", {"decision": decision}, "eva:evaluator")
    assert refused.status_code == 403
    assert "/evalkit/models/bot/2#rule-1" in refused.text
    assert registry.mlflow.holder("bot", "champion") == 1


def test_the_gate_decides_again(pages: Any):
    registry = pages.project.registry
    evaluation = registry.evaluations(registry.version("models:/bot/2"))[0].id
    done = pages.submit(BAD, f"{BAD}/decide", {"evaluation": evaluation}, "eva:evaluator")
    assert done.headers["location"] == f"{BAD}?done=decided"
    assert pages.submit(BAD, f"{BAD}/decide", {"evaluation": new_id()}, "eva:evaluator").status_code == 404


def test_what_would_change_a_failed_rule():
    below, needed, more = what_would_change(RULE, "", 1.0)
    assert "lower bound is 0.4, 0.5 below 0.9" in below
    assert "at least 1 would pass" in needed
    assert "do not mend" in more
    _, needed, _ = what_would_change(replace(RULE, limit=0.95), "", 1.0)
    assert "No value would pass" in needed  # 0.95 and half an interval is more than a rate can be


def test_what_would_decide_an_open_rule():
    rule = replace(RULE, outcome="inconclusive", limit=0.45, more_samples=1234, estimate=Estimate(0.5, 0.4, 0.6, n=100))
    told = " ".join(what_would_change(rule, "", 1.0))
    assert "at least 0.55 would pass" in told and "1,234 more samples" in told


def test_a_rule_that_holds_says_by_how_much():
    assert "0.1 to spare" in " ".join(what_would_change(replace(RULE, outcome="pass", limit=0.3), "", 1.0))


@drawn(
    value=st.floats(0, 1), half=st.floats(0.001, 0.3), limit=st.floats(0, 1), least=st.booleans(),
    outcome=st.sampled_from(["fail", "inconclusive", "pass"]), bounded=st.booleans(),
)  # fmt: skip
def test_what_would_change_never_asks_for_less_than_the_limit(value, half, limit, least, outcome, bounded):
    low, high = (value - half, value + half) if bounded else (None, None)
    bound = (low if least else high) if bounded else None
    sign = ">=" if least else "<="
    rule = replace(RULE, rule=f"golden/f1 {sign} x", outcome=outcome, limit=limit, bound=bound,
                   estimate=Estimate(value, low, high, n=9))  # fmt: skip
    told = what_would_change(rule, "", None)
    for sentence in told:
        if "would pass" in sentence:
            needed = float(sentence.partition(" of at ")[2].split()[1].replace(",", ""))
            assert (needed >= limit - 0.01) if least else (needed <= limit + 0.01)


def test_a_bar_has_words_and_no_style():
    line = Line("a/<b>", "", "x", "higher", "", RULE.estimate, Estimate(0.7, n=9), (RULE,))
    told = str(bar(line))
    assert "style" not in told and "<b>" not in told
    assert "champion 0.7 (no interval)" in told and "limit 0.9" in told
    assert str(bar(replace(line, estimate=Estimate(float("nan"), n=0)))) == ""
