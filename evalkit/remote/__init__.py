"""Work against a server: with ``EVALKIT_SERVER=http://…`` set, the commands do there what they do here without it."""

from __future__ import annotations

import os
from types import ModuleType

from metrics.errors import InputError

SERVER = "EVALKIT_SERVER"
TOKEN = "EVALKIT_TOKEN"  # noqa: S105 - the name of a variable


def server_url() -> str | None:
    """The server's address from the environment; None where work is local."""
    return os.environ.get(SERVER, "").strip().rstrip("/") or None


def only_here(why: str) -> None:
    """Refuse what works on this machine's own store where a server is named: it would not be the one that is meant."""
    if server_url() is not None:
        raise InputError(f"{why}; unset {SERVER}")


def chosen() -> ModuleType:
    """What the commands call: `evalkit.api`, or `evalkit.remote.work` where a server is named.

    Both have the functions ``register``, ``scorecard``, ``gate``, ``check``, ``compare``, ``find``, ``promote``,
    ``approve``, ``demote``, ``show`` and ``list_versions`` in the same shape, and ``store`` for where things are kept.
    """
    if server_url() is None:
        from evalkit import api

        return api
    from evalkit.remote import work

    return work


def chosen_monitors() -> ModuleType:
    """What the commands on monitors call: `evalkit.monitoring.api`, or its like for the server that is named."""
    if server_url() is None:
        from evalkit.monitoring import api

        return api
    from evalkit.remote import monitors

    return monitors
