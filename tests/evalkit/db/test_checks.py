"""`evalkit db check | downgrade | upgrade --to`: damage is found, rows are not lost unasked."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from click.exceptions import Abort
from sqlalchemy import text

from evalkit.config import Settings
from evalkit.databases import postgres
from evalkit.databases.checks import audits, damage
from evalkit.databases.move import move
from metrics.errors import InputError
from registry.database import _config


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


NEWEST = ScriptDirectory.from_config(_config()).get_current_head()


def revision(settings: Settings) -> str:
    with closing(sqlite3.connect(settings.home / "mlflow.db")) as database:
        return str(database.execute("SELECT version_num FROM evalkit_alembic_version").fetchone()[0])


class TestCheck:
    def test_a_whole_project(self, command: Callable[..., Any]):
        done = command("check")
        assert (done.return_value, done.output) == (
            0, "tables and triggers are as needed; rows and audit are whole\n"
        )  # fmt: skip

    def test_rows_that_point_to_nothing(self, command: Callable[..., Any], settings: Settings):
        sql(settings.home / "mlflow.db", "DELETE FROM evalkit_suites")
        done = command("check", "--json")
        found = json.loads(done.stdout)
        assert (done.return_value, found["good"]) == (1, False)
        assert "mlflow.db: 1 row of evalkit_model_versions points to no evalkit_suites" in found["damage"]
        assert command("check", "--tables-only").return_value == 0

    def test_a_broken_file(self, command: Callable[..., Any], settings: Settings):
        path = settings.home / "jobs.db"
        content = bytearray(path.read_bytes())
        content[4096 * 3 : 4096 * 5] = b"\xff" * 4096 * 2
        path.write_bytes(content)
        done = command("check")
        assert done.return_value == 1
        assert "jobs.db: " in done.output

    def test_an_audit_that_was_changed(self, command: Callable[..., Any], settings: Settings):
        sql(settings.home / "mlflow.db", "UPDATE evalkit_decisions SET outcome = 'fail'")
        done = command("check")
        assert done.return_value == 1
        assert "audit of workspace 'default': evalkit_decisions/" in done.output

    @pytest.mark.postgres
    def test_on_postgresql(self, settings: Settings, target: str):
        move(settings, target)
        new = Settings(settings.home, target, target, target, advisory=False)
        assert damage(new).found == damage(new).left_out == ()
        engine = postgres.engine_for(target)
        with engine.begin() as connection:
            connection.execute(text("CREATE ROLE looks LOGIN"))
            connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO looks"))
            connection.execute(text("REVOKE SELECT ON evalkit_user_roles, runs FROM looks"))
        role = target.replace("tester@", "looks@")
        seen = [look(Settings(settings.home, role, role, role, advisory=False)) for look in (damage, audits)]
        assert [one.found for one in seen] == [(), ()]
        assert "runs: this role may not read it" in seen[0].left_out
        assert seen[1].left_out == ("the audit: this role may not read evalkit_user_roles",)
        with engine.begin() as connection:
            connection.execute(text("DROP OWNED BY looks"))
            connection.execute(text("DROP ROLE looks"))
            # As a superuser can, or a restore by other means
            connection.execute(text("SET session_replication_role = replica"))
            connection.execute(text("DELETE FROM evalkit_suites"))
            connection.execute(text("UPDATE evalkit_decisions SET outcome = 'fail'"))
            connection.execute(text("SET session_replication_role = origin"))
        engine.dispose()
        assert "public: 1 row of evalkit_model_versions points to no evalkit_suites" in damage(new).found
        assert any("is not as entry" in line for line in audits(new).found)


class TestDowngrade:
    def test_asks(self, command: Callable[..., Any], settings: Settings):
        asked = command("downgrade", "--to", "0006", input="n\n")
        assert isinstance(asked.exception, Abort)
        assert revision(settings) == NEWEST
        assert "back to 0006?" in asked.stderr
        assert command("downgrade", "--to", "0006", input="y\n").exception is None
        assert revision(settings) == "0006"
        assert command("check").return_value == 1
        assert command("upgrade").exception is None
        assert command("check").return_value == 0

    def test_rows_are_not_lost_unasked(self, command: Callable[..., Any], settings: Settings):
        refused = command("downgrade", "--to", "0001", "--yes")
        assert isinstance(refused.exception, InputError)
        for name in ("evalkit_holders (1)", "evalkit_audit (", "evalkit_policies (1)", "use --lose-rows"):
            assert name in str(refused.exception)
        assert revision(settings) == NEWEST
        assert command("downgrade", "--to", "0001", "--yes", "--lose-rows").exception is None
        assert revision(settings) == "0001"
        assert command("upgrade", "--to", "0003").exception is None
        assert revision(settings) == "0003"

    @pytest.mark.parametrize("wrong", ["0099", "head+1", "x"])
    def test_a_revision_that_is_not_there(self, wrong: str, command: Callable[..., Any], settings: Settings):
        for way in ("downgrade", "upgrade"):
            done = command(way, "--to", wrong, *(["--yes"] if way == "downgrade" else []))
            assert isinstance(done.exception, InputError)
            assert wrong in str(done.exception)
        assert revision(settings) == NEWEST

    def test_a_project_at_work(self, command: Callable[..., Any], settings: Settings):
        sql(
            settings.home / "mlflow.db",
            "INSERT INTO evalkit_workers VALUES ('e', 'default', 'h', 7, 1, unixepoch('now') * 1000)",
        )
        done = command("downgrade", "--to", "0006", "--yes")
        assert "worker 7 on h is alive" in str(done.exception)
        assert revision(settings) == NEWEST
