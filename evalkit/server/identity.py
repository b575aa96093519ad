"""Who a request comes from, and what its route needs.

The layer that authenticates a request (`evalkit.server.guard`) enters `acting_as`, and with it
`registry.actors.acting`, so that the gate sees who acts; routes only ask here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from fastapi import HTTPException

from registry.actors import (
    ADMIN,
    APPROVER,
    EVALUATOR,
    LABELER,
    ROLES,
    VIEWER,
    Actor,
    acting,
    intent,
    local_actor,
    without_intent,
)
from registry.identity import Token

_ASKS = "this needs a login; send a user's name and password, or a token"
_WRITERS = frozenset({EVALUATOR, APPROVER, ADMIN})


@dataclass(frozen=True, slots=True)
class Login:
    """An authenticated request.

    Attributes:
        actor: name and roles, as the gate and evalkit's own routes see them.
        given: the roles that were given to the user; a user of MLflow alone has none, and reads here.
        mlflow_admin: whether MLflow's permissions treat the request as an admin's.
        token: the token that was sent; None for a password, and where nobody logs in.
    """

    actor: Actor
    given: frozenset[str]
    mlflow_admin: bool = False
    token: Token | None = None

    @property
    def reads_only(self) -> bool:
        """Whether every writing route is closed, MLflow's too: viewers and labelers. Labels are apart."""
        return bool(self.given) and not self.given & _WRITERS

    @property
    def labels(self) -> bool:
        """Whether labels may be written."""
        return self.actor.may(LABELER)


def login_of(name: str, roles: frozenset[str], token: Token | None = None) -> Login:
    """The login of a user with these roles; whoever may log in may read."""
    return Login(Actor(name, roles or frozenset({VIEWER})), roles, mlflow_admin=ADMIN in roles, token=token)


def owner() -> Login:
    """Without login: whoever owns the files."""
    actor = local_actor()
    return Login(actor, actor.roles, mlflow_admin=True)


_login: ContextVar[Login | None] = ContextVar("evalkit_login", default=None)


@contextmanager
def acting_as(login: Login) -> Iterator[None]:
    """Serve a request as its login."""
    token = _login.set(login)
    try:
        with acting(login.actor):
            yield
    finally:
        _login.reset(token)


@contextmanager
def unknown_yet() -> Iterator[None]:
    """Look at a request before its login is known.

    A request on a connection that is kept open may begin in a copy of an earlier request's context: what it says about
    another login must count for nothing.
    """
    token = _login.set(None)
    try:
        with without_intent():
            yield
    finally:
        _login.reset(token)


def present_login() -> Login | None:
    """The login of the request that is being served."""
    return _login.get()


async def logged_in() -> Login:
    """A dependency that gives the present login, for routes to which more than its roles matters."""
    login = present_login()
    if login is None:
        raise HTTPException(401, _ASKS)
    return login


def needs(*roles: str) -> Callable[[], Awaitable[Actor]]:
    """A dependency that gives the present actor: any login will do without roles, else one of the roles.

    Raises:
        ValueError: a role that does not exist.
    """
    unknown = set(roles) - ROLES
    if unknown:
        raise ValueError(f"unknown roles {', '.join(sorted(unknown))}; known are {', '.join(sorted(ROLES))}")

    # Asynchronous, so that it reads the request's own context and not that of a pool's thread
    async def present() -> Actor:
        actor = intent().actor
        if not actor.roles:
            raise HTTPException(401, _ASKS)
        if roles and not any(actor.may(role) for role in roles):
            raise HTTPException(403, f"this needs the role {' or '.join(roles)}; {actor.name} has not got it")
        return actor

    return present
