"""Who a request comes from, and what its route needs.

The layer that authenticates a request puts it under `registry.actors.acting`; routes only ask here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import HTTPException

from registry.actors import ROLES, Actor, intent


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
            raise HTTPException(401, "this needs a login; send a user's name and password, or a token")
        if roles and not any(actor.may(role) for role in roles):
            raise HTTPException(403, f"this needs the role {' or '.join(roles)}; {actor.name} has not got it")
        return actor

    return present
