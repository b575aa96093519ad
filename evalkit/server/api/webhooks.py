"""``/webhooks``: who is told of decisions, moves of aliases and alerts."""

from __future__ import annotations

from typing import Literal

from fastapi import Depends
from pydantic import Field

from evalkit.errors import NotFoundError
from evalkit.server.api import paging
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, In, Key, Limit, Out, Page
from evalkit.server.identity import needs
from registry.actors import ADMIN
from registry.webhooks import EVENTS, Webhook, add_webhook, list_webhooks, remove_webhook

router = new_router("webhooks")
Administers = Depends(needs(ADMIN))
Event = Literal["decision", "promotion", "demotion", "override", "approval", "alert.opened", "alert.closed"]


class WebhookIn(In):
    """Where to tell events to. Hosts of one's own network are added with `evalkit webhook add --allow-private`."""

    url: str = Field(min_length=1, max_length=2000, description="`https://…`")
    secret_env: str = Field(min_length=1, max_length=255, description="The worker's variable that holds the secret.")
    events: list[Event] | None = Field(None, min_length=1, max_length=20, description="All without.")
    pattern: str = Field("*", min_length=1, max_length=255, description="Of which models; `*` stands for any text.")


class WebhookOut(Out):
    """Where events are told to; what came of them is at ``/work/items?kind=webhook.delivery``."""

    id: str
    url: str
    events: list[str]
    pattern: str
    secret_env: str
    allow_private: bool
    created_by: str
    created_at: int


@router.get("/webhooks", dependencies=[Administers], summary="Webhooks, the oldest first")
def get_webhooks(project: InProject, cursor: Cursor = None, limit: Limit = 100) -> Page[WebhookOut]:
    """Without their secrets, which are nowhere stored."""
    items, following = paging.cut(list_webhooks(project.engine), cursor, limit)
    return Page(items=[_told(one) for one in items], next=following)


@router.post("/webhooks", dependencies=[Administers], status_code=201, summary="Have a URL be told of events")
def post_webhook(project: InProject, body: WebhookIn) -> WebhookOut:
    """From now on, signed; workers deliver."""
    made = add_webhook(
        project.engine, body.url, secret_env=body.secret_env, events=body.events or EVENTS, pattern=body.pattern
    )  # fmt: skip
    return _told(made)


@router.delete("/webhooks/{key}", dependencies=[Administers], summary="Remove a webhook")
def delete_webhook(project: InProject, key: Key) -> WebhookOut:
    """And what it was still to be told."""
    if all(one.id != key for one in list_webhooks(project.engine)):
        raise NotFoundError(f"there is no webhook {key}")
    return _told(remove_webhook(project.engine, key))


def _told(one: Webhook) -> WebhookOut:
    told = {name: getattr(one, name) for name in WebhookOut.model_fields}
    return WebhookOut.model_validate(told | {"events": list(one.events)})
