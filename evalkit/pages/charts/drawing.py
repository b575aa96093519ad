"""Has charts drawn by a process of their own, which starts with the first chart and ends when it idles or hangs."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from evalkit.pages.charts import store
from evalkit.views.kept import write
from metrics.errors import InputError

PATIENCE = 60.0
"""Seconds that one drawing may take; the first one also starts the engine."""
IDLE = 300.0
"""Seconds without a drawing after which the process, and its memory, is given back."""
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONPATH")


def svg(home: Path, digest: str) -> bytes:
    """A chart as SVG."""
    return _made(home, digest, "svg", "svg")


def spec(home: Path, digest: str) -> bytes:
    """A chart as a Vega-Lite specification (JSON)."""
    return _made(home, digest, "spec", "vl.json")


def vega(home: Path) -> bytes:
    """The scripts that draw specifications in a browser, from the wheel of ``vl-convert-python``, packed with gzip."""
    place = store.folder(home) / f"vega-{metadata.version('vl-convert-python')}.js.gz"
    if not place.exists():
        write(place, gzip.compress(_process.ask({"what": "vega"}).encode(), 9, mtime=0))
    return place.read_bytes()


def _made(home: Path, digest: str, what: str, ending: str) -> bytes:
    request = store.wanted(home, digest)
    if request is None:
        raise InputError("this chart is not kept any longer; load the page again that shows it")
    place = store.folder(home) / f"{digest}.{ending}"
    with contextlib.suppress(FileNotFoundError):
        return place.read_bytes()
    content = _process.ask({**request, "what": what}).encode()
    write(place, content)
    return content


class _Process:
    """The drawing process: one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        self._used = 0.0

    def ask(self, request: dict[str, Any]) -> str:
        """What it answers; a request that it cannot serve raises `InputError`."""
        with self._lock:
            process = self._started()
            try:
                answer = _exchange(process, json.dumps(request) + "\n")
            except (OSError, TimeoutError, ValueError):
                self._end()
                raise InputError("the chart could not be drawn in time; its table has the same numbers") from None
            self._used = time.monotonic()
        if "error" in answer:
            raise InputError(f"the chart could not be drawn ({answer['error']}); its table has the same numbers")
        return str(answer["text"])

    def _started(self) -> subprocess.Popen[str]:
        if self._running is None or self._running.poll() is not None:
            root = str(Path(__file__).parents[3])  # where evalkit is run without being installed
            environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
            paths = [root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
            self._running = subprocess.Popen(
                [sys.executable, "-m", "evalkit.pages.charts.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
                env={**environment, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
            )  # fmt: skip
            self._used = time.monotonic()
            threading.Thread(target=self._watch, args=(self._running,), daemon=True).start()
        return self._running

    def _watch(self, process: subprocess.Popen[str]) -> None:
        while process.poll() is None:
            time.sleep(IDLE / 10)
            with self._lock:
                if process is self._running and time.monotonic() - self._used > IDLE:
                    self._end()

    def _end(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.communicate()
            self._running = None


def _exchange(process: subprocess.Popen[str], line: str) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    process.stdin.flush()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(PATIENCE):
            raise TimeoutError
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


_process = _Process()
