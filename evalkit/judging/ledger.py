"""The judges' ledger in a database of its own: a SQLite file, or a schema on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, cast

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    select,
)

from evalkit.config import Settings
from evalkit.own_database import open_own, own_url
from judges.base import Usage
from judges.clients.base import Reply, TokenChoice
from judges.ledger import Entry
from metrics.errors import InputError, did_you_mean

_DAY_MS = 86_400_000
_CHUNK = 400

_metadata = MetaData()
_replies = Table(
    "evalkit_judge_replies",
    _metadata,
    Column("key", String(80), primary_key=True),
    Column("judge", Text, nullable=False),
    Column("judge_version", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("sample_id", Text, nullable=False, index=True),
    Column("step", Text, nullable=False),
    Column("repeat", Integer, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("cost", Float),
    Column("created", BigInteger, nullable=False, index=True),
    # ASCII JSON: replies may hold NUL and lone surrogates, which the databases refuse, and must come back bit by bit
    Column("reply", Text, nullable=False),
)

Part = Literal["judge", "judge_version", "model", "step", "day"]
PARTS: tuple[Part, ...] = ("judge", "judge_version", "model", "step", "day")


@dataclass(frozen=True, slots=True)
class Total:
    """What replies of one group cost.

    Attributes:
        group: part ("judge", "model", "day", ...) to its value.
        replies: bought replies.
        prompt_tokens, output_tokens: as the servers counted.
        cost: US dollars of the replies that had a price; None where none had.
        unpriced: replies without a price: their cost is unknown, not zero.
        seconds: time that servers took, summed.
    """

    group: Mapping[str, str]
    replies: int
    prompt_tokens: int
    output_tokens: int
    cost: float | None
    unpriced: int
    seconds: float

    @property
    def usage(self) -> Usage:
        """The same as a usage, such as a desk's `spent` for a daily budget."""
        return Usage(self.replies, self.prompt_tokens, self.output_tokens, self.cost, self.seconds)


class SqlLedger:
    """Replies by key in a database, for any number of processes and threads.

    Args:
        url: SQLAlchemy URL: ``sqlite:///path`` or ``postgresql://…``; tables are made where they are missing.

    Raises:
        InputError: the URL is of another database, or it cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_own(url, "judges", _metadata)

    def close(self) -> None:
        """Release connections."""
        self._engine.dispose()

    def find(self, keys: Iterable[str]) -> Mapping[str, Entry]:
        """Return the entries that exist."""
        found: dict[str, Entry] = {}
        with self._engine.connect().execution_options(evalkit_reading=True) as connection:
            for chunk in _chunks(dict.fromkeys(keys)):
                rows = connection.execute(select(_replies).where(_replies.c.key.in_(chunk))).mappings()
                found.update((row["key"], _entry(row)) for row in rows)
        return found

    def record(self, entries: Iterable[Entry]) -> Mapping[str, Entry]:
        """Store entries in one transaction; a key that exists keeps its first entry, and those are returned."""
        given: dict[str, Entry] = {}
        for entry in entries:
            given.setdefault(entry.key, entry)
        if not given:
            return {}
        with self._engine.begin() as connection:
            statement = self._insert().on_conflict_do_nothing().execution_options(preserve_rowcount=True)
            stored = connection.execute(statement, [_row(entry) for entry in given.values()]).rowcount
        if stored == len(given):
            return {}
        return {key: entry for key, entry in self.find(given).items() if not _same(entry, given[key])}

    def totals(
        self,
        by: Sequence[Part] = ("judge", "model", "day"),
        *,
        judge: str | None = None,
        model: str | None = None,
        since: int = 0,
        until: int | None = None,
    ) -> list[Total]:
        """Sum what replies cost, per group, groups in order.

        Args:
            by: what groups are made of; a day is a UTC date such as 2026-01-31.
            judge, model: only theirs.
            since, until: UTC milliseconds, half-open; all time by default.

        Raises:
            InputError: `by` names something else.
        """
        _check_parts(by)
        columns = [(_replies.c.created // _DAY_MS if part == "day" else _replies.c[part]).label(part) for part in by]
        sums = [
            func.count().label("replies"),
            func.sum(_replies.c.prompt_tokens).label("prompt_tokens"),
            func.sum(_replies.c.output_tokens).label("output_tokens"),
            func.sum(_replies.c.cost).label("cost"),
            func.count(_replies.c.cost).label("priced"),
            func.sum(_replies.c.seconds).label("seconds"),
        ]
        query = select(*columns, *sums).where(_replies.c.created >= since)
        if until is not None:
            query = query.where(_replies.c.created < until)
        if judge is not None:
            query = query.where(_replies.c.judge == _plain(judge))
        if model is not None:
            query = query.where(_replies.c.model == _plain(model))
        query = query.group_by(*columns).order_by(*columns) if columns else query
        with self._engine.connect().execution_options(evalkit_reading=True) as connection:
            rows = connection.execute(query).mappings().all()
        return [_total(row, by) for row in rows if row["replies"]]

    def spent(self, *, judge: str | None = None, since: int = 0) -> Usage:
        """What was spent from `since` on (UTC milliseconds), by one judge or by all: a daily budget starts from it."""
        totals = self.totals((), judge=judge, since=since)
        return totals[0].usage if totals else Usage()

    def per_sample(self, judge: str, model: str) -> tuple[int, Usage] | None:
        """How many samples a judge was asked about with a model, and what that took in all; None where it never was."""
        query = select(func.count(_replies.c.sample_id.distinct())).where(
            _replies.c.judge == _plain(judge), _replies.c.model == _plain(model)
        )
        with self._engine.connect().execution_options(evalkit_reading=True) as connection:
            samples = int(connection.execute(query).scalar_one())
        return (samples, self.totals((), judge=judge, model=model)[0].usage) if samples else None

    def count(self, sample_ids: Iterable[str]) -> int:
        """How many replies were bought for these samples."""
        with self._engine.connect().execution_options(evalkit_reading=True) as connection:
            return sum(
                connection.execute(
                    select(func.count()).select_from(_replies).where(_replies.c.sample_id.in_(chunk))
                ).scalar_one()
                for chunk in _chunks([_plain(sample) for sample in sample_ids])
            )

    def erase(self, sample_ids: Iterable[str]) -> int:
        """Delete the replies that were bought for these samples; returns how many there were."""
        deleted = 0
        with self._engine.begin() as connection:
            for chunk in _chunks([_plain(sample) for sample in sample_ids]):
                deleted += connection.execute(delete(_replies).where(_replies.c.sample_id.in_(chunk))).rowcount
        return deleted

    def _insert(self) -> Any:
        from sqlalchemy.dialects import postgresql, sqlite

        return (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert(_replies)


def parse_parts(text: str) -> tuple[Part, ...]:
    """What groups are made of, as ``judge,model,day`` says it; `InputError` where there is no such part."""
    given = tuple(part.strip() for part in text.split(",") if part.strip())
    _check_parts(given)
    return cast("tuple[Part, ...]", given)


def open_ledger(settings: Settings) -> SqlLedger:
    """Return the project's ledger: a schema beside our tables on PostgreSQL, else ``.evalkit/judges.db``."""
    return SqlLedger(own_url(settings, "judges"))


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _same(stored: Entry, given: Entry) -> bool:
    # Names may come back with escapes; the moment and the reply do not
    return (stored.created, stored.reply) == (given.created, given.reply)


