"""One running site: disk, database, judge, server, workers, and whoever uses them."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import Engine

from benchmarks.faults.databases import Database, Disk, PostgreSQL, SQLite
from benchmarks.faults.processes import Crew, Member, free_port, wait_until
from benchmarks.faults.project import KEY, WEBHOOK_SECRET, Files, Size, evaluated
from benchmarks.faults.workload import Drivers, Evaluations, Releases, Told
from evalkit.config import Settings

ROOT = Path(__file__).parents[2]
EVERY = "*/8 * * * * *"
"""How often the monitor's schedule fires: more often than its file can say, since a series is short."""
_DISK_MEGABYTES = 400
_KEPT = ("PATH", "LANG", "HOME", "VIRTUAL_ENV", "TMPDIR")


@dataclass
class Site:
    """Everything that runs.

    Attributes:
        scratch: the folder of everything; logs lie in it, the project below it on a disk of its own.
        files: the project.
        database, disk: of the registry, or on SQLite of the project.
        crew: keeps `server`, `workers` and `judge` alive.
        skews: the clocks' files, by member.
    """

    scratch: Path
    files: Files
    database: Database
    disk: Disk
    url: str
    settings: Settings
    engine: Engine
    crew: Crew
    told: Told
    server: Member
    judge: Member
    workers: list[Member] = field(default_factory=list)
    skews: dict[str, Path] = field(default_factory=dict)
    evaluations: Evaluations | None = None
    drivers: Drivers | None = None
    releases: Releases | None = None

    def judge_mode(self, mode: str) -> None:
        """Tell the judge how to behave."""
        requests.put(f"http://127.0.0.1:{self.files.judge_port}/mode", data=mode, timeout=5)

    def skew(self, member: str, milliseconds: int) -> None:
        """Put a process's clock ahead, or back."""
        with self.skews[member].open("r+b") as file:
            file.write(struct.pack("q", milliseconds))

    def firings(self) -> dict[str, Any]:
        """What became of every firing of the monitor, by key."""
        from registry.firings import history

        return {record.key: record for record in history(self.engine, limit=100_000)}

    def finished(self) -> set[str]:
        """Keys of the firings that are finished and did not fail."""
        return {key for key, record in self.firings().items() if record.outcome == "done"}

    def logs(self) -> list[Path]:
        """Everything that a process has said."""
        return said(self.scratch)


def said(scratch: Path) -> list[Path]:
    """The files with what processes have said."""
    return [path for pattern in ("*.log", "*.out", "*.err") for path in scratch.glob(pattern)]


def _copy(scratch: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in said(scratch):
        shutil.copy(path, target)


def compile_clock(folder: Path) -> Path | None:
    """The library that skews clocks; None without a C compiler."""
    made = folder / "skew.so"
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(Path(__file__).with_name("skew.c")), "-ldl"]
    with contextlib.suppress(OSError):
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return made
    return None


@contextlib.contextmanager
def running(
    kind: str, *, seed: int, size: Size, workers: int, versions: int, releases: int, logs: Path | None = None
) -> Iterator[Site]:
    """A site at work.

    Args:
        kind: ``sqlite`` or ``postgresql``.
        seed: of what the drivers choose.
        size: of the evaluations.
        workers: how many.
        versions: how many are evaluated by the command line.
        releases: how many are registered by a client of MLflow's and evaluated by the workers.
        logs: a folder for a copy of what the processes said.
    """
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evalkit-faults-", dir="/tmp")))
        if os.geteuid() == 0:
            scratch.chmod(0o755)  # PostgreSQL runs as somebody else
        disk = Disk(scratch / ("project" if kind == "sqlite" else "postgres"), _DISK_MEGABYTES)
        stack.callback(disk.close)
        files = Files(scratch / "project", free_port(), size)
        files.write()
        home = files.root / ".evalkit"
        database: Database = SQLite(home, disk) if kind == "sqlite" else PostgreSQL(scratch, disk)
        stack.callback(database.close)
        if logs is not None:
            stack.callback(_copy, scratch, logs)
        site = _start(scratch, files, database, disk, stack)
        _prepare(site, versions)
        for number in range(workers):
            site.workers.append(_worker(site, number))
        site.drivers = Drivers(site.url, site.told, seed, files.begin, site.finished)
        references = [f"models:/{name}/{number}" for name, number in _numbered(versions)]
        site.evaluations = Evaluations(references, files.root, _environment(site, "evaluation"), site.told)
        site.releases = Releases(site.url, site.told, files.outputs, releases, every=8.0)
        stack.callback(site.releases.stop)
        stack.callback(site.evaluations.stop)
        stack.callback(site.drivers.stop)
        for part in (site.drivers, site.evaluations, site.releases):
            part.start()
        yield site


def _start(scratch: Path, files: Files, database: Database, disk: Disk, stack: contextlib.ExitStack) -> Site:
    from registry.database import connect, upgrade

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    home = files.root / ".evalkit"
    home.mkdir(exist_ok=True)
    crew = Crew()
    stack.callback(crew.dismiss)
    judge_command = [sys.executable, str(Path(__file__).with_name("judge_server.py")), str(files.judge_port), KEY]
    judge = Member("judge", judge_command, scratch, _base(), scratch / "judge.log")
    settings = Settings(home, url, database.url, database.url, advisory=False)
    engine = connect(database.url)
    stack.callback(engine.dispose)
    site = Site(scratch, files, database, disk, url, settings, engine, crew, Told(), judge, judge)
    clock = compile_clock(scratch)
    for name in ("server", "evaluation", "worker-0", "worker-1") if clock else ():
        site.skews[name] = scratch / f"{name}.skew"
        site.skews[name].write_bytes(struct.pack("q", 0))
    command = [sys.executable, "-m", "evalkit.cli", "server", "--port", str(port), "--no-jobs"]
    environment = _environment(site, "server") | {"MLFLOW_TRACKING_URI": database.url}
    site.server = Member("server", command, files.root, environment, scratch / "server.log")
    crew.add(judge)
    crew.add(site.server)
    if not wait_until(lambda: requests.get(f"{url}/readyz", timeout=2).status_code == 200, 90):
        raise RuntimeError(f"the server did not start: {site.server.log.read_text()[-2000:]}")
    upgrade(engine)
    return site


