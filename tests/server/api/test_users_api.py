"""Users and tokens by the API and by the commands, behind the real guard: nobody gets more than they had."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from fastapi.testclient import TestClient

from evalkit.cli.app import run
from evalkit.server.accounts import MOST_TOKENS, WORKER_USER, Accounts
from evalkit.server.api import PREFIX, router
from evalkit.server.guard import Guard, Mode
from evalkit.server.logins import PER_USER, Logins
from evalkit.server.mlflow_auth import bind_users
from registry import audit, identity
from registry.actors import intent
from registry.digests import now_ms

PASSWORD = "correct horse battery"
OTHER = "another long password"
HOUR = 3_600_000
PEOPLE: dict[str, list[str]] = {
    "root": ["admin"], "eva": ["evaluator", "labeler"], "anna": ["approver"], "vera": ["viewer"], "olga": [],
}  # fmt: skip


class Served:
    """The API behind the guard, over users of its own."""

    def __init__(self, app: FastAPI, accounts: Accounts) -> None:
        self.accounts = app.state.accounts = accounts
        logins = Logins(accounts, "the-workers-token")
        self.http = TestClient(Guard(app, mode=Mode.LOGIN, logins=logins), base_url="http://evalkit.test")

    def ask(self, method: str, path: str, by: str, body: Any = None, **more: Any) -> Any:
        """A request by a user's name, or with a token."""
        headers = {"authorization": f"Bearer {by}"} if by.startswith(("ek_", "the-")) else {}
        auth = None if headers else (by, PASSWORD)
        given = {} if body is None else {"json": body}
        return self.http.request(
            method, f"{PREFIX}{path}", auth=auth, headers=headers | more.pop("headers", {}), **given, **more
        )

    def token(self, by: str, **body: Any) -> Any:
        return self.ask("POST", "/tokens", by, body)

    def made(self, by: str, **body: Any) -> str:
        answer = self.token(by, **body)
        assert answer.status_code == 201, answer.text
        secret: str = answer.json()["token"]
        return secret

    def roles(self, by: str) -> list[str] | None:
        answer = self.ask("GET", "/whoami", by)
        return answer.json()["roles"] if answer.status_code == 200 else None


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    path = tmp_path_factory.mktemp("people") / "mlflow.db"
    shutil.copyfile(empty_store, path)
    from mlflow.server.auth import sqlalchemy_store
    from werkzeug.security import generate_password_hash

    accounts = Accounts(f"sqlite:///{path}")
    with pytest.MonkeyPatch.context() as patch:  # hashes that take no time: every test logs in anew
        patch.setattr(
            sqlalchemy_store, "generate_password_hash", lambda p: generate_password_hash(p, "pbkdf2:sha256:1")
        )
        for name, roles in PEOPLE.items():
            accounts.add(name, PASSWORD, roles, actor="test")
    accounts.make_worker()
    accounts.close()
    return path


@pytest.fixture(scope="module")
def app() -> FastAPI:
    made = FastAPI()
    made.include_router(router)
    return made


@pytest.fixture
def served(app: FastAPI, tmp_path: Path, store: Path) -> Iterator[Served]:
    shutil.copyfile(store, tmp_path / "mlflow.db")
    accounts = Accounts(f"sqlite:///{tmp_path / 'mlflow.db'}")
    # As `evalkit server` has it
    bind_users(accounts._store, lambda name: identity.forget_user(accounts.engine, name, actor=intent().actor.name))
    yield Served(app, accounts)
    accounts.close()


def entries(served: Served) -> list[tuple[str, str]]:
    return [(entry["kind"], entry["actor"]) for entry in audit.export(served.accounts.engine)]


# Users


def test_an_admin_keeps_users_and_the_audit_tells_who(served: Served):
    before = len(entries(served))
    made = served.ask("POST", "/users", "root", {"username": "nina", "password": OTHER, "roles": ["labeler"]})
    assert (made.status_code, made.json()["roles"]) == (201, ["labeler"]), made.text
    assert served.ask("POST", "/users", "root", {"username": "nina", "password": OTHER}).status_code == 409
    changed = served.ask("PUT", "/users/nina/roles", "root", {"roles": ["approver", "evaluator"]})
    assert changed.json()["roles"] == ["approver", "evaluator"]
    assert served.ask("PUT", "/users/nina/password", "root", {"password": PASSWORD}).status_code == 200
    assert served.roles("nina") == ["approver", "evaluator"]
    page = served.ask("GET", "/users?limit=4", "root").json()
    rest = served.ask("GET", f"/users?cursor={page['next']}", "root").json()
    assert [one["username"] for one in page["items"] + rest["items"]] == ["anna", "eva", "nina", "olga", "root", "vera"]
    assert served.ask("DELETE", "/users/nina", "root").json()["username"] == "nina"
    assert served.ask("DELETE", "/users/nina", "root").status_code == 404
    assert served.roles("nina") is None
    assert entries(served)[before:] == [
        ("roles.set", "root"), ("roles.set", "root"), ("password.set", "root"), ("user.removed", "root"),
    ]  # fmt: skip
    assert audit.verify(served.accounts.engine).intact


