"""The process of one evaluation: ``python -m evalkit.worker.item PARENT_PID``.

It reads its job as one line of JSON from stdin, so that no other process finds the database's address in its
environment or command line, and answers with one line on stdout. It ends when its parent does.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any


def main() -> int:
    """Do one job."""
    os.umask(0o077)
    source, sink = _take_streams()
    from evalkit.worker.isolation import Limits, confine_process, die_with

    receive = die_with(int(sys.argv[1]), source)
    job = json.loads(receive())
    confine_process(Limits(**job["limits"]))
    os.environ.update(job["login"])
    reply = _do(job)
    sink.write(json.dumps(reply).encode() + b"\n")
    sink.flush()
    return 0


def _do(job: Mapping[str, Any]) -> dict[str, str]:
    from evalkit.config import Settings
    from evalkit.session import open_database, open_session
    from evalkit.worker.reaction import Allowances, react, say_failed
    from metrics.errors import InputError
    from registry.leases import LeaseHeldError, LeaseLostError
    from registry.outbox import Item, Outbox

    item = Item(**job["item"])
    settings = Settings(**{**job["settings"], "home": Path(job["settings"]["home"])})
    if settings.tracking_uri.startswith("http"):
        os.environ["MLFLOW_TRACKING_URI"] = settings.tracking_uri  # MLflow's proxied artifacts read it from there
    may = Allowances(tuple(job["endpoints"]), job["judging"])
    try:
        with open_session(settings) as session, open_database(settings) as engine:
            if job["failed"] is not None:
                say_failed(session, item, job["failed"])
                return {"state": "said", "detail": ""}
            box = Outbox(engine, item.workspace)
            with tempfile.TemporaryDirectory(prefix="version-") as folder:
                done = react(session, item, Path(folder), may, still_ours=lambda: box.check(item))
        return {"state": "done", "outcome": done.outcome, "detail": done.detail}
    except LeaseHeldError as error:
        return {"state": "busy", "detail": str(error)}
    except LeaseLostError as error:
        return {"state": "lost", "detail": str(error)}
    except InputError as error:
        return {"state": "error", "detail": str(error)}
    except Exception as error:  # the parent gets one line, the log has the rest
        traceback.print_exc()
        return {"state": "error", "detail": f"{type(error).__name__}: {error}"}


def _take_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the pipes for job and answer; what MLflow and others print goes to stderr."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return os.fdopen(source, "rb"), os.fdopen(sink, "wb")


if __name__ == "__main__":
    sys.exit(main())
