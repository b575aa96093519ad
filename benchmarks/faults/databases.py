"""The databases of a run, and what can be done to them from outside: on SQLite and on a PostgreSQL server."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, text

from benchmarks.faults.processes import family, free_port, wait_until
from benchmarks.faults.project import PASSWORD
from benchmarks.postgres import _binary

_TRIES = 3
FILES = ("mlflow", "jobs", "ingest", "judges")
TABLES = (
    "evalkit_outbox", "evalkit_leases", "evalkit_firings", "evalkit_audit_heads", "evalkit_windows",
    "registered_model_aliases", "evalkit_evaluations", "runs", "evalkit_ingest.evalkit_ingested",
    "evalkit_jobs.workflow_status", "evalkit_judges.evalkit_judge_replies",
)  # fmt: skip


class Disk:
    """A small file system of its own, where this machine lets us mount one; else a plain folder."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path, self.own = path, False
        path.mkdir(parents=True, exist_ok=True)
        self.own = os.geteuid() == 0 and _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(path))
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave no byte free."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(1 << 16))
        with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as stream:
            while True:
                stream.write(b"x")

    def free(self) -> None:
        """Give the space back."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount, whoever still looks."""
        if self.own:
            subprocess.run(["umount", "-l", str(self.path)], check=False, capture_output=True)


def _mount(*arguments: str) -> bool:
    for _ in range(_TRIES):
        if subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0:
            return True
        time.sleep(0.2)
    return False


class SQLite:
    """Files below the project's ``.evalkit``."""

    kind = "sqlite"

    def __init__(self, home: Path, disk: Disk) -> None:
        self.home, self.disk = home, disk
        home.mkdir(parents=True, exist_ok=True)
        self.url = f"sqlite:///{home / 'mlflow.db'}"

    def hold(self, chance: random.Random, seconds: float) -> str:
        """Hold the write lock of one of the files."""
        known = [name for name in FILES if (self.home / f"{name}.db").exists()]
        name = chance.choice(known)
        with contextlib.closing(sqlite3.connect(self.home / f"{name}.db", timeout=10)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.rollback()
        return f"{name}.db"

    @contextlib.contextmanager
    def read_only(self) -> Iterator[bool]:
        """Whoever opens a file meanwhile may not write; False where this machine does not let us."""
        place = str(self.home)
        if os.geteuid() != 0 or not _mount("--bind", place, place):
            yield False
            return
        try:
            yield _mount("-o", "remount,bind,ro", place)
        finally:
            subprocess.run(["umount", "-l", place], check=True, capture_output=True)

    def close(self) -> None:
        """Nothing runs."""


class PostgreSQL:
    """A server with a data folder of its own, on a port that stays the same."""

    kind = "postgresql"

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.disk, self._folder, self.port = disk, folder, free_port()
        if os.geteuid() == 0:
            shutil.chown(disk.path, "nobody", "nogroup")
        self._data = disk.path / "data"
        self._run(_binary("initdb"), "-D", self._data, "-U", "tester", "--auth=trust", "-E", "UTF8", "--no-sync")
        self.start()
        with self.connection("postgres") as connection:
            connection.execute(text("CREATE DATABASE faults"))
        self.url = f"postgresql+psycopg://tester:{PASSWORD}@127.0.0.1:{self.port}/faults"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.disk.path} -c fsync=off "
            "-c max_connections=200 -c max_wal_size=64MB -c min_wal_size=32MB -c deadlock_timeout=200ms"
        )
        self._run(
            _binary("pg_ctl"), "-D", self._data, "-l", self.disk.path / "log", "-w", "-t", "60", "-o", options, "start"
        )

    def crash(self) -> None:
        """Stop at once, as after a power cut."""
        self._run(_binary("pg_ctl"), "-D", self._data, "-m", "immediate", "-w", "stop", check=False)

    def kill_one(self, chance: random.Random) -> None:
        """SIGKILL one backend: the server ends all sessions and recovers."""
        backends = family(self._pid())[1:]
        if backends:
            with contextlib.suppress(Exception):
                chance.choice(backends).kill()

    def running(self) -> bool:
        """Whether the server answers."""
        with contextlib.suppress(Exception), self.connection("postgres") as connection:
            return connection.execute(text("SELECT 1")).scalar() == 1
        return False

    def ensure(self) -> None:
        """As an operator does: start the server where it is down."""
        if not wait_until(self.running, 5.0):
            self.crash()
            self.start()

    def pause(self) -> None:
        """SIGSTOP all of it."""
        for process in family(self._pid()):
            with contextlib.suppress(Exception):
                process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        for process in family(self._pid()):
            with contextlib.suppress(Exception):
                process.send_signal(signal.SIGCONT)

    def hold(self, chance: random.Random, seconds: float) -> str:
        """Hold a lock on one table, against readers too."""
        with self.connection("faults") as connection:
            table = chance.choice([name for name in TABLES if _exists(connection, name)])
            with connection.begin():
                connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
                time.sleep(seconds)
        return table

    def deadlock(self, chance: random.Random, seconds: float) -> str:
        """Lock two tables in an order that meets the product's own; the product's transactions are the victims."""
        until, told = time.monotonic() + seconds, ""
        while time.monotonic() < until:
            with contextlib.suppress(Exception), self.connection("faults") as connection:
                known = [name for name in TABLES if _exists(connection, name)]
                first, second = chance.sample(known, 2)
                told = f"{first}, {second}"
                with connection.begin():
                    connection.execute(text("SET LOCAL deadlock_timeout = '3s'"))
                    connection.execute(text(f"LOCK TABLE {first} IN SHARE ROW EXCLUSIVE MODE"))
                    time.sleep(0.15)
                    connection.execute(text(f"LOCK TABLE {second} IN SHARE ROW EXCLUSIVE MODE"))
        return told

    @contextlib.contextmanager
    def read_only(self) -> Iterator[bool]:
        """Every session, also those that are open, refuses to write."""
        self._set("default_transaction_read_only = on")
        try:
            yield True
        finally:
            self._set("default_transaction_read_only = off")

    @contextlib.contextmanager
    def connection(self, database: str) -> Iterator[Connection]:
        """A connection of the operator's."""
        url = f"postgresql+psycopg://tester@127.0.0.1:{self.port}/{database}"
        level = "AUTOCOMMIT" if database == "postgres" else "READ COMMITTED"
        engine: Engine = create_engine(url, isolation_level=level)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def close(self) -> None:
        """End the server."""
        self.go_on()
        self.crash()

    def _set(self, what: str) -> None:
        with self.connection("postgres") as connection:
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.execute(text(f"ALTER SYSTEM SET {what}"))
            connection.execute(text("SELECT pg_reload_conf()"))

    def _pid(self) -> int:
        try:
            return int((self._data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return -1

    def _run(self, *command: object, check: bool = True) -> None:
        line = [str(part) for part in command]
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            line = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *line]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        # Not captured by a pipe: the server would hold it open
        subprocess.run(line, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


Database = SQLite | PostgreSQL


def _exists(connection: Connection, name: str) -> bool:
    found = connection.execute(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": name}).scalar()
    connection.rollback()
    return bool(found)
