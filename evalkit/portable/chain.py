"""The part of the audit that tells of one version, and what shows that it is a part of the chain.

An excerpt is without gaps, from the first entry that tells of the version to the last: each entry's hash covers the
hash before, so that nothing in it can be changed, left out or put in. Entries of other models may be withheld: of these
only number and hash are there, and the chain is then shown up to each of them, not through it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, or_, select

from evalkit.portable.manifest import AUDIT, AuditRecord, canonical, read_json
from metrics.errors import InputError
from registry.audit import row_digest
from registry.database import reading
from registry.digests import digest
from registry.entities import ModelVersion
from registry.tables import AuditRow, DecisionRow

OPENED = "opened"
"""Kind of the entry that took in rows from before there was an audit."""
_MOST = 5_000_000


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines of an excerpt, and how many of its entries are of other models: shown, or withheld."""

    record: AuditRecord | None
    lines: bytes
    others: int


def excerpt(
    engine: Engine, workspace: str, version: ModelVersion, decisions: Collection[str], *, withhold: bool
) -> Excerpt:
    """Cut out the part of the chain that tells of a version.

    Args:
        engine: of our tables.
        workspace: whose chain.
        version: whose entries.
        decisions: keys of the decisions that an entry has to witness.
        withhold: leave out what entries of other models say.
    """
    lines: list[bytes] = []
    others, previous, last = 0, "", None
    with reading(engine) as session:
        candidates = select(AuditRow).where(
            AuditRow.workspace == workspace, or_(AuditRow.name == version.name, AuditRow.kind == OPENED)
        )
        own = {row.seq for row in session.scalars(candidates) if _tells_of(json.loads(row.entry), version, decisions)}
        if not own:
            return Excerpt(None, b"", 0)
        between = (
            select(AuditRow)
            .where(AuditRow.workspace == workspace, AuditRow.seq.between(min(own), max(own)))
            .order_by(AuditRow.seq)
        )
        for row in session.scalars(between.execution_options(yield_per=1000)):
            previous, last = previous or row.previous, row
            foreign = row.name not in {version.name, ""} and row.seq not in own
            others += foreign
            told = {"seq": row.seq} if foreign and withhold else json.loads(row.entry)
            lines.append(canonical({**told, "hash": row.hash}) + b"\n")
    assert last is not None
    record = AuditRecord(workspace=workspace, first=min(own), last=max(own), previous=previous, head=last.hash)
    return Excerpt(record, b"".join(lines), others)


def verify_excerpt(record: AuditRecord | None, data: bytes) -> tuple[Mapping[str, str], int]:
    """Follow an excerpt; return the rows that it witnesses by key, and how many of its entries are withheld.

    Raises:
        InputError: an entry was changed, left out or put in.
    """
    entries = list(_entries(data))
    if record is None:
        if entries:
            raise InputError(f"{AUDIT} has entries that the manifest does not tell of; export again")
        return {}, 0
    if [entry["seq"] for entry in entries] != list(range(record.first, record.last + 1)):
        raise InputError(f"{AUDIT} does not have exactly the entries {record.first} to {record.last}; export again")
    witnessed: dict[str, str] = {}
    previous, withheld = record.previous, 0
    for entry in entries:
        told = {key: value for key, value in entry.items() if key != "hash"}
        if set(told) == {"seq"}:
            withheld += 1
        elif digest(told) != entry["hash"] or told.get("workspace") != record.workspace:
            raise InputError(f"{AUDIT}: entry {entry['seq']} was changed after it was written")
        elif told.get("previous") != previous:
            raise InputError(f"{AUDIT}: entry {entry['seq']} does not follow the one before")
        else:
            witnessed |= {key: value for key, value in told["rows"].items() if isinstance(value, str)}
        previous = entry["hash"]
    if previous != record.head:
        raise InputError(f"{AUDIT} does not end with the entry that the manifest names")
    return witnessed, withheld


def check_witnessed(decisions: Sequence[Mapping[str, Any]], witnessed: Mapping[str, str]) -> None:
    """Check that the audit tells of each decision exactly as it is.

    Args:
        decisions: all columns of their rows.
        witnessed: what `verify_excerpt` returned.

    Raises:
        InputError: no entry tells of a decision, or one tells otherwise.
    """
    for columns in decisions:
        told = witnessed.get(f"{DecisionRow.__tablename__}/{columns['id']}")
        if told is None:
            raise InputError(f"decision {columns['id']} is in no entry of the archive's audit; it was slipped in")
        if told != row_digest(DecisionRow(**columns)):
            raise InputError(f"decision {columns['id']} is not as the archive's audit tells; it was changed")


def _tells_of(entry: Mapping[str, Any], version: ModelVersion, decisions: Collection[str]) -> bool:
    facts = entry["facts"]
    if facts.get("version_id") == version.id or facts.get("version") == version.version:
        return bool(entry["name"] == version.name)
    prefix = f"{DecisionRow.__tablename__}/"
    return any(f"{prefix}{key}" in entry["rows"] for key in decisions)


def _entries(data: bytes) -> Iterator[dict[str, Any]]:
    lines = data.splitlines()
    if len(lines) > _MOST:
        raise InputError(f"{AUDIT} has {len(lines)} entries; at most {_MOST} are read")
    for number, line in enumerate(lines, 1):
        entry = read_json(line, f"{AUDIT}, line {number}")
        rows = entry.get("rows", {}) if isinstance(entry, dict) else None
        whole = isinstance(rows, dict) and isinstance(entry.get("seq"), int) and isinstance(entry.get("hash"), str)
        if not whole or (set(entry) != {"seq", "hash"} and "rows" not in entry):
            raise InputError(f"{AUDIT}, line {number}: this is no entry of an audit")
        yield entry
