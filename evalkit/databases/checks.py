"""Looks for damage: broken files, rows that point to nothing, and an audit that is not as it was written."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, select, text

from evalkit.config import Settings
from evalkit.databases import postgres
from evalkit.databases.places import PENDING, Place, is_postgres, places
from evalkit.databases.sqlite_files import quoted
from evalkit.databases.tables import mlflow_revisions
from registry import audit, database, triggers
from registry.database import connect, reading
from registry.tables import AuditHeadRow, AuditRow, Base

_SHOWN = 10
_REVISIONS = ("current", "needed")


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found, and what a role may not read and so was left out; a line each."""

    found: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def look(settings: Settings, *, tables_only: bool = False) -> dict[str, Any]:
    """Whether tables and triggers are those that are needed, and rows and audit whole, as `evalkit db check` tells it.

    Returns:
        Revisions of MLflow's tables and ours; `missing_triggers`, `damage` and `audit`, each where it was looked at;
        what was `left_out`; and whether all is `good`.
    """
    engine = connect(settings.database_url)
    try:
        found: dict[str, Any] = {"evalkit": dict(zip(_REVISIONS, database.revisions(engine), strict=True))}
        if not settings.advisory:
            found["mlflow"] = dict(zip(_REVISIONS, mlflow_revisions(engine), strict=True))
            with engine.connect().execution_options(evalkit_reading=True) as connection:
                found["missing_triggers"] = triggers.missing(connection)
    finally:
        engine.dispose()
    wrong = outdated(found)
    if not tables_only:
        # An audit of another revision has other columns
        looked = [damage(settings), Looked() if "evalkit" in wrong else audits(settings)]
        found |= {"damage": list(looked[0].found), "audit": list(looked[1].found)}
        found["left_out"] = [line for one in looked for line in one.left_out]
    bad = wrong or any(found.get(name) for name in ("missing_triggers", "damage", "audit"))
    return {**found, "good": not bad}


def outdated(found: Mapping[str, Any]) -> list[str]:
    """Whose tables are not at the revision that is needed."""
    return [n for n in ("mlflow", "evalkit") if found.get(n) and found[n]["current"] != found[n]["needed"]]


def damage(settings: Settings) -> Looked:
    """What is broken in any database of a project."""
    found: list[str] = []
    left_out: list[str] = []
    if (settings.home / PENDING).exists():
        found.append("a restore was killed while it exchanged files; run it again with --force")
    for place in places(settings):
        if place.schema is None and place.path.exists():
            found += _of_file(place)
    for url in sorted({place.url for place in places(settings) if place.schema is not None}):
        engine = postgres.engine_for(url)
        try:
            with engine.connect() as connection:
                looked = _orphans(connection)
        finally:
            engine.dispose()
        found += looked.found
        left_out += looked.left_out
    return Looked(tuple(found), tuple(left_out))


def _of_file(place: Place) -> list[str]:
    # Not read-only: a file in WAL mode that nobody has open cannot be read without its index being made
    with closing(sqlite3.connect(place.path, timeout=30)) as file:
        try:
            said = [str(row[0]) for row in file.execute(f"PRAGMA integrity_check({_SHOWN})")]
            found = [] if said == ["ok"] else [f"{place.path.name}: {' '.join(line.split())}" for line in said]
            if not found:
                found = _dangling(file, place.path)
        except sqlite3.DatabaseError as error:
            return [f"{place.path.name}: {error}"]
    return found


def _dangling(file: sqlite3.Connection, path: Path) -> list[str]:
    """Rows that point to nothing, counted by table and by the table they point to."""
    counts: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in file.execute("PRAGMA foreign_key_check"):
        counts[table, parent] = counts.get((table, parent), 0) + 1
    return [_line(path.name, table, parent, rows) for (table, parent), rows in sorted(counts.items())]


def _line(where: str, table: str, parent: str, rows: int) -> str:
    return f"{where}: {rows} row{'s' if rows > 1 else ''} of {table} point{'' if rows > 1 else 's'} to no {parent}"


def _orphans(connection: Connection) -> Looked:
    """Rows that point to nothing: a superuser, or a constraint that was not validated, lets them in."""
    found, closed = [], set()
    told = inspect(connection)
    for schema, names in postgres.tables(connection).items():
        for name in names:
            for key in told.get_foreign_keys(name, schema=schema):
                shut = [one for one in (name, key["referred_table"]) if not _readable(connection, schema, one)]
                if shut:
                    closed.update(shut)
                    continue
                child, parent = postgres.full(schema, name), postgres.full(schema, key["referred_table"])
                pairs = list(zip(key["constrained_columns"], key["referred_columns"], strict=True))
                same = " AND ".join(f"p.{quoted(there)} = c.{quoted(here)}" for here, there in pairs)
                given = " AND ".join(f"c.{quoted(here)} IS NOT NULL" for here, _ in pairs)
                lonely = f"{given} AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE {same})"  # noqa: S608 - quoted
                query = f"SELECT count(*) FROM {child} c WHERE {lonely}"  # noqa: S608 - quoted
                if rows := int(connection.execute(text(query)).scalar() or 0):
                    found.append(_line(schema, name, key["referred_table"], rows))
    return Looked(tuple(found), tuple(f"{name}: this role may not read it" for name in sorted(closed)))


def _readable(connection: Connection, schema: str, table: str) -> bool:
    """Whether the role of this connection may read a table."""
    query = text(
        "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = :schema AND c.relname = :table"
    )
    return bool(connection.execute(query, {"schema": schema, "table": table}).scalar())


def audits(settings: Settings) -> Looked:
    """What `evalkit audit verify` finds in any workspace."""
    if is_postgres(settings.database_url):
        engine = postgres.engine_for(settings.database_url)
        try:
            with engine.connect() as connection:
                tables: tuple[type[Base], ...] = (AuditRow, AuditHeadRow, *audit.WITNESSED)
                needed = [row.__tablename__ for row in tables]
                shut = [name for name in needed if not _readable(connection, "public", name)]
        finally:
            engine.dispose()
        if shut:
            return Looked(left_out=(f"the audit: this role may not read {shut[0]}",))
    return Looked(
        tuple(
            f"audit of workspace '{report.workspace}': {finding.what}"
            for report in audit_reports(settings.database_url)
            for finding in report.findings
        )
    )


def audit_reports(url: str) -> tuple[audit.AuditReport, ...]:
    """The audit of every workspace of a database, by name."""
    engine = connect(url)
    try:
        with reading(engine) as session:
            workspaces = sorted(session.scalars(select(AuditHeadRow.workspace)))
        return tuple(audit.verify(engine, workspace) for workspace in workspaces)
    finally:
        engine.dispose()
