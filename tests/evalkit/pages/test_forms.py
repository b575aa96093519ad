"""Forms: only with our own page's token, only by those who may, and back to our own pages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urljoin, urlsplit

import pytest
from fastapi import APIRouter, Depends, FastAPI, Form
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from evalkit.pages import forms, router
from evalkit.server.identity import needs
from registry.actors import EVALUATOR, Actor, acting

HERE = "http://evalkit.test"


def walk(routes: Any) -> Iterator[Any]:
    """Every route below a router."""
    for route in routes:
        if hasattr(route, "effective_candidates"):
            yield from walk(route.effective_candidates())
        elif getattr(route, "methods", None):
            yield route


def calls(dependant: Any) -> Iterator[str]:
    """Names of everything that a route depends on."""
    for one in dependant.dependencies:
        yield one.call.__qualname__ if hasattr(one.call, "__qualname__") else repr(one.call)
        yield from calls(one)


@pytest.fixture
def application() -> Any:
    """A form and the page of it, as ours are."""
    parts = APIRouter()

    @parts.get("/evalkit/x", dependencies=[Depends(needs())])
    def page() -> dict[str, str]:
        return {"token": forms.token()}

    @parts.post("/evalkit/x", dependencies=[Depends(needs(EVALUATOR)), Depends(forms.checked)])
    def taken(where: Annotated[str, Form()] = "/evalkit") -> Any:
        return forms.back_to(where)

    app = FastAPI()
    app.include_router(parts)

    async def identified(scope: Any, receive: Any, send: Any) -> None:
        name, _, role = dict(scope.get("headers", ())).get(b"x-actor", b"eva:evaluator").decode().partition(":")
        with acting(Actor(name, frozenset({role}))):
            await app(scope, receive, send)

    return TestClient(identified, base_url=HERE, follow_redirects=False)


def send(client: Any, token: str | None, who: str = "eva:evaluator", where: str = "/evalkit/monitors") -> Any:
    body = {"where": where} | ({"form_token": token} if token is not None else {})
    return client.post("/evalkit/x", data=body, headers={"x-actor": who})


def token_of(client: Any, who: str = "eva:evaluator") -> str:
    return str(client.get("/evalkit/x", headers={"x-actor": who}).json()["token"])


def test_a_form_with_its_token_is_taken(application: Any):
    answer = send(application, token_of(application))
    assert (answer.status_code, answer.headers["location"]) == (303, "/evalkit/monitors")


@pytest.mark.parametrize("token", [None, "", "x", "0" * 64, "é" * 20, "x" * 101])
def test_without_the_token_nothing_is_done(application: Any, token: str | None):
    assert send(application, token).status_code in {403, 422}


def test_the_token_is_its_actors_own(application: Any):
    theirs = token_of(application, "mallory:evaluator")
    assert send(application, theirs, "mallory:evaluator").status_code == 303
    assert send(application, theirs, "eva:evaluator").status_code == 403


def test_a_token_does_not_make_a_role(application: Any):
    assert send(application, token_of(application, "vera:viewer"), "vera:viewer").status_code == 403


def test_a_token_grows_old(application: Any, monkeypatch: pytest.MonkeyPatch):
    token, now = token_of(application), time.time()
    monkeypatch.setattr(forms.time, "time", lambda: now + 11 * 3600)
    assert send(application, token).status_code == 303
    monkeypatch.setattr(forms.time, "time", lambda: now + 13 * 3600)
    assert send(application, token).status_code == 403


ELSEWHERE = (
    "https://evil.test", "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "javascript:alert(1)",
    "/evalkit\\@evil.test", "http:evil.test", "/evalkit\r\nLocation: https://evil.test", "data:text/html,x", "",
    "//evil.test/evalkit", "https://evil.test/evalkit", "/evalkit/..//evil.test", "/\t/evil.test", "evil.test",
    "/evalkit@evil.test", "\t//evil.test", "/evalkit/../..//evil.test", "https:///evalkit", "///evalkit",
)  # fmt: skip


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_form_never_leads_elsewhere(application: Any, where: str):
    answer = send(application, token_of(application), where=where)
    assert answer.status_code == 303
    stays_here(answer.headers["location"])
    assert "evil.test" not in {name for name, _ in answer.headers.items()}


def stays_here(location: str) -> None:
    # Browsers drop tabs and line ends, and read a backslash as a slash
    read = location.translate({9: None, 10: None, 13: None}).replace("\\", "/").strip()
    target = urlsplit(urljoin(f"{HERE}/evalkit/x", read))
    assert f"{target.scheme}://{target.netloc}" == HERE
    assert "\r" not in location and "\n" not in location


@given(
    st.lists(
        st.sampled_from(["/", "\\", ":", "evalkit", "evil.test", "@", "?", "#", "..", "\t", "\n", "http", " "]),
        max_size=8,
    )
)
def test_whatever_is_asked_for_stays_here(parts: list[str]):
    stays_here(forms.back_to("".join(parts)).headers["location"])


def test_every_form_of_ours_asks_for_the_token_and_a_role():
    checked, seen = [], 0
    for route in walk(router.routes):
        seen += 1
        if not route.methods & {"POST", "PUT", "PATCH", "DELETE"}:
            continue
        wanted = set(calls(route.dependant))
        if "checked" not in wanted or "needs.<locals>.present" not in wanted:
            checked.append(route.path)
    assert checked == []
    assert seen >= 6


def test_every_page_asks_who_reads():
    open_ones = {
        route.path for route in walk(router.routes) if "needs.<locals>.present" not in set(calls(route.dependant))
    }
    assert open_ones == {"/evalkit/assets/{file}"}  # the same for everybody


def test_a_form_that_forgot_the_token_is_seen():
    parts = APIRouter()

    @parts.post("/x", dependencies=[Depends(needs(EVALUATOR))])
    def forgetful() -> None: ...

    (route,) = walk(parts.routes)
    assert "checked" not in set(calls(route.dependant))
    assert "needs.<locals>.present" in set(calls(route.dependant))
