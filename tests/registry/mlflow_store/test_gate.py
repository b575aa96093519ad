"""Over HTTP with the stock client: a protected alias moves with a passing, current decision, and only then."""

from __future__ import annotations

import time

import pytest

from registry.digests import now_ms
from registry.policy import Freeze
from registry.promotion import approve

pytestmark = pytest.mark.slow


def test_champion_needs_a_passing_decision(gated, refused):
    name, client = gated.name(), gated.client
    gated.policy(name)
    version = gated.version(name)
    assert "evalkit check models:/" in refused("decision", client.set_registered_model_alias, name, "champion", "1")
    assert gated.holder(name) is None
    gated.decide(version, "fail")
    told = refused("decision", client.set_registered_model_alias, name, "champion", "1")
    assert "it is a fail" in told
    assert f"/evalkit/models/{name}/1#rule-1" in told  # the page with the samples, at the rule
    gated.decide(version, "inconclusive")
    refused("decision", client.set_registered_model_alias, name, "champion", "1")
    decision = gated.decide(version)
    client.set_registered_model_alias(name, "champion", "1")
    assert gated.holder(name) == 1
    (promotion,) = gated.registry.promotions(name)
    assert (promotion.decision_id, promotion.version_id, promotion.previous_version) == (decision.id, version.id, None)


def test_a_later_fail_takes_the_pass_away(gated, refused):
    name, client = gated.name(), gated.client
    gated.policy(name)
    version = gated.passed(name)
    gated.decide(version, "fail")
    refused("decision", client.set_registered_model_alias, name, "champion", "1")
    gated.decide(version)
    client.set_registered_model_alias(name, "champion", "1")


def test_models_without_policy_are_as_in_mlflow(gated):
    name, client = gated.name(), gated.client
    gated.version(name)
    gated.version(name)
    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "champion", "2")
    client.delete_registered_model_alias(name, "champion")
    client.rename_registered_model(name, name + "-renamed")
    client.delete_model_version(name + "-renamed", "2")
    client.delete_registered_model(name + "-renamed")


def test_a_version_that_evalkit_never_saw_is_refused(gated, refused):
    name, client = gated.name(), gated.client
    gated.policy(name)
    run = client.create_run("0")
    client.create_registered_model(name)
    client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)
    refused("artifacts", client.set_registered_model_alias, name, "champion", "1")
    client.set_registered_model_alias(name, "candidate", "1")
    assert gated.holder(name) is None


def test_decisions_expire(gated, refused):
    name, client = gated.name(), gated.client
    gated.policy(name, expires_after=1500)
    version = gated.version(name)
    gated.decide(version, created_at=now_ms() - 1500)
    refused("expiry", client.set_registered_model_alias, name, "champion", "1")
    gated.decide(version)
    client.set_registered_model_alias(name, "champion", "1")
    time.sleep(1.6)
    refused("expiry", client.set_registered_model_alias, name, "champion", "1")


def test_a_quick_look_does_not_count(gated, refused):
    name, client = gated.name(), gated.client
    gated.policy(name)
    version = gated.version(name)
    gated.decide(version, preset="quick")
    refused("decision", client.set_registered_model_alias, name, "champion", "1")
    gated.decide(version)
    client.set_registered_model_alias(name, "champion", "1")


def test_the_author_does_not_approve_alone(gated, refused):
    name, client = gated.name(), gated.client
    gated.policy(name, approvals=1)
    version = gated.passed(name)
    author = gated.sql("SELECT author FROM evalkit_model_versions WHERE id = :id", id=version.id)[0][0]
    refused("approvals", client.set_registered_model_alias, name, "champion", "1")
    approve(gated.registry, version, actor=author)
    refused("approvals", client.set_registered_model_alias, name, "champion", "1")
    approve(gated.registry, version, actor="bea", alias="production")
    refused("approvals", client.set_registered_model_alias, name, "champion", "1")
    approve(gated.registry, version, actor="bea")
    client.set_registered_model_alias(name, "champion", "1")


def test_one_person_is_not_two(gated, refused):
    name, client = gated.name(), gated.client
    gated.policy(name, approvals=2)
    version = gated.passed(name)
    approve(gated.registry, version, actor="bea")
    approve(gated.registry, version, actor="bea")
    assert "1 of 2" in refused("approvals", client.set_registered_model_alias, name, "champion", "1")
    approve(gated.registry, version, actor="cem")
    client.set_registered_model_alias(name, "champion", "1")


def test_an_approval_is_of_one_decision(gated, refused):
    name, client = gated.name(), gated.client
    gated.policy(name, approvals=1)
    version = gated.passed(name)
    approve(gated.registry, version, actor="bea")
    gated.decide(version)
    refused("approvals", client.set_registered_model_alias, name, "champion", "1")
    approve(gated.registry, version, actor="bea")
    client.set_registered_model_alias(name, "champion", "1")


def test_nothing_moves_in_a_freeze(gated, refused):
    name, client = gated.name(), gated.client
    gated.policy(name, freeze=(Freeze(now_ms() - 1000, now_ms() + 3_600_000, "the sale"),))
    gated.passed(name)
    assert "the sale" in refused("freeze", client.set_registered_model_alias, name, "champion", "1")
    client.set_registered_model_alias(name, "candidate", "1")
    gated.policy(name, freeze=(Freeze(now_ms() - 2000, now_ms() - 1, "over"),))
    client.set_registered_model_alias(name, "champion", "1")


def test_the_most_specific_policy_rules(gated, refused):
    stem, client = gated.name("team"), gated.client
    gated.policy(f"{stem}*")
    gated.policy(f"{stem}-free", aliases=("production",))
    gated.version(f"{stem}-free")
    gated.version(f"{stem}-other")
    client.set_registered_model_alias(f"{stem}-free", "champion", "1")
    refused("decision", client.set_registered_model_alias, f"{stem}-free", "production", "1")
    refused("decision", client.set_registered_model_alias, f"{stem}-other", "champion", "1")


def test_only_suites_of_the_policy_count(gated, refused):
    name, client = gated.name(), gated.client
    version = gated.passed(name)
    gated.policy(name, suites=("sha256:" + "0" * 64,))
    refused("suite", client.set_registered_model_alias, name, "champion", "1")
    gated.policy(name, suites=(version.suite_digest,))
    client.set_registered_model_alias(name, "champion", "1")
