"""``/charts/<digest>.svg`` and ``.json``: charts that pages asked for."""

from __future__ import annotations

import gzip

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from evalkit.pages.charts import drawing
from evalkit.server.api.project import InProject
from evalkit.server.identity import needs
from metrics.errors import InputError

router = APIRouter()
_KEPT = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
_CALM = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""A drawing that is opened by itself may be styled, and nothing else."""
_KINDS = {"svg": (drawing.svg, "image/svg+xml"), "json": (drawing.spec, "application/json")}


@router.get("/charts/{digest}.{kind}", dependencies=[Depends(needs())])
def chart(request: Request, project: InProject, digest: str, kind: str) -> Response:
    """A chart, drawn on first demand."""
    if kind not in _KINDS:
        raise HTTPException(404, "charts are .svg or .json")
    draw, media = _KINDS[kind]
    try:
        content = draw(project.settings.home, digest)
    except InputError as error:
        raise HTTPException(404, str(error)) from None
    headers = {**_KEPT, **_CALM}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(gzip.compress(content, 6, mtime=0), 200, {**headers, "Content-Encoding": "gzip"}, media)
    return Response(content, 200, headers, media)