def _prepare(site: Site, versions: int) -> None:
    """Register and judge what is there before anything goes wrong."""
    from evalkit import api
    from evalkit.jobs.launching import shut_down
    from evalkit.jobs.schedules import Schedules
    from evalkit.monitoring import api as monitoring
    from evalkit.monitoring.scheduling import schedule_name
    from evalkit.own_database import own_url
    from registry.homes import remember_suite
    from registry.policy import Policy, set_policy
    from registry.store import Registry
    from registry.suite import Suite

    files, before = site.files, Path.cwd()
    os.chdir(files.root)
    registry = Registry(site.database.url, site.url, site.url)
    try:
        stored = Suite.load(files.root / "stored" / "suite.yaml")
        for number, right in ((1, 60), (2, 59), (3, 20)):
            version = registry.register("stable", model=str(files.outputs(f"stable-{number}", right)), suite=stored)
            api.check(version, settings=site.settings)
        for name, call, suite in evaluated(versions):
            registry.register(name, model=call, suite=Suite.load(files.root / suite))
        registry.mlflow.client.create_registered_model("auto")
        remember_suite(site.engine, stored)
        set_policy(site.engine, Policy("*"), actor="admin")
        set_policy(site.engine, Policy("auto", auto="evaluate+promote", suites=(stored.digest,)), actor="admin")
        monitoring.apply(files.root / "monitor.yaml", settings=site.settings)
        schedules = Schedules(own_url(site.settings, "jobs"))
        schedules.apply(schedule_name("prod"), EVERY, kind="monitor", target="prod")
    finally:
        shut_down()
        registry.close()
        os.chdir(before)


def _numbered(versions: int) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    found = []
    for name, _, _ in evaluated(versions):
        counts[name] = counts.get(name, 0) + 1
        found.append((name, counts[name]))
    return found


def _worker(site: Site, number: int) -> Member:
    name = f"worker-{number}"
    command = [sys.executable, "-m", "evalkit.cli", "worker", "--poll", "0.5 s", "--grace", "5 s"]
    return site.crew.add(Member(name, command, site.files.root, _environment(site, name), site.scratch / f"{name}.log"))


def _base() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "DO_NOT_TRACK": "1"}


def _environment(site: Site, name: str) -> Mapping[str, str]:
    made = _base() | {
        "MLFLOW_TRACKING_URI": site.url,
        "MLFLOW_REGISTRY_URI": site.database.url,
        "EVALKIT_JUDGE_API_KEY": KEY,
        "FAULTS_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    }
    if name == "server":
        made["MLFLOW_REGISTRY_URI"] = site.database.url
    if name in site.skews:
        made |= {"LD_PRELOAD": str(site.scratch / "skew.so"), "FAULTS_SKEW": str(site.skews[name])}
    return made


def undisturbed(versions: int, size: Size) -> dict[str, dict[str, Any]]:
    """The estimates of each version where nothing goes wrong, by reference, as JSON values."""
    from threadpoolctl import threadpool_limits

    from evalkit.jobs.launching import shut_down
    from evalkit.runner.engine import run
    from registry.store import Registry
    from registry.suite import Suite

    before = Path.cwd()
    found = {}
    with tempfile.TemporaryDirectory(prefix="evalkit-faults-", dir="/tmp") as place, contextlib.ExitStack() as stack:
        files = Files(Path(place) / "project", free_port(), size)
        files.write(pause=0.0)
        os.chdir(files.root)
        stack.callback(os.chdir, before)
        crew = Crew()
        stack.callback(crew.dismiss)
        command = [sys.executable, str(Path(__file__).with_name("judge_server.py")), str(files.judge_port), KEY]
        crew.add(Member("judge", command, files.root, _base(), Path(place) / "judge.log"))
        home = files.root / ".evalkit"
        home.mkdir()
        url = f"sqlite:///{home / 'mlflow.db'}"
        stack.enter_context(_variable("EVALKIT_JUDGE_API_KEY", KEY))
        stack.enter_context(threadpool_limits(1))  # as in the processes: sums are rounded by the number of threads
        registry = Registry(url, artifact_root=home / "artifacts")
        settings = Settings(home, url, url, url, advisory=False)
        time.sleep(0.5)
        for (name, call, suite), (_, number) in zip(evaluated(versions), _numbered(versions), strict=True):
            version = registry.register(name, model=call, suite=Suite.load(files.root / suite))
            found[f"models:/{name}/{number}"] = numbers(run(registry, settings, version))
        shut_down()
        registry.close()
    return found


def numbers(evaluation: Any) -> dict[str, Any]:
    """Everything but cost and speed, by address."""
    return {
        f"{e.task}/{e.metric}.{e.key} {e.slice}": e.estimate.to_json()
        for e in evaluation.estimates
        if e.metric not in {"latency", "throughput", "peak_memory"}
    }


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
