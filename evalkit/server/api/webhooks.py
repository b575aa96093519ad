"""``/webhooks``: who is told of decisions, moves of aliases and alerts."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from fastapi import Depends, Query
from pydantic import Field

from evalkit.errors import NotFoundError
from evalkit.project import Project
from evalkit.server.api import paging
from evalkit.server.api.jobs import item_out
from evalkit.server.api.project import InProject
from evalkit.server.api.routes import new_router
from evalkit.server.api.schema import Cursor, In, Key, Limit, Out, Page
from evalkit.server.api.schema.jobs import WorkItemOut
from evalkit.server.identity import needs
from evalkit.worker.sending import send_test
from registry.actors import ADMIN
from registry.outbox import Outbox
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
    """Where events are told to; what came of them is at ``/webhooks/deliveries``."""

    id: str
    url: str
    events: list[str]
    pattern: str
    secret_env: str
    allow_private: bool
    created_by: str
    created_at: int


class AnswerOut(Out):
    """What the receiver of a test event answered: its status, or null and why there is none."""

    accepted: bool
    status: int | None
    detail: str


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
    return _told(remove_webhook(project.engine, _known(project, key).id))


@router.post("/webhooks/{key}/test", dependencies=[Administers], summary="Send a test event now")
def send_test_event(project: InProject, key: Key) -> AnswerOut:
    """Signed, from the server itself, whose environment must hold the webhook's secret."""
    return AnswerOut.model_validate(send_test(_known(project, key), os.environ))


@router.get("/webhooks/deliveries", dependencies=[Administers], summary="Deliveries, newest first")
def list_deliveries(
    project: InProject, webhook: Annotated[str | None, Query(max_length=36, description="To this one only.")] = None,
    cursor: Cursor = None, limit: Limit = 100,
) -> Page[WorkItemOut]:  # fmt: skip
    """With every attempt, and what was told: those among the newest 1000. ``POST /work/items/{key}/retry`` repeats."""
    items, following = paging.cut(Outbox(project.engine).deliveries(webhook), cursor, limit)
    return Page(items=[item_out(one, whole=True) for one in items], next=following)


def _known(project: Project, key: str) -> Webhook:
    found = next((one for one in list_webhooks(project.engine) if one.id == key), None)
    if found is None:
        raise NotFoundError(f"there is no webhook '{key}'; `evalkit webhook list` shows those there are")
    return found


def _told(one: Webhook) -> WebhookOut:
    told = {name: getattr(one, name) for name in WebhookOut.model_fields}
    return WebhookOut.model_validate(told | {"events": list(one.events)})
