"""The child process that runs a generator: ``python -m evalkit.generators.worker PARENT_PID``.

It reads JSON lines from stdin and answers on stdout. What the model prints goes to stderr, and the model's own
reads of stdin find nothing, so neither can disturb the conversation. It ends when its parent does.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serve one parent until it closes the pipe."""
    replies = _take_streams()
    _die_with_parent(int(sys.argv[1]))
    messages = _read_in_background(replies[0])
    out = replies[1]

    from evalkit.generators.redaction import Redactor

    opening = messages.get()
    redact = Redactor(os.environ.get(name, "") for name in opening["secrets"])
    worker = _Worker(redact)
    _reply(out, worker.answer(lambda: worker.load(opening), "could not be loaded"))
    while True:
        message = messages.get()
        _reply(out, worker.answer(lambda message=message: worker.shard(message), "failed"))


class _Worker:
    def __init__(self, redact: Any) -> None:
        self._redact = redact
        self._generator: Any = None

    def load(self, opening: Mapping[str, Any]) -> dict[str, Any]:
        from evalkit.generators.catalogue import create
        from evalkit.generators.shards import can_score_likelihood, hardware_class

        self._generator = create(opening["description"], trust_pickle=bool(opening["trust_pickle"]))
        return {
            "modality": self._generator.modality,
            "can_score_likelihood": can_score_likelihood(self._generator),
            "name": str(getattr(self._generator, "name", opening["description"]["adapter"])),
            "hardware": hardware_class(self._generator),
        }

    def shard(self, message: Mapping[str, Any]) -> dict[str, Any]:
        from evalkit.generators.shards import make_shard
        from evalkit.generators.wire import request_from_wire

        requests = [request_from_wire(data) for data in message["requests"]]
        path = Path(message["path"])
        info = make_shard(
            self._generator, requests, message["settings"], path, task=message["task"], redact=self._redact
        )
        return asdict(info)

    def answer(self, work: Any, verb: str) -> dict[str, Any]:
        from evalkit.generators.base import GenerationFailed
        from evalkit.generators.redaction import one_line
        from evalkit.generators.wire import error_to_wire
        from metrics.errors import InputError

        try:
            return {"ok": work()}
        except InputError as error:
            return error_to_wire(self._redact(str(error)), failed=isinstance(error, GenerationFailed))
        except Exception as error:  # the model's code may raise anything: the parent gets one line, the log the rest
            traceback.print_exc()
            return error_to_wire(self._redact(f"the generator {verb}: {one_line(error)}"), failed=True)


def _take_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the pipe for the protocol and give the model an empty stdin and stderr as its stdout."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return os.fdopen(source, "rb"), os.fdopen(sink, "wb")


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above took hold
        os._exit(1)


def _read_in_background(source: IO[bytes]) -> queue.SimpleQueue[dict[str, Any]]:
    """Read messages in a thread that notices the end of the pipe even while the model is busy."""
    from evalkit.generators.wire import decode

    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in source:
            messages.put(decode(line))
        os.killpg(0, signal.SIGKILL)  # with whatever the model has started

    threading.Thread(target=read, daemon=True, name="evalkit-wire").start()
    return messages


def _reply(out: IO[bytes], reply: Mapping[str, Any]) -> None:
    from evalkit.generators.wire import encode

    out.write(encode(reply))
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
