"""The storage contract: the same tests on every supported database."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from metrics.base import Estimate
from metrics.errors import InputError
from registry import audit
from registry.database import connect, upgrade, writing
from registry.digests import new_id, now_ms
from registry.entities import Decision, ModelVersion, RuleOutcome, StoredEstimate
from registry.firings import DONE, FencedError, claim, finished, history
from registry.identity import create_token, find_token, forget_user, list_tokens, revoke_token, roles_of, set_roles
from registry.leases import LeaseLostError
from registry.policy import Policy, list_policies, remove_policy, set_policy
from registry.store import Registry
from registry.suite import Suite
from registry.workers import beat, leave, workers


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The tables alone, without MLflow."""
    made = connect(database_url)
    upgrade(made)
    yield made
    made.dispose()


def at_once(work: Callable[[int], Any], count: int = 6) -> list[Any]:
    """What so many threads that start together return or raise."""
    start = threading.Barrier(count)

    def one(number: int) -> Any:
        start.wait()
        try:
            return work(number)
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.fixture
def version(apart: Registry, suite: Suite, folder: Path) -> ModelVersion:
    return apart.register("answers", model=str(folder / "outputs.jsonl"), suite=suite)


def estimates() -> list[StoredEstimate]:
    value = Estimate(0.5, 0.4, 0.6, n=10, effective_n=9.5, method="wilson")
    return [
        StoredEstimate("golden", "exact_match", "value", "", value, "sha256:a"),
        StoredEstimate("golden", "exact_match", "value", "language=en", Estimate(math.nan), "sha256:b"),
    ]


def decision(version: ModelVersion, evaluation_id: str, outcome: str = "pass", **changes: object) -> Decision:
    rule = RuleOutcome(
        "golden/exact_match >= 0.5", "golden/exact_match", "", outcome, 0.51, 0.5, Estimate(0.6, 0.51, 0.7, n=9),
        None, None, 0.2, None, "the lower bound 0.51 clears 0.5",
    )  # fmt: skip
    values = {
        "id": new_id(), "digest": "sha256:" + outcome, "version_id": version.id, "model": version.name,
        "version": version.version, "evaluation_id": evaluation_id, "suite_digest": version.suite_digest,
        "artifact_digest": version.artifact_digest, "outcome": outcome, "method": "intervals", "alpha": 0.05,
        "look": 1, "looks": 1, "champion": None, "anchor": None, "rules": (rule,), "notes": ("first",),
        "created_at": now_ms(),
    }  # fmt: skip
    return Decision(**{**values, **changes})


