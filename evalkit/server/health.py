"""Whether the process lives, and whether it can serve: for load balancers and Kubernetes, without login."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy import Engine

from registry.database import is_current


def health_router(engine: Engine) -> APIRouter:
    """Routes ``/healthz`` and ``/readyz``.

    Args:
        engine: the database of our tables.
    """
    router = APIRouter()

    @router.get("/healthz", include_in_schema=False)
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @router.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        if await run_in_threadpool(is_current, engine):
            return JSONResponse({"status": "ready"})
        return JSONResponse(
            {"status": "not ready", "reason": "the database does not answer, or its tables are of another version"}, 503
        )

    return router