WRITES = [
    ("POST", "/users", {"username": "nina", "password": OTHER, "roles": ["admin"]}),
    ("PUT", "/users/{me}/roles", {"roles": ["admin"]}),
    ("PUT", "/users/root/roles", {"roles": []}),
    ("PUT", "/users/root/password", {"password": OTHER}),
    ("PUT", "/users/{me}/password", {"password": OTHER}),
    ("DELETE", "/users/root", None),
    ("GET", "/users", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_users_are_the_admins_affair(served: Served, method: str, path: str, body: Any):
    narrow = served.made("root", role="evaluator")
    for who in ("eva", "anna", "vera", "olga", narrow, "the-workers-token"):
        answer = served.ask(method, path.format(me="eva" if who in {narrow, "the-workers-token"} else who), who, body)
        assert answer.status_code == 403, (who, answer.text)
    assert {one.username: sorted(one.roles) for one in served.accounts.list()} == {
        name: sorted(roles) for name, roles in PEOPLE.items()
    }
    assert served.roles("root") == ["admin"]


def test_somebody_stays_admin(served: Served):
    for method, path, body in (("DELETE", "/users/root", None), ("PUT", "/users/root/roles", {"roles": ["viewer"]})):
        refused = served.ask(method, path, "root", body)
        assert (refused.status_code, "only admin" in refused.json()["message"]) == (422, True)
    assert served.roles("root") == ["admin"]


def test_two_admins_who_go_at_the_same_time_leave_one(served: Served, monkeypatch: pytest.MonkeyPatch):
    served.accounts.add("second", PASSWORD, ["admin"], actor="test")
    both, real = threading.Barrier(2), Accounts._keep_an_admin

    def slow(self: Accounts, user: Any) -> None:
        real(self, user)
        try:
            both.wait(1)  # both have looked before one of them goes, unless one waits for the other
        except threading.BrokenBarrierError:
            return

    monkeypatch.setattr(Accounts, "_keep_an_admin", slow)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda n=name: statuses.append(served.ask("DELETE", f"/users/{n}", n).status_code))  # type: ignore[misc]
        for name in ("root", "second")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 422]
    assert sum("admin" in one.roles for one in served.accounts.list()) == 1


@pytest.mark.parametrize("name", [WORKER_USER, "nobody", "%00", "..", "a%2fb", "x" * 300])
def test_who_is_no_user_is_not_changed(served: Served, name: str):
    for method, tail, body in (("PUT", "/roles", {"roles": []}), ("PUT", "/password", {"password": OTHER}),
                               ("DELETE", "", None)):  # fmt: skip
        assert served.ask(method, f"/users/{name}{tail}", "root", body).status_code in {404, 405, 422}
    assert served.roles("the-workers-token") == ["evaluator"]
    assert served.token("root", username=WORKER_USER).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"username": "nina", "password": "short"}, {"username": "nina", "password": ""}, {"username": "nina"},
        {"username": "a/b", "password": OTHER}, {"username": "a:b", "password": OTHER},
        {"username": WORKER_USER, "password": OTHER}, {"username": "nina", "password": OTHER, "roles": ["owner"]},
        {"username": "nina", "password": "secret" * 200}, {"username": "nina", "password": ["secret-words"]},
        {"username": "nina", "password": OTHER, "is_admin": True}, {"username": "", "password": OTHER},
    ],
)  # fmt: skip
def test_users_that_cannot_be(served: Served, body: dict[str, Any]):
    refused = served.ask("POST", "/users", "root", body)
    assert refused.status_code == 422, refused.text
    assert "secret" not in refused.text and OTHER not in refused.text, "what is refused is not repeated"
    assert len(served.accounts.list()) == len(PEOPLE)


# Tokens


@pytest.mark.parametrize("who", sorted(PEOPLE))
def test_everybody_keeps_tokens_of_their_own(served: Served, who: str):
    answer = served.token(who, label="ci", expires_at=now_ms() + HOUR)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store"), answer.text
    told = answer.json()
    secret = told.pop("token")
    assert served.roles(secret) == sorted(PEOPLE[who] or ["viewer"])
    (listed,) = served.ask("GET", "/tokens", who).json()["items"]
    assert {key: value for key, value in listed.items() if key != "last_used_at"} == {
        key: value for key, value in told.items() if key != "last_used_at"
    }
    assert secret not in json.dumps(listed)
    gone = served.ask("DELETE", f"/tokens/{told['prefix']}", who)
    assert (gone.status_code, gone.json()["revoked_at"] is not None) == (200, True), gone.text
    assert served.roles(secret) is None
    assert entries(served)[-2:] == [("token.created", who), ("token.revoked", who)]


