"""API tokens as a login may make, see and revoke them: its own, and none that is stronger than what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from evalkit.errors import ForbiddenError
from evalkit.server.accounts import Accounts
from evalkit.server.identity import Login
from registry.actors import ADMIN, VIEWER
from registry.identity import Token


def make(
    accounts: Accounts, login: Login, username: str | None, *, role: str | None, label: str, expires_at: int | None
) -> tuple[str, Token]:
    """Make a token, for the login's own user where none is named; return its secret and what may be shown.

    Raises:
        ForbiddenError: it would be somebody else's, or could do more or last longer than the token that was sent.
        InputError: the user is unknown or has not got the role.
    """
    whose = _whose(login, username)
    _check_strength(login, role)
    end = login.token.expires_at if login.token is not None else None
    if end is not None and (expires_at is None or expires_at > end):
        shown = datetime.fromtimestamp(end / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        raise ForbiddenError(f"this token ends {shown} UTC, and makes none that lasts longer; log in with the password")
    return accounts.make_token(whose, role=role, label=label, expires_at=expires_at)


def seen(accounts: Accounts, login: Login, username: str | None) -> Sequence[Token]:
    """The tokens of a user; without a name an admin sees those of all, and others their own.

    Raises:
        ForbiddenError: they are somebody else's.
    """
    if login.actor.may(ADMIN):
        return accounts.tokens(username)
    account = accounts.get(_whose(login, username))
    return [token for token in accounts.tokens(account.username) if token.user_id == account.user_id]


def revoke(accounts: Accounts, login: Login, prefix: str) -> Token:
    """Revoke the token that begins so: any for an admin, else one's own.

    Raises:
        ForbiddenError: it may do more than the token that was sent.
        InputError: no token that the login sees, or more than one, begins so.
    """
    if login.actor.may(ADMIN):
        return accounts.revoke(prefix)
    for token in seen(accounts, login, None):
        if token.prefix.startswith(prefix):
            _check_strength(login, token.role)
    return accounts.revoke(prefix, of=login.actor.name)


def _whose(login: Login, username: str | None) -> str:
    if username not in {None, login.actor.name} and not login.actor.may(ADMIN):
        raise ForbiddenError(f"tokens of others are for the role admin; {login.actor.name} has not got it")
    return username or login.actor.name


def _check_strength(login: Login, role: str | None) -> None:
    own = login.token.role if login.token is not None else None
    if own is not None and role not in {own, VIEWER} and not login.actor.may(ADMIN):
        raise ForbiddenError(f"this token acts as {own} alone, and makes or revokes none that may do more")
