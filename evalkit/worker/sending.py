"""One signed POST to one checked address: no redirects, no proxies, no more than the status is read."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from evalkit.worker.addresses import resolve
from metrics.errors import InputError
from registry.digests import new_id, now_ms
from registry.webhooks import TEST, Webhook, sign

TIMEOUT = 10.0
"""Seconds for each step of a request."""
DEADLINE = 30.0
"""Seconds for a request as a whole: a host that answers a byte at a time holds nobody."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a POST: the HTTP status, or None with the reason why there is none."""

    status: int | None
    detail: str

    @property
    def accepted(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300


def send(webhook: Webhook, message_id: str, message: Mapping[str, Any], environment: Mapping[str, str]) -> Answer:
    """Send a message to a webhook.

    Args:
        webhook: where to.
        message_id: the same on every repetition; receivers know one by it.
        message: ``type``, ``timestamp`` (of the event, UTC milliseconds) and ``data``.
        environment: where the secret is looked up.
    """
    secret = environment.get(webhook.secret_env)
    if not secret:
        return Answer(None, f"the worker's environment has no {webhook.secret_env}")
    return post_signed(webhook.url, message_id, encode(message), secret, allow_private=webhook.allow_private)


def send_test(webhook: Webhook, environment: Mapping[str, str]) -> Answer:
    """Send an event of type ``evalkit.test`` to a webhook from here, now."""
    message = {"type": f"evalkit.{TEST}", "timestamp": now_ms(), "data": {"webhook": webhook.id}}
    return send(webhook, new_id(), message, environment)


def post_signed(url: str, message_id: str, body: bytes, secret: str, *, allow_private: bool) -> Answer:
    """POST JSON, signed as Standard Webhooks says.

    Args:
        url: where to.
        message_id: the same on every repetition.
        body: the JSON.
        secret: what it is signed with.
        allow_private: whether the host may have a private address, and speak http.
    """
    now = int(time.time())
    try:
        signature = sign(secret, message_id, now, body)
    except InputError as error:
        return Answer(None, str(error))
    headers = {"webhook-id": message_id, "webhook-timestamp": str(now), "webhook-signature": signature}
    return post(url, body, headers, allow_private=allow_private)


def post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool) -> Answer:
    """POST JSON to one checked address; what went wrong is said without the URL, which may be a secret."""
    common = {"content-type": "application/json", "user-agent": "evalkit"}
    try:
        status = _post(url, body, {**common, **headers}, allow_private=allow_private)
    except InputError as error:
        return Answer(None, str(error))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(None, f"{type(error).__name__}: {str(error)[:200]}")
    if 300 <= status < 400:
        return Answer(status, f"HTTP {status}: redirects are not followed; give the final URL")
    return Answer(status, f"HTTP {status}")


def encode(message: Mapping[str, Any]) -> bytes:
    """The bytes that are signed and sent."""
    at = datetime.fromtimestamp(int(message["timestamp"]) / 1000, UTC).isoformat(timespec="milliseconds")
    told = {"type": message["type"], "timestamp": at.replace("+00:00", "Z"), "data": message["data"]}
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode("ascii")


def _post(url: str, body: bytes, headers: Mapping[str, str], *, allow_private: bool) -> int:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    if not secure and not allow_private:
        raise InputError("http:// is for hosts of one's own network")
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    connection = _Pinned(host, port, resolve(host, port, allow_private=allow_private), secure=secure)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    watch = threading.Timer(DEADLINE, connection.cut)
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", path, body, dict(headers))
        return connection.getresponse().status
    finally:
        watch.cancel()
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to the one address that was checked, under the host's own name in TLS and in the Host header."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool) -> None:
        super().__init__(host, port, timeout=TIMEOUT)
        self._address = address
        self._context = ssl.create_default_context() if secure else None
        self._plain: socket.socket | None = None
        if secure:
            self.default_port = 443  # what the Host header leaves out

    def connect(self) -> None:
        """Connect to the address that was checked; the name is not looked up a second time."""
        self._plain = socket.create_connection((self._address, self.port), TIMEOUT)
        self.sock: Any = self._plain
        if self._context is not None:
            self.sock = self._context.wrap_socket(self._plain, server_hostname=self.host)

    def cut(self) -> None:
        """End the conversation from another thread, also within the handshake."""
        for part in (self.sock, self._plain):
            if part is not None:
                with contextlib.suppress(OSError):
                    part.shutdown(socket.SHUT_RDWR)