class TestStore:
    def test_an_evaluation_from_open_to_finished(self, apart: Registry, version: ModelVersion):
        lease = apart.acquire("evaluation")
        opened = apart.open_evaluation(version, digest="sha256:e", token=lease.token, targets={"golden": 10})
        assert (opened.status, opened.targets, opened.finished_at) == ("running", {"golden": 10}, None)
        assert apart.evaluation(version) is None
        apart.annotate_evaluation(opened.id, token=lease.token, run_id="r1", details={"a": 1})
        done = apart.finish_evaluation(
            opened.id, estimates=estimates(), warnings=["w"], details={"b": 2}, token=lease.token
        )
        assert (done.status, done.run_id, done.details, done.warnings) == ("finished", "r1", {"a": 1, "b": 2}, ("w",))
        again = apart.evaluation(version)
        assert again is not None
        assert again.id == opened.id
        assert again.estimates[0] == estimates()[0]
        assert math.isnan(again.estimates[1].estimate.value)
        assert again.estimates[1].slice == "language=en"

    def test_opening_a_finished_one_answers_from_the_store(self, apart: Registry, version: ModelVersion):
        lease = apart.acquire("evaluation")
        opened = apart.open_evaluation(version, digest="sha256:e", token=lease.token)
        apart.finish_evaluation(opened.id, estimates=estimates(), token=lease.token)
        again = apart.open_evaluation(version, digest="sha256:e", token=lease.token)
        assert (again.id, again.status, len(again.estimates)) == (opened.id, "finished", 2)
        second = apart.open_evaluation(version, digest="sha256:e", look=2, token=lease.token)
        assert second.id != opened.id

    def test_a_failed_one_runs_again(self, apart: Registry, version: ModelVersion):
        lease = apart.acquire("evaluation")
        opened = apart.open_evaluation(version, digest="sha256:e", token=lease.token)
        failed = apart.finish_evaluation(opened.id, estimates=[], warnings=["NaN"], token=lease.token, failed=True)
        assert failed.status == "failed"
        again = apart.open_evaluation(version, digest="sha256:e", token=lease.token)
        assert (again.id, again.status, again.finished_at) == (opened.id, "running", None)

    def test_results_of_a_lost_lease_are_dropped(self, apart: Registry, version: ModelVersion):
        lease = apart.acquire("evaluation")
        opened = apart.open_evaluation(version, digest="sha256:e", token=lease.token)
        apart.release(lease)
        apart.acquire("evaluation")
        with pytest.raises(LeaseLostError):
            apart.finish_evaluation(opened.id, estimates=estimates(), token=lease.token)
        assert apart.evaluation_by_id(opened.id).status == "running"
        assert apart.evaluation_by_id(opened.id).estimates == ()

    def test_finishing_twice_replaces(self, apart: Registry, version: ModelVersion):
        lease = apart.acquire("evaluation")
        opened = apart.open_evaluation(version, digest="sha256:e", token=lease.token)
        apart.finish_evaluation(opened.id, estimates=estimates(), token=lease.token)
        done = apart.finish_evaluation(opened.id, estimates=estimates()[:1], token=lease.token)
        assert len(done.estimates) == 1

    def test_the_same_estimate_twice_is_refused_whole(self, apart: Registry, version: ModelVersion):
        lease = apart.acquire("evaluation")
        opened = apart.open_evaluation(version, digest="sha256:e", token=lease.token)
        with pytest.raises(InputError, match="handed in twice"):
            apart.finish_evaluation(opened.id, estimates=estimates()[:1] * 2, token=lease.token)
        assert apart.evaluation_by_id(opened.id).estimates == ()

    def test_hostile_text_is_only_text(self, apart: Registry, version: ModelVersion):
        lease = apart.acquire("evaluation'; DROP TABLE evalkit_leases; --")
        opened = apart.open_evaluation(version, digest="'; DROP TABLE evalkit_evaluations; --", token=lease.token)
        item = StoredEstimate("golden", "exact_match", "value", "a='); DELETE FROM runs; -- ☃", Estimate(1.0), "x")
        done = apart.finish_evaluation(opened.id, estimates=[item], token=lease.token)
        assert done.estimates == (item,)

    def test_decisions_newest_first_and_current(self, apart: Registry, version: ModelVersion):
        lease = apart.acquire("evaluation")
        opened = apart.open_evaluation(version, digest="sha256:e", token=lease.token)
        first = apart.save_decision(decision(version, opened.id))
        assert apart.save_decision(decision(version, opened.id)) == first
        rebound = apart.save_decision(decision(version, opened.id, suite_digest="sha256:rebound"))
        assert rebound.id != first.id
        second = apart.save_decision(decision(version, opened.id, "fail"))
        other = apart.save_decision(decision(version, opened.id, "pass", digest="x", suite_digest="sha256:old"))
        assert apart.decisions(version) == [other, second, rebound, first]
        assert apart.current_decision(version) == second

    def test_datasets(self, apart: Registry):
        first = apart.add_dataset("digits", "test", digest="sha256:1", location="/a", rows=3, labels={"kind": "x"})
        assert apart.add_dataset("digits", "test", digest="sha256:1", location="/b", rows=3).id == first.id
        newer = apart.add_dataset("digits", "test", digest="sha256:2", location="/c", rows=4, licence="CC0")
        assert apart.dataset("digits", "test") == newer
        assert apart.dataset("digits", "test", "sha256:1").location == "/b"
        assert [item.digest for item in apart.datasets()] == ["sha256:1", "sha256:2"]
        with pytest.raises(InputError, match="did you mean 'digits@test'"):
            apart.dataset("digit", "test")

    def test_the_same_dataset_at_once(self, apart: Registry):
        errors: list[Exception] = []

        def add() -> None:
            try:
                apart.add_dataset("digits", "test", digest="sha256:1", location="/a", rows=3)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=add) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(apart.datasets()) == 1

    def test_workspaces_do_not_see_each_other(self, apart: Registry, version: ModelVersion):
        other = Registry(
            apart._engine.url.render_as_string(hide_password=False), apart.mlflow.tracking_uri, workspace="other"
        )
        other.add_dataset("mine", "test", digest="d", location="/a", rows=1)
        assert apart.datasets() == []
        assert other.models() == []
        with pytest.raises(InputError, match="no model version"):
            other.version_by_id(version.id)
        other.close()

    def test_binding_another_suite_keeps_the_history(self, apart: Registry, version: ModelVersion, folder: Path):
        lease = apart.acquire("evaluation")
        opened = apart.open_evaluation(version, digest="sha256:e", token=lease.token)
        apart.save_decision(decision(version, opened.id))
        (folder / "stricter.yaml").write_text((folder / "suite.yaml").read_text().replace("0.5", "0.9"))
        stricter = Suite.load(folder / "stricter.yaml")
        bound = apart.bind_suite(version, stricter)
        assert (bound.id, bound.suite_digest) == (version.id, stricter.digest)
        assert apart.current_decision(bound) is None
        assert apart.suite(bound).spec == stricter.spec
        assert apart.suite(bound).folder == folder


