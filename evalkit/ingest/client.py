"""`evalkit.log_generation`: tells what an application generated, and never blocks or breaks it.

Records wait in a queue of bounded length; a thread sends them in batches, to the server that ``EVALKIT_SERVER`` names
(with ``EVALKIT_TOKEN``), else to the buffer of the project of the working folder. What cannot be sent is tried again
for a while and then dropped, counted and told once in the log: an application is never made to wait for it.
"""

from __future__ import annotations

import atexit
import gzip
import json
import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from evalkit.ingest.records import Feedback, Generation, check_stream, make_record
from metrics.errors import InputError

_log = logging.getLogger("evalkit.ingest")

MOST_WAITING = 20_000
"""Records that wait at most; further ones are dropped."""
BATCH = 500
LINGER = 0.5
"""Seconds that the first record of a batch waits for company."""
PATIENCE = 120.0
"""Seconds for which a batch is tried again."""
_ANSWER = 10.0
_AT_EXIT = 5.0

Record = Generation | Feedback


class Sender(Protocol):
    """Takes a batch to where it is kept."""

    def send(self, stream: str, records: Sequence[Record]) -> None:
        """Keep a batch; raises `RefusedError` where trying again is no use, anything else where it may be."""
        ...


class RefusedError(Exception):
    """The batch will never be taken."""


class HttpSender:
    """Sends to an evalkit server.

    Args:
        url: the server's address.
        token: of a user who is a labeler or evaluator; None where the server asks for no login.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        import requests

        self._url, self._session = url.rstrip("/"), requests.Session()
        self._session.headers["Content-Encoding"] = "gzip"
        self._session.headers["Content-Type"] = "application/json"
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def send(self, stream: str, records: Sequence[Record]) -> None:
        """Send one request."""
        body = json.dumps([record.model_dump(exclude_none=True) for record in records]).encode()
        path = f"{self._url}/evalkit/api/v1/streams/{quote(stream, safe='')}/records"
        answer = self._session.post(path, data=gzip.compress(body, 1), timeout=_ANSWER, allow_redirects=False)
        if answer.status_code in {401, 403, 404, 405, 413, 415, 422}:
            raise RefusedError(f"{answer.status_code} {answer.text[:200]}")
        if answer.status_code != 201:
            raise OSError(f"the server answered {answer.status_code}")


class LocalSender:
    """Writes into the buffer of the project of the working folder."""

    def __init__(self) -> None:
        from evalkit.config import load_settings
        from evalkit.ingest.buffer import Buffer

        self._buffer = Buffer.of(load_settings())

    def send(self, stream: str, records: Sequence[Record]) -> None:
        """Append a batch."""
        self._buffer.append(stream, records)


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the records so far; the rest is waiting."""

    taken: int
    sent: int
    dropped: int
    reason: str | None