def test_tokens_of_others_are_the_admins(served: Served):
    secret = served.made("anna")
    prefix = secret.rpartition("_")[0][:13]
    narrow = served.made("root", role="evaluator")
    for who in ("eva", "vera", "olga", narrow):
        assert served.token(who, username="anna").status_code == 403, who
        assert served.ask("GET", "/tokens?user=anna", who).status_code == 403, who
        assert served.ask("DELETE", f"/tokens/{prefix}", who).status_code == 422, who
        shown = served.ask("GET", "/tokens", who).json()["items"]
        assert "anna" not in {one["username"] for one in shown}
    assert served.roles(secret) == ["approver"]
    assert served.made("root", username="anna", role="approver").startswith("ek_")
    assert {one["username"] for one in served.ask("GET", "/tokens", "root").json()["items"]} == {"anna", "root"}
    assert len(served.ask("GET", "/tokens?user=anna", "root").json()["items"]) == 2
    assert served.ask("DELETE", f"/tokens/{prefix}", "root").status_code == 200
    assert served.roles(secret) is None


def test_a_token_of_a_namesake_is_not_shown(served: Served):
    olga = served.accounts.get("olga")
    identity.create_token(served.accounts.engine, "olga", olga.user_id + 7, actor="test", label="of another")
    assert served.ask("GET", "/tokens", "olga").json()["items"] == []


@pytest.mark.parametrize(("who", "role"), [("eva", "evaluator"), ("root", "evaluator"), ("root", "viewer")])
def test_a_narrow_token_makes_and_revokes_none_that_may_do_more(served: Served, who: str, role: str):
    wide = served.made(who)
    narrow = served.made(who, role=role)
    for wanted in (None, "labeler", "approver", "admin"):
        assert served.token(narrow, role=wanted).status_code == 403, wanted
    assert served.ask("DELETE", f"/tokens/{wide[:13]}", narrow).status_code == 403
    assert served.roles(wide) == sorted(PEOPLE[who])
    assert served.roles(served.made(narrow, role="viewer")) == ["viewer"]
    child = served.made(narrow, role=role)
    assert served.roles(child) == [role]
    assert served.token(child, role=None).status_code == 403
    assert served.ask("DELETE", f"/tokens/{narrow[:13]}", narrow).status_code == 200
    assert served.roles(narrow) is None


def test_no_token_gives_a_role_that_its_user_has_not(served: Served):
    for who, by in (("eva", "eva"), ("eva", served.made("eva")), ("eva", "root"), ("vera", "vera"), ("olga", "olga")):
        for role in ("approver", "admin"):
            refused = served.token(by, username=who, role=role)
            assert (refused.status_code, "has not got the role" in refused.text) == (422, True), (who, by, role)
    lost = served.made("eva", role="evaluator")
    served.accounts.set_roles("eva", ["labeler"], actor="test")
    assert served.roles(lost) == ["viewer"]
    assert served.token(lost, role="evaluator").status_code == 422
    assert served.token(lost, role="labeler").status_code == 403


def test_a_token_makes_none_that_lasts_longer(served: Served):
    end = now_ms() + HOUR
    for who in ("eva", "root"):
        short = served.made(who, expires_at=end)
        for later in (None, end + 1):
            refused = served.token(short, expires_at=later)
            assert (refused.status_code, "lasts longer" in refused.text) == (403, True), refused.text
        assert served.token(short, expires_at=end).status_code == 201


def test_tokens_do_not_fill_the_database(served: Served):
    eva = served.accounts.get("eva")
    for place in range(MOST_TOKENS):
        ended = 1 if place == 0 else None
        identity.create_token(served.accounts.engine, "eva", eva.user_id, actor="test", expires_at=ended)
    assert served.token("eva").status_code == 201, "one that ended does not count"
    assert f"has {MOST_TOKENS} tokens" in served.token("eva").json()["message"]


def test_whole_tokens_do_not_belong_into_addresses(served: Served):
    secret = served.made("eva")
    assert served.ask("DELETE", f"/tokens/{secret}", "eva").status_code == 422
    for prefix in ("ek_", "ek_%25", "%25", "_"):
        served.made("eva")
        assert served.ask("DELETE", f"/tokens/{prefix}", "eva").status_code == 422
    assert served.roles(secret) == ["evaluator", "labeler"]


