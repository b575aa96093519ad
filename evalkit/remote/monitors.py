"""Monitors of a server, in the shape of `evalkit.monitoring.api`; runs and backfills are queued for its workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.monitoring.cadence import parse_moment
from evalkit.monitoring.checks.base import Signal
from evalkit.monitoring.records import MonitorRecord, StoredSignal, WindowRecord
from evalkit.remote.client import Client, made, quoted
from metrics.base import Estimate

_PAGE = 1000


def list_monitors() -> list[tuple[MonitorRecord, WindowRecord | None]]:
    """All monitors by name, each with its newest window."""
    found = Client.from_environment().items("/monitors", limit=_PAGE)
    return [(_monitor(item), None if item["window"] is None else _window(item["window"])) for item in found]


def pause(name: str) -> MonitorRecord:
    """Have the server's workers stop running a monitor by itself."""
    return _monitor(Client.from_environment().send("POST", f"/monitors/{quoted(name)}/pause"))


def resume(name: str) -> MonitorRecord:
    """Have the server's workers run a monitor by itself again."""
    return _monitor(Client.from_environment().send("POST", f"/monitors/{quoted(name)}/resume"))


def run(name: str) -> dict[str, Any]:
    """Queue a run; answers its ``key``, and how many ``workers`` live."""
    return dict(Client.from_environment().send("POST", f"/monitors/{quoted(name)}/run"))


def backfill(name: str, start: str, end: str, *, again: bool = False) -> dict[str, Any]:
    """Queue the windows in ``[start, end)``; answers the ``key``, and how many ``workers`` live."""
    body = {"start": parse_moment(start), "end": parse_moment(end), "again": again}
    return dict(Client.from_environment().send("POST", f"/monitors/{quoted(name)}/backfills", body))


def jobs(name: str | None = None) -> list[dict[str, Any]]:
    """Schedules of all monitors, or of one, as `evalkit.monitoring.scheduling.job_json` tells them."""
    client = Client.from_environment()
    names = [name] if name is not None else [item["name"] for item in client.items("/monitors", limit=_PAGE)]
    found = []
    for one in names:
        told = client.get(f"/monitors/{quoted(one)}/jobs", limit=1)
        latest = told.pop("firings")
        found.append({**told, "latest": latest[0] if latest else None})
    return found


def history(
    name: str, *, check: str | None = None, key: str | None = None, slice_: str | None = "", since: str | None = None,
    until: str | None = None,
) -> list[StoredSignal]:  # fmt: skip
    """Signals over time, oldest first; of all rows unless `slice_` names a slice (None: all slices)."""
    query = {"check": check, "key": key, "slice": slice_, "since": since, "until": until, "limit": _PAGE}
    client, path = Client.from_environment(), f"/monitors/{quoted(name)}"
    windows = {item["id"]: _window(item) for item in client.items(f"{path}/windows", limit=_PAGE)}
    found = client.items(f"{path}/signals", **query)
    return [
        StoredSignal(item["check"], windows[item["window"]], _signal(item))
        for item in found
        if item["window"] in windows
    ]


def _signal(data: Mapping[str, Any]) -> Signal:
    return Signal(
        data["key"], data["slice"], Estimate.from_json(data["estimate"]), data["verdict"], data["reason"],
        tuple(data["samples"]),
    )  # fmt: skip


def _monitor(data: Mapping[str, Any]) -> MonitorRecord:
    return made(MonitorRecord, {"source_digest": "", "watermark": {}, "reads": 0, **data})


def _window(data: Mapping[str, Any]) -> WindowRecord:
    return made(WindowRecord, {"newest": True, **data})
