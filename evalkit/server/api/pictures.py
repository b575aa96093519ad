"""Stored images as they are served: encoded again, for what a model wrote is not trusted."""

from __future__ import annotations

import hashlib

from fastapi import HTTPException, Request, Response

from evalkit.reports.html import reencoded

SIDES = {"small": 256, "large": 1024}
"""Pixels of the longer side."""
_LEAST = 128
_HEADERS = {"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff"}


def picture(request: Request, data: bytes | None, side: int) -> Response:
    """Answer with a stored image, encoded again at most `side` pixels wide and high."""
    encoded = reencoded(data, side, _LEAST) if data is not None else None
    if encoded is None:
        raise HTTPException(404, "there is no readable image")
    headers = {
        **_HEADERS, "Cache-Control": "private, max-age=86400",
        "ETag": f'"{hashlib.sha256(encoded[0]).hexdigest()[:32]}"',
    }  # fmt: skip
    if request.headers.get("if-none-match", "").removeprefix("W/") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(encoded[0], headers=headers, media_type="image/png")