def test_a_page_of_another_site_makes_nothing(served: Served):
    for headers in ({"origin": "http://evil.test"}, {"sec-fetch-site": "cross-site"}):
        for method, path, body in (("POST", "/tokens", {}), ("POST", "/users", {"username": "x", "password": OTHER}),
                                   ("DELETE", "/users/eva", None)):  # fmt: skip
            assert served.ask(method, path, "root", body, headers=headers).status_code == 403
    form = served.http.post(f"{PREFIX}/tokens", auth=("root", PASSWORD), data={"label": "x"})
    assert form.status_code == 400
    assert served.accounts.tokens() == []


def test_passwords_are_not_tried_here_either(served: Served):
    for _ in range(PER_USER):
        tried = served.http.post(f"{PREFIX}/tokens", auth=("eva", "wrong password"), json={})
        assert tried.status_code == 401
    assert served.token("eva").status_code == 429


def test_without_logins_there_are_no_users():
    app = FastAPI()
    app.include_router(router)
    local = TestClient(Guard(app, mode=Mode.LOCAL), base_url="http://evalkit.test")
    for method, path in (("GET", "/users"), ("GET", "/tokens"), ("POST", "/tokens")):
        answer = local.request(method, f"{PREFIX}{path}", **({"json": {}} if method == "POST" else {}))
        assert (answer.status_code, "--auth" in answer.json()["message"]) == (409, True)


# Commands


@pytest.fixture
def command(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command against the server, as a user; gives exit code, what it printed, and its error."""

    def answer(method: str, url: str, **more: Any) -> requests.Response:
        sent = {name: more[name] for name in ("params", "json", "headers") if more.get(name) is not None}
        auth = more.get("auth")
        if isinstance(auth, tuple):
            sent["auth"] = auth
        seen = served.http.request(method, url.replace("http://server", "http://evalkit.test"), **sent)
        told = requests.Response()
        told.status_code, told._content, told.url = seen.status_code, seen.content, url
        return told

    monkeypatch.setattr(requests, "request", answer)
    monkeypatch.setenv("EVALKIT_SERVER", "http://server")
    monkeypatch.setenv("EVALKIT_PASSWORD", PASSWORD)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "")

    def call(*arguments: str, by: str = "root") -> tuple[int, str, str]:
        token = by.startswith("ek_")
        monkeypatch.setenv("EVALKIT_TOKEN", by if token else "")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "" if token else by)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        capsys.readouterr()
        code = run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_commands_keep_users_of_the_server(command: Any):
    assert command("user", "add", "nina", "--role", "evaluator")[:2] == (0, "new: nina: evaluator\n")
    assert command("user", "list")[1].splitlines()[2] == "nina: evaluator"
    assert json.loads(command("user", "list", "--json")[1])[2]["roles"] == ["evaluator"]
    assert command("user", "roles", "nina", "approver")[1] == "changed: nina: approver\n"
    assert command("user", "password", "nina")[1] == "changed the password of: nina: approver\n"
    assert command("user", "remove", "nina")[1] == "removed: nina: approver\n"
    assert command("user", "remove", "nina")[::2] == (2, "error: no user 'nina'; see `evalkit user list`\n")
    code, _, error = command("user", "add", "eva")
    assert (code, "already" in error) == (2, True)
    for arguments in (("user", "list"), ("user", "add", "x"), ("user", "remove", "root")):
        code, out, error = command(*arguments, by="eva")
        assert (code, out, "role admin" in error) == (1, "", True), error
    for name in ("..", "a/b", ""):
        assert command("user", "remove", name)[0] == 2


def test_the_commands_keep_tokens_of_the_server(command: Any, served: Served):
    code, secret, said = command("token", "create", "eva", "--role", "evaluator", "--label", "ci", by="eva")
    assert code == 0 and "only as evaluator, 'ci', expires 20" in said and "shown only now" in said
    secret = secret.strip()
    assert served.roles(secret) == ["evaluator"]
    listed = command("token", "list", by="eva")[1]
    assert secret[:13] in listed and secret not in listed
    code, _, said = command("token", "create", "eva", by=secret)
    assert (code, "acts as evaluator alone" in said) == (1, True)
    code, _, said = command("token", "create", "anna", by="eva")
    assert (code, "role admin" in said) == (1, True)
    assert command("token", "create", "eva", "--role", "admin", by="eva")[0] == 2
    assert json.loads(command("token", "list", "eva", "--json")[1])[0]["prefix"] == secret[:13]
    assert "revoked 20" in command("token", "revoke", secret, by="eva")[1]


@pytest.mark.parametrize("given", ["my-other-secret", "ek_my-other-secret", "ek_0123456789a", "ek_%"])
def test_what_is_no_token_is_not_sent(command: Any, monkeypatch: pytest.MonkeyPatch, given: str):
    monkeypatch.setattr(requests, "request", lambda *_, **__: pytest.fail("it was sent"))
    assert run(["token", "revoke", given]) == 2
