"""``evalkit db …``: the databases of a project, made, checked, copied and moved by their owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.db_copies import HERE, backup, move, restore
from evalkit.cli.output import json_option, note, print_json
from evalkit.remote import only_here, server_url

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from evalkit.config import Settings


@click.group()
def db() -> None:
    """Make, upgrade and check the tables; back up, restore and move everything."""


db.add_command(backup)
db.add_command(restore)
db.add_command(move)


@db.command(short_help="Make or upgrade all tables and triggers, as the database's owner.")
@click.option("--auth", is_flag=True, help="Also MLflow's tables of users, for a server where users log in.")
@click.option("--to", "revision", metavar="REVISION", help="A revision of evalkit's tables; by default the newest one.")
def upgrade(auth: bool, revision: str | None) -> None:
    """Make or upgrade MLflow's tables, evalkit's tables, and the triggers that guard protected aliases.

    On PostgreSQL also the schemas of jobs, ingest and judges. The database is that of EVALKIT_DATABASE_URL or
    MLFLOW_TRACKING_URI, with its owner's name in the address. A server that owns its database does all this when it
    starts. Back up before (`evalkit db backup`): MLflow's tables cannot go back, evalkit's can, with `evalkit db
    downgrade`.
    """
    only_here(HERE)
    from evalkit.config import load_settings, without_password
    from evalkit.databases.tables import make_beside, make_store
    from registry import database

    settings = load_settings()
    engine = make_store(settings, users=auth, revision=revision or "head")
    try:
        current, _ = database.revisions(engine)
        if engine.dialect.name == "postgresql":
            make_beside(settings.database_url)
    finally:
        engine.dispose()
    note(f"{without_password(settings.database_url)}: evalkit's tables are at revision {current}")


@db.command(short_help="Take evalkit's tables back to an older revision.")
@click.option("--to", "revision", metavar="REVISION", required=True, help="For example 0006; 'base' removes them all.")
@click.option("--lose-rows", is_flag=True, help="Go on where the older tables cannot hold everything.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(revision: str, lose_rows: bool, yes: bool) -> None:
    """Take evalkit's tables back, for an older version of evalkit; MLflow's tables stay as they are.

    Refuses where rows, or what columns say, would be lost, and tells how many. End server and workers before. A newer
    evalkit that opens the database upgrades it again.
    """
    only_here(HERE)
    from evalkit.config import load_settings, without_password
    from evalkit.databases.in_use import check_idle
    from evalkit.databases.places import places
    from metrics.errors import InputError
    from registry import database
    from registry.lost import lost_rows

    settings = load_settings()
    _check_there(settings.database_url)
    with _opened(settings) as engine:
        current, _ = database.revisions(engine)
        lost = lost_rows(engine, revision)
        shown = ", ".join(f"{name} ({rows})" for name, rows in lost.items())
        if lost and not lose_rows:
            raise InputError(f"rows would be lost: {shown}; back up first (`evalkit db backup`), then use --lose-rows")
        store = places(settings)[0]
        check_idle(settings, [store])
        if not yes:
            if lost:
                note(f"lost for good: {shown}")
            where = without_password(settings.database_url)
            click.confirm(f"{where}: from revision {current} back to {revision}?", abort=True, err=True)
        database.downgrade(engine, revision)
        current, _ = database.revisions(engine)
    note(f"{without_password(settings.database_url)}: evalkit's tables are at revision {current}")


@db.command(short_help="Say whether tables, rows and audit are as they should be; changes nothing.")
@click.option("--tables-only", is_flag=True, help="Leave rows and audit out, which takes time in a large database.")
@json_option
def check(tables_only: bool, as_json: bool) -> int:
    """Compare tables and triggers with what this version needs, look for damage, and verify the audit; else exit 1.

    Damage is a file that SQLite finds broken, or a row that points to one which is not there. With EVALKIT_SERVER the
    server looks at its own, for an admin.
    """
    from evalkit.cli.app import EXIT_FAIL, EXIT_OK
    from evalkit.databases.checks import outdated

    found = _looked(tables_only)
    good, wrong = found["good"], outdated(found)
    if as_json:
        print_json(found)
        return EXIT_OK if good else EXIT_FAIL
    for name in wrong:
        at = found[name]["current"]
        state = "missing" if at is None else f"at revision {at}"
        click.echo(f"tables of {name}: {state}, needed is {found[name]['needed']}")
    for name in found.get("missing_triggers", ()):
        click.echo(f"trigger {name}: missing or changed")
    for line in (*found.get("damage", ()), *found.get("audit", ())):
        click.echo(line)
    for line in found.get("left_out", ()):
        note(f"not looked at: {line}")
    if wrong or found.get("missing_triggers"):
        click.echo("run `evalkit db upgrade` as the database's owner")
    elif good:
        click.echo("tables and triggers are as needed" + ("" if tables_only else "; rows and audit are whole"))
    return EXIT_OK if good else EXIT_FAIL


def _looked(tables_only: bool) -> dict[str, Any]:
    if server_url() is not None:
        from evalkit.remote.machine import check_database

        return check_database(tables_only=tables_only)
    from evalkit.config import load_settings
    from evalkit.databases.checks import look

    settings = load_settings()
    _check_there(settings.database_url)
    return look(settings, tables_only=tables_only)


def _check_there(url: str) -> None:
    from pathlib import Path

    from metrics.errors import InputError
    from registry.database import parse_url

    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database and not Path(parsed.database).exists():
        raise InputError(f"{url}: there is no such file; `evalkit db upgrade` makes it")


@contextmanager
def _opened(settings: Settings) -> Iterator[Engine]:
    from registry.database import connect

    engine = connect(settings.database_url)
    try:
        yield engine
    finally:
        engine.dispose()
