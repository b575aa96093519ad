"""Users, roles and tokens on the databases they are kept in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from evalkit.server.accounts import WORKER_USER, Accounts
from evalkit.server.child import _prepare_users
from evalkit.server.logins import Credentials, Logins
from metrics.errors import InputError
from registry import audit, identity
from registry.actors import ROLES
from registry.digests import now_ms

PASSWORD = "correct horse battery"


@pytest.fixture
def accounts(tmp_path: Path, empty_store: Path) -> Iterator[Accounts]:
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    made = Accounts(f"evalkit+sqlite:///{tmp_path / 'mlflow.db'}")
    made.add("root", PASSWORD, ["admin"], actor="test")
    yield made
    made.close()


def token(accounts: Accounts, name: str, **more: Any) -> str:
    account = accounts.find(name)
    assert account is not None
    return identity.create_token(accounts.engine, name, account.user_id, actor="test", **more)[0]


def roles(accounts: Accounts, secret: str) -> set[str] | None:
    login = Logins(accounts).identify(Credentials(secret))
    return None if login is None else set(login.actor.roles)


def test_a_password_opens_its_own_account_alone(accounts: Accounts):
    accounts.add("eva", PASSWORD, ["evaluator"], actor="test")
    accounts.add("vera", "another long password", [], actor="test")
    logins = Logins(accounts)
    for _ in range(2):  # the second time from memory
        login = logins.identify(Credentials(PASSWORD, "eva"))
        assert login is not None and login.actor.roles == {"evaluator"} and not login.mlflow_admin
        assert logins.identify(Credentials(PASSWORD, "vera")) is None
        assert logins.identify(Credentials("", "eva")) is None
        assert logins.identify(Credentials(PASSWORD, "nobody")) is None
    root = logins.identify(Credentials(PASSWORD, "root"))
    assert root is not None and root.mlflow_admin


def test_a_changed_password_is_not_remembered(accounts: Accounts):
    accounts.add("eva", PASSWORD, [], actor="test")
    assert accounts.authenticate("eva", PASSWORD)
    accounts._store.update_user("eva", password="another long password")
    assert accounts.authenticate("eva", PASSWORD) is None
    assert accounts.authenticate("eva", "another long password")
    accounts.remove("eva", actor="test")
    assert accounts.authenticate("eva", "another long password") is None


def test_a_password_is_set_anew(accounts: Accounts):
    accounts.set_password("root", "another long password")
    assert accounts.authenticate("root", PASSWORD) is None
    assert accounts.authenticate("root", "another long password")
    with pytest.raises(InputError, match=r"[Pp]assword"):
        accounts.set_password("root", "short")
    assert accounts.authenticate("root", "another long password")


def test_hashing_is_done_once(accounts: Accounts, monkeypatch: pytest.MonkeyPatch):
    import werkzeug.security

    calls = []
    real = werkzeug.security.check_password_hash
    monkeypatch.setattr(werkzeug.security, "check_password_hash", lambda *a: calls.append(a) or real(*a))
    for _ in range(3):
        assert accounts.authenticate("root", PASSWORD)
        assert accounts.authenticate("root", "wrong password") is None
    assert len(calls) == 1 + 3


def test_names_that_are_unknown_take_as_long(accounts: Accounts, monkeypatch: pytest.MonkeyPatch):
    import werkzeug.security

    calls = []
    real = werkzeug.security.check_password_hash
    monkeypatch.setattr(werkzeug.security, "check_password_hash", lambda *a: calls.append(a) or real(*a))
    assert accounts.authenticate("nobody", PASSWORD) is None
    assert len(calls) == 1


def test_the_password_that_mlflow_once_shipped_opens_nothing(accounts: Accounts):
    accounts._store.update_user("root", password="password1234")
    assert accounts.authenticate("root", "password1234") is None


@pytest.mark.parametrize(
    ("name", "password", "given", "message"),
    [
        ("root", PASSWORD, [], "already"),
        ("", PASSWORD, [], "[Uu]sername"),
        ("eva", "short", [], "[Pp]assword"),
        ("eva", PASSWORD, ["evaluater"], "did you mean 'evaluator'"),
        (WORKER_USER, PASSWORD, [], "belongs to the server"),
    ],
)
def test_users_that_cannot_be(accounts: Accounts, name: str, password: str, given: list[str], message: str):
    with pytest.raises(InputError, match=message):
        accounts.add(name, password, given, actor="test")
    assert [account.username for account in accounts.list()] == ["root"]


def test_roles_change_with_the_next_request(accounts: Accounts):
    accounts.add("eva", PASSWORD, ["evaluator"], actor="test")
    secret = token(accounts, "eva")
    assert roles(accounts, secret) == {"evaluator"}
    accounts.set_roles("eva", ["approver", "labeler"], actor="test")
    assert roles(accounts, secret) == {"approver", "labeler"}
    accounts.set_roles("eva", ["admin"], actor="test")
    assert roles(accounts, secret) == {"admin"}
    assert accounts._store.get_user("eva").is_admin
    accounts.set_roles("eva", [], actor="test")
    assert roles(accounts, secret) == {"viewer"}
    assert not accounts._store.get_user("eva").is_admin


def test_somebody_stays_admin(accounts: Accounts):
    accounts.make_worker()
    for change in (
        lambda: accounts.set_roles("root", ["viewer"], actor="t"),
        lambda: accounts.remove("root", actor="t"),
    ):
        with pytest.raises(InputError, match="only admin"):
            change()
    accounts.add("second", PASSWORD, ["admin"], actor="test")
    accounts.remove("root", actor="test")
    assert [account.username for account in accounts.list()] == ["second"]


@pytest.mark.parametrize("act", ["remove", "set_roles"])
def test_nobody_changes_the_workers_user(accounts: Accounts, act: str):
    accounts.make_worker()
    with pytest.raises(InputError, match="no user"):
        getattr(accounts, act)(WORKER_USER, *([["viewer"]] if act == "set_roles" else []), actor="test")


@pytest.fixture
def fresh(tmp_path: Path, empty_store: Path) -> str:
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def opens(url: str, password: str) -> bool:
    accounts = Accounts(url)
    try:
        return accounts.authenticate("admin", password) is not None
    finally:
        accounts.close()


def test_the_first_admin_is_made_once(fresh: str):
    _prepare_users(fresh, PASSWORD)
    _prepare_users(fresh, "another long password")
    assert opens(fresh, PASSWORD)
    assert not opens(fresh, "another long password")


def test_a_new_password_is_shown_on_a_terminal_alone(
    fresh: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(InputError, match="set EVALKIT_ADMIN_PASSWORD"):
        _prepare_users(fresh, None)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _prepare_users(fresh, None)
    password = capsys.readouterr().out.split("with the password ")[1].split(" ")[0]
    assert len(password) >= 24
    assert opens(fresh, password)
    _prepare_users(fresh, None)
    assert capsys.readouterr().out == ""


def test_a_first_password_that_is_too_short(fresh: str):
    with pytest.raises(InputError, match=r"[Pp]assword"):
        _prepare_users(fresh, "short")


def test_the_worker_acts_as_itself(accounts: Accounts):
    accounts.make_worker()
    logins = Logins(accounts, "the-workers-token")
    login = logins.identify(Credentials("the-workers-token"))
    assert login is not None
    assert (login.actor.name, set(login.actor.roles), login.mlflow_admin) == (WORKER_USER, {"evaluator"}, True)
    assert logins.identify(Credentials("the-workers-toke")) is None
    assert logins.identify(Credentials("thé-wörkers")) is None
    assert Logins(accounts).identify(Credentials("")) is None
    accounts._store.update_user(WORKER_USER, password=PASSWORD)  # as an admin could, in MLflow's pages
    assert logins.identify(Credentials(PASSWORD, WORKER_USER)) is None


# Tokens


def test_a_token_is_shown_once_and_kept_as_its_hash(accounts: Accounts):
    secret = token(accounts, "root", label="ci")
    found = identity.list_tokens(accounts.engine)[0]
    assert secret.startswith(f"{found.prefix}_") and len(secret) > 50
    with accounts.engine.connect() as connection:
        kept = str(connection.execute(text("SELECT * FROM evalkit_tokens")).fetchall())
        written = str(connection.execute(text("SELECT entry FROM evalkit_audit")).fetchall())
    tail = secret.removeprefix(found.prefix)
    assert tail not in kept and tail not in written
    assert found.prefix in kept and found.prefix in written


def test_tokens_end(accounts: Accounts, monkeypatch: pytest.MonkeyPatch):
    secret = token(accounts, "root", expires_at=now_ms() + 60_000)
    assert roles(accounts, secret) == {"admin"}
    later = now_ms() + 60_001
    monkeypatch.setattr(identity, "now_ms", lambda: later)
    assert roles(accounts, secret) is None


def test_tokens_are_revoked(accounts: Accounts):
    secret, other = token(accounts, "root"), token(accounts, "root")
    with pytest.raises(InputError, match="2 tokens begin"):
        identity.revoke_token(accounts.engine, "ek_", actor="test")
    with pytest.raises(InputError, match="no token begins"):
        identity.revoke_token(accounts.engine, "%", actor="test")
    gone = identity.revoke_token(accounts.engine, secret.rpartition("_")[0][:13], actor="test")
    assert gone.revoked_at is not None
    assert roles(accounts, secret) is None
    assert roles(accounts, other) == {"admin"}
    again = identity.revoke_token(accounts.engine, gone.prefix, actor="test")
    assert again.revoked_at == gone.revoked_at


@pytest.mark.parametrize("change", ["x", "", "cut"])
def test_what_is_nearly_a_token_is_none(accounts: Accounts, change: str):
    secret = token(accounts, "root")
    assert (
        roles(accounts, secret[:-1] if change == "cut" else secret.upper() if not change else secret + change) is None
    )


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_token_may_be_narrower_and_never_wider(accounts: Accounts, role: str):
    accounts.add("eva", PASSWORD, ["evaluator", "labeler"], actor="test")
    assert roles(accounts, token(accounts, "root", role=role)) == {role}
    mine = roles(accounts, token(accounts, "eva", role=role))
    assert mine == ({role} if role in {"evaluator", "labeler"} else {"viewer"})
    login = Logins(accounts).identify(Credentials(token(accounts, "root", role=role)))
    assert login is not None and login.mlflow_admin is (role == "admin")
    assert login.reads_only is (role in {"viewer", "labeler"})


def test_use_is_noted(accounts: Accounts, monkeypatch: pytest.MonkeyPatch):
    secret = token(accounts, "root")
    assert identity.list_tokens(accounts.engine)[0].last_used_at is None
    assert roles(accounts, secret)
    first = identity.list_tokens(accounts.engine)[0].last_used_at
    assert first is not None and abs(first - now_ms()) < 30_000
    later = first + 59_999
    monkeypatch.setattr(identity, "now_ms", lambda: later)
    assert roles(accounts, secret)
    assert identity.list_tokens(accounts.engine)[0].last_used_at == first
    monkeypatch.setattr(identity, "now_ms", lambda: later + 1)
    assert roles(accounts, secret)
    assert identity.list_tokens(accounts.engine)[0].last_used_at == later + 1


@pytest.mark.parametrize("how", ["ours", "mlflow"])
def test_a_namesake_inherits_nothing(accounts: Accounts, how: str):
    eva = accounts.add("eva", PASSWORD, ["approver"], actor="test")
    secret = token(accounts, "eva")
    accounts.add("between", PASSWORD, [], actor="test")
    if how == "ours":
        accounts.remove("eva", actor="test")
    else:
        accounts._store.delete_user("eva")  # past us
    again = accounts.add("eva", PASSWORD, [], actor="test")
    assert again.user_id != eva.user_id
    assert accounts.find("eva").roles == frozenset()  # type: ignore[union-attr]
    assert roles(accounts, secret) is None


def test_a_namesake_that_mlflow_made_inherits_nothing(accounts: Accounts):
    accounts.add("eva", PASSWORD, ["approver"], actor="test")
    accounts.add("between", PASSWORD, [], actor="test")
    accounts._store.delete_user("eva")
    accounts._store.create_user("eva", PASSWORD)
    assert accounts.find("eva").roles == frozenset()  # type: ignore[union-attr]


def test_an_id_that_is_used_again_inherits_nothing(accounts: Accounts):
    eva = accounts.add("eva", PASSWORD, ["approver"], actor="test")
    secret = token(accounts, "eva")
    accounts.remove("eva", actor="test")
    again = accounts.add("eva", PASSWORD, [], actor="test")
    assert again.user_id == eva.user_id  # SQLite gives the last one again
    assert again.roles == frozenset()
    assert roles(accounts, secret) is None


def test_mlflow_removes_a_user_of_ours_with_everything(accounts: Accounts):
    from evalkit.server.mlflow_auth import bind_users

    accounts.add("eva", PASSWORD, ["approver"], actor="test")
    secret = token(accounts, "eva")
    store = accounts._store
    bind_users(store, lambda name: identity.forget_user(accounts.engine, name, actor="root"))
    store.delete_user("eva")
    assert identity.roles_of(accounts.engine, "eva", 2) == frozenset()
    store.create_user("eva", PASSWORD)
    assert roles(accounts, secret) is None


def test_mlflow_sees_no_admin_in_a_narrower_token(accounts: Accounts):
    from evalkit.server.identity import acting_as, login_of
    from evalkit.server.mlflow_auth import bind_users

    store = accounts._store
    bind_users(store, lambda name: None)
    assert store.get_user("root").is_admin
    with acting_as(login_of("root", frozenset({"evaluator"}))):
        assert not store.get_user("root").is_admin
    with acting_as(login_of("root", frozenset({"admin"}))):
        assert store.get_user("root").is_admin


# The audit


def test_the_audit_knows_roles_and_tokens(accounts: Accounts):
    accounts.add("eva", PASSWORD, ["evaluator"], actor="root")
    secret = token(accounts, "eva")
    identity.revoke_token(accounts.engine, secret.rpartition("_")[0][:13], actor="root")
    accounts.remove("eva", actor="root")
    kinds = [entry["kind"] for entry in audit.export(accounts.engine)]
    assert kinds[-4:] == ["roles.set", "token.created", "token.revoked", "user.removed"]
    assert audit.verify(accounts.engine).intact


def test_a_role_that_was_slipped_in_is_found(accounts: Accounts):
    accounts.add("eva", PASSWORD, ["viewer"], actor="root")
    assert audit.verify(accounts.engine).intact
    with accounts.engine.begin() as connection:
        connection.execute(text("UPDATE evalkit_user_roles SET role = 'approver'"))
    findings = audit.verify(accounts.engine).findings
    assert any("evalkit_user_roles" in finding.what for finding in findings)
