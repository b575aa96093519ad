"""The second line: database triggers, so that even a stock MLflow server on the same database cannot pass the gate.

They know our tables only, and the row that is written: a trigger that named another of MLflow's tables would stop
MLflow's own migrations on SQLite, which drop and rename tables. Those migrations lose the triggers of a table they
rebuild, hence `install` at every start.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text

PREFIX = "evalkit_gate_"

_NOW = {
    "sqlite": "(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))",
    "postgresql": "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)",
}
_PLAIN = {"sqlite": "{alias} NOT GLOB '*[^A-Za-z0-9_.-]*'", "postgresql": "{alias} ~ '^[A-Za-z0-9_.-]+$'"}
_MATCH = {"sqlite": "{name} GLOB glob_pattern", "postgresql": "{name} LIKE like_pattern ESCAPE '!'"}
_WITHIN = {"sqlite": "instr({text}, {part}) > 0", "postgresql": "position({part} in {text}) > 0"}
_SAME = {"sqlite": "1 = 1", "postgresql": "txid = pg_current_xact_id()::text"}
_DIFFERS = {"sqlite": "IS NOT", "postgresql": "IS DISTINCT FROM"}


@dataclass(frozen=True, slots=True)
class _Trigger:
    """On which table and event, and what it does: refuse, or run a statement after the event.

    It refuses where all the conditions of any case hold. They are looked at in their order: what is cheap, and what the
    gate itself never fulfils, comes first.
    """

    name: str
    table: str
    event: str
    cases: tuple[tuple[str, ...], ...] = ()
    message: str = ""
    after: str = ""


def install(connection: Connection) -> None:
    """Install the triggers on those of MLflow's tables that are there, in the caller's transaction."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('evalkit_triggers'))"))
    tables = set(inspect(connection).get_table_names())
    if "evalkit_grants" not in tables:
        return
    standing = _standing(connection)
    for trigger in triggers(dialect):
        name, statements = PREFIX + trigger.name, _create(dialect, trigger)
        if trigger.table not in tables or standing.get(name) == _body(dialect, trigger):
            continue
        if name in standing:
            _drop(connection, trigger.table, name)
        for statement in statements:
            connection.exec_driver_sql(statement)


def remove(connection: Connection) -> bool:
    """Take the triggers away, in the caller's transaction; whether any stood."""
    standing = _standing(connection)
    for trigger in triggers(connection.dialect.name):
        if PREFIX + trigger.name in standing:
            _drop(connection, trigger.table, PREFIX + trigger.name)
    return bool(standing)


def missing(connection: Connection) -> list[str]:
    """Names of triggers that do not stand as they should although their table is there."""
    dialect = connection.dialect.name
    tables, standing = set(inspect(connection).get_table_names()), _standing(connection)
    wanted = [trigger for trigger in triggers(dialect) if trigger.table in tables]
    return [trigger.name for trigger in wanted if standing.get(PREFIX + trigger.name) != _body(dialect, trigger)]


def triggers(dialect: str) -> list[_Trigger]:
    """All triggers, in the words of a dialect."""
    differs = _DIFFERS[dialect]
    say = "evalkit: this alias is protected by a policy; without a passing, current decision it does not move"
    kept = "evalkit: this version holds a protected alias; take the alias away first"
    ruled = "evalkit: a policy rules over this model; it cannot be renamed, moved, or made a prompt"
    moved = " OR ".join(
        f"NEW.{column} {differs} OLD.{column}"
        for column in ("workspace", "name", "version", "creation_time", "source", "storage_location")
    )
    new, old = _protected(dialect, "NEW"), _protected(dialect, "OLD")
    same = "NEW.workspace = OLD.workspace AND NEW.name = OLD.name AND NEW.alias = OLD.alias"
    same += " AND NEW.version = OLD.version"
    prompt = "NEW.key = 'mlflow.prompt.is_prompt'"
    return [
        _Trigger("alias_insert", "registered_model_aliases", "INSERT", ((_no_grant(dialect, "NEW", "set"), new),), say),
        _Trigger(
            "alias_update",
            "registered_model_aliases",
            "UPDATE",
            ((f"NOT ({same})", _no_grant(dialect, "NEW", "set"), new), (f"NOT ({_key_kept()})", old)),
            say,
        ),
        _Trigger(
            "alias_delete", "registered_model_aliases", "DELETE", ((_no_grant(dialect, "OLD", "drop"), old),), say
        ),
        _Trigger(
            "version_update",
            "model_versions",
            "UPDATE",
            ((f"({moved} OR NEW.current_stage = 'Deleted_Internal')", _holds("OLD")),),
            kept,
        ),
        _Trigger("version_delete", "model_versions", "DELETE", ((_holds("OLD"),),), kept),
        _Trigger(
            "model_update",
            "registered_models",
            "UPDATE",
            (
                (
                    "(NEW.name <> OLD.name OR NEW.workspace <> OLD.workspace)",
                    f"({_ruled(dialect, 'NEW')} OR {_ruled(dialect, 'OLD')})",
                ),
            ),
            ruled,
        ),
        _Trigger(
            "prompt_insert",
            "registered_model_tags",
            "INSERT",
            ((prompt, _versions("NEW"), _ruled(dialect, "NEW")),),
            ruled,
        ),
        *(
            _Trigger(f"alias_{event.lower()}_spends", "registered_model_aliases", event, after=_spend(row, act))
            for event, row, act in (("INSERT", "NEW", "set"), ("UPDATE", "NEW", "set"), ("DELETE", "OLD", "drop"))
        ),
        _Trigger("audit_update", "evalkit_audit", "UPDATE", (("1 = 1",),), "evalkit: the audit is append-only"),
        _Trigger("audit_delete", "evalkit_audit", "DELETE", (("1 = 1",),), "evalkit: the audit is append-only"),
    ]


