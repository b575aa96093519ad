"""``/streams/<stream>/records``: what applications tell about their generations."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel

from evalkit.ingest.buffer import Buffer
from evalkit.ingest.records import parse_records
from evalkit.server.api.project import server_settings
from evalkit.server.api.routes import ApiRoute, new_router
from evalkit.server.identity import needs
from registry.actors import EVALUATOR, Actor

MAX_BODY = 16 * 2**20
"""Bytes of one request, unpacked."""
MAX_RECORDS = 10_000
MAX_A_MINUTE = 4096 * 2**20
"""Bytes, unpacked, that a login may send in a minute to each process of the server."""


class Flow:
    """How much each login has sent in the present minute.

    Args:
        limit: bytes a minute.
        clock: seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._minute, self._sent = -1, Counter[str]()

    def take(self, login: str, size: int) -> int:
        """Count `size` bytes of a login, and return 0; seconds to wait where they are too many."""
        now = self._clock()
        if int(now // 60) != self._minute:
            self._minute, self._sent = int(now // 60), Counter()
        if self._sent[login] + size > self._limit:
            return 60 - int(now % 60)
        self._sent[login] += size
        return 0


flow = Flow(MAX_A_MINUTE)


class RecordsRoute(ApiRoute):
    """A route that takes many records."""

    limit = MAX_BODY
    media_types = ("application/json", "application/x-ndjson")


router = new_router("records", RecordsRoute)


class Accepted(BaseModel):
    """What became of a request: records kept now, and records that were there already."""

    accepted: int
    duplicates: int


@router.post(
    "/streams/{stream}/records",
    status_code=201,
    summary="Tell what was generated",
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
    body = await _body(request)
    if wait := flow.take(actor.name, len(body)):
        raise HTTPException(
            429, f"more than {MAX_A_MINUTE // 2**20} MB in a minute; send on in {wait} s", {"Retry-After": str(wait)}
        )
    records = parse_records(body)
    if len(records) > MAX_RECORDS:
        raise HTTPException(413, f"{len(records)} records; send at most {MAX_RECORDS} at a time")
    kept = await asyncio.to_thread(_buffer().append, stream, records)
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


@cache
def _buffer() -> Buffer:
    """The buffer of this process."""
    return Buffer.of(server_settings())


def close_buffer() -> None:
    """Release the connections of this process; the next record opens them again."""
    if _buffer.cache_info().currsize:
        _buffer().close()
        _buffer.cache_clear()
