"""Every route there is, ours and MLflow's, as nobody and in each role."""

from __future__ import annotations

import re
from http.client import HTTPConnection
from typing import Any

import pytest

from evalkit.server.guard import OPEN
from evalkit.server.permissions import SAFE, concerns_oneself, only_labels, only_reads

pytestmark = pytest.mark.slow

WRITES = {"POST", "PUT", "PATCH", "DELETE"}


def test_the_table_is_the_whole_application(routes: list[Any]):
    kinds = {kind: {path for k, _, path in routes if k == kind} for kind in ("fastapi", "flask")}
    assert {"/healthz", "/readyz", "/v1/traces", "/gateway/1/mlflow/invocations"} <= kinds["fastapi"]
    assert "/api/2.0/mlflow-artifacts/artifacts/1" in kinds["fastapi"] & kinds["flask"]
    assert {"/", "/signup", "/static-files/1", "/api/2.0/mlflow/users/create", "/graphql"} <= kinds["flask"]
    assert len(routes) > 300


def test_nobody_gets_nothing_but_health(login_server: Any, routes: list[Any]):
    answered = {}
    for _, method, path in routes:
        status = login_server.raw(method, path).status_code
        if status != 401:
            answered[method, path] = status
    assert answered == {
        (method, path): 200 for path in OPEN for method in ("GET", "HEAD") if (method, path) in answered
    }
    assert ("GET", "/healthz") in answered


NEARLY_OPEN = (
    "/", "/no-such-page", "/static-files/../health", "//health", "/health/", "/HEALTH", "/healthz/x", "/health%2f",
    "/health;x", "/evalkit/", "/evalkit/../health", "/%2fhealth", "/api/2.0/mlflow/experiments/search/../health",
)  # fmt: skip


@pytest.mark.parametrize("path", NEARLY_OPEN)
def test_nobody_gets_no_other_path(login_server: Any, path: str):
    for method in ("GET", "POST"):
        # Not by requests, which tidies paths up
        connection = HTTPConnection(login_server.url.removeprefix("http://"), timeout=30)
        connection.request(method, path)
        assert connection.getresponse().status == 401, (method, path)
        connection.close()


def test_viewers_change_nothing(login_server: Any, routes: list[Any]):
    open_to_viewers = set()
    for _, method, path in routes:
        if method in WRITES and "acts as viewer" not in login_server.raw(method, path, "vera", {}).text:
            open_to_viewers.add((method, path))
    assert open_to_viewers == {
        (m, p) for _, m, p in routes if m in WRITES and (only_reads(m, p) or concerns_oneself(p))
    }
    assert ("PATCH", "/api/2.0/mlflow/users/update-password") in open_to_viewers
    assert ("POST", "/api/2.0/mlflow/runs/search") in open_to_viewers


def test_what_viewers_may_post_are_searches(routes: list[Any]):
    posts = {
        re.sub(r".*/mlflow/", "", path) for _, method, path in routes if method in WRITES and only_reads(method, path)
    }
    assert posts == {
        "/graphql", "artifacts/presigned-download-url", "datasets/search", "experiments/search",
        "experiments/search-datasets", "issues/search", "logged-models/search", "prompt-optimization/jobs/search",
        "registered-models/get-latest-versions", "runs/search", "traces/batchGetInfos",
        "traces/calculate-filter-correlation", "traces/metrics", "traces/search", "ui-telemetry",
    }  # fmt: skip


def test_labelers_write_labels_alone(login_server: Any, routes: list[Any]):
    writes = [(method, path) for _, method, path in routes if method in WRITES and not only_reads(method, path)]
    mlflow = [(method, path) for method, path in writes if not path.startswith("/evalkit/")]
    assert sum(only_labels(path) for _, path in mlflow) >= 8
    for method, path in mlflow:
        refused = "acts as labeler" in login_server.raw(method, path, "lars", {}).text
        assert refused is not (only_labels(path) or concerns_oneself(path)), (method, path)


@pytest.mark.parametrize("who", ["vera", "lars", "eva", "anna", "olga", "admin"])
def test_everybody_reads(login_server: Any, who: str):
    for path in ("/", "/version", "/api/2.0/mlflow/experiments/get?experiment_id=0", "/graphql"):
        assert login_server.raw("GET", path, who).status_code not in {401, 403}, path
    search = login_server.raw("POST", "/api/2.0/mlflow/experiments/search", who, {"max_results": 5})
    assert search.status_code == 200, search.text