class IngestClient:
    """A queue and the thread that empties it.

    Args:
        sender: where batches go; by default as the environment says, opened by the thread.
        waiting: records that wait at most.
        linger: seconds that a record waits for company.
        patience: seconds for which a batch is tried again.
    """

    def __init__(
        self,
        sender: Sender | None = None,
        *,
        waiting: int = MOST_WAITING,
        linger: float = LINGER,
        patience: float = PATIENCE,
    ) -> None:
        self._given, self._linger, self._patience = sender, linger, patience
        self._sender = sender
        self._queue: queue.Queue[tuple[str, Record]] = queue.Queue(waiting)
        self._lock = threading.Lock()
        self._taken = self._sent = self._dropped = 0
        self._reason: str | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        _clients.add(self)

    def log(self, stream: str, values: Mapping[str, Any]) -> str | None:
        """Queue one record and return its id at once; None where it was dropped, which `counts` and the log tell."""
        try:
            check_stream(stream)
            record = make_record(values)
            self._queue.put_nowait((stream, record))
        except queue.Full:
            self._drop(1, f"more than {self._queue.maxsize} records wait to be sent")
            return None
        except InputError as error:
            self._drop(1, str(error))
            return None
        except Exception as error:  # whatever an application hands over, it must not fail for it
            self._drop(1, f"{type(error).__name__} in a record")
            return None
        with self._lock:
            self._taken += 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="evalkit-ingest", daemon=True)
                self._thread.start()
        return record.id

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything queued before was sent or dropped; whether that came in time."""
        end = time.monotonic() + timeout
        while self._queue.unfinished_tasks:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def close(self, timeout: float = _AT_EXIT) -> bool:
        """Send what waits, then end the thread; whether all was sent or dropped in time."""
        done = self.flush(timeout)
        self._stop.set()
        return done

    @property
    def counts(self) -> Counts:
        """What became of the records so far."""
        with self._lock:
            return Counts(self._taken, self._sent, self._dropped, self._reason)

    def _run(self) -> None:
        while not self._stop.is_set():
            batch = self._next_batch()
            by_stream: dict[str, list[Record]] = {}
            for stream, record in batch:
                by_stream.setdefault(stream, []).append(record)
            for stream, records in by_stream.items():
                self._deliver(stream, records)
            for _ in batch:
                self._queue.task_done()

    def _next_batch(self) -> list[tuple[str, Record]]:
        try:
            batch = [self._queue.get(timeout=1.0)]
        except queue.Empty:
            return []
        end = time.monotonic() + self._linger
        while len(batch) < BATCH:
            try:
                batch.append(self._queue.get(timeout=max(0.0, end - time.monotonic())))
            except queue.Empty:
                break
        return batch

    def _deliver(self, stream: str, records: list[Record]) -> None:
        end, wait = time.monotonic() + self._patience, 0.2
        while True:
            try:
                self._sender = self._sender or _default_sender()
                self._sender.send(stream, records)
            except (RefusedError, InputError) as error:
                return self._drop(len(records), str(error))
            except Exception as error:  # a server or a disk that is gone for now
                if time.monotonic() + wait > end or self._stop.is_set():
                    return self._drop(len(records), f"{type(error).__name__}: not kept within {self._patience:g} s")
                self._stop.wait(wait)
                wait = min(wait * 2, 10.0)
            else:
                with self._lock:
                    self._sent += len(records)
                return None

    def _drop(self, count: int, reason: str) -> None:
        with self._lock:
            self._dropped += count
            told, self._reason = self._reason, reason
        if told is None:
            _log.warning("generations are not kept: %s (told once; `evalkit.ingest.client` counts them)", reason)

    def _after_fork(self) -> None:
        # The parent's thread sends what waited there; its locks may have been held at that moment
        self._queue = queue.Queue(self._queue.maxsize)
        self._lock, self._thread, self._sender = threading.Lock(), None, self._given


_clients: weakref.WeakSet[IngestClient] = weakref.WeakSet()
_default: IngestClient | None = None
_default_lock = threading.Lock()


def default_client() -> IngestClient:
    """The client behind `log_generation` and `log_feedback`."""
    global _default  # noqa: PLW0603 - one per process
    with _default_lock:
        if _default is None:
            _default = IngestClient()
        return _default


def log_generation(stream: str, **values: Any) -> str | None:
    """Tell that something was generated; returns its id at once, None where it could not be taken.

    Args:
        stream: the application's name, which a monitor's ``source: {stream: …}`` reads.
        values: fields of `evalkit.ingest.records.Generation`: prompt, output, context, model, logprobs,
            latency (seconds), prompt_tokens, output_tokens, cost (USD), error, user, slices, image, label,
            time (UTC milliseconds), id.

    Never raises and never waits: what is wrong is dropped, counted and told once in the log ``evalkit.ingest``.
    """
    return default_client().log(stream, {**values, "kind": "generation"})


def log_feedback(stream: str, of: str, name: str, value: float, **more: Any) -> str | None:
    """Tell what someone said about a generation, by its id; never raises and never waits.

    Args:
        stream: where the generation was logged.
        of: its id.
        name: what was said, such as ``hallucinated`` or ``helpful``.
        value: a number; truth values are 0 and 1.
        more: ``probability`` with which it was drawn for labelling, ``comment``, ``user``, ``time``.
    """
    return default_client().log(stream, {**more, "kind": "feedback", "of": of, "name": name, "value": value})


def _default_sender() -> Sender:
    server = os.environ.get("EVALKIT_SERVER")
    return HttpSender(server, os.environ.get("EVALKIT_TOKEN")) if server else LocalSender()


def _at_exit() -> None:
    for client in list(_clients):
        if client.counts.taken:
            client.close()


def _in_child() -> None:
    global _default_lock  # noqa: PLW0603 - it may have been held when the process forked
    _default_lock = threading.Lock()
    for client in list(_clients):
        client._after_fork()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
