"""Workers of a server, and the work that they do."""

from __future__ import annotations

from evalkit.remote.client import Client, made, quoted
from registry.workers import Worker


def workers() -> list[Worker]:
    """All workers that were heard of in the last days, the newest heartbeat first."""
    return [made(Worker, item) for item in Client.from_environment().items("/workers", limit=1000)]


def retry(item_id: str) -> None:
    """Have an item that is done be done again; needs an admin."""
    Client.from_environment().send("POST", f"/work/items/{quoted(item_id)}/retry")
