"""What there is, and what needs a person now."""

from __future__ import annotations

from pydantic import Field

from evalkit.server.api.schema.base import Out


class AttentionOut(Out):
    """One thing to look at."""

    label: str
    text: str
    page: str = Field(description="Path of the page that shows it.")
    outcome: str = Field(description="`fail` or `inconclusive`.")
    at: int | None


class MatterOut(Out):
    """Things of one kind: `total` there are, `items` are the first of them."""

    kind: str
    title: str
    page: str
    total: int
    items: list[AttentionOut]


class OverviewOut(Out):
    """How things stand."""

    models: int
    versions: int
    monitors: int
    monitors_by_state: dict[str, int]
    lasting_alerts: int
    inconclusive: int = Field(description="Models whose newest version neither passed nor failed.")
    workers: int = Field(description="That live.")
    matters: list[MatterOut] = Field(description="What needs a person, one entry a kind that has any.")
