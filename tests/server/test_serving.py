"""The processes of `evalkit server`: they start, restart and end together. Stand-ins serve instead of MLflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from evalkit.server import serving
from evalkit.server.serving import Plan, is_loopback, make_plan
from metrics.errors import InputError

ROOT = Path(__file__).parents[2]

_WEB = """
import http.server, os
from evalkit.server.child import hold_on
hold_on(int(os.environ["_EVALKIT_SERVER_LIFELINE"]))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_):
        pass
place = os.environ["_EVALKIT_SERVER_HOST"], int(os.environ["_EVALKIT_SERVER_PORT"])
http.server.HTTPServer(place, Answer).serve_forever()
"""
_WORKER = """
import os, time
from evalkit.server.child import hold_on
hold_on(int(os.environ["_EVALKIT_SERVER_LIFELINE"]))
open("workers", "a").write(f"{os.getpid()}\\n")
time.sleep(600)
"""
_RUN = """
import subprocess, sys
from evalkit.server import serving
from evalkit.server.serving import make_plan, run_server, ServerDiedError
serving.FIRST_PAUSE, serving.PATIENCE = 0.2, 1
stand_ins = {"web": sys.argv[1], "worker": sys.argv[2]}
popen = subprocess.Popen
def start(command, **more):
    return popen([command[0], "-c", stand_ins[command[-1]]], **more)
serving.subprocess.Popen = start
plan = make_plan(host="127.0.0.1", port=0, store=None, artifacts=None, auth=None, worker=True)
say = lambda line: print(line, flush=True)
try:
    run_server(plan, ready=lambda url: say("ready " + url), say=say)
except ServerDiedError as error:
    say(f"died: {error}"); sys.exit(error.exit_code)
"""


class Group:
    """A supervisor with stand-ins, and what it said."""

    def __init__(self, folder: Path, web: str = _WEB, worker: str = _WORKER) -> None:
        self.folder = folder
        (folder / "evalkit.toml").touch()
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_RUN), web, worker], cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=(folder / "said").open("wb"),
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def said(self) -> str:
        return (self.folder / "said").read_text()

    def wait_for(self, what: Any, seconds: float = 40) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)
        return found

    def ready(self) -> tuple[psutil.Process, psutil.Process]:
        """Web process and worker."""
        self.wait_for(lambda: "ready http" in self.said())
        self.wait_for(lambda: len(self.children()) == 2 and self.workers())
        worker = psutil.Process(self.workers()[-1])
        return next(child for child in self.children() if child != worker), worker

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def workers(self) -> list[int]:
        path = self.folder / "workers"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Any]:
    made: list[Group] = []

    def start(**stand_ins: str) -> Group:
        made.append(Group(tmp_path, **stand_ins))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all(group: Any, number: signal.Signals):
    started = group()
    web, worker = started.ready()
    assert os.getpgid(web.pid) == os.getpgid(worker.pid) == os.getpgid(started.process.pid)
    started.process.send_signal(number)
    assert started.process.wait(20) == 0
    psutil.wait_procs([web, worker], timeout=5)
    assert not web.is_running() and not worker.is_running()


def test_nothing_outlives_a_server_that_was_killed(group: Any):
    started = group()
    both = started.ready()
    started.process.kill()
    started.process.wait()
    gone, alive = psutil.wait_procs(both, timeout=10)
    assert len(gone) == 2 and not alive


_BUSY = """
import os, signal, time
from evalkit.server import child
child.PATIENCE = 1
asked = []
signal.signal(signal.SIGTERM, lambda *_: (asked.append(1), len(asked) == LIMIT and os._exit(0)))
child.hold_on(int(os.environ["_EVALKIT_SERVER_LIFELINE"]))
open("workers", "a").write(f"{os.getpid()}\\n")
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("limit", ["2", "9"])
def test_a_worker_that_is_busy_is_asked_twice_and_then_ended(group: Any, limit: str):
    started = group(worker=_BUSY.replace("LIMIT", limit))
    _, worker = started.ready()
    begun = time.monotonic()
    started.process.terminate()
    assert started.process.wait(20) == 0
    assert not worker.is_running()
    assert time.monotonic() - begun > 0.9


@pytest.mark.parametrize("limit", ["2", "9"])
def test_a_busy_worker_does_not_outlive_a_server_that_was_killed(group: Any, limit: str):
    started = group(worker=_BUSY.replace("LIMIT", limit))
    _, worker = started.ready()
    started.process.kill()
    started.process.wait()
    assert not psutil.wait_procs([worker], timeout=15)[1]


