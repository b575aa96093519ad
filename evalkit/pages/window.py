"""One window of a monitor: what came in, what was found, what it cost; and Evidently's report of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy import Engine, func, select

from evalkit.monitoring.records import ROLLED, MonitorRecord
from evalkit.monitoring.store import MonitorStore
from evalkit.monitoring.window_reports import report_path
from evalkit.pages import monitor_data
from evalkit.pages.monitor import Name
from evalkit.pages.monitor_data import Point, short
from evalkit.pages.monitor_sections import Addresses
from evalkit.pages.rendering import new_router, page
from evalkit.server.api.project import InProject, Project
from evalkit.server.api.routes import NotFoundError
from evalkit.server.identity import needs
from judges.base import Usage
from registry.database import reading
from registry.tables_monitoring import AlertRow, SignalRow, WindowRow, WindowStateRow

router = new_router()
Start = Annotated[int, Path(ge=0, le=2**53)]
Cadence = Annotated[str, Query(max_length=100)]
SHOWN = 100
"""Signals on one page."""
SANDBOX = "; ".join((
    "sandbox allow-scripts", "default-src 'none'", "script-src 'unsafe-inline' 'unsafe-eval'",
    "style-src 'unsafe-inline'", "img-src data: blob:", "font-src data:", "connect-src 'none'", "form-action 'none'",
    "base-uri 'none'", "frame-ancestors 'self'",
))  # fmt: skip
"""What Evidently's report may do: run its own scripts, in an origin of its own, without any request."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One time that a window was computed."""

    id: str
    cadence: str
    start: int
    end: int
    number: int
    newest: bool
    status: str
    rows: int
    late: int
    version_digest: str
    notes: Sequence[str]
    usage: Mapping[str, Any]
    contract: Mapping[str, Any] | None
    finished_at: int

    @property
    def day(self) -> str:
        """When it begins, in words."""
        return short(self.start)

    @property
    def cost(self) -> Usage | None:
        """What its judges cost; None where none was asked."""
        return Usage(**self.usage) if self.usage else None

    @property
    def breaches(self) -> Sequence[Mapping[str, Any]]:
        """Expectations of the data contract that did not hold."""
        found: Sequence[Mapping[str, Any]] = (self.contract or {}).get("breaches", ())
        return found


@dataclass(frozen=True, slots=True)
class Kept:
    """States of one check that are kept of a window, in bytes."""

    check: str
    size: int


@dataclass(frozen=True, slots=True)
class Raised:
    """An alert that the window opened."""

    id: str
    name: str
    rule: str
    reason: str


_COLUMNS: tuple[Any, ...] = (
    WindowRow.id, WindowRow.cadence, WindowRow.start, WindowRow.end, WindowRow.revision, WindowRow.newest,
    WindowRow.status, WindowRow.rows, WindowRow.late, WindowRow.version_digest, WindowRow.notes, WindowRow.usage,
    WindowRow.contract, WindowRow.finished_at,
)  # fmt: skip


@router.get("/monitors/{name}/windows/{start}", dependencies=[Depends(needs())])
def window(
    request: Request, project: InProject, name: Name, start: Start, *, cadence: Cadence = "",
    revision: Annotated[int, Query(ge=0, le=1_000_000)] = 0, check: Annotated[str, Query(max_length=60)] = "",
    slice_: Annotated[str, Query(alias="slice", max_length=500)] = "",
    every: Annotated[bool, Query(alias="slices")] = False, skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    report: bool = False,
) -> Response:  # fmt: skip
    """A window: its revisions, newest first, and the signals of one of them."""
    store, found = monitor_data.known(project, name)
    others, revisions = revisions_of(store, found, start, cadence)
    one = next((item for item in revisions if item.number == revision), revisions[0])
    engine, wanted = project.engine, (None if every and not slice_ else slice_)
    signals = monitor_data.of_window(engine, one.id, check=check or None, slice_=wanted, skip=skip, limit=SHOWN + 1)
    checks, slices = _chosen(engine, one.id)
    return page(
        request, "window.html", monitor=found, where=Addresses(name), window=one, revisions=revisions, others=others,
        signals=signals[:SHOWN], more=len(signals) > SHOWN, checks=checks, slices=slices, check=check, slice=slice_,
        every=every, skip=skip, size=SHOWN, samples=_shown_by(engine, one.id, signals[:SHOWN]),
        kept=_kept(engine, one.id), raised=_raised(engine, found.id, one), report=report,
        has_report=_report(project, found, one) is not None,
    )  # fmt: skip


