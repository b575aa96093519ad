"""Sessions of MLflow's store: one transaction around several of its methods, each of which would open its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from mlflow.store.db.utils import _get_managed_session_maker
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

_SETTINGS = ("foreign_keys = ON", "busy_timeout = 20000", "case_sensitive_like = true")
"""What MLflow tells SQLite at the start of each session."""


class OneTransaction:
    """Sessions of a store: `transaction` opens one, and what is called within it joins.

    Used as MLflow's ``ManagedSessionMaker``, whose shape `__call__` has.
    """

    def __init__(self, separate: Any) -> None:
        self._separate = separate
        self._open: ContextVar[Session | None] = ContextVar("evalkit_open_session", default=None)

    @contextmanager
    def __call__(self, read_only: bool = True) -> Iterator[Session]:
        """A session of its own, or the open transaction's."""
        joined = self._open.get()
        if joined is not None:
            yield joined
            joined.flush()
            return
        with self._separate(read_only=read_only) as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Commit everything that happens within, or nothing."""
        with self._separate(read_only=False) as session:
            token = self._open.set(session)
            try:
                yield session
            finally:
                self._open.reset(token)


def per_connection(engine: Engine) -> Any:
    """MLflow's session maker for SQLite, with its settings made once per connection.

    Made again in each session they take their time, and let SQLite forget every statement that it has prepared.
    """
    if not event.contains(engine, "connect", _configure):
        event.listen(engine, "connect", _configure)
        engine.dispose()  # connections from before
    return _get_managed_session_maker(sessionmaker(bind=engine), "configured")


def _configure(connection: Any, _record: object) -> None:
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
