"""`evalkit server`: the web process and the worker as one process group that starts, and ends, together."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from evalkit.config import load_settings, without_password
from evalkit.server.app import IDENTITY, WORKER_TOKEN
from evalkit.server.child import ADMIN_PASSWORD, ARTIFACTS, HOST, LIFELINE, PATIENCE, PORT, PROCESSES, STORE
from evalkit.server.database import server_database
from metrics.errors import InputError
from registry.mlflow_store import SCHEME

READY_SECONDS = 180.0
FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS = 1.0, 60.0, 300.0
"""A worker that died is started again after a pause that doubles, and begins anew once it held out."""

_POLL = 0.2
_SECRETS = (STORE, WORKER_TOKEN, ADMIN_PASSWORD)


class ServerDiedError(Exception):
    """The web process ended by itself; the sentence says how."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be served, and how.

    Attributes:
        store: database of MLflow and of our tables.
        artifacts: folder or address for artifacts.
        host, port: where to listen.
        login: whether users log in.
        worker: whether a worker runs beside it.
        processes: how many processes answer requests.
        allowed_hosts: names by which browsers may address the server; empty for this machine's and private ones.
    """

    store: str
    artifacts: str
    host: str
    port: int
    login: bool
    worker: bool
    processes: int = 1
    allowed_hosts: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Address for the machine itself."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - replaced, not bound to
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def make_plan(
    *,
    host: str,
    port: int,
    store: str | None,
    artifacts: str | None,
    auth: bool | None,
    worker: bool,
    processes: int = 1,
    allowed_hosts: tuple[str, ...] = (),
) -> Plan:
    """Settle what to serve; by default where the project's state is.

    Raises:
        InputError: an address that others reach without login, a store that is no database, or a taken port.
    """
    settings = load_settings()
    url = server_database(store)
    local = is_loopback(host)
    if auth is False and not local:
        raise InputError(f"'{host}' is reached from other machines: without login only 127.0.0.1 and ::1 may be bound")
    settings.home.mkdir(parents=True, exist_ok=True)
    place = artifacts or str(settings.artifacts)
    place = place if "://" in place else str(Path(place).resolve())
    login = not local if auth is None else auth
    if login:
        from evalkit.server.accounts import require_auth

        require_auth()
    return Plan(url, place, host, free_port(host, port), login, worker, processes, allowed_hosts)


def shown_store(plan: Plan) -> str:
    """The store's address without its password."""
    return without_password(plan.store)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run_server(plan: Plan, ready: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Serve until a signal comes.

    Args:
        plan: what to serve.
        ready: called with the address once requests are answered.
        say: called with a line about what went wrong and what follows.

    Raises:
        ServerDiedError: the web process ended, or never answered.
    """
    lifeline, held = os.pipe()
    token = secrets.token_urlsafe(32)
    ending: list[int] = []
    web = worker = None
    try:
        with _on_signals(ending):
            web = _start("web", {**_web_environment(plan), WORKER_TOKEN: token}, lifeline)
            if not _wait_until_ready(plan, web, ending):
                return
            ready(plan.url)
            if plan.worker:
                worker = _Worker(_worker_environment(plan, token), lifeline, say)
            while not ending:
                if web.poll() is not None:
                    raise ServerDiedError(f"the web process ended by itself ({_how(web)}); the server ends with it")
                if worker is not None:
                    worker.look_after()
                time.sleep(_POLL)
    finally:
        # The worker first: it may still have to tell the web process what it finished
        for process in ([worker.process] if worker is not None else []) + [web]:
            _end(process)
        os.close(held)
        os.close(lifeline)


class _Worker:
    """The worker's process, which is started again when it died."""

    def __init__(self, environment: dict[str, str], lifeline: int, say: Callable[[str], None]) -> None:
        self._environment, self._lifeline, self._say = environment, lifeline, say
        self._pause, self._again_at = FIRST_PAUSE, 0.0
        self._launch()

    def _launch(self) -> None:
        self.process = _start("worker", self._environment, self._lifeline)
        self._since = time.monotonic()
        self._down = False

    def look_after(self) -> None:
        now = time.monotonic()
        if not self._down and self.process.poll() is not None:
            if now - self._since > STEADY_SECONDS:
                self._pause = FIRST_PAUSE
            self._say(f"the worker ended by itself ({_how(self.process)}); again in {self._pause:g} s")
            self._down, self._again_at = True, now + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        elif self._down and now >= self._again_at:
            self._launch()


def _web_environment(plan: Plan) -> dict[str, str]:
    own = {
        IDENTITY: "login" if plan.login else "local",
        STORE: plan.store,
        ARTIFACTS: plan.artifacts,
        HOST: plan.host,
        PORT: str(plan.port),
        PROCESSES: str(plan.processes),
    }
    if plan.allowed_hosts:
        here = (plan.url.removeprefix("http://"), f"localhost:{plan.port}")
        own["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join((*plan.allowed_hosts, *here))
    # Signs MLflow's form for new users: as long as the server lives is long enough
    key = os.environ.get("MLFLOW_FLASK_SERVER_SECRET_KEY") or secrets.token_urlsafe(32)
    return {**os.environ, **own, "MLFLOW_FLASK_SERVER_SECRET_KEY": key}


def _worker_environment(plan: Plan, token: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    own = {
        "MLFLOW_TRACKING_URI": plan.url,
        "MLFLOW_REGISTRY_URI": SCHEME + plan.store,
        "EVALKIT_DATABASE_URL": plan.store,
    }
    return {**inherited, **own, **({"MLFLOW_TRACKING_TOKEN": token} if plan.login else {})}


def _start(what: str, environment: dict[str, str], lifeline: int) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])  # where evalkit is run without being installed
    paths = [root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "evalkit.server.child", what],
        env={**environment, LIFELINE: str(lifeline), "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
        pass_fds=[lifeline],
        stdin=subprocess.DEVNULL,
    )


def _wait_until_ready(plan: Plan, web: subprocess.Popen[bytes], ending: list[int]) -> bool:
    """Whether it is ready; False where a signal came first."""
    deadline = time.monotonic() + READY_SECONDS
    while not ending:
        if web.poll() is not None:
            raise ServerDiedError(f"the web process did not start ({_how(web)}); see above", web.returncode)
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{plan.url}/readyz", timeout=2) as answer:  # noqa: S310 - our own address
            if answer.status == 200:
                return True
        if time.monotonic() > deadline:
            raise ServerDiedError(f"the web process did not answer within {READY_SECONDS:g} s")
        time.sleep(_POLL)
    return False


@contextlib.contextmanager
def _on_signals(ending: list[int]) -> Iterator[None]:
    def note(number: int, _frame: FrameType | None) -> None:
        ending.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None or process.poll() is not None:
        return
    for _ in range(2):  # the first time asks to finish, the second to stop at once
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
            return
    process.kill()
    process.wait()


def _how(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def free_port(host: str, port: int) -> int:
    """The port, or a free one for 0; one that cannot be bound raises `InputError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"'{host}' port {port} cannot be bound ({error.strerror}); choose another with --host and --port"
            ) from None
        return int(probe.getsockname()[1])
