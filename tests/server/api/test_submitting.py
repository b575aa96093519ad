"""An evaluation comes in from another machine, is decided on, and the version is promoted."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import text

from evalkit.bundles.manifest import MANIFEST
from evalkit.server.api import submissions
from registry import audit
from registry.actors import Actor, acting
from registry.policy import Policy, set_policy

ADA = Actor("ada", frozenset({"evaluator"}))
DECISIONS = "/models/bot/versions/1/decisions"


def test_from_submission_to_champion(served: Any, bundled: Any):
    set_policy(served.project.engine, Policy("bot", artifacts="load"), actor="root")
    early = served.request("PUT", "/models/bot/aliases/champion", "evaluator", json={"version": 1})
    assert (early.status_code, early.json()["error"]) == (403, "refused")

    made = served.submit(bundled.path)
    assert made.status_code == 201, made.text
    told = made.json()
    assert (told["submitted_by"], told["id"], told["missing"]) == ("ada", bundled.evaluation.id, [])
    estimates = served.request("GET", f"/evaluations/{told['id']}/estimates", "viewer").json()["items"]
    assert len(estimates) == len(bundled.evaluation.estimates)
    assert estimates[0]["estimate"] == bundled.evaluation.estimates[0].estimate.to_json()

    decided = served.request("POST", DECISIONS, "evaluator", json={})
    assert decided.status_code == 201, decided.text
    assert (decided.json()["outcome"], decided.json()["evaluation_id"]) == ("pass", told["id"])
    moved = served.request("PUT", "/models/bot/aliases/champion", "evaluator", json={"version": 1})
    assert moved.status_code == 200, moved.text
    shown = served.request("GET", "/models/bot/versions/@champion", "viewer").json()
    assert (shown["version"], shown["outcome"], shown["aliases"]) == (1, "pass", ["champion"])

    entries = list(audit.export(served.project.engine))
    kinds = {entry["kind"]: entry for entry in entries}
    assert (kinds["evaluation"]["actor"], kinds["evaluation"]["facts"]["bundle"]) == ("ada", bundled.manifest.bundle)
    assert (kinds["decision"]["actor"], kinds["promotion"]["actor"]) == ("ada", "ada")
    assert served.request("GET", "/audit/verify", "viewer").json()["intact"]


def test_a_decision_on_the_submission_of_another(served: Any, bundled: Any):
    key = served.submit(bundled.path).json()["id"]
    for body in ({}, {"evaluation": key}):
        refused = served.request("POST", DECISIONS, "evaluator", "eve", json=body)
        assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
        assert "submitted by ada" in refused.json()["message"]
    assert served.request("GET", DECISIONS, "viewer").json()["items"] == []
    assert served.request("POST", DECISIONS, "admin", "root", json={"evaluation": key}).status_code == 201


def test_sent_again_it_changes_nothing(served: Any, bundled: Any):
    first = served.submit(bundled.path)
    entries = len(list(audit.export(served.project.engine)))
    again = served.submit(bundled.path, name="eve")
    assert (again.status_code, again.json()) == (200, first.json())
    assert len(list(audit.export(served.project.engine))) == entries


def test_other_results_under_the_same_digest(served: Any, bundled: Any, tmp_path: Path, archive: Any):
    """Generated twice, it is the first one that counts: results are not picked by submitting until they please."""
    served.submit(bundled.path)
    manifest, files = archive.read(bundled.path)
    manifest["warnings"] = ["a second run"]
    again = served.submit(archive.write(tmp_path / "second.zip", manifest, files), name="eve")
    assert (again.status_code, again.json()["error"]) == (409, "conflict")
    assert "by ada" in again.json()["message"]
    items = served.request("GET", "/models/bot/versions/1/evaluations", "viewer").json()["items"]
    assert [item["bundle"] for item in items] == [bundled.manifest.bundle]


def test_the_key_of_another_evaluation(served: Any, bundled: Any, tmp_path: Path):
    key = served.submit(bundled.path).json()["id"]
    with served.project.engine.begin() as connection:
        connection.execute(text("UPDATE evalkit_evaluations SET digest = 'sha256:other'"))
    again = served.submit(bundled.path)
    assert (again.status_code, key in again.json()["message"]) == (409, True)


def test_two_at_once(served: Any, bundled: Any):
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda name: served.submit(bundled.path, name=name), ["ada", "eve"]))
    assert sorted(answer.status_code for answer in answers) == [200, 201], [a.text for a in answers]
    assert answers[0].json()["submitted_by"] == answers[1].json()["submitted_by"]
    kinds = [entry["kind"] for entry in audit.export(served.project.engine)]
    assert kinds.count("evaluation") == 2  # the one before the server's copy was made, and this one


def test_killed_between_files_and_database(served: Any, bundled: Any, monkeypatch: Any):
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(served.project.registry, "finish_evaluation", killed)
        try:
            with acting(ADA):
                submissions.accept(served.project, bundled.path, ADA)
        except KeyboardInterrupt:
            pass
    items = served.request("GET", "/models/bot/versions/1/evaluations", "viewer").json()["items"]
    assert [item["status"] for item in items] == ["running"]
    assert served.submit(bundled.path).status_code == 201
    assert served.request("POST", DECISIONS, "evaluator", json={}).json()["outcome"] == "pass"


def test_after_a_limit_was_edited_nothing_is_submitted_again(served: Any, bundled: Any):
    served.submit(bundled.path)
    stricter = bundled.suite.text.replace("min: 0.5", "min: 0.99")
    bound = served.request("PUT", "/models/bot/versions/1/suite", "evaluator", json={"suite": stricter})
    assert bound.status_code == 200, bound.text
    assert bound.json()["outcome"] is None
    decided = served.request("POST", DECISIONS, "evaluator", json={})
    assert decided.json()["outcome"] == "inconclusive", decided.text
    assert decided.json()["suite_digest"] == bound.json()["suite_digest"]


def test_a_suite_with_other_tasks_wants_other_results(served: Any, bundled: Any):
    key = served.submit(bundled.path).json()["id"]
    other = bundled.suite.text.replace("exact_match, token_f1", "exact_match, empty, token_f1")
    served.request("PUT", "/models/bot/versions/1/suite", "evaluator", json={"suite": other})
    chosen = served.request("POST", DECISIONS, "evaluator", json={})
    assert (chosen.status_code, "no results on its current suite" in chosen.text) == (422, True)
    named = served.request("POST", DECISIONS, "evaluator", json={"evaluation": key})
    assert (named.status_code, "golden/metrics" in named.text) == (422, True)


def test_shards_of_others_stay_apart(served: Any, bundled: Any):
    served.submit(bundled.path)
    home = served.project.settings.home
    assert not (home / "scores").exists()
    assert not (home / "outputs").exists()
    (folder,) = (home / "submitted").iterdir()
    assert (folder / MANIFEST).is_file()
    shutil.rmtree(folder)
    lost = served.request("POST", DECISIONS, "evaluator", json={})
    assert (lost.status_code, lost.json()["outcome"]) == (201, "inconclusive")
