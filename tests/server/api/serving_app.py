"""MLflow's application with the API beside it and a login by token, for tests of what runs over the wire."""

from __future__ import annotations

from typing import Any

from registry.actors import Actor, acting


class ByToken:
    """Whoever sends ``Bearer ada-evaluator`` is ada, an evaluator."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        token = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
        name, _, role = token.partition("-")
        with acting(Actor(name or "anonymous client", frozenset(filter(None, [role])))):
            await self.app(scope, receive, send)


def create_app() -> Any:
    from evalkit.server import app, guard

    guard.Guard = lambda inner, **_: ByToken(inner)  # type: ignore[assignment, misc]
    return app.create_app()
