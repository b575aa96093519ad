"""The audit: append-only entries, each chained to the one before, written in the transaction of the act itself.

An entry is canonical JSON (RFC 8785) that holds the hash of the entry before; its own hash is the sha256 of that
text. `facts` holds names, numbers and digests, never texts of users or models, so nothing has to be erased here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, bindparam, inspect, select, text, update
from sqlalchemy.orm import Session

from registry.database import reading
from registry.digests import digest, now_ms
from registry.tables import (
    DEFAULT_WORKSPACE,
    ApprovalRow,
    AuditHeadRow,
    AuditRow,
    Base,
    DecisionRow,
    HolderRow,
    PolicyRow,
    PromotionRow,
    UserRoleRow,
)
from registry.writes import Into, Row, follow

GENESIS = "sha256:" + "0" * 64
"""The hash before the first entry."""

WITNESSED: tuple[type[Base], ...] = (DecisionRow, PromotionRow, ApprovalRow, PolicyRow, HolderRow, UserRoleRow)
"""Tables whose rows are in the chain by digest: a row changed, removed or slipped in there is found."""

_BATCH = 1000
# A write, not a SELECT FOR UPDATE: this is what makes SQLite take its lock
LOCKING = (
    update(AuditHeadRow)
    .where(AuditHeadRow.workspace == bindparam("locked_chain"))
    .values(seq=AuditHeadRow.seq)
    .returning(AuditHeadRow.seq, AuditHeadRow.hash)
)
"""What takes the lock of the chain `locked_chain` and returns its end."""

_FIRST = text(
    "INSERT INTO evalkit_audit_heads (workspace, seq, hash) VALUES (:workspace, 0, :hash) ON CONFLICT DO NOTHING"
)
# Only where the chain still ends as it was seen: then what was read with that end still holds, and the lock is ours
_NEXT = (
    update(AuditHeadRow)
    .where(
        AuditHeadRow.workspace == bindparam("chain"),
        AuditHeadRow.seq == bindparam("seen_seq"),
        AuditHeadRow.hash == bindparam("seen_hash"),
    )
    .values(seq=bindparam("next_seq"), hash=bindparam("next_hash"))
)
_ENTRY = Into(AuditRow, "entry")

Head = tuple[int, str]
"""The end of a chain: sequence number and hash of its last entry."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The end of a chain as it was once told to a place outside the database."""

    workspace: str
    seq: int
    hash: str
    at: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was written. `seq` is the entry concerned, or the last one known to be good."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What `verify` saw: number of entries, the head, and everything that is wrong, in the chain's order."""

    workspace: str
    entries: int
    head: str
    anchors: int
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        """Nothing was found."""
        return not self.findings


def lock(session: Session, workspace: str = DEFAULT_WORKSPACE) -> Head:
    """Take the workspace's lock until the transaction ends; return the chain's end.

    Everything that a gate reads after this cannot change before it has written. To be taken first in a transaction,
    always: two transactions can then not wait for each other. Every act that a gate reads of adds an entry, so what
    was read before the lock, together with the chain's end, still holds where `lock` returns that same end.
    """
    connection, taking = session.connection(), {"locked_chain": workspace}
    found: Any = connection.execute(LOCKING, taking).first()
    if found is None:
        connection.execute(_FIRST, {"workspace": workspace, "hash": GENESIS})
        found = connection.execute(LOCKING, taking).one()
    return int(found[0]), str(found[1])


def append(
    session: Session,
    kind: str,
    *,
    actor: str,
    name: str = "",
    facts: Mapping[str, Any] | None = None,
    rows: Sequence[Base | Row] = (),
    gone: Sequence[Base] = (),
    workspace: str = DEFAULT_WORKSPACE,
    locked: Head | None = None,
    writes: Sequence[Row] = (),
) -> str:
    """Add an entry within the caller's transaction; return its hash.

    Args:
        session: the transaction of the act.
        kind: what happened, e.g. ``promotion``.
        actor: who did it.
        name: the registered model concerned.
        facts: JSON values: names, numbers, digests.
        rows: rows written by the act, which are witnessed by digest.
        gone: rows removed by the act.
        workspace: whose chain.
        locked: what `lock` returned in this transaction, where nothing was appended since; spares asking again.
        writes: what is written together with the entry.
    """
    session.flush()
    done = advance(
        session,
        locked or lock(session, workspace),
        kind,
        actor=actor,
        name=name,
        facts=facts,
        rows=rows,
        gone=gone,
        workspace=workspace,
        writes=writes,
    )
    if done is None:
        raise unlocked(workspace)
    return done[1]


