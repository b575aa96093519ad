from __future__ import annotations

from statistics import NormalDist

import pytest

from metrics.errors import InputError

Z95 = NormalDist().inv_cdf(0.95)
F1 = {"metric": "t/token_f1", "versus": "champion", "margin": 0.02}


@pytest.mark.parametrize(
    ("metric", "value", "outcome"),
    [
        ("token_f1", 0.0, "pass"),
        ("token_f1", -0.01, "inconclusive"),
        ("token_f1", -0.04, "fail"),
        ("kid", 0.0, "pass"),
        ("kid", 0.01, "inconclusive"),
        ("kid", 0.04, "fail"),
        ("kid.quality", -0.04, "fail"),
    ],
)
def test_non_inferiority_follows_the_direction_of_the_key(kit, metric, value, outcome):
    name = f"t/{metric}"
    suite = kit.suite({"metric": name, "versus": "champion", "margin": 0.02})
    evidence = kit.Scripted({name: kit.Normal(0.5)}, {(name, 1): kit.Normal(value)})
    decision = kit.run(suite, evidence, champion=1, anchor=1)
    assert decision.outcome == outcome
    assert decision.rules[0].against == "champion v1"


def test_a_number_without_direction_is_refused(kit):
    suite = kit.suite({"metric": "t/word_count", "versus": "champion", "margin": 1})
    with pytest.raises(InputError, match="give `min` or `max`"):
        kit.run(suite, kit.Scripted({}), champion=1, anchor=1)


def test_a_relative_margin_accounts_for_the_uncertainty_of_what_it_is_relative_to(kit):
    suite = kit.suite({"metric": "t/kid", "versus": "champion", "margin": "10%"})
    evidence = kit.Scripted(
        {"t/kid": kit.Normal(2.0)}, {("t/kid", 1): kit.Normal(0.18)}, {("t/kid", 1): kit.Normal(2.0, error=0.0)}
    )
    fixed = kit.run(suite, evidence, champion=1, anchor=1).rules[0]
    assert (fixed.outcome, fixed.limit) == ("pass", pytest.approx(0.2))
    evidence.others["t/kid", 1] = kit.Normal(2.0, error=0.1)
    uncertain = kit.run(suite, evidence, champion=1, anchor=1).rules[0]
    assert (uncertain.outcome, uncertain.limit) == ("inconclusive", pytest.approx(0.1 * (2 - Z95 * 0.1)))
    evidence.others["t/kid", 1] = kit.Normal(0.01, error=0.1)  # may be zero: no margin is left
    assert kit.run(suite, evidence, champion=1, anchor=1).rules[0].limit == 0
    evidence.others["t/kid", 1] = kit.Missing("no results")
    assert "no results" in kit.run(suite, evidence, champion=1, anchor=1).rules[0].reason


def test_a_relative_margin_is_not_called_broken_on_the_strict_limit(kit):
    suite = kit.suite({"metric": "t/kid", "versus": "champion", "margin": "50%"})
    evidence = kit.Scripted(
        {"t/kid": kit.Normal(1.0)}, {("t/kid", 1): kit.Normal(0.9)}, {("t/kid", 1): kit.Normal(1.0, error=0.5)}
    )
    rule = kit.run(suite, evidence, champion=1, anchor=1).rules[0]
    assert rule.outcome == "inconclusive"
    assert rule.p_broken > 0.05


def test_the_first_promotion_needs_absolute_rules_only(kit):
    suite = kit.suite(F1, {"metric": "t/recall", "min": 0.8})
    decision = kit.run(suite, kit.Scripted({"t/recall": kit.Normal(0.9), "t/token_f1": kit.Normal(0.1)}))
    assert decision.passed
    assert [rule.metric for rule in decision.rules] == ["t/recall"]
    assert decision.notes == ("t/token_f1 versus champion: not applicable, there is no champion yet",)


@pytest.mark.parametrize(("metric", "bad"), [("token_f1", 0.7), ("kid", 0.9)])
def test_a_numeric_anchor_applies_from_the_first_promotion_on(kit, metric, bad):
    name = f"t/{metric}"
    suite = kit.suite({"metric": name, "versus": "champion", "margin": 0.02, "anchor": 0.8})
    assert kit.run(suite, kit.Scripted({name: kit.Normal(bad)})).failed
    assert kit.run(suite, kit.Scripted({name: kit.Normal(1.6 - bad)})).passed


def test_the_anchor_is_compared_beside_the_champion(kit):
    evidence = kit.Scripted(
        {"t/token_f1": kit.Normal(0.5)},
        {("t/token_f1", 2): kit.Normal(0.0), ("t/token_f1", 1): kit.Normal(-0.1)},
    )
    decision = kit.run(kit.suite(F1), evidence, champion=2, anchor=1)
    assert [(r.against, r.outcome) for r in decision.rules] == [("champion v2", "pass"), ("anchor v1", "fail")]
    assert (decision.champion, decision.anchor) == (2, 1)


def test_losing_the_champion_does_not_lose_the_anchor(kit):
    evidence = kit.Scripted({"t/token_f1": kit.Normal(0.5)}, {("t/token_f1", 1): kit.Normal(-0.1)})
    assert kit.run(kit.suite(F1), evidence, anchor=1).failed


def test_a_named_anchor_comes_from_the_frozen_versions(kit):
    suite = kit.suite({**F1, "anchor": {"version": 4}})
    evidence = kit.Scripted({"t/token_f1": kit.Normal(0.5)}, {("t/token_f1", v): kit.Normal(0.0) for v in (1, 2, 4)})
    assert kit.run(suite, evidence, champion=2, anchor=1, frozen={4: kit.version(4)}).rules[1].against == "anchor v4"
    unknown = kit.run(suite, evidence, champion=2, anchor=1)
    assert unknown.inconclusive
    assert "anchor version 4" in unknown.rules[1].reason


def test_a_champion_without_any_anchor_cannot_pass(kit):
    evidence = kit.Scripted({"t/token_f1": kit.Normal(0.5)}, {("t/token_f1", 2): kit.Normal(0.1)})
    decision = kit.run(kit.suite(F1), evidence, champion=2)
    assert decision.inconclusive
    assert "set `anchor`" in decision.rules[1].reason


def test_the_champion_is_not_compared_with_itself(kit):
    decision = kit.run(kit.suite(F1), kit.Scripted({"t/token_f1": kit.Normal(0.5)}), champion=9, anchor=9)
    assert decision.passed
    assert len(decision.notes) == 2


def test_one_comparison_where_champion_and_anchor_are_the_same(kit):
    evidence = kit.Scripted({"t/token_f1": kit.Normal(0.5)}, {("t/token_f1", 1): kit.Normal(0.0)})
    decision = kit.run(kit.suite(F1), evidence, champion=1, anchor=1)
    assert decision.passed
    assert len(decision.rules) == 1


def test_a_champion_without_results_is_inconclusive(kit):
    evidence = kit.Scripted(
        {"t/token_f1": kit.Normal(0.5)}, {("t/token_f1", 1): kit.Missing("v1 was not evaluated on this suite")}
    )
    rule = kit.run(kit.suite(F1), evidence, champion=1, anchor=1).rules[0]
    assert (rule.outcome, rule.estimate.value) == ("inconclusive", 0.5)
    assert "not evaluated" in rule.reason
