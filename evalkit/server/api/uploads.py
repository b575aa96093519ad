"""Files that are uploaded: on the disk while they are looked at, and gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Request

from evalkit.project import Project

ZIP_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""What the description says of a route that takes an archive."""


@asynccontextmanager
async def uploaded(request: Request, project: Project) -> AsyncIterator[Path]:
    """The body of a request as a file; how large it may be is the route's to say."""
    folder = project.settings.home / "submitted"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=folder) as place:
        path = Path(place) / "archive.zip"  # as messages call it
        with path.open("wb") as out:
            async for block in request.stream():
                out.write(block)
        yield path
