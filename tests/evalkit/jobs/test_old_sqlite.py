"""An SQLite without sub-second timestamps, such as Debian 12's, carries durable steps on every Python version."""

from __future__ import annotations

import sqlite3
import time

from sqlalchemy import create_engine, event, text

from evalkit.jobs.launching import add_clock


def test_sub_second_timestamps() -> None:
    engine = create_engine("sqlite://")
    event.listen(engine, "connect", add_clock)
    with engine.connect() as connection:
        connection.execute(text("create table t (id int, at real not null default (unixepoch('subsec') * 1000))"))
        connection.execute(text("insert into t (id) values (1)"))
        (made,) = connection.execute(text("select at from t")).one()
    assert abs(made / 1000 - time.time()) < 60


def test_other_databases_are_left_alone() -> None:
    add_clock(object(), None)
    assert sqlite3.connect(":memory:").execute("select unixepoch('now')").fetchone()[0] > 0
