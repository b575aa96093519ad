"""``/users`` and ``/tokens``: who may do what on a server where users log in."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import Depends, Query, Request, Response

from evalkit.errors import ConflictError
from evalkit.server import tokens
from evalkit.server.accounts import Account, Accounts
from evalkit.server.api import paging
from evalkit.server.api.models import Anybody
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, Limit, Page
from evalkit.server.api.schema.users import (
    PasswordIn,
    Prefix,
    RolesIn,
    TokenIn,
    TokenMade,
    TokenOut,
    UserIn,
    UserName,
    UserOut,
)
from evalkit.server.identity import Login, logged_in, needs
from registry.actors import ADMIN

router = new_router("users")
Administers = Depends(needs(ADMIN))


def accounts(request: Request) -> Accounts:
    """The users of this server."""
    found: Accounts | None = getattr(request.app.state, "accounts", None)
    if found is None:
        raise ConflictError("nobody logs in to this server, which has no users; start it with `evalkit server --auth`")
    return found


InAccounts = Annotated[Accounts, Depends(accounts)]
Present = Annotated[Login, Depends(logged_in)]


@router.get("/users", dependencies=[Administers], summary="Users with their roles")
def list_users(users: InAccounts, cursor: Cursor = None, limit: Limit = 100) -> Page[UserOut]:
    """By name."""
    items, following = paging.cut(users.list(), cursor, limit)
    return Page(items=[_told(one) for one in items], next=following)


@router.post("/users", dependencies=[Administers], status_code=201, summary="Make a user")
def add_user(users: InAccounts, body: UserIn) -> UserOut:
    """Who logs in to MLflow's pages and evalkit's with one password."""
    return _told(users.add(body.username, body.password.get_secret_value(), body.roles))


@router.put("/users/{username}/roles", dependencies=[Administers], summary="Give a user exactly these roles")
def set_roles(users: InAccounts, username: UserName, body: RolesIn) -> UserOut:
    """From the next request on; refused where nobody would be an admin any more."""
    return _told(users.set_roles(username, body.roles))


@router.put("/users/{username}/password", dependencies=[Administers], summary="Give a user another password")
def set_password(users: InAccounts, username: UserName, body: PasswordIn) -> UserOut:
    """Tokens stay as they are."""
    return _told(users.set_password(username, body.password.get_secret_value()))


@router.delete("/users/{username}", dependencies=[Administers], summary="Remove a user")
def remove_user(users: InAccounts, username: UserName) -> UserOut:
    """With roles and tokens; what they wrote stays. Refused where nobody would be an admin any more."""
    return _told(users.remove(username))


@router.get("/tokens", dependencies=[Anybody], summary="Tokens, the newest first")
def list_tokens(
    users: InAccounts, login: Present,
    user: Annotated[str | None, Query(max_length=255, description="Whose; those of others are for an admin.")] = None,
    cursor: Cursor = None, limit: Limit = 100,
) -> Page[TokenOut]:  # fmt: skip
    """Without their secrets: one's own, and for an admin those of all."""
    items, following = paging.cut([*tokens.seen(users, login, user)], cursor, limit)
    return Page(items=[TokenOut.model_validate(one) for one in items], next=following)


@router.post("/tokens", dependencies=[Anybody], status_code=201, summary="Make a token")
def make_token(users: InAccounts, login: Present, body: TokenIn, response: Response) -> TokenMade:
    """For oneself, or by an admin for anybody; its secret is in this answer alone.

    With a token none is made that may do more, or that lasts longer.
    """
    secret, made = tokens.make(
        users, login, body.username, role=body.role, label=body.label, expires_at=body.expires_at
    )
    response.headers["Cache-Control"] = "no-store"
    return TokenMade.model_validate({**asdict(made), "token": secret})


@router.delete("/tokens/{prefix}", dependencies=[Anybody], summary="Revoke a token")
def revoke_token(users: InAccounts, login: Present, prefix: Prefix) -> TokenOut:
    """One's own, or by an admin anybody's: it is refused from the next request on."""
    return TokenOut.model_validate(tokens.revoke(users, login, prefix))


def _told(one: Account) -> UserOut:
    return UserOut(username=one.username, user_id=one.user_id, roles=sorted(one.roles))
