"""Users and tokens of a server, as `evalkit.server.accounts.Accounts` hands out those of a database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.remote.client import Client, NotThereError, made, quoted
from evalkit.server.accounts import Account
from metrics.errors import InputError
from registry.identity import Token

_PAGE = 1000
_PREFIX = re.compile(r"^ek_[0-9a-f]{0,10}\Z")


class RemoteAccounts:
    """The users of the server that the environment names; it knows by the login who acts."""

    def __init__(self) -> None:
        self._client = Client.from_environment()

    def list(self) -> list[Account]:
        """All accounts, by name."""
        return [_account(item) for item in self._client.items("/users", limit=_PAGE)]

    def add(self, username: str, password: str, roles: Iterable[str]) -> Account:
        """Make a user."""
        body = {"username": username, "password": password, "roles": [*roles]}
        return _account(self._client.send("POST", "/users", body))

    def set_roles(self, username: str, roles: Iterable[str]) -> Account:
        """Give a user exactly these roles."""
        return _account(self._client.send("PUT", f"{_path(username)}/roles", {"roles": [*roles]}))

    def set_password(self, username: str, password: str) -> Account:
        """Give a user another password."""
        return _account(self._client.send("PUT", f"{_path(username)}/password", {"password": password}))

    def remove(self, username: str) -> Account:
        """Remove a user with roles and tokens."""
        return _account(self._client.send("DELETE", _path(username)))

    def make_token(
        self, username: str, *, role: str | None = None, label: str = "", expires_at: int | None = None
    ) -> tuple[str, Token]:
        """Make a token; return its secret, and what may be shown of it."""
        body = {"username": username, "role": role, "label": label, "expires_at": expires_at}
        found = self._client.send("POST", "/tokens", body)
        if not isinstance(found.get("token"), str):
            raise InputError("the server's answer is no token; is it older than this evalkit?")
        return found["token"], made(Token, found)

    def tokens(self, username: str | None = None) -> Iterable[Token]:
        """Tokens of one user, or all that the login may see, the newest first."""
        return [made(Token, item) for item in self._client.items("/tokens", user=username, limit=_PAGE)]

    def revoke(self, prefix: str) -> Token:
        """Revoke the token that begins so."""
        if _PREFIX.match(prefix) is None:  # what is none is not sent: it may be another secret
            raise InputError("no token begins so; see `evalkit token list`")
        return made(Token, self._client.send("DELETE", f"/tokens/{prefix}"))


def _path(username: str) -> str:
    if "/" in username or username in {"", ".", ".."}:
        raise NotThereError(f"no user '{username[:60]}'; see `evalkit user list`")
    return f"/users/{quoted(username)}"


def _account(data: Mapping[str, Any]) -> Account:
    found = made(Account, data)
    return Account(found.username, found.user_id, frozenset(found.roles))
