"""A schedule that fires every second while workers are killed: is each firing in the results once, and how soon?

Two workers share a SQLite file, or three a PostgreSQL server. Every 15 s one of them, chosen at random, is killed with
SIGKILL and another is started in its place. A firing works for half a second and then stores a row in the transaction
that finishes it. At the end: every second from the first firing to the last must have one row, and for firings that
were taken over, the time from the kill to the row is told.

    python -m benchmarks.schedule_faults [--databases sqlite postgresql] [--seconds 120] [--every 15] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks import postgres
from evalkit.config import Settings
from evalkit.jobs.launching import shut_down
from evalkit.jobs.schedules import Schedules
from evalkit.own_database import own_url
from registry.database import connect, upgrade
from registry.firings import history

ROOT = Path(__file__).parents[1]
WORKER = ROOT / "tests" / "evalkit" / "jobs" / "worker.py"
WORKERS = {"sqlite": 2, "postgresql": 3}
WORK = 0.5
SILENT_AFTER = 15.0


def start(url: str, home: Path) -> subprocess.Popen[bytes]:
    """A worker that works already."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER), url, str(home), str(WORK), str(SILENT_AFTER)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    return process


def run(database: str, seconds: float, every: float, seed: int) -> dict[str, Any]:
    """One run; what is in the results afterwards."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evalkit-")))
        url = f"sqlite:///{home / 'evalkit.db'}" if database == "sqlite" else stack.enter_context(postgres.server())
        engine = connect(url)
        upgrade(engine)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE results (schedule VARCHAR(50), due BIGINT, attempt INTEGER)"))
        schedules = Schedules(own_url(Settings(home, url, url, url, advisory=False), "jobs"))
        schedules.apply("tick", "* * * * * *", kind="count", target="bot", catch_up="all")
        shut_down()
        workers = [start(url, home) for _ in range(WORKERS[database])]
        kills: list[float] = []
        end = time.monotonic() + seconds
        while time.monotonic() + every < end:
            time.sleep(every)
            victim = chance.randrange(len(workers))
            kills.append(time.time())
            workers[victim].kill()
            workers[victim].wait()
            workers[victim] = start(url, home)
        time.sleep(max(0.0, end - time.monotonic()))
        schedules.pause("tick")
        paused = time.time()
        shut_down()
        time.sleep(2 * SILENT_AFTER)  # for what the last kill left behind
        for worker in workers:
            worker.kill()
            worker.wait()
        with engine.connect() as connection:
            counts = Counter(int(due) for (due,) in connection.execute(text("SELECT due FROM results")))
        records = history(engine, limit=100_000)
        engine.dispose()
    first, last = min(counts), max(counts)
    expected = range(first, int(paused) * 1000 - 2000, 1000)
    lags = [
        r.finished_at / 1000 - max((kill for kill in kills if kill < r.finished_at / 1000), default=0)
        for r in records
        if r.attempts > 1 and r.finished_at
    ]
    return {
        "database": database,
        "workers": WORKERS[database],
        "kills": len(kills),
        "firings": len(counts),
        "twice": sum(count > 1 for count in counts.values()),
        "lost": sum(due not in counts for due in expected),
        "unfinished": sum(record.finished_at is None for record in records),
        "taken_over": len(lags),
        "slowest_take_over_s": round(max(lags, default=0.0), 1),
        "last": last,
    }


def main() -> None:
    """Run and print; exit status 1 where a firing is lost or double."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--databases", nargs="+", choices=sorted(WORKERS), default=["sqlite", "postgresql"])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--every", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for database in arguments.databases:
        found = run(database, arguments.seconds, arguments.every, arguments.seed)
        results.append(found)
        print(
            f"{found['workers']} workers on {database}, {found['kills']} killed: {found['firings']} firings, "
            f"{found['lost']} lost, {found['twice']} twice, {found['unfinished']} unfinished; {found['taken_over']} "
            f"taken over, the slowest within {found['slowest_take_over_s']} s of a kill"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))
    raise SystemExit(any(found["lost"] or found["twice"] or found["unfinished"] for found in results))


if __name__ == "__main__":
    main()
