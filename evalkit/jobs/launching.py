"""DBOS in this process: one instance on the project's store, with an id that no other live process has."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig
from dbos._serialization import DBOSPortableJSONSerializer
from sqlalchemy import Engine, event

from evalkit.own_database import SCHEMAS
from registry.database import parse_url
from registry.digests import new_id

APPLICATION_VERSION = "evalkit-1"
"""Raised only when recorded steps can no longer be continued: DBOS continues within one version only."""
_HAS_SUBSECONDS = (3, 42, 0)
"""The first SQLite that knows ``unixepoch('subsec')``; Debian 12 has 3.40."""
_SCHEDULES_SEEN = 2.0
"""Seconds after which a new or changed schedule is known to a live process."""

_lock = threading.Lock()
_launched: dict[str, str] = {}


def launch(url: str, queues: Sequence[str] = ()) -> str:
    """Start DBOS on a store, if it does not run on it already, and return this process's executor id.

    Args:
        url: SQLAlchemy URL, as `own_url` says it for ``jobs``.
        queues: whose work this process does, beside its own; a process that runs already keeps those it has.
    """
    with _lock:
        if _launched.get("url") == url and _launched.get("pid") == str(os.getpid()):
            return _launched["executor"]
        if _launched:
            DBOS.destroy()
        parsed = parse_url(url)
        config: DBOSConfig = {
            "name": "evalkit",
            # One id per live process: two with the same id would run each other's live steps again
            "executor_id": f"evalkit-{new_id()}",
            "application_version": APPLICATION_VERSION,
            "serializer": DBOSPortableJSONSerializer(),  # a database row must never be able to run code
            "scheduler_polling_interval_sec": _SCHEDULES_SEEN,
            "log_level": "CRITICAL",
            "console_log_level": "CRITICAL",
        }
        if parsed.get_backend_name() == "postgresql":
            driver = parsed.set(drivername="postgresql+psycopg")
            config["system_database_url"] = driver.render_as_string(hide_password=False)
            config["dbos_system_schema"] = SCHEMAS["jobs"]
        else:
            Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
            config["system_database_url"] = url
            if sqlite3.sqlite_version_info < _HAS_SUBSECONDS and not event.contains(Engine, "connect", add_clock):
                event.listen(Engine, "connect", add_clock)
        logger = logging.getLogger("dbos")
        logger.setLevel(logging.CRITICAL)
        # Those of an earlier launch hold streams that may be closed by now, and DBOS flushes them
        logger.handlers.clear()
        executor = str(config["executor_id"])
        DBOS(config=config)
        try:
            DBOS.listen_queues([executor, *queues])
            DBOS.launch()
        except BaseException:
            DBOS.destroy()  # half begun it refuses to be begun again
            raise
        _launched.update(url=url, pid=str(os.getpid()), executor=executor)
        return executor


def shut_down(patience: int = 0) -> None:
    """End DBOS in this process, after waiting `patience` seconds for running work; the next job starts it again."""
    with _lock:
        if _launched:
            _launched.clear()
            DBOS.destroy(workflow_completion_timeout_sec=patience)


def add_clock(connection: Any, _record: object) -> None:
    """Give an old SQLite ``unixepoch('subsec')``, which DBOS's SQL asks for on Python 3.12 and later."""
    if isinstance(connection, sqlite3.Connection):
        connection.create_function("unixepoch", 1, lambda _modifier: time.time())
