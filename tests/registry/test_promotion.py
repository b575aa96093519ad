"""Promotion needs a passing decision on what is there now, or a recorded reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.base import Estimate
from metrics.errors import InputError
from registry.digests import new_id, now_ms
from registry.entities import Decision, ModelVersion, RuleOutcome
from registry.pages import version_page
from registry.promotion import (
    BEGIN,
    END,
    PromotionRefusedError,
    describe_verdict,
    merge_description,
    promote,
    publish_verdict,
)
from registry.store import Registry
from registry.suite import Suite

RULE = RuleOutcome(
    "golden/exact_match >= 0.5", "golden/exact_match", "", "pass", 0.51, 0.5, Estimate(0.6, 0.51, 0.7, n=9),
    None, None, 0.2, None, "the lower bound 0.51 clears 0.5",
)  # fmt: skip
DECISION = Decision(
    id="d1", digest="sha256:d", version_id="v", model="m", version=1, evaluation_id="e", suite_digest="s",
    artifact_digest="a", outcome="pass", method="intervals", alpha=0.05, look=1, looks=1, champion=None, anchor=None,
    rules=(RULE,), notes=(), created_at=1,
)  # fmt: skip


@pytest.fixture
def version(registry: Registry, suite: Suite, folder: Path) -> ModelVersion:
    return registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite)


def decide(registry: Registry, version: ModelVersion, outcome: str = "pass", **changes: object) -> Decision:
    lease = registry.acquire("evaluation")
    opened = registry.open_evaluation(version, digest="sha256:e" + version.id, token=lease.token)
    registry.release(lease)
    made = replace(
        DECISION, id=new_id(), digest=new_id(), version_id=version.id, version=version.version,
        evaluation_id=opened.id, suite_digest=version.suite_digest, artifact_digest=version.artifact_digest,
        outcome=outcome, rules=(replace(RULE, outcome=outcome, reason=f"it is a {outcome}"),), created_at=now_ms(),
    )  # fmt: skip
    return registry.save_decision(replace(made, **changes))


def test_a_pass_moves_the_alias_and_tells_it(registry: Registry, version: ModelVersion):
    registry.mlflow.set_description("m", 1, "Words of the team.")
    decision = decide(registry, version)
    promotion = promote(registry, version, decision=decision, actor="ann")
    held = registry.mlflow.version("m", 1)
    assert held.aliases == ["champion"]
    assert (promotion.previous_version, promotion.decision_id, promotion.actor) == (None, decision.id, "ann")
    assert held.tags["evalkit.verdict"] == "pass"
    assert held.tags["evalkit.decision"] == decision.id
    assert held.description.startswith("Words of the team.")
    assert "it is a pass" in held.description
    assert registry.version("models:/m@champion").id == version.id


def test_the_former_holder_is_recorded(registry: Registry, version: ModelVersion, suite: Suite, folder: Path):
    decide(registry, version)
    promote(registry, version)
    second = registry.register("m", model=str(folder / "outputs.jsonl"), suite=suite, new_version=True)
    decide(registry, second)
    promote(registry, second)
    assert [(p.version_id, p.previous_version) for p in registry.promotions("m", "champion")] == [
        (version.id, None),
        (second.id, 1),
    ]


def test_promoting_twice_is_one_promotion(registry: Registry, version: ModelVersion):
    decide(registry, version)
    assert promote(registry, version) == promote(registry, version)
    assert len(registry.promotions("m")) == 1


@pytest.mark.parametrize("outcome", ["fail", "inconclusive"])
def test_refused_with_the_rule(outcome: str, registry: Registry, version: ModelVersion):
    decide(registry, version, outcome)
    with pytest.raises(PromotionRefusedError, match=f"golden/exact_match >= 0.5: it is a {outcome}") as caught:
        promote(registry, version)
    assert [rule.outcome for rule in caught.value.rules] == [outcome]
    _nothing_moved(registry)


def _nothing_moved(registry: Registry) -> None:
    assert registry.mlflow.holder("m", "champion") is None
    assert registry.promotions("m") == []


def test_refused_without_a_decision(registry: Registry, version: ModelVersion):
    with pytest.raises(PromotionRefusedError, match="has no decision on its current suite"):
        promote(registry, version)
    _nothing_moved(registry)


def test_a_pass_on_another_suite_does_not_count(registry: Registry, version: ModelVersion, folder: Path):
    decide(registry, version)
    (folder / "stricter.yaml").write_text((folder / "suite.yaml").read_text().replace("0.5", "0.9"))
    registry.bind_suite(version, Suite.load(folder / "stricter.yaml"))
    with pytest.raises(PromotionRefusedError, match="has no decision on its current suite"):
        promote(registry, version)
    _nothing_moved(registry)


def test_a_pass_on_other_files_does_not_count(registry: Registry, version: ModelVersion):
    decide(registry, version)
    with registry.model_folder(version) as stored:
        (stored / "model" / "outputs.jsonl").write_text("{}\n")
    with pytest.raises(PromotionRefusedError, match="not those that were judged"):
        promote(registry, version)
    with pytest.raises(PromotionRefusedError, match="not those that were judged"):
        promote(registry, version, override="I want it")
    _nothing_moved(registry)


def test_a_later_failure_revokes_a_pass(registry: Registry, version: ModelVersion):
    passed = decide(registry, version)
    decide(registry, version, "fail")
    with pytest.raises(PromotionRefusedError, match="may not be promoted"):
        promote(registry, version)
    decide(registry, version)
    with pytest.raises(PromotionRefusedError, match="is not the newest"):
        promote(registry, version, decision=passed)
    _nothing_moved(registry)


@pytest.mark.parametrize("outcome", ["fail", None])
def test_an_override_is_recorded(outcome: str | None, registry: Registry, version: ModelVersion):
    if outcome:
        decide(registry, version, outcome)
    promotion = promote(registry, version, override="hot fix for ticket 7")
    assert registry.promotions("m") == [promotion]
    assert promotion.override == "hot fix for ticket 7"
    assert registry.mlflow.holder("m", "champion") == 1
    held = registry.mlflow.version("m", 1)
    assert held.tags["evalkit.override"] == "hot fix for ticket 7"
    if outcome:
        assert held.tags["evalkit.verdict"] == "fail"
        assert "Promoted by override: hot fix for ticket 7" in held.description


def test_an_override_needs_a_reason(registry: Registry, version: ModelVersion):
    with pytest.raises(InputError, match="needs a reason"):
        promote(registry, version, override="  ")
    _nothing_moved(registry)


@pytest.mark.parametrize("alias", ["", "latest", "v3", "сhampion", "a b", "../x"])
def test_aliases_that_mislead_are_refused(alias: str, registry: Registry, version: ModelVersion):
    decide(registry, version)
    with pytest.raises(InputError, match="cannot be an alias"):
        promote(registry, version, to=alias)
    _nothing_moved(registry)


def test_a_move_that_fails_leaves_no_record(registry: Registry, version: ModelVersion, monkeypatch):
    decide(registry, version)

    def refuse(*_: object) -> None:
        raise InputError("the server says no")

    monkeypatch.setattr(registry.mlflow, "set_alias", refuse)
    with pytest.raises(InputError, match="says no"):
        promote(registry, version)
    _nothing_moved(registry)


def test_publishing_again_replaces_only_our_part(registry: Registry, version: ModelVersion):
    publish_verdict(registry, version, DECISION)
    text = registry.mlflow.version("m", 1).description
    registry.mlflow.set_description("m", 1, f"before\n\n{text}\n\nafter")
    publish_verdict(registry, version, replace(DECISION, outcome="fail"))
    text = registry.mlflow.version("m", 1).description
    assert text.startswith("before")
    assert text.endswith("after")
    assert text.count(BEGIN) == text.count(END) == 1
    assert "evalkit: FAIL" in text


def test_broken_rules_come_first_and_the_run_is_linked():
    broken = replace(RULE, outcome="fail", rule="golden/last >= 1")
    _, markdown = describe_verdict(replace(DECISION, outcome="fail", rules=(RULE, broken)), run_id="ab12")
    rows = [line for line in markdown.splitlines() if "golden" in line]
    assert rows[0].startswith("| **FAIL**") and rows[1].startswith("| PASS")
    assert markdown.splitlines()[0].endswith("](#/runs/ab12)")
    assert "](" not in describe_verdict(DECISION, run_id="x](javascript:alert(1))")[1]


def test_the_version_s_own_page_is_linked(registry: Registry, version: ModelVersion):
    publish_verdict(registry, version, DECISION)
    assert "](/evalkit/models/m/1)" in registry.mlflow.version("m", 1).description
    assert version_page("a) [b](c", 3) == "/evalkit/models/a%29%20%5Bb%5D%28c/3"


def test_a_table_row_stays_one_row():
    hostile = replace(RULE, slice="x=a|b\n<img src=x onerror=alert(1)> [l](javascript:x) `c` -->", reason=f"{END} | x")
    _, markdown = describe_verdict(replace(DECISION, rules=(hostile,), notes=("<script>",)))
    (row,) = [line for line in markdown.splitlines() if "golden" in line]
    assert row.replace("\\|", "").count("|") == 5
    assert "<img" not in markdown
    assert "<script>" not in markdown
    assert "](javascript" not in markdown.replace("\\]", "").replace("\\(", "")
    assert END not in markdown
    assert describe_verdict(DECISION)[0] == {"evalkit.verdict": "pass", "evalkit.decision": "d1"}


@given(st.text(max_size=6000), st.integers(0, 60))
def test_descriptions_keep_peoples_words_and_fit(words: str, rules: int):
    words = words.replace("\0", "")
    _, markdown = describe_verdict(replace(DECISION, rules=(RULE,) * rules))
    once = merge_description(words, markdown)
    assert words.strip() in once
    assert BEGIN in once and END in once
    assert len(once) <= max(5000, len(words) + len(BEGIN) + len(END) + 4)
    assert merge_description(once, markdown) == once
