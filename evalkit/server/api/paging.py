"""Pages of rows: newest first, with a cursor that stays valid while rows are added."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from sqlalchemy import Engine, Select, tuple_

from metrics.errors import InputError
from registry.database import reading


def page(
    engine: Engine, query: Select[Any], table: Any, cursor: str | None, limit: int
) -> tuple[list[Any], str | None]:
    """Rows of a page, newest first, and the cursor of the next one."""
    if cursor is not None:
        made, key = decode(cursor)
        query = query.where(tuple_(table.created_at, table.id) < tuple_(made, key))
    query = query.order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)
    with reading(engine) as session:
        rows = list(session.scalars(query))
        session.expunge_all()
    shown = rows[:limit]
    return shown, encode(shown[-1].created_at, shown[-1].id) if len(rows) > limit else None


def cut(items: list[Any], cursor: str | None, limit: int) -> tuple[list[Any], str | None]:
    """A page of a list that is short enough to be read whole, by place."""
    start = place(cursor)
    return items[start : start + limit], beyond(start + limit, len(items))


def place(cursor: str | None) -> int:
    """Where a page begins, of a list that is read by place."""
    return 0 if cursor is None else decode(cursor)[0]


def beyond(end: int, total: int) -> str | None:
    """The cursor of what comes after a page that ends at `end`; None after the last one."""
    return encode(end, "") if end < total else None


def encode(number: int, key: str) -> str:
    """A cursor that holds where a page ends."""
    return base64.urlsafe_b64encode(f"{number}:{key}".encode()).decode().rstrip("=")


def decode(cursor: str) -> tuple[int, str]:
    """What a cursor holds; `InputError` where it is none."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        number, _, key = text.partition(":")
        found = int(number)
        if not (0 <= found < 2**62 and len(key) <= 36 and key.isprintable()):
            raise ValueError
    except (ValueError, binascii.Error):
        raise InputError(f"the cursor '{cursor[:40]}' is none of this API's; leave it out to start again") from None
    return found, key
