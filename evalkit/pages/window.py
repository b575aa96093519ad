"""One window of a monitor: what came in, what was found, what it cost; and Evidently's report of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse

from evalkit.errors import NotFoundError
from evalkit.pages.monitor import Name
from evalkit.pages.monitor_sections import Addresses
from evalkit.pages.rendering import new_router, page
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from evalkit.views import monitor_data
from evalkit.views.windows import checks_and_slices, kept_states, raised_by, report_of, revisions_of, samples_by_signal

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
    checks, slices = checks_and_slices(engine, one.id)
    return page(
        request, "window.html", monitor=found, where=Addresses(name), window=one, revisions=revisions, others=others,
        signals=signals[:SHOWN], more=len(signals) > SHOWN, checks=checks, slices=slices, check=check, slice=slice_,
        every=every, skip=skip, size=SHOWN, samples=samples_by_signal(engine, one.id, signals[:SHOWN]),
        kept=kept_states(engine, one.id), raised=raised_by(engine, found.id, one, SHOWN), report=report,
        has_report=report_of(project, found, one) is not None,
    )  # fmt: skip


@router.get("/monitors/{name}/windows/{start}/report", dependencies=[Depends(needs())])
def evidently(project: InProject, name: Name, start: Start, cadence: Cadence = "") -> Response:
    """Evidently's report, alone in a sandbox: it holds values of the rows, and scripts that are not ours."""
    store, found = monitor_data.known(project, name)
    _, revisions = revisions_of(store, found, start, cadence)
    file = report_of(project, found, revisions[0])
    if file is None:
        raise NotFoundError("there is no report of this window; `reports: {evidently: true}` makes them")
    headers = {
        "Content-Security-Policy": SANDBOX,
        "Cache-Control": "private, no-cache",
        "Referrer-Policy": "no-referrer",
    }
    return FileResponse(file, media_type="text/html; charset=utf-8", headers=headers)
