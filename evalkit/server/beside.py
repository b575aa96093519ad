"""The pages beside an MLflow server that is there already: the same routes, without MLflow's own."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from evalkit.config import Settings

HOSTS = ("127.0.0.1", "localhost", "[::1]", "testserver")
"""Names by which a browser of this machine may ask: no page elsewhere gets here by a name of its own."""


def create_app(settings: Settings) -> Any:
    """The application for this machine, without login: pages, API, ``/metrics`` and health.

    Args:
        settings: whose project; its tracking URI is where MLflow's own pages are, if that is an address.
    """
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from evalkit.pages import rendering
    from evalkit.pages import router as pages
    from evalkit.server.api import router
    from evalkit.server.api.project import open_project
    from evalkit.server.api.project import project as opened
    from evalkit.server.guard import Guard, Mode
    from evalkit.server.health import health_router
    from evalkit.server.prometheus import router as prometheus

    project = open_project(settings)
    if project.registry.binding:
        project.registry.mlflow.client.search_registered_models(max_results=1)  # makes MLflow's tables in a new file
    rendering.mlflow_is_at(address_of(settings.tracking_uri))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.dependency_overrides[opened] = lambda: project
    for part in (health_router(project.engine), router, pages, prometheus):
        app.include_router(part)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS))
    app.add_middleware(Guard, mode=Mode.LOCAL, frames=True)
    return app


def address_of(tracking_uri: str) -> str | None:
    """Where a browser finds MLflow's pages; None where the URI is no address of a server."""
    parts = urlsplit(tracking_uri)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"  # without a name and password