def _key_kept() -> str:
    # The same alias of the same model, given to another version: then the grant for NEW is what counts
    return "NEW.workspace = OLD.workspace AND NEW.name = OLD.name AND NEW.alias = OLD.alias"


def _policy(dialect: str, row: str, column: str) -> str:
    match = _MATCH[dialect].format(name=f"{row}.name")
    return (
        f"(SELECT {column} FROM evalkit_policies WHERE workspace = {row}.workspace AND {match} "
        "ORDER BY specific DESC, pattern LIMIT 1)"
    )


def _ruled(dialect: str, row: str) -> str:
    return f"{_policy(dialect, row, 'id')} IS NOT NULL"


def _protected(dialect: str, row: str) -> str:
    listed = _WITHIN[dialect].format(text=_policy(dialect, row, "guarded"), part=f"'|' || lower({row}.alias) || '|'")
    odd = f"NOT ({_PLAIN[dialect].format(alias=f'{row}.alias')}) AND {_ruled(dialect, row)}"
    return f"(({listed}) OR ({odd}))"


def _no_grant(dialect: str, row: str, act: str) -> str:
    return (
        f"NOT EXISTS (SELECT 1 FROM evalkit_grants WHERE workspace = {row}.workspace AND name = {row}.name "
        f"AND alias = {row}.alias AND version = {row}.version AND act = '{act}' "
        f"AND expires_at > {_NOW[dialect]} AND {_SAME[dialect]})"
    )


def _spend(row: str, act: str) -> str:
    """Remove the grant of a write that was let through: it is good for one."""
    return (
        f"DELETE FROM evalkit_grants WHERE workspace = {row}.workspace AND name = {row}.name "
        f"AND alias = {row}.alias AND act = '{act}'"
    )


def _holds(row: str) -> str:
    return (
        f"EXISTS (SELECT 1 FROM evalkit_holders WHERE workspace = {row}.workspace AND name = {row}.name "
        f"AND version = {row}.version)"
    )


def _versions(row: str) -> str:
    """Whether a version of this model was ever registered with a suite: what was created as a prompt stays one."""
    return f"EXISTS (SELECT 1 FROM evalkit_model_versions WHERE workspace = {row}.workspace AND name = {row}.name)"


def _body(dialect: str, trigger: _Trigger) -> str:
    """What the database keeps of a trigger as text: the statement on SQLite, the function's body on PostgreSQL."""
    if dialect == "sqlite":
        head = f"CREATE TRIGGER {PREFIX}{trigger.name} {_event(trigger)} FOR EACH ROW"
        if trigger.after:
            return f"{head} BEGIN {trigger.after}; END"
        condition = " OR ".join(f"({' AND '.join(case)})" for case in trigger.cases)
        return f"{head} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{trigger.message}'); END"
    if trigger.after:
        return f" BEGIN {trigger.after}; RETURN NULL; END "
    given = "OLD" if trigger.event == "DELETE" else "NEW"
    refuse = f"RAISE EXCEPTION '{trigger.message}' USING ERRCODE = 'insufficient_privilege';"
    # One question each: PostgreSQL keeps the plan of a simple one, and makes that of an involved one anew each time
    steps = " ".join(
        " ".join(f"IF {condition} THEN" for condition in case) + f" {refuse}" + " END IF;" * len(case)
        for case in trigger.cases
    )
    return f" BEGIN {steps} RETURN {given}; END "


def _event(trigger: _Trigger) -> str:
    return f"{'AFTER' if trigger.after else 'BEFORE'} {trigger.event} ON {trigger.table}"


def _create(dialect: str, trigger: _Trigger) -> list[str]:
    name, body = PREFIX + trigger.name, _body(dialect, trigger)
    if dialect == "sqlite":
        return [body]
    return [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $gate${body}$gate$",
        f"CREATE TRIGGER {name} {_event(trigger)} FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]


def _drop(connection: Connection, table: str, name: str) -> None:
    on = f" ON {table}" if connection.dialect.name == "postgresql" else ""
    connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}{on}")


def _standing(connection: Connection) -> dict[str, str]:
    """Our triggers in the database with their text; one that is switched off counts as not there."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'evalkit_gate_%'"
    else:
        query = (
            "SELECT t.tgname, CASE WHEN t.tgenabled = 'O' THEN p.prosrc ELSE '' END FROM pg_trigger t "
            "JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE t.tgname LIKE 'evalkit_gate_%' AND pg_table_is_visible(c.oid)"
        )
    return {str(name): str(sql) for name, sql in connection.execute(text(query))}
