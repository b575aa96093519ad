"""The pages over a large database: seconds to the first byte, bytes, and the memory that they add to MLflow's own.

    PYTHONPATH=. python benchmarks/pages.py [--requests 20] [--store FOLDER] [--evidently] [--json FILE]

Fills a SQLite database with 50 models, 2,000 versions, 500 monitors and 1,000,000 signals (or takes the one in FOLDER
that an earlier run made), starts `evalkit server --no-jobs` with one process and asks for each page, one after another.
A first visit is the page with the style, the scripts and every chart as drawing and as specification, packed; a repeat
visit is the page alone, since all else is kept by its address. Memory is the resident set of the web process after all
of that, less that of MLflow's own server with one worker after its first pages; the process that draws charts is told
apart. ``--evidently`` asks Evidently's own UI with 1,000 snapshots the same. Exits with 1 when a page is over a limit.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from benchmarks.pages_store import Size, fill
from evalkit.monitoring import scheduling

FIRST_BYTE, HTML, FIRST_VISIT, REPEAT_VISIT, MEMORY = 0.300, 100_000, 500_000, 120_000, 150e6
ROOT = Path(__file__).parents[1]
PAGES = (
    "/evalkit",
    "/evalkit/models",
    "/evalkit/models/model-07",
    "/evalkit/models/model-07/39",
    "/evalkit/models/model-07/39/samples?task=golden",
    "/evalkit/compare?versions=model-07/38,model-07/39",
    "/evalkit/monitors",
    "/evalkit/monitors/monitor-010",
    "/evalkit/monitors/monitor-010?check=drift",
    "/evalkit/monitors/monitor-010/windows/{window}",
    "/evalkit/alerts",
    "/evalkit/alerts/{alert}",
    "/evalkit/judges",
    "/evalkit/label",
    "/evalkit/jobs",
    "/evalkit/jobs/{job}",
    "/evalkit/audit",
)
"""Those that answer 404 are left out of the table."""


@dataclass(frozen=True)
class Answer:
    """What one request gave."""

    status: int
    first_byte: float
    body: bytes
    packed: int


@dataclass(frozen=True)
class Measured:
    """One page: seconds, and bytes (packed where they travel)."""

    page: str
    median: float
    p95: float
    first: float
    html: int
    packed: int
    first_visit: int
    charts: int

    @property
    def repeat_visit(self) -> int:
        """Bytes when all but the page itself is kept."""
        return self.packed

    @property
    def over(self) -> list[str]:
        """Limits that it does not keep."""
        limits = (
            (self.median > FIRST_BYTE, "first byte"), (self.html > HTML, "HTML"),
            (self.first_visit > FIRST_VISIT, "first visit"), (self.repeat_visit > REPEAT_VISIT, "repeat visit"),
        )  # fmt: skip
        return [what for bad, what in limits if bad]


def main() -> int:
    """Measure, print, and say whether all limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--store", type=Path, help="a folder to keep the database in")
    parser.add_argument("--size", type=float, default=1.0, help="share of versions, monitors and signals, to try it")
    parser.add_argument("--only", default="", help="pages whose address matches")
    parser.add_argument("--evidently", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.store or Path(temporary) / "project"
        if not (folder / ".evalkit").exists():
            started = time.perf_counter()
            fill(folder, _size(given.size))
            print(f"filled in {time.perf_counter() - started:.0f} s")
        with _served(folder, ["-m", "evalkit.cli", "server", "--no-jobs"], "/readyz") as (url, process):
            pages = [one for one in _pages(folder) if re.search(given.only, one)]
            found = [one for page in pages if (one := measure(url, page, given.requests)) is not None]
            ours, drawing = _memory(process)
        plain = _mlflow_alone(folder)
        _tell(found, ours, plain, drawing)
        report: dict[str, Any] = {
            "pages": [asdict(one) for one in found], "memory": ours, "mlflow": plain, "drawing": drawing,
        }  # fmt: skip
        if given.evidently:
            report["evidently"] = _evidently(Path(temporary) / "evidently")
    if given.json:
        given.json.write_text(json.dumps(report, indent=2))
    return int(any(one.over for one in found) or ours - plain > MEMORY)


def _size(share: float) -> Size:
    whole = Size()
    if share == 1:
        return whole
    monitors = max(20, int(whole.monitors * share))
    signals = max(monitors * 400, int(whole.signals * share))
    return Size(
        whole.models, max(2_000, int(whole.versions * share)), monitors, signals, int(whole.entries * share) + 1
    )


def _pages(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / ".evalkit" / "mlflow.db")) as database:
        (alert,) = database.execute("SELECT id FROM evalkit_alerts WHERE closed_at IS NULL LIMIT 1").fetchone()
        (window,) = database.execute(
            "SELECT max(start) FROM evalkit_windows w JOIN evalkit_monitors m ON m.id = w.monitor_id"
            " WHERE m.name = 'monitor-010'"
        ).fetchone()
    return [
        page.format(alert=alert, window=window, job=quote(scheduling.schedule_name("monitor-010"))) for page in PAGES
    ]


