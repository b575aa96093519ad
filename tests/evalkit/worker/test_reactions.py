"""What happens to a new version by itself: which suite judges it, what is refused, and when it is promoted."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evalkit.worker import reaction
from evalkit.worker.reaction import TAG_REACTION, Allowances
from metrics.errors import InputError
from registry.actors import acting, local_actor
from registry.digests import now_ms
from registry.leases import LeaseLostError
from registry.outbox import CREATED, Outbox
from registry.policy import Freeze
from registry.suite import Suite
from registry.webhooks import add_webhook


def register(project, name="bot", right=60, **more):
    return project.register(name, {"outputs.jsonl": project.outputs(right), **more.pop("files", {})}, **more)


def test_a_good_version_is_evaluated_and_promoted_and_its_page_says_so(project):
    project.policy()
    number = register(project)
    done = project.react()
    assert (done.outcome, project.holder("bot")) == ("promoted", number)
    page = project.page("bot", number)
    assert page.tags["evalkit.verdict"] == "pass"
    assert page.tags[TAG_REACTION].startswith("promoted")
    assert "evalkit: PASS" in page.description
    assert "evalkit worker: promoted" in page.description
    (promotion,) = project.session.registry.promotions("bot")
    assert promotion.actor == "evalkit worker"
    assert promotion.decision_id is not None


def test_a_bad_version_is_evaluated_and_stays_where_it_is(project):
    project.policy()
    register(project)
    project.react()
    number = register(project, right=20)
    assert project.react().detail == "the gate says fail"
    assert project.holder("bot") == 1
    page = project.page("bot", number)
    assert page.tags["evalkit.verdict"] == "fail"
    assert "FAIL" in page.description


def test_a_policy_that_only_evaluates_promotes_nothing(project):
    project.policy(auto="evaluate")
    register(project)
    assert project.react().outcome == "evaluated"
    assert project.holder("bot") is None


def test_without_auto_nothing_is_written_and_a_policy_that_is_gone_drops_the_item(project):
    project.policy(auto="off")
    register(project)
    assert Outbox(project.engine).claim(CREATED) is None
    project.policy()
    register(project)
    project.policy(auto="off")
    assert project.react().outcome == "dropped"


def test_a_deleted_version_and_a_namesake_are_dropped(project):
    project.policy()
    number = register(project)
    project.client.delete_model_version("bot", str(number))
    assert "was deleted" in project.react().detail
    number = register(project)
    item = project.claim()
    assert "another one by now" in project.react(replace(item, body={**item.body, "registered_at": 1})).detail


# Which suite


def test_without_any_suite_it_says_that_one_is_needed(project):
    project.policy(named=False)
    number = register(project)
    assert project.react().outcome == "needs a suite"
    page = project.page("bot", number)
    assert page.tags[TAG_REACTION].startswith("needs a suite")
    assert "not evaluated" in page.description
    assert "evalkit register bot" in page.description.replace("\\", "")


def test_a_suite_that_the_version_brings_decides_but_does_not_promote(project):
    project.policy(named=False)
    easy = project.suite_text.replace("0.8", "0.01")
    number = register(project, files={"evalkit/suite.yaml": easy, "evalkit/golden.jsonl": project.golden()})
    done = project.react()
    assert done.outcome == "evaluated"
    assert "nobody vouches for it" in done.detail
    assert project.page("bot", number).tags["evalkit.verdict"] == "pass"
    assert project.holder("bot") is None


def test_a_suite_that_the_policy_does_not_name_gives_way_to_the_one_it_names(project):
    project.policy()
    easy = project.suite_text.replace("0.8", "0.01")
    register(project, right=10, files={"suite.yaml": easy, "golden.jsonl": project.golden()})
    assert project.react().detail == "the gate says fail"
    assert project.holder("bot") is None


def test_the_named_suite_with_data_of_the_versions_own_is_judged_on_ours(project):
    project.policy()
    one = json.dumps({"id": "q0", "question": "0 + 1?", "answers": ["1"]})
    register(project, right=1, files={"evalkit/suite.yaml": project.suite_text, "evalkit/golden.jsonl": one})
    assert project.react().detail == "the gate says fail"


def test_the_named_suite_whose_file_is_gone_is_not_judged_on_other_data(project):
    project.policy()
    (project.folder / "suites" / "suite.yaml").rename(project.folder / "suites" / "moved.yaml")
    register(project, files={"evalkit/suite.yaml": project.suite_text, "evalkit/golden.jsonl": project.golden()})
    done = project.react()
    assert done.outcome == "needs a suite"
    assert "not on the worker's machine" in done.detail


def test_the_champions_suite_judges_the_next_version(project):
    project.policy(named=False)
    first = project.folder / "first.jsonl"
    first.write_text(project.outputs())
    registry = project.session.registry
    version = registry.register("bot", model=str(first), suite=project.suite)
    assert project.react().outcome == "promoted"  # a person registered it with its suite
    number = register(project, right=59)
    assert project.react().outcome == "promoted"
    assert registry.version(f"models:/bot/{number}").suite_digest == version.suite_digest


def test_a_suite_by_tag_must_be_among_the_files(project):
    project.policy(named=False)
    register(project, tags={"evalkit.suite_digest": project.suite.digest})
    assert "not among its files" in project.react().detail


# What is refused


def test_what_could_run_code_is_refused_unregistered_and_the_page_says_why(project):
    project.policy()
    number = project.register("bot", {"MLmodel": "flavors: {python_function: {model_code_path: m.py}}", "m.py": "1/0"})
    done = project.react()
    assert done.outcome == "refused"
    page = project.page("bot", number)
    assert page.tags[TAG_REACTION].startswith("refused: as a python_function it can run code")
    assert "not evaluated" in page.description
    assert project.session.registry.known(page) is None


def test_nothing_is_fetched_from_a_host_of_the_versions_choice(project, monkeypatch):
    project.policy()
    project.client.create_registered_model("bot")
    project.client.create_model_version("bot", "http://169.254.169.254/latest/meta-data")
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", lambda *given, **named: pytest.fail("fetched"))
    done = project.react()
    assert (done.outcome, "another host" in done.detail) == ("refused", True)


def test_a_generator_in_a_tag_is_judged_like_any_other(project):
    project.policy()
    register(project, tags={"evalkit.generator": json.dumps({"adapter": "callable", "call": "os:getcwd"})})
    assert project.react().outcome == "refused"


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("generate: {call: 'os:getcwd'}\n    score: [exact_match]", "call:"),
        ("generate: {env: [HOME]}\n    score: [exact_match]", "env:"),
        ("score: [exact_match, {judge: helpfulness, model: 'openai:/m'}]", "judge"),
    ],
)
def test_a_suite_that_the_version_brings_neither_runs_code_nor_spends(project, task, says):
    project.policy(named=False)
    text = project.suite_text.replace("score: [exact_match]", task)
    register(project, files={"evalkit/suite.yaml": text, "evalkit/golden.jsonl": project.golden()})
    done = project.react()
    assert done.outcome == "refused", done
    assert says in done.detail


@pytest.mark.parametrize(
    ("text", "says"), [(None, "golden.jsonl"), ("suite: [", "cannot be used"), ("a: 1", "suite.yaml")]
)
def test_a_suite_that_the_version_brings_is_read_with_the_versions_own_files_only(project, text, says):
    project.policy(named=False)
    (project.folder / "elsewhere" / "golden.jsonl").write_text(project.golden())  # the working folder
    register(project, files={"suite.yaml": text or project.suite_text})
    done = project.react()
    assert done.outcome == "needs a suite"
    assert says in done.detail


# When it is promoted


def test_a_newer_champion_is_not_replaced_by_an_older_version(project):
    project.policy()
    register(project)
    older = project.claim()
    register(project, right=59)
    assert project.react().outcome == "promoted"
    done = project.react(older)
    assert "the newer version 2 is 'champion'" in done.detail
    assert project.holder("bot") == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"approvals": 1}, "0 of 1 approvals"), ({"freeze": (Freeze(1, 4_102_444_800_000, "holidays"),)}, "holidays")],
)
def test_the_policys_other_rules_hold_for_the_worker_too(project, changes, says):
    project.policy(**changes)
    number = register(project)
    done = project.react()
    assert done.outcome == "evaluated"
    assert says in done.detail
    assert project.holder("bot") is None
    assert says in project.page("bot", number).description.replace("\\", "")


def test_files_that_clients_can_change_past_the_server_are_not_promoted(project, monkeypatch):
    monkeypatch.setattr(reaction, "served", lambda session: True)
    project.policy()
    register(project)
    assert "past the server" in project.react().detail
    assert project.holder("bot") is None
    project.policy(artifacts="load")
    register(project, right=59)
    assert project.react().outcome == "promoted"


def test_who_created_the_version_is_its_author_and_cannot_approve_it(project):
    from registry.promotion import approve, promote

    project.policy(approvals=1)
    with acting(local_actor("ann")):
        number = register(project)
    project.react()
    registry = project.session.registry
    version = registry.version(f"models:/bot/{number}")
    approve(registry, version, actor="ann")
    with pytest.raises(InputError, match="0 of 1 approvals"):
        promote(registry, version, actor="ann")
    approve(registry, version, actor="bob")
    promote(registry, version, actor="ann")


def test_a_worker_that_lost_the_item_neither_decides_nor_promotes(project):
    project.policy()
    register(project)
    calls = []

    def lost():
        calls.append(1)
        raise LeaseLostError("taken over")

    with pytest.raises(LeaseLostError):
        project.react(still_ours=lost)
    version = project.session.registry.version("models:/bot/1")
    assert project.session.registry.decisions(version) == []
    assert project.holder("bot") is None


def test_done_again_it_generates_nothing_and_says_the_same(project, monkeypatch):
    project.policy()
    register(project)
    item = project.claim()
    first = project.react(item)
    Outbox(project.engine).reopen(item.id)
    monkeypatch.setattr("evalkit.generators.process.GeneratorProcess._start", lambda self: pytest.fail("generated"))
    second = project.react()
    assert (first.outcome, second.outcome) == ("promoted", "promoted")
    version = project.session.registry.version("models:/bot/1")
    assert len(project.session.registry.evaluations(version)) == 1
    assert len(project.session.registry.decisions(version)) == 1
    assert len(project.session.registry.promotions("bot")) == 1


def test_keys_for_judges_reach_only_suites_that_somebody_vouches_for(project, monkeypatch):
    monkeypatch.setattr(reaction, "_judge", lambda *given: pytest.skip("judged"))
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    project.policy(named=False)
    register(project, files={"evalkit/suite.yaml": project.suite_text, "evalkit/golden.jsonl": project.golden()})
    may = Allowances(judging={"JUDGE_KEY": "secret"})
    import os

    with pytest.raises(pytest.skip.Exception):
        project.react(may=may)
    assert "JUDGE_KEY" not in os.environ
    project.policy()
    register(project)
    with pytest.raises(pytest.skip.Exception):
        project.react(may=may)
    assert os.environ.pop("JUDGE_KEY") == "secret"


def test_webhooks_are_told_of_the_decision_and_the_promotion(project):
    from registry.outbox import DELIVERY

    add_webhook(project.engine, "https://hooks.example.org/", secret_env="SECRET")
    project.policy()
    register(project)
    project.react()
    told = [item.body["message"] for item in Outbox(project.engine).items(DELIVERY)]
    assert [message["type"] for message in reversed(told)] == ["evalkit.decision", "evalkit.promotion"]
    assert told[1]["data"]["outcome"] == "pass"
    assert told[0]["data"]["version"] == 1
    assert told[0]["timestamp"] <= now_ms()
    assert "no idea" not in json.dumps(told)


def test_the_suite_file_of_the_policy_is_found_again_only_as_it_was(project):
    project.policy()
    file = project.folder / "suites" / "suite.yaml"
    assert project.session.registry.suite_at_home(project.suite.digest).file == str(file)
    digest = project.suite.digest
    file.write_text(project.suite_text.replace("0.8", "0.1"))
    assert project.session.registry.suite_at_home(digest).file is None
    assert isinstance(project.session.registry.suite_at_home(digest), Suite)
