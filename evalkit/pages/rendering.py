"""How every page answers: escaped templates, one policy of what a browser may do with it, errors as pages."""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote

import starlette.exceptions
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from mlflow.exceptions import MlflowException

from evalkit.pages import assets, bars, forms
from evalkit.reports.html import champion_note, shown, why_none
from evalkit.reports.numbers import interval, number, percent
from evalkit.server.api.routes import status_of
from metrics.errors import InputError
from registry.actors import intent
from registry.digests import now_ms

POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
    "font-src 'self'", "frame-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'self'",
))  # fmt: skip
"""The content security policy of every page: nothing inline, nothing from elsewhere."""
_PRIVATE = {"Cache-Control": "private, no-cache", "Content-Security-Policy": POLICY, "Vary": "Accept-Encoding"}
_WORTH_PACKING = 1_000


_where: dict[str, str | None] = {"mlflow": ""}


def mlflow_is_at(address: str | None) -> None:
    """Say where MLflow's own pages are, if not on this port; None where a browser cannot reach them."""
    _where["mlflow"] = address


def _mlflow() -> str | None:
    return _where["mlflow"]


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that FastAPI makes, within ours."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await inner(request)
            except starlette.exceptions.HTTPException as error:
                return _failed(request, error.status_code, str(error.detail))
            except RequestValidationError as error:
                first = error.errors()[0]
                return _failed(request, 422, f"{first['loc'][-1]}: {first['msg']}")
            except InputError as error:
                return _failed(request, status_of(error), str(error))
            except MlflowException as error:
                told = " ".join(str(error.message).split())[:300]
                return _failed(request, 503, f"MLflow did not answer as it should: {told}")

        return handle


def new_router() -> APIRouter:
    """A router for a page."""
    return APIRouter(route_class=PageRoute)


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """Answer with a page.

    Args:
        request: what is answered; the page is packed, or left out where the browser has the same already.
        template: its file below ``templates/``.
        context: what the template reads.
    """
    html = _environment().get_template(template).render(request=request, present=intent().actor, **context).encode()
    headers = {**_PRIVATE, "ETag": f'"{hashlib.sha256(html).hexdigest()[:32]}"'}
    if status == 200 and request.headers.get("if-none-match", "").removeprefix("W/") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    if len(html) > _WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        html = gzip.compress(html, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(html, status, headers, "text/html; charset=utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("evalkit.pages"), PackageLoader("evalkit.reports")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown, "interval": interval, "number": number, "percent": percent, "moment": moment, "ago": ago,
        "day": day, "path": path, "span": duration, "chart": bars.bar, "why_none": why_none,
    }  # fmt: skip
    environment.globals |= {
        "asset": assets.address,
        "form_token": forms.token,
        "now_ms": now_ms,
        "mlflow": _mlflow,
        "champion_note": champion_note,
    }
    return environment


def path(text: str) -> str:
    """A name as one segment of an address."""
    return quote(text, safe="@")


def moment(milliseconds: int | None) -> Markup:
    """A time in UTC, to the minute, as an element that programs can read."""
    if milliseconds is None:
        return Markup('<span class="soft">never</span>')
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), at.strftime("%Y-%m-%d %H:%M"))


def day(milliseconds: int) -> str:
    """The day in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d")


def ago(milliseconds: int | None) -> Markup:
    """How long ago, or in how long, in the largest unit that fits; with the time itself for the pointer."""
    if milliseconds is None:
        return Markup('<span class="soft">never</span>')
    apart = now_ms() - milliseconds
    text = duration(abs(apart) / 1000)
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    told = f"{text} ago" if apart >= 0 else f"in {text}"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S"), told
    )


def duration(seconds: float | None) -> str:
    """``850 ms``, ``42 s``, ``7 min``, ``5 h``, ``12 d``."""
    if seconds is None or not math.isfinite(seconds):
        return "n/a"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _failed(request: Request, status: int, message: str) -> Response:
    titles = {401: "Who are you?", 403: "Not allowed", 404: "Not here", 409: "Not now"}
    return page(request, "error.html", status=status, title=titles.get(status, "This did not work"), message=message)