def test_a_worker_that_died_is_started_again(group: Any):
    started = group()
    web, worker = started.ready()
    worker.kill()
    started.wait_for(lambda: len(started.workers()) == 2)
    assert "the worker ended by itself (signal SIGKILL); again in 0.2 s" in started.said()
    psutil.Process(started.workers()[-1]).kill()
    started.wait_for(lambda: len(started.workers()) == 3)
    assert "again in 0.4 s" in started.said()
    assert web.is_running()


def test_a_worker_that_cannot_start_does_not_end_the_server(group: Any):
    started = group(worker="raise SystemExit(2)")
    started.wait_for(lambda: started.said().count("exit code 2") >= 3)
    assert started.process.poll() is None
    pauses = [float(part.split(" s")[0]) for part in started.said().split("again in ")[1:]]
    assert pauses[:3] == [0.2, 0.4, 0.8]


def test_the_server_ends_with_its_web_process(group: Any):
    started = group()
    web, worker = started.ready()
    web.kill()
    assert started.process.wait(20) == 1
    assert "died: the web process ended by itself (signal SIGKILL); the server ends with it" in started.said()
    psutil.wait_procs([worker], timeout=5)
    assert not worker.is_running()


def test_a_web_process_that_does_not_start(group: Any):
    started = group(web="raise SystemExit(2)")
    assert started.process.wait(20) == 2
    assert "died: the web process did not start (exit code 2)" in started.said()
    assert not started.workers()


# What is served


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "evalkit.toml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(**changes: Any) -> Plan:
    given = {"host": "127.0.0.1", "port": 0, "store": None, "artifacts": None, "auth": None, "worker": False}
    return make_plan(**{**given, **changes})


def test_by_default_the_projects_state_is_served(project: Path):
    plan = planned()
    assert plan.store == f"sqlite:///{project / '.evalkit' / 'mlflow.db'}"
    assert plan.artifacts == str(project / ".evalkit" / "artifacts")
    assert not plan.login
    assert planned(store="evalkit+postgresql://db/x", artifacts="s3://b/p").store == "postgresql://db/x"
    assert planned(artifacts="s3://b/p").artifacts == "s3://b/p"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.0.0.2", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
        ("10.0.0.1", False), ("evalkit.test", False), ("", False), ("localhost.evil.test", False),
    ],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, local: bool):
    assert is_loopback(host) is local


def test_what_others_reach_asks_for_a_login(project: Path):
    assert planned(host="0.0.0.0").login
    assert planned(auth=True).login
    with pytest.raises(InputError, match="without login only"):
        planned(host="0.0.0.0", auth=False)


def test_plans_that_cannot_be(project: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="no database"):
        planned(store="http://user:hunter2@elsewhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:hunter2@elsewhere")
    with pytest.raises(InputError, match="'https:' is no database") as caught:
        planned()
    assert "hunter2" not in str(caught.value)


def test_a_taken_port(project: Path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="choose another"):
            planned(port=taken.getsockname()[1])


def test_secrets_are_neither_arguments_nor_the_workers(monkeypatch: pytest.MonkeyPatch):
    started: dict[str, Any] = {}
    monkeypatch.setattr(serving.subprocess, "Popen", lambda command, **more: started.update(command=command, **more))
    monkeypatch.setenv("EVALKIT_ADMIN_PASSWORD", "hunter2")
    plan = Plan("postgresql://u:hunter3@db/x", "/srv", "0.0.0.0", 5000, login=True, worker=True)
    serving._start("web", serving._web_environment(plan), 0)
    assert "hunter" not in " ".join(started["command"])
    assert started["env"]["_EVALKIT_SERVER_STORE"] == plan.store
    serving._start("worker", serving._worker_environment(plan, "the-token"), 0)
    assert "hunter2" not in str(started["env"])
    assert started["env"]["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert started["env"]["MLFLOW_TRACKING_TOKEN"] == "the-token"
    assert started["env"]["MLFLOW_REGISTRY_URI"] == "evalkit+postgresql://u:hunter3@db/x"


def test_the_worker_binds_where_the_server_does(project: Path, monkeypatch: pytest.MonkeyPatch):
    from evalkit.config import load_settings

    environment = serving._worker_environment(planned(), "unused")
    assert "MLFLOW_TRACKING_TOKEN" not in environment
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "EVALKIT_DATABASE_URL"):
        monkeypatch.setenv(name, environment[name])
    assert not load_settings().advisory


def test_names_that_browsers_use(project: Path):
    plan = Plan("sqlite:///x", "/srv", "0.0.0.0", 5000, login=True, worker=True, allowed_hosts=("evalkit.test",))
    assert serving._web_environment(plan)["MLFLOW_SERVER_ALLOWED_HOSTS"] == "evalkit.test,127.0.0.1:5000,localhost:5000"
    assert Plan("sqlite:///x", "/srv", "::", 5000, login=True, worker=True).url == "http://[::1]:5000"
