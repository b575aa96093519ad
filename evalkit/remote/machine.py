"""What an admin may know of a server's own machine: its databases and its installation."""

from __future__ import annotations

from typing import Any

from evalkit.diagnosis import Finding
from evalkit.remote.client import Client, made
from metrics.errors import InputError


def check_database(*, tables_only: bool) -> dict[str, Any]:
    """What `evalkit db check` tells there, as `evalkit.databases.checks.look` says it."""
    found = Client.from_environment().get("/database", tables_only=str(tables_only).lower())
    if not isinstance(found.get("good"), bool):
        raise InputError("the server's answer is no check of a database; is it older than this evalkit?")
    return {name: value for name, value in found.items() if value is not None}


def diagnose() -> list[Finding]:
    """What `evalkit doctor` tells there."""
    return [made(Finding, item) for item in Client.from_environment().items("/doctor")]
