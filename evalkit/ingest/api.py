"""``POST /evalkit/api/v1/streams/<stream>/records``: what applications send."""

from __future__ import annotations

import asyncio
import threading
import zlib
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel

from evalkit.config import load_settings
from evalkit.ingest.buffer import Buffer
from evalkit.ingest.records import parse_records
from evalkit.server.identity import needs
from metrics.errors import InputError
from registry.actors import EVALUATOR, Actor

MAX_BODY = 16 * 2**20
"""Bytes of one request, unpacked."""
MAX_RECORDS = 10_000

router = APIRouter(prefix="/evalkit/api/v1", tags=["ingest"])


class Accepted(BaseModel):
    """What became of a request: records kept now, and records that were there already."""

    accepted: int
    duplicates: int


@router.post(
    "/streams/{stream}/records",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        }
    },
)
async def add_records(
    stream: str, request: Request, actor: Annotated[Actor, Depends(needs("labeler", EVALUATOR))]
) -> Accepted:
    """Keep generations and feedback: a JSON array, or one object a line; gzip is understood.

    All records of a request are kept, or none. A record whose `id` the stream has already counts as a duplicate, so a
    request may be sent again. The answer comes when the records are on the disk.
    """
    del actor
    body = await _body(request)
    try:
        records = parse_records(body)
        if len(records) > MAX_RECORDS:
            raise HTTPException(413, f"{len(records)} records; send at most {MAX_RECORDS} at a time")
        kept = await asyncio.to_thread(_buffer().append, stream, records)
    except InputError as error:
        raise HTTPException(422, str(error)) from None
    return Accepted(accepted=kept.accepted, duplicates=kept.duplicates)


async def _body(request: Request) -> bytes:
    """The request's body, unpacked, never more of it than allowed."""
    packed = request.headers.get("content-encoding", "identity").lower()
    if packed not in {"identity", "gzip"}:
        raise HTTPException(415, f"content-encoding '{packed}' is not understood; use gzip or none")
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if packed == "gzip" else None
    parts: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        try:
            part = chunk if unpack is None else unpack.decompress(chunk, MAX_BODY + 1 - size)
        except zlib.error:
            raise HTTPException(400, "the body is not gzip, though its content-encoding says so") from None
        size += len(part)
        if size > MAX_BODY or (unpack is not None and unpack.unconsumed_tail):
            raise HTTPException(413, f"the body is larger than {MAX_BODY // 2**20} MB; send smaller batches")
        parts.append(part)
    if unpack is not None and not unpack.eof:
        raise HTTPException(400, "the body ends in the middle of its gzip stream")
    return b"".join(parts)


_open: dict[str, Buffer] = {}
_lock = threading.Lock()


def _buffer() -> Buffer:
    """The buffer of this process's project, opened once."""
    with _lock:
        settings = load_settings()
        key = f"{settings.home}|{settings.database_url}"
        if key not in _open:
            _open[key] = Buffer.of(settings)
        return _open[key]


def close_buffers() -> None:
    """Release the connections of this process."""
    with _lock:
        for buffer in _open.values():
            buffer.close()
        _open.clear()
