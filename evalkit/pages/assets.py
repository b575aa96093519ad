"""Style and scripts: served under an address that names their content, so that a browser asks once."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources

from fastapi import APIRouter, HTTPException, Request, Response

from evalkit.pages.charts import drawing
from evalkit.server.api.project import InProject

router = APIRouter()
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_STYLE, _VEGA = "style.css", "vega.js"
_FOLDER = resources.files("evalkit.pages") / "static"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages need; `packed` with gzip."""

    content: bytes
    packed: bytes
    digest: str


def address(name: str) -> str:
    """Where a page finds a file: ``style.css``, ``vega.js``, or a script or drawing of the folder ``static``."""
    tag = metadata.version("vl-convert-python") if name == _VEGA else _asset(name).digest
    stem, _, kind = name.rpartition(".")
    return f"/evalkit/assets/{stem}-{tag}.{kind}"


@router.get("/assets/{file}")
def asset(request: Request, project: InProject, file: str) -> Response:
    """A file by the address that `address` gave; an older one is answered with what there is now."""
    stem, _, kind = file.rpartition(".")
    name = f"{stem.partition('-')[0]}.{kind}"
    if name == _VEGA:
        packed = drawing.vega(project.settings.home)
        content = b"" if _takes_gzip(request) else gzip.decompress(packed)
    elif name in _names():
        found = _asset(name)
        content, packed = found.content, found.packed
    else:
        raise HTTPException(404, "no such file")
    headers = {**FOREVER, "Content-Type": _KINDS[kind]}
    if _takes_gzip(request):
        return Response(packed, headers={**headers, "Content-Encoding": "gzip"})
    return Response(content, headers=headers)


def _takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


@cache
def _names() -> frozenset[str]:
    return frozenset({_STYLE} | {file.name for file in _FOLDER.iterdir() if file.name.endswith((".js", ".svg"))})


@cache
def _asset(name: str) -> Asset:
    if name == _STYLE:  # scorecards look alike in MLflow's artifacts and here
        sheets = sorted((file for file in _FOLDER.iterdir() if file.name.endswith(".css")), key=lambda file: file.name)
        scorecard = resources.files("evalkit.reports") / "templates" / "scorecard.css"
        content = b"".join(file.read_bytes() for file in (scorecard, *sheets))
    else:
        content = (_FOLDER / name).read_bytes()
    return Asset(content, gzip.compress(content, 9, mtime=0), hashlib.sha256(content).hexdigest()[:12])
