"""Who acts, with what intent: set by the command line, by a server after login, or by a job, read by the gate."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

VIEWER = "viewer"
LABELER = "labeler"
EVALUATOR = "evaluator"
APPROVER = "approver"
ADMIN = "admin"
ROLES = frozenset({VIEWER, LABELER, EVALUATOR, APPROVER, ADMIN})

_SERVES = "_MLFLOW_SERVER_FILE_STORE"
"""Set by ``mlflow server`` for its workers: the backend store's address."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a job, and the roles it acts in."""

    name: str
    roles: frozenset[str] = field(default_factory=frozenset)

    def may(self, role: str) -> bool:
        """Whether the actor acts in a role; an admin acts in every one."""
        return role in self.roles or ADMIN in self.roles


@dataclass(frozen=True, slots=True)
class Intent:
    """What an actor wants from the gate beyond the bare call.

    Attributes:
        actor: who acts.
        override: a reason to move an alias without a passing decision; needs an approver.
        restore: bring a former holder back on its original decision, even an expired one; needs an approver.
        record: whether a move is recorded even where no policy asks for it.
    """

    actor: Actor
    override: str | None = None
    restore: bool = False
    record: bool = False


_intent: ContextVar[Intent | None] = ContextVar("evalkit_intent", default=None)


@contextmanager
def acting(
    actor: Actor, *, override: str | None = None, restore: bool = False, record: bool = False
) -> Iterator[Intent]:
    """Act as `actor` within the context, in this thread or task."""
    token = _intent.set(Intent(actor, override, restore, record))
    try:
        yield _intent.get() or Intent(actor)
    finally:
        _intent.reset(token)


def intent() -> Intent:
    """The present intent: what `acting` says; else a nameless client on a server, and its user on one machine."""
    return _intent.get() or Intent(Actor("anonymous client") if serving() else local_actor())


def local_actor(name: str | None = None) -> Actor:
    """Whoever runs this process: on one machine the owner of the files is trusted with every role."""
    return Actor(name or _user(), ROLES)


def with_actor(name: str | None) -> Actor:
    """The present actor, under another name where one is given."""
    present = intent().actor
    return replace(present, name=name) if name else present


def serving() -> bool:
    """Whether this process is an MLflow server, which acts for clients."""
    return _SERVES in os.environ


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
