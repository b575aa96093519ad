"""Every route, for every role and for nobody: what may be done, and in which shape a refusal comes."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute

from evalkit.server.api import PREFIX, router

ROLES = ("viewer", "labeler", "evaluator", "approver", "admin")
READERS = frozenset(ROLES)
EVALUATORS = frozenset({"evaluator", "admin"})
TELLERS = frozenset({"labeler", "evaluator", "admin"})
ADMINS = frozenset({"admin"})
APPROVERS = frozenset({"approver", "admin"})
KEY = "0190b0c8-7c1a-7000-8000-000000000000"
DIGEST = "sha256:" + "0" * 64

# Method and path to who may, and what to send; nothing here changes anything: what it names is not there
ROUTES: dict[tuple[str, str], tuple[frozenset[str], Any]] = {
    ("GET", "/whoami"): (READERS, None),
    ("GET", "/models"): (READERS, None),
    ("GET", "/models/{name}/versions"): (READERS, None),
    ("POST", "/models/{name}/versions"): (EVALUATORS, {"source": "models:/m-00000000", "suite": "suite: x"}),
    ("GET", "/models/{name}/versions/{version}"): (READERS, None),
    ("PUT", "/models/{name}/versions/{version}/suite"): (EVALUATORS, {"suite": "suite: x"}),
    ("GET", "/suites/{digest}"): (READERS, None),
    ("POST", "/evaluations"): (EVALUATORS, b"no zip"),
    ("GET", "/models/{name}/versions/{version}/evaluations"): (READERS, None),
    ("GET", "/evaluations/{key}"): (READERS, None),
    ("GET", "/evaluations/{key}/estimates"): (READERS, None),
    ("POST", "/models/{name}/versions/{version}/requests"): (EVALUATORS, {}),
    ("GET", "/requests/{key}"): (READERS, None),
    ("POST", "/models/{name}/versions/{version}/decisions"): (EVALUATORS, {}),
    ("GET", "/models/{name}/versions/{version}/decisions"): (READERS, None),
    ("GET", "/decisions/{key}"): (READERS, None),
    ("PUT", "/models/{name}/aliases/{alias}"): (EVALUATORS | APPROVERS, {"version": 99}),
    ("DELETE", "/models/{name}/aliases/{alias}"): (APPROVERS, None),
    ("GET", "/models/{name}/promotions"): (READERS, None),
    ("POST", "/models/{name}/versions/{version}/approvals"): (APPROVERS, {}),
    ("GET", "/models/{name}/versions/{version}/approvals"): (READERS, None),
    ("GET", "/policies"): (READERS, None),
    ("PUT", "/policies/{pattern}"): (frozenset({"admin"}), {"aliases": ["latest"]}),
    ("DELETE", "/policies/{pattern}"): (frozenset({"admin"}), None),
    ("GET", "/calibrations"): (READERS, None),
    ("GET", "/judges"): (READERS, None),
    ("GET", "/monitors"): (READERS, None),
    ("GET", "/monitors/{name}"): (READERS, None),
    ("PUT", "/monitors/{name}"): (EVALUATORS, {"text": "monitor: x"}),
    ("DELETE", "/monitors/{name}"): (frozenset({"admin"}), None),
    ("GET", "/monitors/{name}/contract"): (EVALUATORS, None),
    ("GET", "/monitors/{name}/explanation"): (READERS, None),
    ("GET", "/monitors/{name}/rollups"): (READERS, None),
    ("POST", "/monitors/{name}/prune"): (EVALUATORS, {}),
    ("GET", "/monitors/{name}/windows"): (READERS, None),
    ("GET", "/monitors/{name}/signals"): (READERS, None),
    ("GET", "/monitors/{name}/jobs"): (READERS, None),
    ("POST", "/monitors/{name}/run"): (EVALUATORS, None),
    ("GET", "/monitors/{name}/backfills"): (READERS, None),
    ("POST", "/monitors/{name}/backfills"): (EVALUATORS, {"start": 0, "end": 1}),
    ("POST", "/monitors/{name}/pause"): (EVALUATORS, None),
    ("POST", "/monitors/{name}/resume"): (EVALUATORS, None),
    ("GET", "/alerts"): (READERS, None),
    ("GET", "/alerts/{key}"): (READERS, None),
    ("GET", "/alerts/{key}/samples"): (READERS - {"viewer"}, None),
    ("POST", "/alerts/{key}/acknowledge"): (EVALUATORS | APPROVERS, {"reason": "why"}),
    ("POST", "/alerts/{key}/silence"): (EVALUATORS | APPROVERS, {"reason": "why", "until": 2**52}),
    ("POST", "/alerts/{key}/unsilence"): (EVALUATORS | APPROVERS, {"reason": "why"}),
    ("POST", "/streams/{stream}/records"): (TELLERS, [{"latency": -1}]),
    ("POST", "/erasures"): (frozenset({"admin"}), {"user": "nobody", "dry_run": True}),
    ("GET", "/overview"): (READERS, None),
    ("GET", "/models/{name}/trends"): (READERS, None),
    ("GET", "/comparisons"): (READERS, None),
    ("GET", "/comparisons/samples"): (READERS, None),
    ("GET", "/evaluations/{key}/samples"): (READERS, None),
    ("GET", "/evaluations/{key}/slices"): (READERS, None),
    ("GET", "/evaluations/{key}/image"): (READERS, None),
    ("GET", "/evaluations/{key}/modes"): (READERS, None),
    ("GET", "/evaluations/{key}/modes/{place}"): (READERS, None),
    ("GET", "/decisions/{key}/rules"): (READERS, None),
    ("GET", "/judges/{judge}"): (READERS, None),
    ("GET", "/labelling"): (READERS, None),
    ("GET", "/labelling/{name}/{version}/{task}"): (READERS - {"viewer"}, None),
    ("POST", "/labelling/{name}/{version}/{task}/labels"): (READERS - {"viewer"}, {
        "draw": 0, "population": "x", "answer": "p"
    }),
    ("GET", "/labelling/{name}/{version}/{task}/labels"): (READERS, None),
    ("POST", "/labelling/{name}/{version}/{task}/calibrations"): (EVALUATORS, {}),
    ("GET", "/monitors/{name}/standing"): (READERS, None),
    ("GET", "/monitors/{name}/readings"): (READERS, None),
    ("GET", "/monitors/{name}/deployments"): (READERS, None),
    ("GET", "/monitors/{name}/windows/{start}"): (READERS, None),
    ("GET", "/monitors/{name}/windows/{start}/signals"): (READERS, None),
    ("GET", "/monitors/{name}/windows/{start}/generations"): (READERS - {"viewer"}, None),
    ("GET", "/jobs"): (READERS, None),
    ("GET", "/jobs/{name}"): (READERS, None),
    ("POST", "/jobs/{name}/run"): (EVALUATORS, None),
    ("POST", "/jobs/{name}/pause"): (EVALUATORS, None),
    ("POST", "/jobs/{name}/resume"): (EVALUATORS, None),
    ("GET", "/firings"): (READERS, None),
    ("GET", "/workers"): (READERS, None),
    ("GET", "/work"): (READERS, None),
    ("GET", "/work/items"): (READERS, None),
    ("POST", "/work/items/{key}/retry"): (frozenset({"admin"}), None),
    ("GET", "/webhooks"): (frozenset({"admin"}), None),
    ("POST", "/webhooks"): (frozenset({"admin"}), {"url": "ftp://x", "secret_env": "S"}),
    ("DELETE", "/webhooks/{key}"): (frozenset({"admin"}), None),
    ("POST", "/webhooks/{key}/test"): (ADMINS, None),
    ("GET", "/webhooks/deliveries"): (ADMINS, None),
    ("POST", "/audit/anchors"): (ADMINS, None),
    ("GET", "/database"): (ADMINS, None),
    ("GET", "/doctor"): (ADMINS, None),
    ("POST", "/calibrations"): (EVALUATORS, {"labels_digest": "none"}),
    ("GET", "/models/{name}/versions/{version}/verdicts"): (READERS, None),
    ("GET", "/costs"): (READERS, None),
    ("GET", "/comparisons/scores"): (READERS, None),
    ("GET", "/users"): (ADMINS, None),
    ("POST", "/users"): (ADMINS, {"username": "nobodys", "password": "a long password 12"}),
    ("PUT", "/users/{username}/roles"): (ADMINS, {"roles": []}),
    ("PUT", "/users/{username}/password"): (ADMINS, {"password": "a long password 12"}),
    ("DELETE", "/users/{username}"): (ADMINS, None),
    ("GET", "/tokens"): (READERS, None),
    ("POST", "/tokens"): (READERS, {}),
    ("DELETE", "/tokens/{prefix}"): (READERS, None),
    ("GET", "/metrics"): (READERS, None),
    ("GET", "/metrics/{metric}"): (READERS, None),
    ("GET", "/datasets"): (READERS, None),
    ("POST", "/suites/checks"): (EVALUATORS, {"suite": "suite: x"}),
    ("POST", "/imports"): (EVALUATORS, b"no zip"),
    ("GET", "/evaluations/{key}/results"): (READERS, None),
    ("GET", "/models/{name}/versions/{version}/export"): (EVALUATORS, None),
    ("GET", "/audit"): (READERS, None),
    ("GET", "/audit/verify"): (READERS, None),
}  # fmt: skip


def routes() -> set[tuple[str, str]]:
    from fastapi import FastAPI

    app = FastAPI()
    app.include_router(router)
    paths = app.openapi()["paths"]
    return {(method.upper(), path.removeprefix(PREFIX)) for path, methods in paths.items() for method in methods}


def test_every_route_is_in_the_table():
    assert routes() == set(ROUTES)
    assert APIRoute is not None


@pytest.mark.parametrize(("method", "path"), sorted(ROUTES), ids="-".join)
def test_who_may(served: Any, method: str, path: str):
    allowed, body = ROUTES[method, path]
    path = path.format(
        name="nobodys",
        version="99",
        alias="champion",
        key=KEY,
        digest=DIGEST,
        pattern="nobodys",
        stream="x",
        start=0,
        place=0,
        task="none",
        judge="nobodys",
        username="nobodys",
        prefix="ek_",
        metric="none",
    )
    more: dict[str, Any] = {"json": body} if isinstance(body, dict) else {}
    if isinstance(body, bytes):
        more = {"content": body, "headers": {"content-type": "application/zip"}}
    query = "?version=99" if method == "DELETE" and "aliases" in path else ""

    nobody = served.request(method, path + query, **more)
    assert nobody.status_code == 401, nobody.text
    assert nobody.json()["error"] == "unauthenticated"
    for role in ROLES:
        answer = served.request(method, path + query, role, **more)
        if role in allowed:
            assert answer.status_code not in {401, 403, 500}, (role, answer.text)
        else:
            assert answer.status_code == 403, (role, answer.text)
            assert "role" in answer.json()["message"]
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error", "message"}


def test_an_override_needs_an_approver_whatever_the_policy(served: Any):
    body = {"version": 1, "override": "in a hurry"}
    refused = served.request("PUT", "/models/bot/aliases/anything", "evaluator", json=body)
    assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    assert served.request("GET", "/models/bot/versions/1", "viewer").json()["aliases"] == []
    moved = served.request("PUT", "/models/bot/aliases/anything", "approver", "bea", json=body)
    assert moved.status_code == 200, moved.text
    assert (moved.json()["override"], moved.json()["actor"]) == ("in a hurry", "bea")
    gone = served.request("DELETE", "/models/bot/aliases/anything?version=1", "approver")
    assert gone.status_code == 200, gone.text
    again = served.request("DELETE", "/models/bot/aliases/anything?version=1", "approver")
    assert again.status_code == 422
