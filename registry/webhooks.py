"""Webhooks: who is told of decisions, moves of aliases and alerts, by deliveries written in the transaction of the act.

Headers and signature are those of Standard Webhooks 1.0 (https://www.standardwebhooks.com): ``webhook-id``,
``webhook-timestamp`` and ``webhook-signature``, an HMAC-SHA256 over ``id.timestamp.body``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from metrics.errors import InputError, did_you_mean
from registry import audit
from registry.actors import intent
from registry.database import reading, writing
from registry.digests import new_id, now_ms
from registry.outbox import DELIVERY, drop_deliveries, put
from registry.policy import matches
from registry.tables import DEFAULT_WORKSPACE, WebhookRow

EVENTS = ("decision", "promotion", "demotion", "override", "approval", "alert.opened", "alert.closed")
"""What a webhook may be told of."""
TEST = "test"

_PREFIX = "whsec_"
_SHORTEST_KEY = 24
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,254}\Z")
_LONGEST_URL = 2000


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to tell events to.

    Attributes:
        url: ``https://…``; ``http://…`` only together with `allow_private`.
        events: of `EVENTS`.
        pattern: models that it is told of; ``*`` stands for any text.
        secret_env: name of the worker's environment variable with the secret.
        allow_private: whether the host may have a private or loopback address.
    """

    id: str
    url: str
    events: tuple[str, ...]
    pattern: str
    secret_env: str
    allow_private: bool
    created_by: str
    created_at: int


def add_webhook(
    engine: Engine,
    url: str,
    *,
    secret_env: str,
    events: Sequence[str] = EVENTS,
    pattern: str = "*",
    allow_private: bool = False,
    workspace: str = DEFAULT_WORKSPACE,
) -> Webhook:
    """Have a URL be told of events from now on.

    Raises:
        InputError: the URL, an event, the pattern or the variable's name cannot be used; nothing was changed.
    """
    host = check_url(url, allow_private)
    for event in events:
        if event not in EVENTS:
            raise InputError(f"no event '{event}'{did_you_mean(event, EVENTS)}; known are {', '.join(EVENTS)}")
    if not events:
        raise InputError(f"a webhook is told of at least one event: {', '.join(EVENTS)}")
    if not _VARIABLE.match(secret_env):
        # The text is not repeated: it may be the secret itself
        raise InputError("the secret is given by the name of an environment variable, such as EVALKIT_WEBHOOK_SECRET")
    if not pattern or len(pattern) > 255:
        raise InputError(f"'{pattern[:50]}' cannot be a pattern; write a model's name, with * for any text")
    row = WebhookRow(
        id=new_id(),
        workspace=workspace,
        created_at=now_ms(),
        url=url,
        events=[event for event in EVENTS if event in events],
        pattern=pattern,
        secret_env=secret_env,
        allow_private=allow_private,
        created_by=intent().actor.name,
    )
    with writing(engine) as session:
        audit.lock(session, workspace)
        session.add(row)
        _witness(session, "webhook.added", row, host)
        return _webhook(row)


def remove_webhook(engine: Engine, webhook_id: str, *, workspace: str = DEFAULT_WORKSPACE) -> Webhook:
    """Remove a webhook, and what it was still to be told; an unknown one raises `InputError`."""
    with writing(engine) as session:
        audit.lock(session, workspace)
        row = _row(session, webhook_id, workspace)
        session.delete(row)
        drop_deliveries(session, row.id)
        _witness(session, "webhook.removed", row, urlsplit(row.url).hostname or "")
        return _webhook(row)


def list_webhooks(engine: Engine, workspace: str = DEFAULT_WORKSPACE) -> list[Webhook]:
    """All webhooks of a workspace, oldest first."""
    query = select(WebhookRow).where(WebhookRow.workspace == workspace)
    with reading(engine) as session:
        return [_webhook(row) for row in session.scalars(query.order_by(WebhookRow.created_at, WebhookRow.id))]


def get_webhook(engine: Engine, webhook_id: str, workspace: str = DEFAULT_WORKSPACE) -> Webhook:
    """One webhook; an unknown one raises `InputError`."""
    with reading(engine) as session:
        return _webhook(_row(session, webhook_id, workspace))


def announce(
    session: Session,
    event: str,
    name: str,
    facts: Mapping[str, Any],
    *,
    actor: str,
    workspace: str = DEFAULT_WORKSPACE,
) -> None:
    """Write down, in the transaction of the act, whom it shall be told to.

    Args:
        session: the transaction of the act.
        event: one of `EVENTS`.
        name: the registered model; empty for what is about none, which only the pattern ``*`` is told of.
        facts: JSON values: ids, numbers, digests and the verdict; never a model's output or a secret.
        actor: who did it.
        workspace: whose webhooks.
    """
    rows = session.scalars(select(WebhookRow).where(WebhookRow.workspace == workspace)).all()
    for row in rows:
        if event in row.events and matches(row.pattern, name):
            data = {"workspace": workspace, "model": name, "actor": actor, **facts}
            message = {"type": f"evalkit.{event}", "timestamp": now_ms(), "data": data}
            put(session, DELIVERY, {"webhook": row.id, "message": message}, workspace=workspace)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``.

    Args:
        secret: ``whsec_`` and base64, as Standard Webhooks writes keys, or any text; at least 24 bytes.
        message_id: value of ``webhook-id``.
        timestamp: value of ``webhook-timestamp``, UTC seconds.
        body: the bytes that are sent.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    mac = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(mac).decode("ascii")


def _key(secret: str) -> bytes:
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise InputError(f"the webhook's secret starts with {_PREFIX} but is not base64 after it") from None
    if len(key) < _SHORTEST_KEY:
        raise InputError(f"the webhook's secret has {len(key)} bytes; give it at least {_SHORTEST_KEY} random ones")
    return key


def check_url(url: str, allow_private: bool) -> str:
    """The host of a URL that may be posted to; `InputError`, which does not repeat the URL, where it may not."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InputError("the webhook's URL cannot be read; expected https://host/path") from None
    if parts.scheme not in {"https", "http"} or not host or len(url) > _LONGEST_URL:
        raise InputError("a webhook's URL is https://host/path")
    if any(character.isspace() or not character.isprintable() or ord(character) > 126 for character in url):
        raise InputError("a webhook's URL is plain ASCII without spaces")
    if parts.scheme == "http" and not allow_private:
        raise InputError("a webhook's URL is https://…; http:// is for hosts of one's own network: --allow-private")
    if parts.username or parts.password:
        raise InputError("a webhook's URL with a password would be stored; sign with the secret instead")
    return host


def _witness(session: Session, kind: str, row: WebhookRow, host: str) -> None:
    facts = {"webhook": row.id, "host": host, "events": list(row.events), "pattern": row.pattern}
    audit.append(session, kind, actor=intent().actor.name, facts=facts, workspace=row.workspace)


def _row(session: Session, webhook_id: str, workspace: str) -> WebhookRow:
    row = session.get(WebhookRow, webhook_id)
    if row is None or row.workspace != workspace:
        raise InputError(f"there is no webhook '{webhook_id}'; `evalkit webhook list` shows those there are")
    return row


def _webhook(row: WebhookRow) -> Webhook:
    return Webhook(
        row.id,
        row.url,
        tuple(row.events),
        row.pattern,
        row.secret_env,
        row.allow_private,
        row.created_by,
        row.created_at,
    )
