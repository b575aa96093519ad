"""What the gate costs: setting a protected alias and creating a version, beside MLflow's own store.

Both stores on a database of their own, called in turns so that both see the same machine: SQLite, both in write-ahead
mode (which evalkit sets), or with ``--postgres`` a PostgreSQL server that is started for this and flushes to disk as
servers do. The gated model is under policy, its chain has `--entries` entries. ``--http`` asks two real MLflow servers
instead, as clients do. Prints the median of each round's medians, and the range of their ratios; exits with 1 when a
call takes more than 20 % longer than with the stock store.

    python -m benchmarks.store_overhead [--http] [--postgres] [--entries 10000] [--calls 100] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks import postgres
from registry import audit
from registry.database import connect, upgrade, writing
from registry.digests import new_id, now_ms
from registry.entities import Decision
from registry.policy import Policy, set_policy
from registry.store import Registry
from registry.suite import Suite

LIMIT = 0.20
WARMUP = 5
SUITE = "suite: s\ntasks:\n  t: {outputs: o.jsonl, columns: {expected: e}, score: [exact_match]}\n"
NAME = "model"
SOURCE = "s3://bucket/model"


def prepare(url: str, folder: Path, entries: int, server: str | None) -> None:
    """A model with two judged versions under policy, and a long chain."""
    os.chdir(folder)
    (folder / "suite.yaml").write_text(SUITE)
    registry = Registry(url, server, server, artifact_root=None if server else folder / "artifacts")
    for number in (1, 2):
        (folder / "o.jsonl").write_text(f'{{"id": "{number}", "output": "a", "e": ["a"]}}\n')
        version = registry.register(NAME, model=str(folder / "o.jsonl"), suite=Suite.load(folder / "suite.yaml"))
        lease = registry.acquire(f"evaluation:{number}")
        opened = registry.open_evaluation(version, digest=new_id(), token=lease.token)
        registry.save_decision(
            Decision(
                id=new_id(), digest=new_id(), version_id=version.id, model=NAME, version=number,
                evaluation_id=opened.id, suite_digest=version.suite_digest, artifact_digest=version.artifact_digest,
                outcome="pass", method="intervals", alpha=0.05, look=1, looks=1, champion=None, anchor=None,
                rules=(), notes=(), created_at=now_ms(),
            )
        )  # fmt: skip
    registry.close()
    engine = connect(url)
    upgrade(engine)
    with writing(engine) as session:
        for number in range(entries):
            audit.append(session, "evaluation", actor="worker", name=NAME, facts={"number": number})
    set_policy(engine, Policy(NAME), actor="admin")
    engine.dispose()


def bare(store: Any) -> None:
    """The same model in a database that knows nothing of the gate."""
    store.create_registered_model(NAME)
    for _ in range(2):
        store.create_model_version(NAME, SOURCE)


def measure(
    pairs: dict[str, tuple[Callable[[int], Any], Callable[[int], Any]]], calls: int, rounds: int
) -> list[dict[str, Any]]:
    """Milliseconds of stock and gated calls, made in turns."""
    rows = []
    for what, both in pairs.items():
        medians = [_medians(both, calls) for _ in range(rounds)]
        stock, gated = (statistics.median(side) for side in zip(*medians, strict=True))
        ratios = sorted(gated / stock - 1 for stock, gated in medians)
        rows.append(
            {
                "call": what,
                "stock_ms": stock,
                "gated_ms": gated,
                "overhead": statistics.median(ratios),
                "least": ratios[0],
                "most": ratios[-1],
            }
        )
    return rows


def _medians(both: tuple[Callable[[int], Any], Callable[[int], Any]], calls: int) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(calls + WARMUP):
        for call, found in zip(both, times, strict=True):
            started = time.perf_counter()
            call(number)
            if number >= WARMUP:
                found.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[0]), statistics.median(times[1])


def calls_of(store: Any) -> tuple[Callable[[int], Any], Callable[[int], Any]]:
    """Setting the alias to the two versions in turn, and creating a version."""
    return (
        lambda number: store.set_registered_model_alias(NAME, "champion", str(number % 2 + 1)),
        lambda _: store.create_model_version(NAME, SOURCE),
    )


@contextmanager
def served(url: str, folder: Path, *, gated: bool) -> Iterator[str]:
    """A server on the database; the gated one with evalkit's registry and app."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", url, "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", str(folder / "artifacts")]
    if gated:
        command += ["--registry-store-uri", f"evalkit+{url}", "--app-name", "evalkit"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the server did not start; is evalkit installed?") from None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database(folder: Path, name: str, server: str | None) -> str:
    """Address of a fresh database."""
    if server is None:
        with closing(sqlite3.connect(folder / f"{name}.db")) as fresh:
            fresh.execute("PRAGMA journal_mode=WAL")
        return f"sqlite:///{folder / name}.db"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    fresh = f"bench_{name}_{uuid.uuid4().hex[:8]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {fresh}"))
    admin.dispose()
    return admin.url.set(database=fresh).render_as_string(hide_password=False)


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evalkit-bench-") as place, ExitStack() as stack:
        folder = Path(place)
        server = stack.enter_context(postgres.server()) if given.postgres else None
        gated_url, stock_url = (database(folder, name, server) for name in ("gated", "stock"))
        stock, gated, server = stack.enter_context(_stores(stock_url, gated_url, folder, http=given.http))
        prepare(gated_url, folder, given.entries, server)
        bare(stock)
        both = zip(calls_of(stock), calls_of(gated), strict=True)
        names = ("set_registered_model_alias", "create_model_version")
        rows = measure(dict(zip(names, both, strict=True)), given.calls, given.rounds)
    for row in rows:
        print(f"{row['call']:28} stock {row['stock_ms']:6.2f} ms  gated {row['gated_ms']:6.2f} ms  "
              f"{row['overhead']:+.0%} ({row['least']:+.0%} to {row['most']:+.0%})")  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2))
    return int(any(row["overhead"] > LIMIT for row in rows))


@contextmanager
def _stores(stock_url: str, gated_url: str, folder: Path, *, http: bool) -> Iterator[tuple[Any, Any, str | None]]:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    from registry.mlflow_store import build_store

    if not http:
        yield SqlAlchemyStore(stock_url), build_store(f"evalkit+{gated_url}"), None
        return
    from mlflow import MlflowClient

    with served(stock_url, folder, gated=False) as one, served(gated_url, folder, gated=True) as other:
        yield MlflowClient(one, one), MlflowClient(other, other), other


if __name__ == "__main__":
    sys.exit(main())
