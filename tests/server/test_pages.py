"""The pages over a server that asks for a login: who sees and does what, and what others try with it."""

from __future__ import annotations

import re
import uuid
from base64 import b64encode
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from evalkit.pages.rendering import POLICY
from evalkit.server.logins import PER_USER

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"
EVERYBODY = ("vera", "lars", "eva", "anna", "olga", "admin")
LABELS, EVALUATES, APPROVES = {"lars", "eva", "anna", "admin"}, {"eva", "admin"}, {"anna", "admin"}
FORMS = {
    r"/models/[^/]+/\d+/promote": EVALUATES | APPROVES,
    r"/models/[^/]+/\d+/(approve|demote)": APPROVES,
    r"/models/[^/]+/\d+/decide": EVALUATES,
    r"/alerts/[^/]+/(acknowledge|silence|unsilence)": EVALUATES | APPROVES,
    r"/monitors/[^/]+/[^/]+": EVALUATES,
    r"/label/.+/calibrate": EVALUATES,
    r"/label/.+": LABELS,
}
"""Forms by their path below ``/evalkit``, and who may send them; the first that fits."""
READ_BY_FEWER = {r"/monitors/[^/]+/windows/[^/]+/generations": LABELS, r"/label/[^/]+/[^/]+/[^/]+": LABELS}
"""Pages with what users wrote, and those that are work."""
NO_POLICY_OF_PAGES = re.compile(r"/evalkit/monitors/[^/]+/windows/[^/]+/report")
"""Evidently's reports, which run scripts in a sandbox."""


@pytest.fixture(scope="session")
def pages(routes: list[tuple[str, str, str]]) -> list[str]:
    """Every page, with parameters filled in."""
    found = {path for kind, method, path in routes if kind == "fastapi" and method == "GET" and ours(path)}
    assert {"/evalkit", "/evalkit/monitors", "/evalkit/monitors/1"} <= found
    return sorted(found)


@pytest.fixture(scope="session")
def posted(routes: list[tuple[str, str, str]]) -> list[str]:
    """Every address that a form writes to."""
    return sorted({path for kind, method, path in routes if kind == "fastapi" and method == "POST" and ours(path)})


def ours(path: str) -> bool:
    return (path == "/evalkit" or path.startswith("/evalkit/")) and not path.startswith("/evalkit/api/")


def first(table: dict[str, set[str]], path: str) -> set[str] | None:
    return next((who for form, who in table.items() if re.fullmatch("/evalkit" + form, path)), None)


