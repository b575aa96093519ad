"""The guard by itself, around an application that tells who acts."""

from __future__ import annotations

import base64
import getpass
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from evalkit.server.guard import Guard, Mode
from evalkit.server.identity import Login, login_of, needs
from evalkit.server.logins import PER_ADDRESS, PER_USER, WINDOW, Credentials, FailedLogins, read_header
from registry.actors import ROLES, VIEWER, intent

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
KNOWN = {"vera": {"viewer"}, "lars": {"labeler"}, "eva": {"evaluator"}, "olga": set(), "root": {"admin"}}


class Book:
    """Logins without a database: the password is the name."""

    asked = 0

    def identify(self, credentials: Credentials) -> Login | None:
        self.asked += 1
        name = credentials.username if credentials.username is not None else credentials.secret.removeprefix("token-")
        right = credentials.secret in {name, f"token-{name}"}
        return login_of(name, frozenset(KNOWN[name])) if right and name in KNOWN else None


async def _echo(request: Request) -> JSONResponse:
    in_thread = await anyio.to_thread.run_sync(lambda: (intent().actor, threading.current_thread().name))
    return JSONResponse({
        "actor": intent().actor.name, "roles": sorted(intent().actor.roles), "in_thread": in_thread[0].name,
        "authorization": request.headers.get("authorization"), "thread": in_thread[1],
        "agent": request.headers.get("x-mlflow-authorization"),
    }, headers={"Access-Control-Allow-Origin": request.headers.get("origin", "*")})  # fmt: skip


def client(mode: Mode = Mode.LOGIN, *, book: Any = None, **settings: Any) -> TestClient:
    logins = (book or Book()) if mode is Mode.LOGIN else None
    inner = Starlette(routes=[Mount("/", routes=[Route("/{path:path}", _echo, methods=METHODS)])])
    return TestClient(Guard(inner, mode=mode, logins=logins, **settings), base_url="http://evalkit.test")


def basic(name: str, password: str | None = None) -> dict[str, str]:
    secret = base64.b64encode(f"{name}:{name if password is None else password}".encode()).decode()
    return {"Authorization": f"Basic {secret}"}


def test_who_acts_reaches_the_route_and_its_threads():
    for headers in (basic("eva"), {"Authorization": "Bearer token-eva"}):
        told = client().get("/x", headers=headers).json()
        assert told["actor"] == told["in_thread"] == "eva"
        assert told["roles"] == ["evaluator"]
        assert told["thread"] != "MainThread"


def test_nothing_remains_of_a_request():
    before = intent().actor
    served = client()
    assert served.get("/x", headers=basic("root")).status_code == 200
    assert served.get("/x").status_code == 401
    assert intent().actor == before


def test_the_secret_goes_no_further():
    for headers in (basic("eva"), {"Authorization": "Bearer token-eva"}):
        told = client().get("/x", headers=headers).json()
        assert base64.b64decode(told["authorization"].removeprefix("Basic ")) == b"eva:"


def test_agents_of_the_gateway_log_in_apart_from_their_providers_key():
    headers = {"Authorization": "Bearer providers-key", "X-MLflow-Authorization": basic("eva")["Authorization"]}
    told = client().post("/gateway/x/mlflow/invocations", headers=headers).json()
    assert (told["actor"], told["authorization"]) == ("eva", "Bearer providers-key")
    assert base64.b64decode(told["agent"].removeprefix("Basic ")) == b"eva:"
    assert client().post("/elsewhere", headers=headers).status_code == 401


UNREADABLE = (
    "", "Basic", "Basic !!!", "Bearer", "Bearer ", "Digest eva", "Basic ZXZh", "Basic OmV2YQ==", "basic\tx",
    "Basic /w==",
)  # fmt: skip


@pytest.mark.parametrize("value", UNREADABLE)
def test_headers_that_say_nothing(value: str):
    assert read_header(value) is None
    refused = client().get("/x", headers={"Authorization": value})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == 'Basic realm="evalkit"'
    assert set(refused.json()) == {"error", "error_code", "message"}


