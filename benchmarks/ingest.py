"""Rows per second that the ingest endpoint keeps, and what is left of the acknowledged ones after ``kill -9``.

The endpoint runs in a process of its own on 127.0.0.1; senders are processes too, so client and server share the
machine's cores. Rows have a prompt and an output of 400 characters, context, latency and two slices. Two lines: as the
Python client sends (500 a request, gzip), and 50 a request. Half of the runs end the server with SIGKILL, and the
acknowledged rows are then counted in the database.

    python -m benchmarks.ingest [--seconds 10] [--senders 2] [--repeats 3] [--json F]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "tests" / "evalkit" / "ingest" / "server.py"
SENDER = """
import gzip, json, sys, time, uuid
import requests
url, size, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
session, end, kept = requests.Session(), time.monotonic() + seconds, 0
text = "What the answer says, in words of ordinary length. " * 8
while time.monotonic() < end:
    rows = [{"id": uuid.uuid4().hex, "prompt": text, "output": text, "context": [text], "latency": 0.4,
             "slices": {"language": "en", "tenant": "t1"}} for _ in range(size)]
    body = gzip.compress(json.dumps(rows).encode(), 1)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    try:
        answer = session.post(url, data=body, headers=headers, timeout=30)
    except requests.RequestException:
        break
    if answer.status_code == 201:
        kept += answer.json()["accepted"]
print(kept)
"""


@contextmanager
def endpoint(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The endpoint over a fresh buffer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("EVALKIT", "MLFLOW"))}
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(port)], cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)}
    )
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/evalkit/api/v1/streams/bot/records", process
    finally:
        process.kill()
        process.wait()


def run(size: int, senders: int, seconds: float, kill: bool) -> tuple[float, int]:
    """Rows per second that were acknowledged, and how many of them are missing in the database."""
    from evalkit.config import load_settings
    from evalkit.ingest.buffer import Buffer

    with tempfile.TemporaryDirectory(prefix="evalkit-") as scratch:
        folder = Path(scratch)
        (folder / "evalkit.toml").touch()
        with endpoint(folder) as (url, process):
            command = [sys.executable, "-c", SENDER, url, str(size), str(seconds * 2 if kill else seconds)]
            start = time.monotonic()
            running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(senders)]
            if kill:
                time.sleep(seconds)
                process.send_signal(signal.SIGKILL)
            kept = sum(int(sender.communicate()[0]) for sender in running)
            took = time.monotonic() - start
        buffer = Buffer.of(load_settings(folder))
        stored = buffer.streams().get("bot", 0)
        buffer.close()
    return kept / took, max(0, kept - stored)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = {}
    for size in (500, 50):
        rates, lost = [], 0
        for repeat in range(arguments.repeats):
            rate, missing = run(size, arguments.senders, arguments.seconds, kill=repeat % 2 == 1)
            rates.append(rate)
            lost += missing
        results[size] = {"rows_per_second": rates, "lost": lost}
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        print(
            f"{size} rows a request: {statistics.median(rates):,.0f} rows/s ({spread}), {lost} acknowledged rows lost"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
