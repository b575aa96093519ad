"""What users do, all at once and without end: generations are told, aliases moved, monitors run, versions evaluated."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from benchmarks.faults.processes import Member, end_with_us
from benchmarks.faults.project import STREAM

MINUTE = 60_000
_WINDOWS = 60
_BATCH = 20
_TIMEOUT = 4.0
FLOWS = ("ingest", "promotion", "monitor", "evaluation")


@dataclass
class Told:
    """What the world was told, and what it answered; written by the drivers, read by the checks.

    Attributes:
        acknowledged: rows that the ingest endpoint said it has, by id.
        sent: rows that it was sent, acknowledged or not.
        moves: requests to move an alias, by (version, ``acknowledged`` or ``unknown``).
        firings: keys of runs of the monitor that were queued.
        versions: numbers of the versions of the model ``auto`` that were acknowledged.
        commands: what the command line said: exit status, standard output and error, and whether we killed it.
        wrong: what should never have been answered.
        last: when each flow last got on, by `time.monotonic`.
    """

    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    moves: Counter[tuple[int, str]] = field(default_factory=Counter)
    firings: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    commands: list[tuple[int, str, str, bool]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)


class Drivers:
    """Threads that work as users do until they are stopped.

    Args:
        url: of the server.
        told: where they write down what came of it.
        seed: of what they choose.
        start: when the first generation was made, UTC milliseconds: so long ago that all windows are over.
        finished: keys of firings of the monitor that are finished.
    """

    def __init__(self, url: str, told: Told, seed: int, start: int, finished: Callable[[], set[str]]) -> None:
        self._begin = start
        self._url, self.told, self._finished = url, told, finished
        self._seed = seed
        self._stop = threading.Event()
        self._seen: set[str] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin."""
        for number, work in enumerate((self._ingest, self._promote, self._monitor, self._watch_firings)):
            chance = random.Random(self._seed * 10 + number)
            thread = threading.Thread(target=self._loop, args=(work, chance), name=work.__name__, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End; requests that are under way are waited for."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _loop(self, work: Callable[[random.Random, int], float], chance: random.Random) -> None:
        turn = 0
        while not self._stop.is_set():
            try:
                pause = work(chance, turn)
            except Exception as error:
                self.told.wrong.append(f"{work.__name__}: {type(error).__name__}: {error}")
                pause = 1.0
            turn += 1
            self._stop.wait(pause)

    def _ingest(self, chance: random.Random, turn: int) -> float:
        rows = [_row(chance, self._begin, turn, place) for place in range(_BATCH)]
        self.told.sent |= {row["id"]: row for row in rows}
        while not self._stop.is_set():
            with contextlib.suppress(requests.RequestException, ValueError):
                answer = requests.post(
                    f"{self._url}/evalkit/api/v1/streams/{STREAM}/records", json=rows, timeout=_TIMEOUT
                )
                if answer.status_code == 201:
                    body = answer.json()
                    if body["accepted"] + body["duplicates"] != len(rows):
                        self.told.wrong.append(f"ingest: {body} for {len(rows)} rows")
                    self.told.acknowledged |= {row["id"]: row for row in rows}
                    self.told.last["ingest"] = time.monotonic()
                    return 0.2
                if answer.status_code < 500:
                    self.told.wrong.append(f"ingest: {answer.status_code} {answer.text[:200]}")
            if chance.random() < 0.2:
                break  # an application that gives up
            self._stop.wait(0.2)
        return 0.2

    def _promote(self, chance: random.Random, _turn: int) -> float:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException, RestException

        version = 3 if chance.random() < 0.2 else chance.choice((1, 2))
        try:
            MlflowClient(self._url, self._url).set_registered_model_alias("stable", "champion", str(version))
        except RestException as error:
            refused = error.get_http_status_code() == 403
            if refused and version != 3:
                self.told.wrong.append(f"promotion: a version that passed was refused: {error.message[:200]}")
            if refused:
                self.told.last["promotion"] = time.monotonic()
            else:
                self.told.moves[version, "unknown"] += 1
            return 0.4
        except MlflowException:
            self.told.moves[version, "unknown"] += 1
            return 0.4
        self.told.moves[version, "acknowledged"] += 1
        if version == 3:
            self.told.wrong.append("promotion: a version that failed was promoted")
        self.told.last["promotion"] = time.monotonic()
        return 0.4

    def _monitor(self, _chance: random.Random, _turn: int) -> float:
        with contextlib.suppress(requests.RequestException, ValueError):
            answer = requests.post(f"{self._url}/evalkit/api/v1/monitors/prod/run", timeout=_TIMEOUT)
            if answer.status_code == 202:
                self.told.firings.append(answer.json()["key"])
        return 8.0

    def _watch_firings(self, _chance: random.Random, _turn: int) -> float:
        with contextlib.suppress(Exception):
            found = self._finished()
            if found - self._seen:
                self.told.last["monitor"] = time.monotonic()
            self._seen |= found
        return 0.5


class Evaluations:
    """One user's command line: each version is checked until the command ends with a verdict.

    Args:
        references: of the versions, in order.
        folder, environment: where the command runs.
        told: where its words are kept.
    """

    def __init__(self, references: list[str], folder: Path, environment: dict[str, str], told: Told) -> None:
        self._references, self._folder, self._environment, self.told = references, folder, environment, told
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="evaluations", daemon=True)
        self._struck = False
        self._enough = threading.Event()
        self._shards = 0
        self.member: Member | None = None
        self.done: dict[str, int] = {}

    def start(self) -> None:
        """Begin with the first version."""
        self._thread.start()

    def enough(self) -> None:
        """Begin with no further version."""
        self._enough.set()

    def finished(self) -> bool:
        """Whether everything that was begun has its verdict, and no more is to come."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End, also what is under way."""
        self._stop.set()
        if self.member is not None:
            self.member.kill()
        self._thread.join(30)

    def kill(self) -> None:
        """SIGKILL the command that runs."""
        self._struck = True
        if self.member is not None:
            self.member.kill()

    def _run(self) -> None:
        for number, reference in enumerate(self._references):
            attempt = 0
            if self._enough.is_set():
                return
            while not self._stop.is_set() and reference not in self.done:
                attempt += 1
                self._attempt(reference, self._folder.parent / f"check-{number}-{attempt}")

    def _attempt(self, reference: str, place: Path) -> None:
        self._struck = False
        command = [sys.executable, "-m", "evalkit.cli", "check", reference, "--json"]
        output, error = place.with_suffix(".out"), place.with_suffix(".err")
        with output.open("wb") as out, error.open("wb") as err:
            process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True, preexec_fn=end_with_us,  # noqa: PLW1509 - it calls one function of the C library
            )  # fmt: skip
        self.member = Member("evaluation", command, self._folder, {}, error)
        self.member.process = process
        while process.poll() is None:
            time.sleep(0.05)
            self._watch()
        status = process.returncode
        words = output.read_text(errors="replace"), error.read_text(errors="replace")
        self.told.commands.append((status, *words, self._struck))
        if status in {0, 1, 3}:
            self.done[reference] = status
            self.told.last["evaluation"] = time.monotonic()
        elif not self._stop.is_set():
            time.sleep(0.5)

    def _watch(self) -> None:
        shards = 0
        for name in ("outputs", "verdicts", "scores", "features"):
            with contextlib.suppress(OSError):
                shards += sum(len(files) for _, _, files in os.walk(self._folder / ".evalkit" / name))
        if shards > self._shards:
            self.told.last["evaluation"] = time.monotonic()
        self._shards = shards