def measure(url: str, page: str, requests: int) -> Measured | None:
    """Ask for a page often, and once for what it shows; None where there is none."""
    first = _get(url, page)
    if first.status == 404:
        return None
    if first.status != 200:
        raise SystemExit(f"{page} answered {first.status}: {first.body[:300]!r}")
    times = [_get(url, page).first_byte for _ in range(requests)]
    html = first.body.decode()
    wanted = {*re.findall(r'(?:src|href)="(/evalkit/(?:assets|charts)/[^"]+)"', html)}
    wanted |= set(re.findall(r'data-(?:chart|vega)="([^"]+)"', html))
    with_all = first.packed + sum(_get(url, one).packed for one in sorted(wanted))
    return Measured(
        page, statistics.median(times), sorted(times)[int(0.95 * (len(times) - 1))], first.first_byte, len(first.body),
        first.packed, with_all, len(re.findall(r"data-chart=", html)),
    )  # fmt: skip


def _get(url: str, page: str) -> Answer:
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=600)
    started = time.perf_counter()
    connection.request("GET", page, headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    first_byte = time.perf_counter() - started
    body = answer.read()
    packed = len(body)
    if answer.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    connection.close()
    return Answer(answer.status, first_byte, body, packed)


@contextmanager
def _served(
    folder: Path, command: list[str], ready: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[str, psutil.Process]]:
    """A server on a free port, ended afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "EVALKIT_"))}
    inherited |= {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [inherited.get("PYTHONPATH")])])}
    process = subprocess.Popen(
        [sys.executable, *command, "--port", str(port)], cwd=folder, env={**inherited, **(environment or {})},
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(lambda: _get(url, ready).status == 200, process)
        yield url, psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(answers: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit("the server ended by itself")
        try:
            if answers():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("the server did not answer")


def _memory(process: psutil.Process) -> tuple[float, float]:
    """Bytes of the process that serves, and of the one that draws."""
    family = [process, *process.children(recursive=True)]
    drawing = [one for one in family if "evalkit.pages.charts.worker" in one.cmdline()]
    serving = [one for one in family if one not in drawing]
    return max(one.memory_info().rss for one in serving), sum(one.memory_info().rss for one in drawing)


def _mlflow_alone(folder: Path) -> float:
    """Bytes of MLflow's own server on the same database, after its first pages."""
    store = f"sqlite:///{folder / '.evalkit' / 'mlflow.db'}"
    command = ["-m", "mlflow", "server", "--workers", "1", "--backend-store-uri", store]
    with _served(folder, command, "/health", {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}) as (url, process):
        for page in ("/", "/ajax-api/2.0/mlflow/registered-models/search?max_results=100"):
            _get(url, page)
        return _memory(process)[0]


def _tell(found: list[Measured], ours: float, plain: float, drawing: float) -> None:
    print("| page | first byte, median | p95 | first request | HTML kB | packed | first visit kB | charts | over |")
    print("|---|---|---|---|---|---|---|---|---|")
    for one in found:
        print(
            f"| `{one.page}` | {one.median * 1e3:.0f} ms | {one.p95 * 1e3:.0f} ms | {one.first * 1e3:.0f} ms"
            f" | {one.html / 1e3:.0f} | {one.packed / 1e3:.0f} | {one.first_visit / 1e3:.0f} | {one.charts}"
            f" | {', '.join(one.over)} |"
        )
    print(
        f"memory: {ours / 1e6:.0f} MB, MLflow alone {plain / 1e6:.0f} MB, so ours {(ours - plain) / 1e6:.0f} MB"
        f" (limit {MEMORY / 1e6:.0f}); drawing {drawing / 1e6:.0f} MB"
    )


_SNAPSHOTS = """
import sys, pandas as pd
from evidently import Report, Dataset, DataDefinition
from evidently.presets import DataSummaryPreset
from evidently.ui.workspace import Workspace
workspace = Workspace.create(sys.argv[1])
project = workspace.create_project("benchmark")
frame = pd.DataFrame({f"column_{place}": [row * (place + 1) % 97 for row in range(200)] for place in range(10)})
run = Report([DataSummaryPreset()]).run(Dataset.from_pandas(frame, data_definition=DataDefinition()), None)
for number in range(int(sys.argv[2])):
    workspace.add_run(project.id, run)
print(project.id)
"""


def _evidently(folder: Path, snapshots: int = 1_000) -> dict[str, Any]:
    """Evidently's own UI: seconds of the first call of a project's page of snapshots, bytes, memory."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = subprocess.run(
        [sys.executable, "-c", _SNAPSHOTS, str(folder), str(snapshots)], capture_output=True, text=True, check=False,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )  # fmt: skip
    if made.returncode:
        raise SystemExit(f"Evidently could not be filled: {made.stderr[-600:]}")
    project = made.stdout.split()[-1]
    command = ["-m", "evidently.cli", "ui", "--workspace", str(folder)]
    with _served(folder, command, "/api/version", {"DO_NOT_TRACK": "1"}) as (url, process):
        calls = [_get(url, f"/api/projects/{project}/reports") for _ in range(3)]
        memory = _memory(process)[0]
    told = {
        "snapshots": snapshots, "first_call": calls[0].first_byte, "later": calls[-1].first_byte,
        "bytes": calls[0].packed, "memory": memory, "status": calls[0].status,
    }  # fmt: skip
    print(
        f"Evidently's UI, {snapshots} snapshots: first call {told['first_call']:.1f} s, later {told['later']:.1f} s,"
        f" {told['bytes'] / 1e6:.1f} MB, memory {memory / 1e6:.0f} MB"
    )
    return told


if __name__ == "__main__":
    raise SystemExit(main())
