"""``evalkit db upgrade | check``: the tables of MLflow and evalkit, made by the database's owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.output import json_option, note, print_json

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from evalkit.config import Settings


@click.group()
def db() -> None:
    """Make, upgrade and check the tables, for databases whose server may not do so itself."""


@db.command(short_help="Make or upgrade all tables and triggers, as the database's owner.")
@click.option("--auth", is_flag=True, help="Also MLflow's tables of users, for a server where users log in.")
def upgrade(auth: bool) -> None:
    """Make or upgrade MLflow's tables, evalkit's tables, and the triggers that guard protected aliases.

    The database is that of EVALKIT_DATABASE_URL or MLFLOW_TRACKING_URI, with its owner's name in the address. A server
    that owns its database does all this when it starts. Back the database up before: migrations cannot be undone.
    """
    from evalkit.config import load_settings, without_password
    from registry import database, triggers

    settings = load_settings()
    with _opened(settings) as engine:
        if not settings.advisory:
            _upgrade_mlflow(engine.url.render_as_string(hide_password=False), users=auth)
        database.upgrade(engine)
        with engine.begin() as connection:
            triggers.install(connection)
        current, _ = database.revisions(engine)
    note(f"{without_password(settings.database_url)}: evalkit's tables are at revision {current}")


@db.command(short_help="Say whether tables and triggers are as this version needs them; changes nothing.")
@json_option
def check(as_json: bool) -> int:
    """Compare tables and triggers with what this version of evalkit and MLflow needs; exit 1 where they differ."""
    from evalkit.cli.app import EXIT_FAIL, EXIT_OK
    from evalkit.config import load_settings
    from registry import database, triggers

    settings = load_settings()
    _check_there(settings.database_url)
    with _opened(settings) as engine:
        found: dict[str, Any] = {"evalkit": dict(zip(("current", "needed"), database.revisions(engine), strict=True))}
        if not settings.advisory:
            found["mlflow"] = dict(zip(("current", "needed"), _mlflow_revisions(engine), strict=True))
            with engine.connect().execution_options(evalkit_reading=True) as connection:
                found["missing_triggers"] = triggers.missing(connection)
    wrong = [
        name for name in ("mlflow", "evalkit") if name in found and found[name]["current"] != found[name]["needed"]
    ]
    good = not wrong and not found.get("missing_triggers")
    if as_json:
        print_json({**found, "good": good})
        return EXIT_OK if good else EXIT_FAIL
    for name in wrong:
        at = found[name]["current"]
        state = "missing" if at is None else f"at revision {at}"
        click.echo(f"tables of {name}: {state}, needed is {found[name]['needed']}")
    for name in found.get("missing_triggers", ()):
        click.echo(f"trigger {name}: missing or changed")
    click.echo("tables and triggers are as needed" if good else "run `evalkit db upgrade` as the database's owner")
    return EXIT_OK if good else EXIT_FAIL


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


def _upgrade_mlflow(url: str, *, users: bool) -> None:
    store = _mlflow_store()
    engine = store.create_sqlalchemy_engine(url)  # ours holds SQLite's lock while MLflow opens a second connection
    try:
        store._safe_initialize_tables(engine)
        current, needed = _mlflow_revisions(engine)
        if current != needed:
            store._upgrade_db(engine)
        if users:
            from mlflow.server.auth.db.utils import migrate_if_needed

            migrate_if_needed(engine, "head")
    finally:
        engine.dispose()


def _mlflow_revisions(engine: Engine) -> tuple[str | None, str | None]:
    store = _mlflow_store()
    return store._get_schema_version(engine), store._get_latest_schema_revision()


def _mlflow_store() -> Any:
    from mlflow.store.db import utils

    return utils  # untyped
