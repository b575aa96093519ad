"""Evaluations of new versions, each in a process of its own that can be stopped, starved and thrown away."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from evalkit.config import Settings
from evalkit.worker.isolation import LOGIN, Limits, command, environment
from evalkit.worker.loop import Say
from evalkit.worker.reaction import Allowances
from registry.leases import LeaseLostError
from registry.outbox import CREATED, FAILED, Item, Outbox

SCHEDULE = (30.0, 120.0, 600.0)
"""Seconds until the next attempt; there is one attempt more than these."""
_BUSY = 15.0
_HEARTBEAT = 20.0
_SAYING = 120.0
_ANSWER = 64 * 1024


@dataclass(slots=True)
class _Running:
    item: Item
    process: subprocess.Popen[bytes]
    scratch: Path
    deadline: float
    renewed: float
    closing: str | None = None


class Evaluations:
    """Runs what the outbox says about new versions.

    Args:
        engine: the database of our tables.
        settings: the project; its home holds the outputs that later attempts continue from.
        slots: how many run at a time.
        limits: what each may use.
        may: what they may ask and see.
        schedule: seconds until the next attempt, as `SCHEDULE`.
        say: tells people.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        slots: int = 1,
        limits: Limits | None = None,
        may: Allowances | None = None,
        schedule: tuple[float, ...] = SCHEDULE,
        say: Say,
    ) -> None:
        self._outbox, self._settings = Outbox(engine), settings
        self._slots, self._schedule, self._say = slots, schedule, say
        self._limits, self._may = limits or Limits(), may or Allowances()
        self._running: list[_Running] = []

    def start(self) -> bool:
        """Begin the oldest one that is due."""
        if len(self._running) >= self._slots:
            return False
        item = self._outbox.claim(CREATED)
        if item is None:
            return False
        if item.attempts > len(self._schedule) + 1:
            # Its worker died every time, before it could say how
            self._give_up(item, "the worker ended during every attempt")
        else:
            self._begin(item, None)
        return True

    def tend(self) -> None:
        """Close what has ended, stop what is over its time, and keep the rest."""
        for running in list(self._running):
            if running.process.poll() is not None:
                self._close(running)
                self._forget(running)
            elif time.monotonic() > running.deadline:
                _end(running.process)
                self._over_time(running)
                self._forget(running)
            elif time.monotonic() > running.renewed + _HEARTBEAT:
                self._renew(running)

    def busy(self) -> int:
        """How many are under way."""
        return len(self._running)

    def abandon(self) -> None:
        """End what is under way, and give it back; what it has stored stays and is continued from."""
        self.tend()
        for running in list(self._running):
            _end(running.process)
            with contextlib.suppress(LeaseLostError):
                if running.closing is None:
                    self._outbox.give_back(running.item)
                else:
                    self._outbox.finish(running.item, FAILED, running.closing)
            self._say(f"{_name(running.item)}: given back")
            self._forget(running)

    def _begin(self, item: Item, failed: str | None) -> None:
        """Start a process: to react, or only to say on the version's page what failed."""
        scratch = Path(tempfile.mkdtemp(prefix="evalkit-worker-"))
        with (scratch / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=scratch,
                env=environment(scratch),
                start_new_session=True,
            )
        now = time.monotonic()
        limit = self._limits.seconds if failed is None else _SAYING
        self._running.append(_Running(item, process, scratch, now + limit, now, failed))
        with contextlib.suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.write(json.dumps(self._job(item, failed)).encode() + b"\n")
            process.stdin.flush()
        if failed is None:
            self._say(f"{_name(item)}: attempt {item.attempts}")

    def _job(self, item: Item, failed: str | None) -> Mapping[str, Any]:
        return {
            "item": asdict(item),
            "settings": asdict(self._settings) | {"home": str(self._settings.home)},
            "limits": asdict(self._limits if failed is None else Limits()),  # to say so must not fail for the same
            "login": {name: os.environ[name] for name in LOGIN if name in os.environ},
            "endpoints": list(self._may.endpoints),
            "judging": dict(self._may.judging),
            "failed": failed,
        }

    def _close(self, running: _Running) -> None:
        item, answer = running.item, _answer(running)
        try:
            if running.closing is not None:
                self._outbox.finish(item, FAILED, running.closing)
            elif answer is None:
                self._again(item, f"its process {_how(running.process.returncode)}{_last_line(running.scratch)}")
            elif answer["state"] == "done":
                self._outbox.finish(item, answer["outcome"], answer["detail"])
                self._say(f"{_name(item)}: {answer['outcome']}: {answer['detail']}")
            elif answer["state"] == "busy":
                self._outbox.retry_later(item, _BUSY, answer["detail"], counts=False)
            elif answer["state"] == "error":
                self._again(item, answer["detail"])
        except LeaseLostError as error:
            self._say(str(error))

    def _over_time(self, running: _Running) -> None:
        with contextlib.suppress(LeaseLostError):
            if running.closing is not None:
                self._outbox.finish(running.item, FAILED, running.closing)
            else:
                self._again(running.item, f"it took longer than {self._limits.seconds:g} s and was stopped")

    def _again(self, item: Item, why: str) -> None:
        """Give an item back for later, or say for good that it failed."""
        if item.attempts > len(self._schedule):
            self._give_up(item, why)
            return
        seconds = self._schedule[item.attempts - 1]
        self._outbox.retry_later(item, seconds, why)
        self._say(f"{_name(item)}: {why}; again in {seconds:g} s")

    def _give_up(self, item: Item, why: str) -> None:
        self._say(f"{_name(item)}: failed for good: {why}")
        self._begin(item, why)

    def _renew(self, running: _Running) -> None:
        try:
            self._outbox.renew(running.item)
            running.renewed = time.monotonic()
        except LeaseLostError as error:
            self._say(str(error))
            _end(running.process)
            self._forget(running)

    def _forget(self, running: _Running) -> None:
        for stream in (running.process.stdin, running.process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self._running.remove(running)
        shutil.rmtree(running.scratch, ignore_errors=True)


def _answer(running: _Running) -> Mapping[str, str] | None:
    """What the process said at its end; None where it said nothing that can be read."""
    assert running.process.stdout is not None
    try:
        answer = json.loads(running.process.stdout.read(_ANSWER))
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and "state" in answer else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    return f"was killed by {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")


def _last_line(scratch: Path) -> str:
    with contextlib.suppress(OSError):
        with (scratch / "log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
            lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return f"; its last line was: {lines[-1][:200]}" if lines else ""
    return ""


def _name(item: Item) -> str:
    return f"models:/{item.body.get('name')}/{item.body.get('version')}"
