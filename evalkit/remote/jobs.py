"""Workers of a server, and the work that they do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from evalkit.remote.client import Client, made, quoted
from registry.outbox import Item
from registry.workers import Worker


def workers() -> list[Worker]:
    """All workers that were heard of in the last days, the newest heartbeat first."""
    return [made(Worker, item) for item in Client.from_environment().items("/workers", limit=1000)]


def items(kind: str, limit: int) -> list[tuple[Item, str]]:
    """Work of a kind, newest first, each with what it is about; only an admin is told more of it than that."""
    every = Client.from_environment().items("/work/items", kind=kind, bodies="true", limit=limit)
    found = islice(every, limit)
    return [(item(data), str(data.get("about", ""))) for data in found]


def item(data: Mapping[str, Any]) -> Item:
    """An item of the outbox from the API's JSON; its token is the server's own, and only says that it runs."""
    return made(Item, {**data, "token": "running" if data.get("running") else None})


def retry(item_id: str) -> None:
    """Have an item that is done be done again; needs an admin."""
    Client.from_environment().send("POST", f"/work/items/{quoted(item_id)}/retry")
