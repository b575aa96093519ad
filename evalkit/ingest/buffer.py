"""The buffer: what was told about generations, in the order of its arrival, until monitors have read it.

In a database of its own (a SQLite file, a schema on PostgreSQL): traffic does not wait for the registry, nor the
registry for traffic. What `append` returned for is on the disk.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    event,
    func,
    select,
    text,
)

from evalkit.config import Settings
from evalkit.ingest.records import Feedback, Generation, check_stream
from evalkit.own_database import open_own, own_url
from registry.tables import DEFAULT_WORKSPACE

_metadata = MetaData()
_records = Table(
    "evalkit_ingested",
    _metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("workspace", String(63), nullable=False),
    Column("stream", String(100), nullable=False),
    Column("key", String(100), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("event_time", BigInteger, nullable=False),
    Column("ingested_at", BigInteger, nullable=False),
    Column("person", String(200)),
    Column("body", Text, nullable=False),
    UniqueConstraint("workspace", "stream", "key", name="uq_evalkit_ingested_key"),
    Index("ix_evalkit_ingested_seq", "workspace", "stream", "seq"),
    Index("ix_evalkit_ingested_person", "person"),
    sqlite_autoincrement=True,  # a number that was given is never given again, or a watermark would miss a row
)
_ORDER_LOCK = 0x696E6765
"""Advisory lock on PostgreSQL under which rows get their numbers, so that none is committed below a watermark."""
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a batch: rows that are new, and rows that were there already."""

    accepted: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class BufferedRow:
    """A record as it was kept.

    Attributes:
        seq: place in the order of arrival: a watermark for readers.
        id, kind, user: of the record.
        event_time, ingested_at: UTC milliseconds: when it happened, when it came.
        values: all other fields.
    """

    seq: int
    id: str
    kind: str
    user: str | None
    event_time: int
    ingested_at: int
    values: Mapping[str, Any]


class Buffer:
    """Records by stream, for any number of processes and threads.

    Args:
        url: SQLAlchemy URL; tables are made where they are missing.
        workspace: rows of other workspaces are invisible.
    """

    def __init__(self, url: str, workspace: str = DEFAULT_WORKSPACE) -> None:
        self._engine = open_own(url, "ingest", _metadata)
        self._workspace = workspace
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _durable)
            self._engine.dispose()  # the connection that made the tables was opened before

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The buffer of a project."""
        settings.home.mkdir(parents=True, exist_ok=True)
        return cls(own_url(settings, "ingest"))

    @property
    def engine(self) -> Engine:
        """Connections to the database."""
        return self._engine

    def close(self) -> None:
        """Release connections."""
        self._engine.dispose()

    def append(self, stream: str, records: Iterable[Generation | Feedback]) -> Appended:
        """Keep records, all or none; one whose id the stream has already is left as it is.

        When this returns they survive the end of the process and of the machine.
        """
        check_stream(stream)
        now = time.time_ns() // 1_000_000
        rows = [
            {
                "workspace": self._workspace,
                "stream": stream,
                "key": _plain(record.id),
                "kind": record.kind,
                "event_time": record.time,
                "ingested_at": now,
                "person": None if record.user is None else _plain(record.user),
                "body": record.body(),
            }
            for record in records
        ]
        if not rows:
            return Appended(0, 0)
        insert = self._insert().on_conflict_do_nothing().execution_options(preserve_rowcount=True)
        with self._engine.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ORDER_LOCK})
            stored = connection.execute(insert, rows).rowcount
        return Appended(stored, len(rows) - stored)

    def read(self, stream: str, *, after: int = 0, limit: int = 10_000) -> list[BufferedRow]:
        """Return up to `limit` records that came after the watermark `after`, in the order of their arrival."""
        query = (
            select(_records)
            .where(_records.c.workspace == self._workspace, _records.c.stream == stream, _records.c.seq > after)
            .order_by(_records.c.seq)
            .limit(limit)
        )
        with self._engine.connect().execution_options(evalkit_reading=True) as connection:
            return [_row(row) for row in connection.execute(query).mappings()]

    def streams(self) -> dict[str, int]:
        """Streams and how many records each holds."""
        query = (
            select(_records.c.stream, func.count())
            .where(_records.c.workspace == self._workspace)
            .group_by(_records.c.stream)
            .order_by(_records.c.stream)
        )
        with self._engine.connect().execution_options(evalkit_reading=True) as connection:
            return {str(name): int(count) for name, count in connection.execute(query)}

    def prune(self, stream: str, *, until: int, before: int) -> int:
        """Delete records up to the watermark `until` that came before `before` (UTC milliseconds); how many."""
        statement = delete(_records).where(
            _records.c.workspace == self._workspace,
            _records.c.stream == stream,
            _records.c.seq <= until,
            _records.c.ingested_at < before,
        )
        with self._engine.begin() as connection:
            return int(connection.execute(statement).rowcount)

    def of_person(self, user: str) -> list[tuple[str, str, int]]:
        """Stream, id and event time of every record about a person, and of what was said about those later."""
        with self._engine.connect().execution_options(evalkit_reading=True) as connection:
            query = select(_records.c.stream, _records.c.key, _records.c.event_time).where(
                _records.c.workspace == self._workspace, _records.c.person == _plain(user)
            )
            return [(str(stream), str(key), int(moment)) for stream, key, moment in connection.execute(query)]

    def erase(self, stream: str, keys: Sequence[str]) -> int:
        """Delete records by id, and feedback about them; how many."""
        here = (_records.c.workspace == self._workspace, _records.c.stream == stream)
        wanted = set(keys)
        with self._engine.begin() as connection:
            said = select(_records.c.key, _records.c.body).where(*here, _records.c.kind == "feedback")
            about = {str(key) for key, body in connection.execute(said) if json.loads(body)["of"] in wanted}
            return sum(
                connection.execute(delete(_records).where(*here, _records.c.key.in_(chunk))).rowcount
                for chunk in _chunks(sorted(wanted | about))
            )

    def _insert(self) -> Any:
        from sqlalchemy.dialects import postgresql, sqlite

        return (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert(_records)


def _durable(connection: Any, _record: object) -> None:
    # In WAL mode NORMAL may lose the last commits with the power; what was acknowledged must not be lost
    connection.execute("PRAGMA synchronous=FULL")


def _row(row: Mapping[Any, Any]) -> BufferedRow:
    return BufferedRow(
        seq=row["seq"],
        id=row["key"],
        kind=row["kind"],
        user=row["person"],
        event_time=row["event_time"],
        ingested_at=row["ingested_at"],
        values=json.loads(row["body"]),
    )


def _plain(value: str) -> str:
    """A text that both databases take: what they refuse is written as an escape."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
