"""The outermost layer: every request has a login before any route sees it, FastAPI's, Flask's and files alike.

MLflow's own checks (host names, permissions) come after it. Pure ASGI, so that the context it sets reaches the routes,
and through copies of the context the threads that Flask's handlers run in.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from evalkit.server.identity import Login, acting_as, owner, unknown_yet
from evalkit.server.logins import FailedLogins, Logins, read_header
from evalkit.server.permissions import OWN, SAFE, concerns_oneself, only_labels, only_reads
from registry.actors import LABELER, VIEWER

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/health", "/healthz", "/readyz"})
"""What answers without login, exactly so."""

FORM_LIMIT = 2**20
"""Bytes of what a form of our pages sends."""
JSON_LIMIT = 64 * 2**20
"""Bytes of a request to MLflow's API; files of models go another way, and may be of any size."""
_FILES = re.compile(r"^/(?:ajax-)?api/[\d.]+/mlflow-artifacts/|^/(?:ajax-)?api/[\d.]+/mlflow/upload-artifact")
_AT_ONCE = 8
_CORS = b"access-control-"
_PREFLIGHT = "access-control-request-method"
_GATEWAY, _GATEWAY_HEADER = "/gateway/", "x-mlflow-authorization"


class Mode(StrEnum):
    """Who a request comes from."""

    NOBODY = "nobody"
    """Started by MLflow's own command: clients are nobody, as they are in MLflow."""
    LOCAL = "local"
    """Bound to this machine, without login: whoever owns the files."""
    LOGIN = "login"
    """Users and tokens."""


class RefusedRequestError(Exception):
    """Not served: status, a word for programs, a sentence for people, and further headers."""

    def __init__(self, status: int, word: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.word, self.message = status, word, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Guard:
    """ASGI middleware that lets a request through with a login, or refuses it.

    Args:
        app: the application.
        mode: where logins come from.
        logins: who may log in; needed where `mode` is login.
        origins: pages on other origins that may send requests which write.
        frames: whether pages of other sites may show ours in a frame.
    """

    def __init__(
        self,
        app: App,
        *,
        mode: Mode,
        logins: Logins | None = None,
        origins: Collection[str] = (),
        frames: bool = False,
    ) -> None:
        if mode is Mode.LOGIN and logins is None:
            raise ValueError("the mode 'login' needs logins")
        self._app, self._mode, self._logins = app, mode, logins
        self._origins, self._frames = frozenset(origins), frames
        self._failed = FailedLogins()
        self._limiter: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # nothing here is served so
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with unknown_yet():
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        answer = self._hardened(send, secluded=self._elsewhere(headers))
        try:
            login = await self._admit(scope, headers)
        except RefusedRequestError as refused:
            await _refuse(answer, refused)
            return
        if login is None:
            await self._app(scope, receive, answer)
            return
        with acting_as(login):
            await self._app(scope, receive, answer)

    async def _admit(self, scope: Scope, headers: dict[str, str]) -> Login | None:
        """The login of a request that may go on; None where it needs none, or has none in MLflow's own way."""
        method, path = scope["method"], scope["path"]
        if path in OPEN and method in {"GET", "HEAD"}:
            return None
        if headers.get("origin") in self._origins and method == "OPTIONS" and _PREFLIGHT in headers:
            return None  # MLflow answers it by itself; browsers send it without a login
        _check_size(method, path, headers)
        if self._foreign(method, headers):
            raise RefusedRequestError(
                403, "cross_origin", "a page of another site sent this; open evalkit itself, or allow the site's origin"
            )
        if self._mode is Mode.NOBODY:
            return None
        if self._mode is Mode.LOCAL:
            if "x-forwarded-for" in headers or "forwarded" in headers:
                raise RefusedRequestError(
                    403, "proxied", "a server without login does not answer through a proxy; start it with --auth"
                )
            return owner()
        login = await self._log_in(scope, headers)
        _check_writes(login, method, path)
        return login

    async def _log_in(self, scope: Scope, headers: dict[str, str]) -> Login:
        import anyio

        # Coding agents send their provider's key where the login usually is
        apart = scope["path"].startswith(_GATEWAY) and bool(headers.get(_GATEWAY_HEADER))
        credentials = read_header(headers.get(_GATEWAY_HEADER if apart else "authorization"))
        if credentials is None:
            raise _unknown("this needs a login; send a user's name and password, or a token")
        address = scope["client"][0] if scope.get("client") else ""
        if credentials.username is not None and (wait := self._failed.wait(address, credentials.username)):
            raise RefusedRequestError(
                429, "too_many_attempts", "too many failed logins; wait a while", retry_after=str(int(wait) + 1)
            )
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(_AT_ONCE)  # hashing passwords must not take every thread there is
        login = await anyio.to_thread.run_sync(_identify, self._logins, credentials, limiter=self._limiter)
        if credentials.username is not None:
            (self._failed.note if login is None else self._failed.forgive)(address, credentials.username)
        if login is None:
            token = credentials.username is None
            raise _unknown("unknown, revoked or expired token" if token else "unknown name or password")
        _forget_secret(scope, _GATEWAY_HEADER if apart else "authorization", login)
        return login

    def _foreign(self, method: str, headers: dict[str, str]) -> bool:
        """Whether a page of another origin sent a request that writes; browsers add the login by themselves."""
        if method in SAFE:
            return False
        if headers.get("origin") in self._origins:
            return False
        return self._elsewhere(headers) or headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}

    def _elsewhere(self, headers: dict[str, str]) -> bool:
        """Whether the page that asks is of another origin, and none that was allowed."""
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return False
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()

    def _hardened(self, send: Send, *, secluded: bool) -> Send:
        async def answer(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if secluded:  # MLflow would let every page of this machine read what it answers
                    message["headers"] = [
                        pair for pair in message.get("headers", ()) if not pair[0].lower().startswith(_CORS)
                    ]
                there = {name.lower() for name, _ in message.get("headers", ())}
                more = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"same-origin"}
                if not self._frames:
                    more |= {b"x-frame-options": b"SAMEORIGIN", b"content-security-policy": b"frame-ancestors 'self'"}
                message["headers"] = [
                    *message.get("headers", ()),
                    *((name, value) for name, value in more.items() if name not in there),
                ]
            await send(message)

        return answer