class TestFirings:
    def test_one_of_many_that_claim_at_once_may_finish(self, engine: Engine):
        claims = at_once(lambda i: claim(engine, "s@1", schedule="s", due=1, executor=f"w{i}"))
        assert sorted(one.attempt for one in claims) == [1, 2, 3, 4, 5, 6]
        assert sum(finished(engine, one) for one in claims) == 1
        assert claim(engine, "s@1", schedule="s", due=1, executor="late") is None
        (told,) = history(engine)
        assert (told.attempts, told.outcome, told.error) == (6, DONE, None)

    def test_who_was_taken_over_stores_nothing(self, engine: Engine):
        first = claim(engine, "s@1", schedule="s", due=1, executor="a")
        second = claim(engine, "s@1", schedule="s", due=1, executor="b")
        assert first is not None
        assert second is not None
        with pytest.raises(FencedError), writing(engine) as session:
            first.finish(session)
        with writing(engine) as session:
            second.hold(session)
            second.finish(session, error="☃" * 5000)
        (told,) = history(engine, schedule="s")
        assert (told.executor, told.outcome, told.error) == ("b", "failed", "☃" * 2000)

    def test_workspaces_and_schedules_are_apart(self, engine: Engine):
        assert claim(engine, "k", schedule="s", due=1, executor="a") is not None
        assert claim(engine, "k", schedule="s", due=1, executor="a", workspace="other") is not None
        assert claim(engine, "late", schedule="t", due=2, executor="a") is not None
        assert [one.key for one in history(engine)] == ["late", "k"]
        assert history(engine, schedule="nothing") == []


class TestWorkers:
    def test_a_heartbeat_and_an_end_in_order(self, engine: Engine):
        assert [error for error in at_once(lambda i: beat(engine, f"w{i}")) if error] == []
        beat(engine, "w1")
        assert {one.executor: one.alive for one in workers(engine)} == {f"w{i}": True for i in range(6)}
        assert not any(one.alive for one in workers(engine, silent_after=-1.0))
        leave(engine, "w1")
        assert len(workers(engine)) == 5


class TestIdentity:
    def test_tokens_are_found_by_their_secret_until_revoked(self, engine: Engine):
        set_roles(engine, "ada", 7, ["evaluator", "viewer"], actor="root")
        assert roles_of(engine, "ada", 7) == {"evaluator", "viewer"}
        assert roles_of(engine, "ada", 8) == frozenset(), "a namesake inherits nothing"
        secret, token = create_token(engine, "ada", 7, label="é☃", actor="ada")
        found = find_token(engine, secret)
        assert found is not None
        assert (found.username, found.label, found.prefix) == ("ada", "é☃", token.prefix)
        assert find_token(engine, secret + "x") is None
        revoke_token(engine, token.prefix, actor="ada")
        assert [one.alive(now_ms()) for one in list_tokens(engine, "ada")] == [False]
        forget_user(engine, "ada", actor="root")
        assert roles_of(engine, "ada", 7) == frozenset()
        assert audit.verify(engine).intact

    def test_roles_set_at_once_are_those_of_one_of_them(self, engine: Engine):
        found = at_once(lambda i: set_roles(engine, "ada", 7, ["viewer"] if i % 2 else ["approver"], actor="root"), 4)
        assert [error for error in found if isinstance(error, Exception)] == []
        assert roles_of(engine, "ada", 7) in ({"viewer"}, {"approver"})
        assert audit.verify(engine).intact


class TestPolicies:
    def test_set_changed_and_removed(self, engine: Engine):
        set_policy(engine, Policy("bot-*"), actor="root")
        set_policy(engine, Policy("bot-*", approvals=2), actor="root")
        (found,) = list_policies(engine)
        assert (found.pattern, found.approvals) == ("bot-*", 2)
        remove_policy(engine, "bot-*", actor="root")
        assert list_policies(engine) == []
        report = audit.verify(engine)
        assert (report.intact, report.entries) == (True, 3)

    def test_entries_written_at_once_are_one_chain(self, engine: Engine):
        found = at_once(lambda i: set_policy(engine, Policy(f"m{i}"), actor=f"a{i}"))
        assert [error for error in found if isinstance(error, Exception)] == []
        report = audit.verify(engine)
        assert (report.intact, report.entries) == (True, 6)
        assert sorted(entry["seq"] for entry in audit.export(engine)) == [1, 2, 3, 4, 5, 6]
