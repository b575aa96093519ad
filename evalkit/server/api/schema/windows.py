"""One window of a monitor, what stands behind it, and how a monitor stands."""

from __future__ import annotations

from pydantic import Field

from evalkit.server.api.schema.base import Number, Out, Page
from evalkit.server.api.schema.monitors import FiringOut, WindowOut


class KeptOut(Out):
    """States of one check that are kept of a window, in bytes."""

    check: str
    size: int


class RaisedOut(Out):
    """An alert that the window opened."""

    id: str
    name: str
    rule: str
    reason: str


class RevisionOut(WindowOut):
    """One time that a window was computed."""

    newest: bool


class WindowFullOut(Out):
    """A window with all its revisions, newest first; the rest is of the newest one."""

    monitor: str
    revisions: list[RevisionOut]
    cadences: list[str] = Field(description="Other cadences with a window that begins then.")
    checks: list[str]
    slices: list[str]
    kept: list[KeptOut]
    alerts: list[RaisedOut]
    report: str | None = Field(description="Path of Evidently's report of it, where there is one.")


class NumberOut(Out):
    """One number of a check in a window; `slice` is empty for all rows, `shown_by` counts rows that show it best."""

    check: str
    key: str
    slice: str
    value: Number
    low: Number
    high: Number
    n: int
    coverage: Number
    verdict: str
    reason: str
    shown_by: int


class GenerationOut(Out):
    """One row as it is stored, redacted; texts have at most 20,000 characters."""

    id: str
    event_time: int
    shows: bool = Field(description="Whether the number that was asked for points to it.")
    prompt: str | None
    output: str | None
    error: str | None
    context: list[str]
    version: str | None
    label: Number
    latency: Number = Field(description="Seconds.")
    prompt_tokens: Number
    output_tokens: Number
    cost: Number = Field(description="US dollars.")
    slices: dict[str, str]


class GenerationPage(Page[GenerationOut]):
    """Rows of a window, those first that show the number that was asked for."""

    total: int = Field(description="Rows of the window, and of the slice where one was asked for.")
    pointed: int = Field(description="Of them that the number points to.")
    gone: int = Field(description="Rows that it points to and that were erased, or whose retention has ended.")
    note: str


class ReadingOut(Out):
    """What one rule of a check said after one window."""

    start: int
    key: str
    slice: str
    rule: str = Field(description="`max`, `min`, `baseline`, `contract` or `no data`.")
    status: str
    alerting: bool
    statistic: Number
    threshold: Number
    warning: Number
    level: Number


class DeploymentOut(Out):
    """When another version came under the alias that a monitor watches."""

    at: int
    label: str


class SpentOut(Out):
    """What judges have cost."""

    requests: int
    prompt_tokens: int
    output_tokens: int
    cost: Number
    seconds: Number


class LastingOut(Out):
    """An alert that lasts."""

    id: str
    check: str
    key: str
    slice: str
    rule: str


class StandingOut(Out):
    """How a monitor stands now."""

    monitor: str
    state: str = Field(description="`alert`, `failed`, `contract`, `no data`, `ok` or `paused`.")
    every: str = Field(description="Its windows, as its file says; empty where that cannot be read.")
    cron: str
    budget: str | None
    spent: SpentOut = Field(description="Since midnight UTC.")
    alerts: list[LastingOut]
    last: FiringOut | None = Field(description="The firing that was due last.")
    labels: bool = Field(description="Whether it has labels at all.")
    labels_behind: int | None = Field(description="Milliseconds from the newest label to the newest row.")