def exactly(served: Any, path: str, who: str | None = "vera") -> tuple[HTTPResponse, bytes]:
    """A page by a path that no library tidies up."""
    login = "Basic " + b64encode(f"{who}:{PASSWORD}".encode()).decode()
    connection = HTTPConnection(served.url.removeprefix("http://"), timeout=60)
    connection.request("GET", path, headers={"Authorization": login} if who else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


# Who may what


def test_every_page_by_every_role_and_by_nobody(login_server: Any, pages: list[str]):
    for path in pages:
        allowed = first(READ_BY_FEWER, path)
        assert login_server.raw("GET", path).status_code == 401, path
        for who in EVERYBODY:
            status = login_server.raw("GET", path, who).status_code
            if allowed is not None and who not in allowed:
                assert status == 403, (path, who)
            else:
                assert status in {200, 404, 422}, (path, who)


def test_every_form_has_a_row_in_the_table(posted: list[str]):
    assert [path for path in posted if first(FORMS, path) is None] == []


def test_every_form_by_every_role_and_by_nobody(login_server: Any, posted: list[str]):
    for path in posted:
        allowed = first(FORMS, path) or set()
        assert login_server.raw("POST", path, data={}).status_code == 401, path
        for who in EVERYBODY:
            answer = login_server.raw("POST", path, who, data={})
            assert answer.status_code == 403, (path, who)  # nobody here has a page's token
            if who in allowed:
                assert "form is too old" in answer.text, (path, who)


# What pages of other sites try

FOREIGN = (
    {"Origin": "http://evil.test"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Referer": "http://evil.test/", "Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"},
)


@pytest.mark.parametrize("headers", FOREIGN)
def test_forms_of_other_sites_are_refused(login_server: Any, posted: list[str], headers: dict[str, str]):
    for path in [*posted, "/evalkit/monitors/1/run", "/evalkit/api/v1/models"]:
        answer = login_server.raw("POST", path, "admin", data={"form_token": "x"}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "cross_origin"), path


def test_other_sites_read_nothing(login_server: Any, pages: list[str]):
    for path in pages:
        answer = login_server.raw("GET", path, "vera", headers={"Origin": "http://evil.test"})
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")], path


def test_a_cookie_that_somebody_planted_means_nothing(login_server: Any, pages: list[str]):
    planted = {"Cookie": "session=planted; sid=planted; _csrf=planted; evalkit=admin; form_token=planted"}
    for path in pages:
        assert login_server.raw("GET", path, headers=planted).status_code == 401, path
        plain, with_cookie = (login_server.raw("GET", path, "vera", headers=h) for h in ({}, planted))
        assert with_cookie.status_code == plain.status_code, path
        assert "set-cookie" not in with_cookie.headers, path


def test_a_session_of_mlflows_form_is_a_fresh_one(login_server: Any):
    answer = login_server.raw("GET", "/signup", "admin", headers={"Cookie": "session=planted"})
    told = answer.headers.get("set-cookie", "")
    assert "planted" not in told
    assert not told or "httponly" in told.lower()
    fresh = re.match(r"session=([^;]+)", told)
    assert fresh is not None
    assert login_server.raw("GET", "/evalkit", headers={"Cookie": fresh[0]}).status_code == 401


# What a browser may do with a page


def test_every_page_carries_the_policy(login_server: Any, pages: list[str]):
    for path in [*pages, "/evalkit/no-such-page", "/evalkit/monitors?start=-1"]:
        answer = login_server.raw("GET", path, "admin")
        assert answer.headers["x-content-type-options"] == "nosniff", path
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        policy = answer.headers["content-security-policy"]
        if NO_POLICY_OF_PAGES.fullmatch(path) and answer.status_code == 200:
            assert "sandbox" in policy and "allow-same-origin" not in policy, path
        elif path != "/evalkit/no-such-page":
            assert policy == POLICY, path
        assert answer.headers["x-frame-options"] == "SAMEORIGIN", path


# Paths and headers

CLIMBING = (
    "/evalkit/assets/..%2f..%2fevalkit.toml", "/evalkit/assets/../../evalkit.toml",
    "/evalkit/assets/%2e%2e/mlflow.db", "/evalkit/assets/style-..%2f..%2fmlflow.css",
    "/evalkit/assets/%2fetc%2fpasswd.js", "/evalkit/assets/..%5c..%5cx.js",
    "/evalkit/assets/vega-..%2f..%2f..%2fmlflow.svg", "/evalkit/charts/..%2fmlflow.json",
    "/evalkit/charts/..%2f..%2fx.svg", "/evalkit/charts/%00.json", "/evalkit/charts/../mlflow.db.svg",
    "/evalkit/models/x/1/images/..%2f..%2fmlflow.db/1.png",
    "/evalkit/models/x/1/images/t/..%2f..%2f..%2fmlflow.db.png", "/evalkit/models/..%2f..%2fetc/1",
    "/evalkit/monitors/..%2f..%2f.evalkit", "/evalkit/monitors/x/windows/..%2f1/report",
    "/evalkit/label/..%2f..%2fx/1/t",
)  # fmt: skip


@pytest.mark.parametrize("path", CLIMBING)
def test_no_path_leaves_its_folder(login_server: Any, path: str):
    answer, body = exactly(login_server, path, "admin")
    assert 400 <= answer.status < 500, path
    assert b"SQLite format" not in body and b"root:" not in body
    assert exactly(login_server, path, None)[0].status == 401


@pytest.mark.parametrize(
    "injected", ["%0d%0aSet-Cookie:%20planted=1", "%0aX-Planted:%201", "%E5%98%8A%E5%98%8DX-Planted:1"]
)
def test_no_header_comes_from_an_address(login_server: Any, injected: str):
    for path in ("/evalkit/monitors?model=", "/evalkit/monitors/", "/evalkit/assets/", "/evalkit/charts/", "/evalkit/"):
        answer, _ = exactly(login_server, path + injected)
        names = {name.lower() for name, _ in answer.getheaders()}
        assert "set-cookie" not in names and "x-planted" not in names, path


# Logging in, and MLflow beside it


def test_guessing_a_password_for_a_page_is_slowed_down(login_server: Any):
    name = f"nobody-{uuid.uuid4().hex[:6]}"
    seen = [login_server.raw("GET", "/evalkit", name).status_code for _ in range(PER_USER + 1)]
    assert seen == [401] * PER_USER + [429]
    assert login_server.raw("GET", "/evalkit", "vera").status_code == 200


def test_mlflows_own_paths_are_answered_by_mlflow(login_server: Any):
    assert "<title>MLflow</title>" in login_server.raw("GET", "/", "vera").text
    found = login_server.raw("GET", "/ajax-api/2.0/mlflow/registered-models/search?max_results=10", "vera")
    assert found.headers["content-type"].startswith("application/json")
    assert "content-security-policy" in found.headers
    assert "default-src" not in login_server.raw("GET", "/", "vera").headers["content-security-policy"]