def _check_size(method: str, path: str, headers: dict[str, str]) -> None:
    """Refuse what would fill the memory; evalkit's own API has limits of its own for each route."""
    if method in SAFE or path.startswith("/evalkit/api/") or _FILES.match(path):
        return
    limit = FORM_LIMIT if path.startswith("/evalkit") else JSON_LIMIT
    told = headers.get("content-length")
    if told is None and "transfer-encoding" in headers:
        raise RefusedRequestError(411, "length_required", "say the body's length (Content-Length)")
    if told is not None and (not told.isascii() or not told.isdigit() or int(told[:20]) > limit):
        raise RefusedRequestError(413, "too_large", f"the body has {told[:20]} bytes; at most {limit} are taken")


def _identify(logins: Logins | None, credentials: Any) -> Login | None:
    return logins.identify(credentials) if logins is not None else None


def _check_writes(login: Login, method: str, path: str) -> None:
    if not login.reads_only or only_reads(method, path) or concerns_oneself(path):
        return
    if login.labels and (path.startswith(OWN) or only_labels(path)):
        return  # evalkit's own routes say themselves what they need
    role = LABELER if login.labels else VIEWER
    raise RefusedRequestError(403, "forbidden", f"{login.actor.name} acts as {role} and may not change this")


def _forget_secret(scope: Scope, header: str, login: Login) -> None:
    """Put the name alone where the secret was: what comes after needs, and sees, no more."""
    name = base64.b64encode(f"{login.actor.name}:".encode())
    wanted = header.encode()
    scope["headers"] = [
        *((key, value) for key, value in scope["headers"] if key.lower() != wanted),
        (wanted, b"Basic " + name),
    ]


def _unknown(message: str) -> RefusedRequestError:
    return RefusedRequestError(401, "unauthenticated", message, www_authenticate='Basic realm="evalkit"')


_CODES = {
    411: "INVALID_PARAMETER_VALUE",
    413: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    429: "RESOURCE_EXHAUSTED",
}
"""MLflow's words, by which its client reads an error."""


async def _refuse(send: Send, refused: RefusedRequestError) -> None:
    body = {"error": refused.word, "error_code": _CODES[refused.status], "message": refused.message}
    text = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