@router.get("/monitors/{name}/windows/{start}/report", dependencies=[Depends(needs())])
def evidently(project: InProject, name: Name, start: Start, cadence: Cadence = "") -> Response:
    """Evidently's report, alone in a sandbox: it holds values of the rows, and scripts that are not ours."""
    store, found = monitor_data.known(project, name)
    _, revisions = revisions_of(store, found, start, cadence)
    file = _report(project, found, revisions[0])
    if file is None:
        raise NotFoundError("there is no report of this window; `reports: {evidently: true}` makes them")
    headers = {
        "Content-Security-Policy": SANDBOX,
        "Cache-Control": "private, no-cache",
        "Referrer-Policy": "no-referrer",
    }
    return FileResponse(file, media_type="text/html; charset=utf-8", headers=headers)


def revisions_of(
    store: MonitorStore, found: MonitorRecord, start: int, cadence: str
) -> tuple[Sequence[str], Sequence[Revision]]:
    """Other cadences with a window that begins then, and the revisions of the one of `cadence`, newest first.

    Without a `cadence` it is the monitor's own, where that has a window then.

    Raises:
        NotFoundError: no such window.
    """
    wanted = (
        select(*_COLUMNS)
        .where(
            WindowRow.monitor_id == found.id, WindowRow.start == start, WindowRow.cadence.not_like(f"{ROLLED}%")
        )
        .order_by(WindowRow.cadence, WindowRow.revision.desc())
        .limit(200)
    )  # fmt: skip
    with reading(store.engine) as session:
        rows = [Revision(*row) for row in session.execute(wanted)]
    cadences = list(dict.fromkeys(one.cadence for one in rows))
    chosen = cadence or next(iter(cadences), "")
    if not cadence and len(cadences) > 1:
        definition = monitor_data.definition_of(store, found)
        own = "" if definition is None else definition.spec.cadence.text
        chosen = own if own in cadences else chosen
    revisions = [one for one in rows if one.cadence == chosen]
    if not revisions:
        raise NotFoundError(f"'{found.name}' has no window that begins at {short(start)}")
    return [one for one in cadences if one != chosen], revisions


def _chosen(engine: Engine, window_id: str) -> tuple[list[str], list[str]]:
    wanted = (
        select(SignalRow.check, func.min(SignalRow.position))
        .where(SignalRow.window_id == window_id)
        .group_by(SignalRow.check)
    )
    with reading(engine) as session:
        checks = [name for name, _ in sorted(session.execute(wanted), key=lambda row: row[1])]
    return checks, monitor_data.slices_of(engine, [window_id])


def _shown_by(engine: Engine, window_id: str, signals: Sequence[Point]) -> Mapping[tuple[str, str, str], int]:
    """How many samples point to rows, by signal."""
    names = {(one.check, one.key, one.slice) for one in signals}
    wanted = select(SignalRow.check, SignalRow.key, SignalRow.slice, SignalRow.samples).where(
        SignalRow.window_id == window_id, SignalRow.check.in_({name[0] for name in names})
    )
    with reading(engine) as session:
        return {
            (check, key, slice_): len(samples)
            for check, key, slice_, samples in session.execute(wanted)
            if samples and (check, key, slice_) in names
        }


def _kept(engine: Engine, window_id: str) -> list[Kept]:
    wanted = select(WindowStateRow.check, WindowStateRow.size).where(WindowStateRow.window_id == window_id)
    with reading(engine) as session:
        return [Kept(*row) for row in session.execute(wanted.order_by(WindowStateRow.check))]


def _raised(engine: Engine, monitor_id: str, one: Revision) -> list[Raised]:
    wanted = (
        select(AlertRow.id, AlertRow.check, AlertRow.key, AlertRow.slice, AlertRow.rule, AlertRow.reason)
        .where(AlertRow.monitor_id == monitor_id, AlertRow.cadence == one.cadence, AlertRow.opened_at == one.start)
        .order_by(AlertRow.id)
        .limit(SHOWN)
    )
    with reading(engine) as session:
        return [
            Raised(key, f"{check} / {number}" + (f", {slice_}" if slice_ else ""), rule, reason)
            for key, check, number, slice_, rule, reason in session.execute(wanted)
        ]


def _report(project: Project, found: MonitorRecord, one: Revision) -> File | None:
    place = report_path(project.settings.home / "monitors" / found.id, one.cadence, one.start)
    return place if one.newest and place.is_file() else None
