"""Deliveries of events to webhooks: signed, tried again for eleven hours, and written down."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from evalkit.worker.loop import Say
from evalkit.worker.sending import Answer, send
from metrics.errors import InputError
from registry.leases import LeaseLostError
from registry.outbox import DELIVERY, DONE, DROPPED, FAILED, Item, Outbox
from registry.webhooks import get_webhook

SCHEDULE = (5.0, 60.0, 300.0, 1800.0, 7200.0, 10800.0, 18000.0)
"""Seconds until the next attempt, after the first, the second, and so on; there is one attempt more than these."""
_GONE = 410
_HEARTBEAT = 4.0


class Deliveries:
    """Sends what webhooks shall be told, several at a time; subclasses do other things that are tried again.

    Args:
        engine: the database of our tables.
        environment: where secrets are looked up; by default this process's.
        slots: how many are sent at a time.
        schedule: seconds until the next attempt, as `SCHEDULE`.
        say: tells people.
    """

    kind: ClassVar[str] = DELIVERY
    """Of the items that it does."""
    gone: ClassVar[str] = "the webhook was removed"
    """Why an item is dropped for which `_send` gives None."""

    def __init__(
        self,
        engine: Engine,
        *,
        environment: Mapping[str, str] | None = None,
        slots: int = 4,
        schedule: tuple[float, ...] = SCHEDULE,
        say: Say,
    ) -> None:
        self._engine, self._outbox = engine, Outbox(engine)
        self._environment = os.environ if environment is None else environment
        self._slots, self._schedule, self._say = slots, schedule, say
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="evalkit-webhook")
        self._sent: list[tuple[Item, Future[Answer | None]]] = []

    def start(self) -> bool:
        """Begin one delivery that is due."""
        if len(self._sent) >= self._slots:
            return False
        item = self._outbox.claim(self.kind)
        if item is not None:
            self._sent.append((item, self._pool.submit(self._send, item)))
        return item is not None

    def tend(self) -> None:
        """Write down what has come of deliveries."""
        for pair in list(self._sent):
            if pair[1].done():
                self._close(*pair)
                self._sent.remove(pair)

    def busy(self) -> int:
        """How many are under way."""
        return len(self._sent)

    def abandon(self) -> None:
        """Wait for what is under way, which has a deadline of its own, and end."""
        self._pool.shutdown(wait=True)
        self.tend()

    def _send(self, item: Item) -> Answer | None:
        try:
            webhook = get_webhook(self._engine, str(item.body["webhook"]), item.workspace)
        except InputError:
            return None  # removed since
        except DBAPIError as error:
            return Answer(None, f"the database could not be read: {str(error.orig)[:200]}")
        return send(webhook, item.id, item.body["message"], self._environment)

    def _named(self, item: Item) -> str:
        """What an item is, for people."""
        return f"webhook {item.body['webhook']}: delivery"

    def _close(self, item: Item, sent: Future[Answer | None]) -> None:
        try:
            answer = sent.result()
            if answer is None:
                self._outbox.finish(item, DROPPED, self.gone)
            elif answer.accepted:
                self._outbox.finish(item, DONE, answer.detail)
            elif answer.status == _GONE or item.attempts > len(self._schedule):
                self._outbox.finish(item, FAILED, answer.detail)
                self._say(f"{self._named(item)} {item.id} failed for good: {answer.detail}")
            else:
                self._outbox.retry_later(item, self._schedule[item.attempts - 1], answer.detail)
        except LeaseLostError as error:
            self._say(str(error))


class Resumable(Deliveries):
    """Work that may take long, and that may be begun again from any point; one at a time."""

    def __init__(self, engine: Engine, *, schedule: tuple[float, ...] = SCHEDULE, say: Say, **how: Any) -> None:
        super().__init__(engine, slots=1, schedule=schedule, say=say, **how)
        self._told = time.monotonic()

    def tend(self) -> None:
        """Write down what has come of it, and say that this worker is alive while something is under way."""
        super().tend()
        if time.monotonic() - self._told < _HEARTBEAT:
            return
        self._told = time.monotonic()
        for item, _ in self._sent:
            with suppress(LeaseLostError):  # found out when it is closed
                self._outbox.renew(item)

    def abandon(self) -> None:
        """Give back what is under way; its thread ends with the process, or by itself, and may then close nothing."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        super().tend()
        for item, _ in self._sent:
            with suppress(LeaseLostError):
                self._outbox.give_back(item)