class Releases:
    """A training job that only knows MLflow: it registers versions, which the workers then evaluate and promote."""

    def __init__(self, url: str, told: Told, outputs: Callable[[str, int], Path], count: int, every: float) -> None:
        self._url, self._told, self._outputs, self._count, self._every = url, told, outputs, count, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="releases", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        from mlflow import MlflowClient

        client = MlflowClient(self._url, self._url)
        for number in range(1, self._count + 1):
            path = self._outputs(f"auto-{number}", 60 - number)
            experiment = self._insist(lambda: _experiment(client))
            run = self._insist(lambda experiment=experiment: client.create_run(experiment).info)
            self._insist(lambda run=run, path=path: client.log_artifact(run.run_id, str(path), "model"))
            made = self._insist(
                lambda run=run: client.create_model_version("auto", f"{run.artifact_uri}/model", run.run_id)
            )
            self._insist(lambda run=run: client.set_terminated(run.run_id))
            if made is not None:
                self._told.versions.append(int(made.version))
            if self._stop.wait(self._every):
                return

    def _insist(self, work: Callable[[], Any]) -> Any:
        while not self._stop.is_set():
            with contextlib.suppress(Exception):
                return work()
            self._stop.wait(0.5)
        return None


def _experiment(client: Any) -> str:
    found = client.get_experiment_by_name("training")
    return found.experiment_id if found is not None else client.create_experiment("training")


def _row(chance: random.Random, start: int, turn: int, place: int) -> dict[str, Any]:
    minute = min(turn // 20, _WINDOWS)
    if chance.random() < 0.1:
        minute = chance.randrange(minute + 1)  # a late one
    return {
        "id": f"r{turn}-{place}",
        "time": start + minute * MINUTE + chance.randrange(MINUTE),
        "prompt": "How long is the warranty?",
        "output": "It is two years. " * chance.randrange(1, 5),
        "latency": round(chance.lognormvariate(0, 0.5), 3),
        "slices": {"language": chance.choice(("de", "en"))},
    }


def last_line(text: str) -> str:
    """The last line that is not empty."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def as_json(text: str) -> Any:
    """What a command printed as JSON; None where it is none."""
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return None
