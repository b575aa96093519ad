"""Alerts of a server, as `registry.alerts.Alerts` hands out those of a project."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from evalkit.remote.client import Client, NotThereError, made, quoted
from registry.alerts import Alert, Reading

_PAGE = 1000


class RemoteAlerts:
    """The alerts of the server that the environment names."""

    def __init__(self) -> None:
        self._client = Client.from_environment()

    def find(self, monitor: str | None = None, *, closed: bool = False, limit: int = 100, **which: Any) -> list[Alert]:
        """Alerts that last, newest first; with `closed` also those that ended."""
        query = {"monitor": monitor, "lasting": str(not closed).lower(), "limit": min(limit, _PAGE), **which}
        return [_alert(item) for item in islice(self._client.items("/alerts", **query), limit)]

    def get(self, alert_id: str) -> Alert:
        """One alert; an unknown one raises `InputError`."""
        return _alert(self._client.get(self._path(alert_id)))

    def readings(self, alert: Alert, *, limit: int = 90) -> list[Reading]:
        """What the alert's rule said, oldest first: the newest `limit` windows."""
        found = self._client.get(self._path(alert.id), windows=min(limit, _PAGE))
        return [made(Reading, item) for item in found.get("readings", ())]

    def samples(self, alert: Alert) -> tuple[list[dict[str, Any]], list[str]]:
        """The rows behind an alert, and ids of those that are no longer kept."""
        found = self._client.get(f"{self._path(alert.id)}/samples")
        return list(found["items"]), list(found["missing"])

    def acknowledge(self, alert_id: str, reason: str) -> Alert:
        """Say that somebody looks into it."""
        return self._send(alert_id, "acknowledge", {"reason": reason})

    def silence(self, alert_id: str, reason: str, until: int) -> Alert:
        """Tell nobody of the rule until a moment, UTC milliseconds."""
        return self._send(alert_id, "silence", {"reason": reason, "until": until})

    def unsilence(self, alert_id: str, reason: str) -> Alert:
        """End a silence."""
        return self._send(alert_id, "unsilence", {"reason": reason})

    def _send(self, alert_id: str, act: str, body: Mapping[str, Any]) -> Alert:
        return _alert(self._client.send("POST", f"{self._path(alert_id)}/{act}", dict(body)))

    def _path(self, alert_id: str) -> str:
        if "/" in alert_id or alert_id in {"", ".", ".."}:
            raise NotThereError(
                f"there is no alert '{alert_id[:60]}'; `evalkit alerts list --all` shows those there are"
            )
        return f"/alerts/{quoted(alert_id)}"


def _alert(data: Mapping[str, Any]) -> Alert:
    return made(Alert, {"monitor_id": "", **data})
