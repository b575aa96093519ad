"""Makes all tables of a project in a database: MLflow's, ours, and those of the databases beside them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, inspect, text

from evalkit.config import Settings
from registry import database, triggers
from registry.tables import VERSION_TABLE

AUTH_VERSIONS = "alembic_version_auth"
"""MLflow's table of the revision of its tables of users."""

VERSIONS = frozenset({"alembic_version", VERSION_TABLE, AUTH_VERSIONS, "dbos_migrations"})
"""Tables that say which revision the others are at."""

SEEDED = VERSIONS | {"workspaces"}
"""Tables that have a row from the start."""


def make_store(settings: Settings, *, users: bool = False, revision: str = "head") -> Engine:
    """Make or upgrade MLflow's tables, ours, and the triggers; return an engine.

    Args:
        settings: which database; in advisory mode MLflow's tables are not in it.
        users: whether MLflow's tables of users are made too.
        revision: of our tables.
    """
    engine = database.connect(settings.database_url)
    try:
        if not settings.advisory:
            upgrade_mlflow(engine.url.render_as_string(hide_password=False), users=users)
        database.upgrade(engine, revision)
        with engine.begin() as connection:
            triggers.install(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def make_beside(url: str) -> None:
    """Make the tables of durable steps, of the ingest buffer and of the judges in their schemas on PostgreSQL."""
    from evalkit.ingest.buffer import Buffer
    from evalkit.jobs.tables import make_tables
    from evalkit.judging.calibrations import Calibrations
    from evalkit.judging.ledger import SqlLedger

    make_tables(url)
    for opened in (Buffer(url), SqlLedger(url), Calibrations(url)):
        opened.close()


def upgrade_mlflow(url: str, *, users: bool) -> None:
    """Make or upgrade MLflow's tables."""
    store = mlflow_store()
    engine = store.create_sqlalchemy_engine(url)  # ours holds SQLite's lock while MLflow opens a second connection
    try:
        store._safe_initialize_tables(engine)
        current, needed = mlflow_revisions(engine)
        if current != needed:
            store._upgrade_db(engine)
        if users:
            from mlflow.server.auth.db.utils import migrate_if_needed

            migrate_if_needed(engine, "head")
    finally:
        engine.dispose()


def mlflow_revisions(engine: Engine) -> tuple[str | None, str | None]:
    """Revision of MLflow's tables (None: there are none), and the one that this MLflow needs."""
    store = mlflow_store()
    return store._get_schema_version(engine), store._get_latest_schema_revision()


def users_revision(engine: Engine) -> str | None:
    """Revision of MLflow's tables of users; None where there are none."""
    if not inspect(engine).has_table(AUTH_VERSIONS):
        return None
    with engine.connect().execution_options(evalkit_reading=True) as connection:
        found = connection.execute(text(f"SELECT version_num FROM {AUTH_VERSIONS}")).scalar()  # noqa: S608 - constant
    return None if found is None else str(found)


def mlflow_store() -> Any:
    """MLflow's helpers for its databases, which are untyped."""
    from mlflow.store.db import utils

    return utils
