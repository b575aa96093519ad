"""What needs a person now: alerts, undecided gates, work that did not happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from sqlalchemy import func, select

from evalkit.project import Project
from evalkit.views import inventory
from evalkit.views.inventory import ModelLine, models
from evalkit.views.jobs import lines as jobs
from registry.alerts import Alerts
from registry.database import reading
from registry.digests import now_ms
from registry.tables import DEFAULT_WORKSPACE
from registry.tables_monitoring import AlertRow, MonitorRow, SignalRow

_segment = partial(quote, safe="@")
SHOWN = 8
"""Items of one kind on the overview; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to look at. `outcome` is the class of its chip; `at` UTC milliseconds or None."""

    label: str
    text: str
    href: str
    outcome: str
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Matter:
    """Things of one kind: `total` there are, `items` are shown, `href` shows all."""

    kind: str
    title: str
    href: str
    total: int
    items: Sequence[Item]


def alerts(project: Project, _: Sequence[ModelLine]) -> Matter:
    """Alerts that last and that nobody has taken up."""
    now = now_ms()
    open_ones = (
        AlertRow.workspace == DEFAULT_WORKSPACE, AlertRow.closed_at.is_(None), AlertRow.acknowledged_at.is_(None),
        func.coalesce(AlertRow.silenced_until, 0) <= now,
    )  # fmt: skip
    with reading(project.engine) as session:
        total = session.scalar(select(func.count()).select_from(AlertRow).where(*open_ones)) or 0
    found = [one for one in Alerts(project.engine).find(limit=10 * SHOWN) if one.state == "open"][:SHOWN]
    items = [
        Item(f"{one.monitor}: {one.signal}", one.reason, f"/evalkit/alerts/{one.id}", "fail", one.opened_at)
        for one in found
    ]
    return Matter("alerts", "Open alerts", "/evalkit/alerts", total, items)


def undecided(_: Project, lines: Sequence[ModelLine]) -> Matter:
    """Models whose newest version neither passed nor failed."""
    found = [line for line in lines if line.outcome == "inconclusive" and line.newest is not None]
    items = [
        Item(
            f"{line.name} version {line.newest}", "neither passed nor failed; more samples would decide",
            f"/evalkit/models/{_segment(line.name)}/{line.newest}", "inconclusive", line.decided_at,
        )
        for line in found[:SHOWN]
    ]  # fmt: skip
    return Matter("gates", "Inconclusive gates", "/evalkit/models?outcome=inconclusive", len(found), items)


def late(project: Project, _: Sequence[ModelLine]) -> Matter:
    """Schedules whose firings failed or did not happen."""
    found = [line for line in jobs(project) if line.state in {"overdue", "failed"}]
    items = [
        Item(
            line.target, "its latest firing failed" if line.state == "failed" else "is overdue",
            f"/evalkit/jobs/{_segment(line.name)}", "fail", line.latest.due if line.latest is not None else None,
        )
        for line in found[:SHOWN]
    ]  # fmt: skip
    return Matter("jobs", "Overdue and failed jobs", "/evalkit/jobs?state=overdue", len(found), items)


def spent(project: Project, _: Sequence[ModelLine]) -> Matter:
    """Monitors whose newest window ran out of its budget for judges."""
    newest = inventory.newest_window()
    query = (
        select(MonitorRow.name, SignalRow.check, SignalRow.start)
        .join(SignalRow, SignalRow.window_id == newest)
        .where(MonitorRow.workspace == DEFAULT_WORKSPACE, SignalRow.verdict == "budget spent")
        .distinct()
        .order_by(MonitorRow.name)
    )
    with reading(project.engine) as session:
        found = session.execute(query).all()
    items = [
        Item(
            f"{name}: {check}", "its judges' budget is spent", f"/evalkit/monitors/{_segment(name)}", "inconclusive", at
        )
        for name, check, at in found[:SHOWN]
    ]  # fmt: skip
    return Matter("budgets", "Spent budgets", "/evalkit/monitors", len(found), items)


def uncalibrated(project: Project, _: Sequence[ModelLine]) -> Matter:
    """Judges of the newest versions that have not shown what a suite demands of them."""
    from evalkit.judging.uses import uses

    found = [use for use in uses(project.engine, project.settings) if use.why is not None]
    items = [
        Item(
            f"{use.model} version {use.number}: {use.task}/{use.metric}", use.why or "",
            f"/evalkit/judges/{_segment(use.metric)}", "inconclusive",
        )
        for use in found[:SHOWN]
    ]  # fmt: skip
    return Matter("judges", "Uncalibrated judges", "/evalkit/judges", len(found), items)


KINDS: tuple[Callable[[Project, Sequence[ModelLine]], Matter], ...] = (alerts, undecided, late, spent, uncalibrated)


def matters(project: Project, lines: Sequence[ModelLine] | None = None) -> list[Matter]:
    """All that needs a person, one entry a kind that has any."""
    known = models(project) if lines is None else lines
    return [matter for kind in KINDS if (matter := kind(project, known)).total]
