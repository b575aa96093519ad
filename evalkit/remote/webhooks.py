"""Webhooks of a server, and what was delivered to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from evalkit.remote.client import Client, NotThereError, made, quoted
from evalkit.remote.jobs import item
from evalkit.worker.sending import Answer
from registry.outbox import Item
from registry.webhooks import Webhook

_PAGE = 1000


def add(url: str, *, secret_env: str, events: Sequence[str], pattern: str) -> Webhook:
    """Have a URL be told of events, of all where none is named."""
    body = {"url": url, "secret_env": secret_env, "events": [*events] or None, "pattern": pattern}
    return _webhook(Client.from_environment().send("POST", "/webhooks", body))


def list_webhooks() -> list[Webhook]:
    """All webhooks, oldest first."""
    return [_webhook(data) for data in Client.from_environment().items("/webhooks", limit=_PAGE)]


def remove(webhook_id: str) -> Webhook:
    """Remove a webhook, and what it was still to be told."""
    return _webhook(Client.from_environment().send("DELETE", _path(webhook_id)))


def send_test(webhook_id: str) -> Answer:
    """Have the server send a signed test event."""
    return made(Answer, Client.from_environment().send("POST", f"{_path(webhook_id)}/test"))


def deliveries(webhook_id: str | None, limit: int) -> list[Item]:
    """Deliveries, newest first."""
    found = Client.from_environment().items("/webhooks/deliveries", webhook=webhook_id, limit=limit)
    return [item(data) for data in islice(found, limit)]


def _path(webhook_id: str) -> str:
    if "/" in webhook_id or webhook_id in {"", ".", ".."}:
        raise NotThereError(f"there is no webhook '{webhook_id[:60]}'; `evalkit webhook list` shows those there are")
    return f"/webhooks/{quoted(webhook_id)}"


def _webhook(data: Mapping[str, Any]) -> Webhook:
    return made(Webhook, {**data, "events": tuple(data.get("events", ()))})
