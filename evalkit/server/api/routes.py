"""How every route of the API answers: one shape of errors, bodies of a bounded size, entity tags on what is read."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import starlette.exceptions
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, Field
from sqlalchemy.exc import InternalError, OperationalError

from evalkit.bundles.unpack import Limits, TooLargeError
from evalkit.errors import ConflictError, ForbiddenError, NotFoundError
from metrics.errors import InputError
from registry.database import DatabaseAwayError
from registry.leases import LeaseHeldError
from registry.mlflow_link import PromotionRefusedError

PREFIX = "/evalkit/api/v1"
JSON_LIMIT = 2 * 2**20
"""Bytes of a request's body; a suite has at most half of that."""
_SAFE = {"GET", "HEAD", "OPTIONS"}
_CODES = {
    400: "bad_request", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 409: "conflict",
    413: "too_large", 422: "invalid", 503: "unavailable",
}  # fmt: skip


class Error(BaseModel):
    """What every answer that is not a success says."""

    error: str = Field(description="A short code: bad_request, unauthenticated, forbidden, refused, not_found, …")
    message: str = Field(description="One sentence for people: what was given, what was expected, what to do.")


def status_of(error: InputError) -> int:
    """The status code that tells an error."""
    kinds: tuple[tuple[type[InputError], int], ...] = (
        (PromotionRefusedError, 403), (ForbiddenError, 403), (NotFoundError, 404), (ConflictError, 409),
        (LeaseHeldError, 409), (TooLargeError, 413), (DatabaseAwayError, 503),
    )  # fmt: skip
    return next((status for kind, status in kinds if isinstance(error, kind)), 422)


class ApiRoute(APIRoute):
    """A route with the API's errors, limits and entity tags."""

    limit = JSON_LIMIT
    media_types: tuple[str, ...] = ("application/json",)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that FastAPI makes, within ours."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                self._check(request)
                return tagged(request, await inner(_bounded(request, self.limit)))
            except starlette.exceptions.HTTPException as error:
                return _told(error.status_code, str(error.detail), headers=error.headers)
            except RequestValidationError as error:
                return _invalid(error)
            except InputError as error:
                refused = "refused" if isinstance(error, PromotionRefusedError) else None
                return _told(status_of(error), str(error), refused)
            except MlflowException as error:
                message = str(error.message).splitlines()[0][:500]
                refused = "refused" if message.startswith("evalkit refuses") else None
                status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]  # MLflow's is untyped
                return _told(503 if status >= 500 else status if status in _CODES else 422, message, refused)
            except (OperationalError, InternalError) as error:  # whoever asked may ask again
                return _told(503, f"the database cannot be used: {' '.join(str(error.orig).split())[:200]}")

        return handle

    def _check(self, request: Request) -> None:
        if request.method in _SAFE:
            return
        # A page of another site can make a browser send a form, but not this without asking first
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        carries = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
        if carries and media not in self.media_types:
            raise HTTPException(400, f"the body must be {' or '.join(self.media_types)}, not '{media[:60]}'")


class UploadRoute(ApiRoute):
    """A route that takes a bundle."""

    limit = Limits().packed
    media_types = ("application/zip",)


def new_router(tag: str, route: type[ApiRoute] = ApiRoute) -> APIRouter:
    """A router for a part of the API; every route of it may answer with any of the errors."""
    responses: dict[int | str, dict[str, Any]] = {status: {"model": Error} for status in _CODES}
    return APIRouter(tags=[tag], route_class=route, responses=responses)


def tagged(request: Request, response: Response) -> Response:
    """The response with an entity tag, or without a body where the client has the same already."""
    body = getattr(response, "body", None)  # what is streamed has none
    if request.method != "GET" or response.status_code != 200 or body is None or "etag" in response.headers:
        return response
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    if tag in [item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _bounded(request: Request, limit: int) -> Request:
    told = request.headers.get("content-length", "0")
    if told.isdigit() and int(told) > limit:
        raise HTTPException(413, f"the body has {told} bytes; at most {limit} are taken")
    received = 0
    original: Callable[[], Awaitable[Any]] = request.receive

    async def receive() -> Any:
        nonlocal received
        message = await original()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, f"the body has more than {limit} bytes")
        return message

    return Request(request.scope, receive)


def _told(status: int, message: str, code: str | None = None, headers: Any = None) -> Response:
    error = Error(error=code or _CODES.get(status, "error"), message=" ".join(message.split())[:2000])
    return JSONResponse(error.model_dump(), status, headers=headers)


def _invalid(error: RequestValidationError) -> Response:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path"})
    broken = str(first["type"]).startswith("json")
    return _told(400 if broken else 422, f"{place or 'the request'}: {first['msg']}"[:500])
