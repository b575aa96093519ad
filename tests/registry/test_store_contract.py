"""The storage contract: the same tests on every supported database."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import pytest

from metrics.base import Estimate
from metrics.errors import InputError
from registry.digests import new_id, now_ms
from registry.entities import Decision, ModelVersion, RuleOutcome, StoredEstimate
from registry.leases import LeaseLostError
from registry.store import Registry
from registry.suite import Suite


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
