from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from metrics.errors import InputError
from registry.gate import explain, from_json, to_json, what_would_change


@pytest.fixture
def decision(kit):
    suite = kit.suite(
        {"metric": "t/kid", "max": 0.2},
        {"metric": "t/fid", "max": 9},
        {"metric": "t/token_f1", "versus": "champion", "margin": "2%"},
        {"metric": "t/recall", "min": 0.8, "slice": "language"},
    )
    evidence = kit.Scripted(
        {
            "t/kid": kit.Normal(0.5),
            "t/fid": kit.Normal(math.nan, None),
            "t/token_f1": kit.Normal(0.7),
            "t/recall [language=de]": kit.Normal(0.81),
        },
        {("t/token_f1", 1): kit.Normal(0.1)},
        {("t/token_f1", 1): kit.Normal(0.6)},
        {("t", "language"): ["de"]},
    )
    return kit.run(suite, evidence, champion=1, anchor=1)


def test_json_both_ways_keeps_every_field(decision):
    data = json.loads(json.dumps(to_json(decision), allow_nan=False))
    again = from_json(data)
    assert repr(again) == repr(decision)  # repr, as not-a-number differs from itself
    assert to_json(again) == to_json(decision)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("alpha"), "lacks field 'alpha'"),
        (lambda d: d.update(extra=1), "has no field 'extra'"),
        (lambda d: d.update(outcome="maybe"), "not 'maybe'"),
        (lambda d: d["rules"][0].update(outcome="maybe"), "not 'maybe'"),
    ],
)
def test_other_json_is_refused(decision, change, message):
    data = to_json(decision)
    change(data)
    with pytest.raises(InputError, match=message):
        from_json(data)


def test_the_explanation_starts_with_the_verdict_and_broken_rules(decision):
    lines = explain(decision).splitlines()
    assert lines[0] == "m v9: FAIL: at least one rule is broken (one-sided alpha 0.05)"
    assert [line.split()[0] for line in lines[1:5]] == ["fail", "inconclusive", "inconclusive", "pass"]
    assert "t/kid <= 0.2: 0.5" in lines[1]
    assert "limit 0.2; broken" in lines[1]
    assert "difference to champion v1" in lines[4]
    assert lines[-1] == "What would change the verdict: a model for which t/kid <= 0.2 holds."


def test_what_would_change_names_samples_reasons_and_slack(kit, decision):
    held = replace(decision, outcome="inconclusive", rules=tuple(r for r in decision.rules if r.outcome != "fail"))
    told = what_would_change(held)
    assert "t/recall >= 0.8 [language=de]: about" in told
    assert "more samples" in told
    passed = kit.run(kit.suite({"metric": "t/recall", "min": 0.8}), kit.Scripted({"t/recall": kit.Normal(0.9)}))
    assert "clears its limit by 0.0836" in what_would_change(passed)
    assert "rules in the suite" in what_would_change(kit.run(kit.suite(), kit.Scripted({})))
