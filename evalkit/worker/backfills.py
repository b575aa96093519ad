"""Windows of a range that somebody asked a server for, computed by a worker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Engine

from evalkit.worker.deliveries import Resumable
from evalkit.worker.loop import Say
from evalkit.worker.sending import Answer
from metrics.errors import InputError
from registry.outbox import BACKFILL, Item

if TYPE_CHECKING:
    from evalkit.config import Settings

_DONE = 200
_SCHEDULE = (10.0, 60.0, 600.0)

_log = logging.getLogger("evalkit.monitoring")


class Backfills(Resumable):
    """Computes ranges of windows, one at a time.

    A range that was begun twice doubles nothing: windows are stored under the monitor's lease, and those that are there
    already are not due.

    Args:
        settings: of the project whose monitors they are.
    """

    kind: ClassVar[str] = BACKFILL
    gone: ClassVar[str] = "the monitor was removed"

    def __init__(
        self, engine: Engine, settings: Settings, *, schedule: tuple[float, ...] = _SCHEDULE, say: Say, **how: Any
    ) -> None:
        super().__init__(engine, schedule=schedule, say=say, **how)
        self._settings = settings

    def _send(self, item: Item) -> Answer | None:
        from evalkit.monitoring.running import run_and_record
        from evalkit.monitoring.scheduling import failure
        from evalkit.monitoring.store import MonitorStore

        store, body = MonitorStore(self._engine, self._settings.home), item.body
        if all(one.id != body["monitor_id"] for one in store.monitors()):
            return None
        first, last, again = int(body["start"]), int(body["end"]), bool(body["again"])
        try:
            report = run_and_record(
                self._settings, store, str(body["monitor"]), lambda one: one.within(first, last, again=again)
            )
        except Exception as error:  # told, and tried again; other work of this worker is not to blame
            if isinstance(error, InputError):
                return Answer(None, str(error))
            _log.exception("the backfill of '%s' failed", body["monitor"])
            return Answer(None, f"{type(error).__name__}: {str(error)[:300]}")
        problem = failure(report)
        return Answer(_DONE, f"{len(report.windows)} windows") if problem is None else Answer(None, problem)

    def _named(self, item: Item) -> str:
        return f"monitor {item.body['monitor']}: backfill"