def test_ordinary_users_write_as_mlflow_lets_them(login_server: Any):
    create = "/api/2.0/mlflow/registered-models/create"
    for who in ("eva", "anna", "olga", "admin"):
        made = login_server.raw("POST", create, who, {"name": f"of-{who}"})
        assert made.status_code == 200, made.text
    # MLflow's own permissions: whoever made a model may change it, others read
    rename = {"name": "of-olga", "description": "d"}
    change = "/api/2.0/mlflow/registered-models/update"
    assert login_server.raw("PATCH", change, "eva", rename).status_code == 403
    assert login_server.raw("PATCH", change, "olga", rename).status_code == 200
    assert login_server.raw("PATCH", change, "admin", rename).status_code == 200


def test_users_are_the_admins_affair(login_server: Any):
    body = {"username": "mallory", "password": "a long password 12"}
    for who in ("vera", "lars", "eva", "anna", "olga"):
        assert login_server.raw("POST", "/api/2.0/mlflow/users/create", who, body).status_code == 403, who
        admin = {"username": who, "is_admin": True}
        assert login_server.raw("PATCH", "/api/2.0/mlflow/users/update-admin", who, admin).status_code == 403, who
    assert login_server.raw("POST", "/api/2.0/mlflow/users/create", "admin", body).status_code == 200


def test_users_and_tokens_by_evalkits_own_routes(login_server: Any):
    users, tokens = "/evalkit/api/v1/users", "/evalkit/api/v1/tokens"
    for who in ("vera", "lars", "eva", "anna", "olga"):
        body = {"username": "mallory2", "password": "a long password 12", "roles": ["admin"]}
        assert login_server.raw("POST", users, who, body).status_code == 403, who
        assert login_server.raw("POST", tokens, who, {"username": "admin"}).status_code == 403, who
        made = login_server.raw("POST", tokens, who, {"label": "own"})
        assert made.status_code == 201, (who, made.text)
        bearer = {"Authorization": f"Bearer {made.json()['token']}"}
        told = login_server.raw("GET", "/evalkit/api/v1/whoami", headers=bearer)
        assert told.json()["name"] == who
        assert login_server.raw("DELETE", f"{tokens}/{made.json()['prefix']}", who).status_code == 200
        assert login_server.raw("GET", "/evalkit/api/v1/whoami", headers=bearer).status_code == 401
        assert made.json()["token"] not in login_server.said()
    listed = login_server.raw("GET", users, "admin").json()["items"]
    assert "mallory2" not in {one["username"] for one in listed} and "admin" in {one["username"] for one in listed}
    assert login_server.raw("DELETE", f"{users}/admin", "admin").status_code == 422
    removed = {"username": "leaves", "password": "a long password 12"}
    assert login_server.raw("POST", users, "admin", removed).status_code == 201
    assert login_server.raw("DELETE", f"{users}/leaves", "admin").status_code == 200
    newest = login_server.raw("GET", "/evalkit/api/v1/audit?newest=true&kind=user.removed", "admin").json()["items"]
    assert [one["facts"]["user"] for one in newest].count("leaves") == 1, "told once, though MLflow's store tells too"


def test_everybody_changes_the_own_password_alone(login_server: Any):
    change = "/api/2.0/mlflow/users/update-password"
    other = {"username": "anna", "password": "another long password"}
    assert login_server.raw("PATCH", change, "vera", other).status_code == 403
    own = {"username": "vera", "password": "another long password"}
    assert login_server.raw("PATCH", change, "vera", own).status_code == 400
    own["current_password"] = "correct horse battery"
    assert login_server.raw("PATCH", change, "vera", own).status_code == 200
    assert login_server.raw("GET", "/version", "vera").status_code == 401
    back = {"username": "vera", "password": "correct horse battery"}
    assert login_server.raw("PATCH", change, "admin", back).status_code == 200
    assert login_server.raw("GET", "/version", "vera").status_code == 200


def test_methods_that_are_safe_are_not_writes():
    assert not SAFE & WRITES
    assert not only_reads("PURGE", "/")
    assert not only_reads("POST", "/api/2.0/mlflow/runs/search/../create")
    assert not only_reads("DELETE", "/api/2.0/mlflow/runs/search")