def test_wrong_logins_are_refused():
    for headers in (basic("eva", "wrong"), basic("nobody"), {"Authorization": "Bearer token-nobody"}):
        assert client().get("/x", headers=headers).status_code == 401


def test_whoever_may_log_in_may_read():
    assert client().get("/x", headers=basic("olga")).json()["roles"] == [VIEWER]


# What writes


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/evalkit/api/v1/x", "/api/2.0/mlflow/runs/create", "/x"])
def test_viewers_do_not_write(method: str, path: str):
    assert client().request(method, path, headers=basic("vera")).status_code == 403
    for name in ("eva", "root", "olga"):
        assert client().request(method, path, headers=basic(name)).status_code == 200, name


def test_labelers_write_labels():
    served = client()
    assert served.post("/api/3.0/mlflow/traces/tr-1/assessments", headers=basic("lars")).status_code == 200
    assert served.post("/evalkit/api/v1/labels", headers=basic("lars")).status_code == 200
    assert served.post("/api/3.0/mlflow/traces/tr-1/tags", headers=basic("lars")).status_code == 403
    assert served.post("/api/3.0/mlflow/traces/tr-1/assessments", headers=basic("vera")).status_code == 403


# Other sites

FOREIGN = [
    {"Origin": "http://evil.test"},
    {"Origin": "http://evalkit.test:8080"},
    {"Origin": "http://evalkit.test.evil.test"},
    {"Origin": "null"},
    {"Origin": "http://evil.test", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://evalkit.test", "Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/evalkit/api/v1/promote", "/api/2.0/mlflow/runs/create", "/graphql", "/signup"])
def test_pages_of_other_sites_write_nothing(mode: Mode, headers: dict[str, str], path: str):
    for method in ("POST", "DELETE"):
        refused = client(mode).request(method, path, headers={**basic("root"), **headers})
        assert (refused.status_code, refused.json()["error"]) == (403, "cross_origin")


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://evalkit.test"},
        {"Origin": "https://evalkit.test", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_our_own_pages_and_programs_write(mode: Mode, headers: dict[str, str]):
    assert client(mode).post("/evalkit/x", headers={**basic("root"), **headers}).status_code == 200


def test_origins_that_were_allowed():
    page = {"Origin": "https://lab.test", "Sec-Fetch-Site": "cross-site"}
    served = client(origins=["https://lab.test"])
    assert served.post("/x", headers={**basic("root"), **page}).status_code == 200
    preflight = {"Access-Control-Request-Method": "POST"}
    assert served.options("/x", headers={**page, **preflight}).status_code == 200
    assert served.options("/x", headers=page).status_code == 401
    assert served.options("/x", headers={**preflight, "Origin": "https://evil.test"}).status_code == 401
    assert served.post("/x", headers={**page, **preflight}).status_code == 401


@pytest.mark.parametrize("mode", list(Mode))
def test_pages_of_other_origins_read_nothing(mode: Mode):
    served = client(mode, origins=["https://lab.test"])
    for origin, reads in (("http://localhost:3000", False), ("https://lab.test", True), ("http://evalkit.test", True)):
        answer = served.get("/x", headers={**basic("root"), "Origin": origin})
        assert ("access-control-allow-origin" in answer.headers) is reads, origin


def test_reading_from_elsewhere_needs_a_login_as_always():
    assert client().get("/x", headers={"Origin": "http://evil.test"}).status_code == 401


# Modes


def test_without_login_the_owner_acts():
    told = client(Mode.LOCAL).get("/x").json()
    assert told["actor"] == getpass.getuser()
    assert set(told["roles"]) == ROLES


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_without_login_no_proxy_is_answered(header: str):
    assert client(Mode.LOCAL).get("/x", headers={header: "for=10.1.1.1"}).json()["error"] == "proxied"
    assert client().get("/x", headers={**basic("eva"), header: "10.1.1.1"}).status_code == 200


def test_by_mlflows_own_command_clients_are_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", "sqlite://")
    told = client(Mode.NOBODY).get("/x", headers=basic("root")).json()
    assert (told["actor"], told["roles"]) == ("anonymous client", [])


def test_login_needs_logins():
    with pytest.raises(ValueError, match="needs logins"):
        Guard(Starlette(), mode=Mode.LOGIN)


def test_no_web_sockets():
    for mode in Mode:
        with pytest.raises(WebSocketDisconnect), client(mode).websocket_connect("/x", headers=basic("root")):
            pass


# Headers


@pytest.mark.parametrize("path", ["/x", "/healthz"])
def test_every_answer_is_hardened(path: str):
    for headers in ({}, basic("eva"), {"Origin": "http://evil.test"}):
        answer = client().request("GET" if headers else "POST", path, headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"
        assert answer.headers["referrer-policy"] == "same-origin"


def test_frames_may_be_allowed():
    assert "x-frame-options" not in client(frames=True).get("/x", headers=basic("eva")).headers


# Failed logins


def test_guessing_is_slowed_down():
    book = Book()
    served = client(book=book)
    for _ in range(PER_USER):
        assert served.get("/x", headers=basic("eva", "wrong")).status_code == 401
    asked = book.asked
    slowed = served.get("/x", headers=basic("eva"))
    assert slowed.status_code == 429
    assert 0 < int(slowed.headers["retry-after"]) <= WINDOW + 1
    assert book.asked == asked, "the password was not even looked at"
    assert served.get("/x", headers=basic("vera")).status_code == 200
    assert served.get("/x", headers={"Authorization": "Bearer token-eva"}).status_code == 200


def test_failures_are_forgotten():
    now = [0.0]
    failed = FailedLogins(clock=lambda: now[0])
    for _ in range(PER_USER):
        assert failed.wait("10.0.0.1", "eva") == 0
        failed.note("10.0.0.1", "eva")
    assert failed.wait("10.0.0.1", "eva") == WINDOW
    assert failed.wait("10.0.0.2", "eva") == failed.wait("10.0.0.1", "vera") == 0
    now[0] = WINDOW
    assert failed.wait("10.0.0.1", "eva") == 0
    failed.note("10.0.0.1", "eva")
    failed.forgive("10.0.0.1", "eva")
    assert failed.wait("10.0.0.1", "eva") == 0


def test_one_address_does_not_try_every_name():
    failed = FailedLogins(clock=lambda: 0.0)
    for number in range(PER_ADDRESS):
        failed.note("10.0.0.1", f"user{number}")
    assert failed.wait("10.0.0.1", "another") == WINDOW
    assert failed.wait("10.0.0.2", "another") == 0


def test_names_do_not_fill_the_memory():
    now = [0.0]
    failed = FailedLogins(clock=lambda: now[0])
    for number in range(30_000):
        now[0] += 1
        failed.note("10.0.0.1", f"user{number}")
    assert len(failed._times) < 11_000


# Routes


def _call(dependency: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        return await dependency()

    return anyio.run(run)


def test_needs_has_teeth(monkeypatch: pytest.MonkeyPatch):
    from fastapi import HTTPException

    from evalkit.server.identity import acting_as

    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", "sqlite://")
    with pytest.raises(HTTPException) as anonymous:
        _call(needs())
    assert anonymous.value.status_code == 401
    with acting_as(login_of("vera", frozenset({VIEWER}))):
        assert _call(needs()).name == "vera"
        with pytest.raises(HTTPException) as refused:
            _call(needs("evaluator", "approver"))
        assert refused.value.status_code == 403
    with acting_as(login_of("root", frozenset({"admin"}))):
        assert _call(needs("approver")).name == "root"
    with pytest.raises(ValueError, match="unknown roles"):
        needs("owner")