def advance(
    session: Session,
    head: Head,
    kind: str,
    *,
    actor: str,
    name: str = "",
    facts: Mapping[str, Any] | None = None,
    rows: Sequence[Base | Row] = (),
    gone: Sequence[Base] = (),
    workspace: str = DEFAULT_WORKSPACE,
    writes: Sequence[Row] = (),
) -> Head | None:
    """Add an entry, as `append` does, if the chain still ends with `head`, which may have been read without the lock.

    What was read together with `head` then still holds, and the lock is the caller's from here on.

    Returns:
        The new end; None where the chain has gone on, and nothing was written.
    """
    if head[0] == 0:
        own_keys = {_key(row) for row in rows}
        before = [row for row in _all_witnessed(session, workspace) if _key(row) not in own_keys]
        if before:
            # Rows from before there was an audit: from now on none is there that no entry tells of
            opened = _write(session, head, "opened", "evalkit", rows=before, workspace=workspace)
            if opened is None:
                return None
            head = opened
    return _write(
        session, head, kind, actor, name=name, facts=facts, rows=rows, gone=gone, workspace=workspace, writes=writes
    )


def _write(
    session: Session,
    head: Head,
    kind: str,
    actor: str,
    *,
    name: str = "",
    facts: Mapping[str, Any] | None = None,
    rows: Sequence[Base | Row] = (),
    gone: Sequence[Base] = (),
    workspace: str,
    writes: Sequence[Row] = (),
) -> Head | None:
    seq, previous = head
    witnessed = {_key(row): row_digest(row) for row in rows} | {_key(row): None for row in gone}
    entry = {
        "workspace": workspace,
        "seq": seq + 1,
        "at": now_ms(),
        "kind": kind,
        "actor": actor,
        "name": name,
        "facts": dict(facts or {}),
        "rows": witnessed,
        "previous": previous,
    }
    own = digest(entry)
    kept = {**entry, "entry": json.dumps(entry, ensure_ascii=False, sort_keys=True), "hash": own}
    given = {"chain": workspace, "seen_seq": seq, "seen_hash": previous, "next_seq": seq + 1, "next_hash": own}
    done = follow(session.connection(), _NEXT, given, [Row(_ENTRY, kept), *writes])
    return (seq + 1, own) if done else None


def unlocked(workspace: str) -> RuntimeError:
    """What to raise where a chain went on although the caller holds its lock."""
    return RuntimeError(f"the audit of '{workspace}' went on although it is locked: the database did not keep the lock")


def row_digest(row: Base | Row) -> str:
    """Digest of a row's columns."""
    if isinstance(row, Row):
        values = dict(row.values)
    else:
        values = {column.key: getattr(row, column.key) for column in inspect(type(row)).column_attrs}
    return digest(json.dumps(values, ensure_ascii=False, sort_keys=True))


def head(engine: Engine, workspace: str = DEFAULT_WORKSPACE) -> Anchor:
    """The chain's end, to be kept outside the database."""
    with reading(engine) as session:
        row = session.get(AuditHeadRow, workspace)
        return Anchor(workspace, row.seq if row else 0, row.hash if row else GENESIS, now_ms())


def export(engine: Engine, workspace: str = DEFAULT_WORKSPACE) -> Iterator[dict[str, Any]]:
    """Entries with their hashes, oldest first."""
    with reading(engine) as session:
        for row in _rows(session, workspace):
            yield {**json.loads(row.entry), "hash": row.hash}


def verify(engine: Engine, workspace: str = DEFAULT_WORKSPACE, anchors: Sequence[Anchor] = ()) -> AuditReport:
    """Follow the chain, compare it with the rows it witnessed, with the aliases that MLflow shows, and with anchors.

    Without anchors a chain that was rewritten as a whole, or whose tail was cut together with its head, looks intact.
    """
    findings: list[Finding] = []
    expected: dict[str, tuple[int, str | None]] = {}
    known = sorted((a for a in anchors if a.workspace == workspace), key=lambda a: a.seq)
    hashes = {0: GENESIS}
    seq, previous = 0, GENESIS
    with reading(engine, snapshot=True) as session:  # what is written meanwhile is not missing
        for row in _rows(session, workspace):
            findings += _check_entry(row, seq, previous)
            seq, previous = row.seq, row.hash
            hashes[seq] = row.hash
            for key, witnessed in _witnessed(row).items():
                expected[key] = (row.seq, witnessed)
        stored = session.get(AuditHeadRow, workspace)
        if (stored.seq, stored.hash) != (seq, previous) if stored else seq:
            told = stored.seq if stored else 0
            findings.append(Finding(seq, f"the head names entry {told}, the chain ends at {seq}: entries were cut off"))
        findings += _check_anchors(known, hashes, seq)
        findings += _check_rows(session, workspace, expected, opened=seq > 0)
        findings += _check_aliases(session, workspace)
    return AuditReport(workspace, seq, previous, len(known), tuple(findings))