def _plain(value: str) -> str:
    """A text that both databases take: what they refuse is written as an escape."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _row(entry: Entry) -> dict[str, Any]:
    reply = entry.reply
    stored = {
        "text": reply.text,
        "model": reply.model,
        "fingerprint": reply.fingerprint,
        "choices": [[choice.token, dict(choice.alternatives)] for choice in reply.choices],
        "cut": reply.cut,
    }
    return {
        "key": entry.key,
        "judge": _plain(entry.judge),
        "judge_version": _plain(entry.judge_version),
        "model": _plain(entry.model),
        "sample_id": _plain(entry.sample_id),
        "step": _plain(entry.step),
        "repeat": entry.repeat,
        "prompt_tokens": reply.prompt_tokens,
        "output_tokens": reply.output_tokens,
        "seconds": reply.seconds,
        "cost": entry.cost,
        "created": entry.created,
        "reply": json.dumps(stored),
    }


def _entry(row: Mapping[Any, Any]) -> Entry:
    stored = json.loads(row["reply"])
    choices = tuple(TokenChoice(token, alternatives) for token, alternatives in stored.pop("choices"))
    counted = {name: row[name] for name in ("prompt_tokens", "output_tokens", "seconds")}
    names = ("key", "judge", "judge_version", "model", "sample_id", "step", "repeat", "cost", "created")
    return Entry(**{name: row[name] for name in names}, reply=Reply(**stored, **counted, choices=choices))


def _total(row: Mapping[Any, Any], by: Sequence[Part]) -> Total:
    group: dict[str, str] = {part: str(row[part]) for part in by}
    if "day" in group:
        group["day"] = datetime.fromtimestamp(row["day"] * _DAY_MS / 1000, UTC).date().isoformat()
    return Total(
        group=group,
        replies=row["replies"],
        prompt_tokens=int(row["prompt_tokens"]),
        output_tokens=int(row["output_tokens"]),
        cost=None if row["cost"] is None else float(row["cost"]),
        unpriced=row["replies"] - row["priced"],
        seconds=float(row["seconds"]),
    )


def _check_parts(given: Sequence[str]) -> None:
    for part in given:
        if part not in PARTS:
            known = f"known are {', '.join(PARTS)}{did_you_mean(part, PARTS)}"
            raise InputError(f"costs cannot be summed by '{part[:60]}'; {known}")
