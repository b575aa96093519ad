"""An evaluation comes in from another machine, is decided on, and the version is promoted."""

from __future__ import annotations

from typing import Any

from registry import audit


def test_from_submission_to_champion(served: Any, bundled: Any):
    made = served.submit(bundled.path)
    assert made.status_code == 201, made.text
    told = made.json()
    assert (told["submitted_by"], told["id"], told["missing"]) == ("ada", bundled.evaluation.id, [])
    estimates = served.request("GET", f"/evaluations/{told['id']}/estimates", "viewer").json()["items"]
    assert len(estimates) == len(bundled.evaluation.estimates)
    assert estimates[0]["estimate"] == bundled.evaluation.estimates[0].estimate.to_json()

    decided = served.request("POST", "/models/bot/versions/1/decisions", "evaluator", json={})
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
