"""Processes that a crew keeps alive, as a service manager does, and that faults kill, pause and restart."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

_RESTART_AFTER = 0.5
_PR_SET_PDEATHSIG = 1


class Member:
    """One process with all that it starts.

    Args:
        name: of the process and its log.
        command, folder, environment: what is run, and where.
        log: where standard output and error go.
    """

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name, self.log = name, log
        self._command, self._folder, self._environment = list(command), folder, dict(environment)
        self.process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        self.ended_at = 0.0
        self.starts = 0

    def start(self) -> None:
        """Start it, and keep it running from now on."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=end_with_us,  # noqa: PLW1509 - it calls one function of the C library
            )  # fmt: skip
        self.wanted = True
        self.starts += 1

    def alive(self) -> bool:
        """Whether it runs, or is paused."""
        return self.process is not None and self.process.poll() is None

    def kill(self, *, alone: bool = False) -> None:
        """SIGKILL it; `alone`: not what it has started, which must end by itself."""
        self._signal(signal.SIGKILL, alone=alone)
        if self.process is not None:
            self.process.wait()

    def pause(self) -> None:
        """SIGSTOP it and what it has started."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def end(self, patience: float = 15.0) -> None:
        """SIGTERM it, as a service manager does: SIGKILL follows after `patience` seconds."""
        self._signal(signal.SIGCONT)
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def _signal(self, number: int, *, alone: bool = False) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if alone:
                os.kill(self.process.pid, number)
            else:
                os.killpg(self.process.pid, number)


class Crew:
    """Starts members again when they end, until they are no longer wanted."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="crew", daemon=True)

    def add(self, member: Member) -> Member:
        """Start a member and keep it alive."""
        member.start()
        self.members.append(member)
        if not self._thread.is_alive():
            self._thread.start()
        return member

    def dismiss(self) -> None:
        """End all members; what they leave behind is killed."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for member in self.members:
            member.wanted = False
        for member in self.members:
            member.end(5.0)
            member.kill()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            for member in self.members:
                if not member.wanted or member.alive():
                    member.ended_at = 0.0
                elif not member.ended_at:
                    member.ended_at = time.monotonic()
                elif time.monotonic() > member.ended_at + _RESTART_AFTER:
                    member.start()


def end_with_us() -> None:
    """In a new process: be killed when the one that runs the faults is, so that nothing is left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(found: Callable[[], object], seconds: float, every: float = 0.1) -> bool:
    """Whether something came true within some seconds; what it raises counts as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Exception):
            if found():
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(every)


def family(pid: int) -> list[psutil.Process]:
    """A process and everything below it; empty where it is gone."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