def _rows(session: Session, workspace: str) -> Iterator[AuditRow]:
    query = select(AuditRow).where(AuditRow.workspace == workspace).order_by(AuditRow.seq)
    yield from session.scalars(query.execution_options(yield_per=_BATCH))


def _check_entry(row: AuditRow, seq: int, previous: str) -> Iterator[Finding]:
    if row.seq != seq + 1:
        missing = f"{seq + 1}" if row.seq == seq + 2 else f"{seq + 1} to {row.seq - 1}"
        yield Finding(row.seq, f"entry {missing} is missing")
    elif row.previous != previous:
        yield Finding(row.seq, f"entry {row.seq} does not follow entry {seq}: one of them was replaced")
    try:
        entry = json.loads(row.entry)
        own = digest(entry)
    except ValueError:
        yield Finding(row.seq, f"entry {row.seq} is not readable")
        return
    columns = ("workspace", "seq", "at", "kind", "actor", "name", "previous")
    if own != row.hash or any(entry.get(column) != getattr(row, column) for column in columns):
        yield Finding(row.seq, f"entry {row.seq} ({row.kind}) was changed")


def _witnessed(row: AuditRow) -> Mapping[str, str | None]:
    try:
        found = json.loads(row.entry).get("rows", {})
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_anchors(anchors: Sequence[Anchor], hashes: Mapping[int, str], last: int) -> Iterator[Finding]:
    good = 0
    for anchor in anchors:
        if anchor.seq > last:
            yield Finding(last, f"an anchor knows entry {anchor.seq}, the chain ends at {last}: its tail was cut off")
        elif hashes.get(anchor.seq) != anchor.hash:
            yield Finding(anchor.seq, f"the chain was rewritten: between entry {good} and {anchor.seq}")
            return
        else:
            good = anchor.seq


def _check_rows(
    session: Session, workspace: str, expected: Mapping[str, tuple[int, str | None]], *, opened: bool
) -> Iterator[Finding]:
    if not opened:
        return
    seen = set()
    for row in _all_witnessed(session, workspace):
        key = _key(row)
        seen.add(key)
        seq, witnessed = expected.get(key, (0, None))
        if key not in expected:
            yield Finding(0, f"{key} was not written by evalkit: no entry tells of it")
        elif witnessed is None:
            yield Finding(seq, f"{key} was removed by entry {seq}, and is there again")
        elif row_digest(row) != witnessed:
            yield Finding(seq, f"{key} is not as entry {seq} tells")
    for key, (seq, witnessed) in expected.items():
        if witnessed is not None and key not in seen:
            yield Finding(seq, f"{key} is gone, entry {seq} tells of it")


def _all_witnessed(session: Session, workspace: str) -> Iterator[Any]:
    for table in WITNESSED:
        query = select(table).where(table.workspace == workspace)  # type: ignore[attr-defined]
        yield from session.scalars(query.execution_options(yield_per=_BATCH))


def _check_aliases(session: Session, workspace: str) -> Iterator[Finding]:
    """The aliases that MLflow answers with, against our own books."""
    if not inspect(session.connection()).has_table("registered_model_aliases"):
        return
    query = text("SELECT name, alias, version FROM registered_model_aliases WHERE workspace = :workspace")
    shown = {(name, alias): int(version) for name, alias, version in session.execute(query, {"workspace": workspace})}
    holders = session.scalars(select(HolderRow).where(HolderRow.workspace == workspace))
    for holder in holders:
        found = shown.get((holder.name, holder.alias))
        if found != holder.version:
            now = "nothing" if found is None else f"version {found}"
            yield Finding(
                0,
                f"the alias '{holder.alias}' of '{holder.name}' points to {now}, it was given to version "
                f"{holder.version}: it was moved past the gate",
            )


def _key(row: Base | Row) -> str:
    if isinstance(row, Row):
        return f"{row.into.table.name}/{row.values['id']}"
    return f"{row.__tablename__}/{row.id}"  # type: ignore[attr-defined]
