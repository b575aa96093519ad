"""A worker that tests may kill: ``python worker.py URL HOME SECONDS SILENT_AFTER``; a row for every firing."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sqlalchemy import text

from evalkit.config import Settings
from evalkit.jobs.host import Host
from registry.database import connect, writing
from registry.firings import Firing


def main(url: str, home: str, seconds: float, silent_after: float) -> None:
    engine = connect(url)

    def work(firing: Firing, target: str) -> None:
        time.sleep(seconds)
        with writing(engine) as session:
            session.execute(
                text("INSERT INTO results (schedule, due, attempt) VALUES (:s, :d, :a)"),
                {"s": target, "d": firing.due, "a": firing.attempt},
            )
            firing.finish(session)

    host = Host(Settings(Path(home), url, url, url, advisory=False), engine, {"count": work}, silent_after=silent_after)
    host.start()
    print("working", flush=True)
    sys.stdin.read()
    host.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
