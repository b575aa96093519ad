"""Monitors of a server, in the shape of `evalkit.monitoring.api`; runs and backfills are queued for its workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.monitoring.cadence import parse_moment
from evalkit.monitoring.checks.base import Signal
from evalkit.monitoring.records import MonitorRecord, StoredSignal, WindowRecord
from evalkit.remote.client import Client, made, quoted
from metrics.base import Estimate

if TYPE_CHECKING:
    from evalkit.monitoring.api import Applied, Explained
    from evalkit.monitoring.definition import Definition
    from evalkit.monitoring.retention import Pruned
    from evalkit.monitoring.rollup import Rolled
    from evalkit.reports.contract import Contract

_PAGE, _FEW = 1000, 100


def list_monitors() -> list[tuple[MonitorRecord, WindowRecord | None]]:
    """All monitors by name, each with its newest window."""
    found = Client.from_environment().items("/monitors", limit=_PAGE)
    return [(_monitor(item), None if item["window"] is None else _window(item["window"])) for item in found]


def apply(path: str | Path) -> Applied:
    """Send a monitor's file, with the texts that it names, to be made or changed on the server."""
    from evalkit.jobs.schedules import Schedule
    from evalkit.monitoring.api import Applied
    from evalkit.monitoring.definition import Definition
    from evalkit.monitoring.sent import gather

    given = Definition.load(path)
    body = {"text": given.text, "files": gather(given)}
    told = Client.from_environment().send("PUT", _path(given.name), body)
    when = told["schedule"]
    schedule = Schedule(
        f"monitor:{given.name}", when["cron"], when["timezone"], "monitor", given.name, when["catch_up"],
        when["paused"], last=None, next=None,
    )  # fmt: skip
    return Applied(_monitor(told["monitor"]), told["change"], tuple(told["checks"]), schedule)


def definition(name: str) -> Definition:
    """A monitor as it was last applied; its files are the server's."""
    from evalkit.monitoring.definition import Definition

    told = Client.from_environment().get(_path(name))
    return Definition.from_text(told["text"], Path.cwd(), origin=name)


def remove(name: str) -> None:
    """Remove a monitor with its schedule, rows, windows, signals and reports."""
    Client.from_environment().send("DELETE", _path(name))


def contract(name: str) -> Contract:
    """Have the server derive a data contract from the windows that a monitor has learnt from so far."""
    from evalkit.reports.contract import Contract

    return Contract.parse(Client.from_environment().get(f"{_path(name)}/contract")["text"], f"contract of {name}")


def explain(name: str, window: str) -> list[Explained]:
    """What is behind the windows that hold a moment: one entry for each cadence of the monitor."""
    from evalkit.monitoring.api import Explained

    client = Client.from_environment()
    monitor = _monitor(client.get(_path(name)))
    found = []
    for item in client.items(f"{_path(name)}/explanation", time=window):
        revisions = [_window(one) for one in item["revisions"]]
        signals = [StoredSignal(one["check"], revisions[-1], _signal(one)) for one in item["signals"]]
        found.append(Explained(monitor, revisions, signals))
    return found


def prune(name: str | None = None, *, dry_run: bool = False) -> list[Pruned]:
    """Drop raw rows and states that are older than monitors keep them; of all monitors unless one is named."""
    from evalkit.monitoring.retention import Pruned

    client = Client.from_environment()
    names = [name] if name is not None else [item["name"] for item in client.items("/monitors", limit=_PAGE)]
    return [made(Pruned, client.send("POST", f"{_path(one)}/prune", {"dry_run": dry_run})) for one in names]


def pause(name: str) -> MonitorRecord:
    """Have the server's workers stop running a monitor by itself."""
    return _monitor(Client.from_environment().send("POST", f"{_path(name)}/pause"))


def resume(name: str) -> MonitorRecord:
    """Have the server's workers run a monitor by itself again."""
    return _monitor(Client.from_environment().send("POST", f"{_path(name)}/resume"))


def run(name: str) -> dict[str, Any]:
    """Queue a run; answers its ``key``, and how many ``workers`` live."""
    return dict(Client.from_environment().send("POST", f"{_path(name)}/run"))


def backfill(name: str, start: str, end: str, *, again: bool = False) -> dict[str, Any]:
    """Queue the windows in ``[start, end)``; answers the ``key``, and how many ``workers`` live."""
    body = {"start": parse_moment(start), "end": parse_moment(end), "again": again}
    return dict(Client.from_environment().send("POST", f"{_path(name)}/backfills", body))


def jobs(name: str | None = None) -> list[dict[str, Any]]:
    """Schedules of all monitors, or of one, as `evalkit.monitoring.scheduling.job_json` tells them."""
    client = Client.from_environment()
    names = [name] if name is not None else [item["name"] for item in client.items("/monitors", limit=_PAGE)]
    found = []
    for one in names:
        told = client.get(f"{_path(one)}/jobs", limit=1)
        latest = told.pop("firings")
        found.append({**told, "latest": latest[0] if latest else None})
    return found


def history(
    name: str, *, check: str | None = None, key: str | None = None, slice_: str | None = "", since: str | None = None,
    until: str | None = None,
) -> list[StoredSignal]:  # fmt: skip
    """Signals over time, oldest first; of all rows unless `slice_` names a slice (None: all slices)."""
    query = {"check": check, "key": key, "slice": slice_, "since": since, "until": until, "limit": _PAGE}
    client, path = Client.from_environment(), _path(name)
    windows = {item["id"]: _window(item) for item in client.items(f"{path}/windows", limit=_PAGE)}
    found = client.items(f"{path}/signals", **query)
    return [
        StoredSignal(item["check"], windows[item["window"]], _signal(item))
        for item in found
        if item["window"] in windows
    ]


def roll(
    name: str, level: str, *, check: str = "operational", since: str | None = None, until: str | None = None
) -> list[Rolled]:
    """Signals of a check over longer windows (``day``, ``week``, ``month``); what they are made of is not told."""
    from evalkit.monitoring.rollup import Rolled

    query = {"level": level, "check": check, "since": since, "until": until, "limit": _FEW}
    return [
        made(Rolled, {**item, "parts": (), "signals": tuple(_signal(one) for one in item["signals"])})
        for item in Client.from_environment().items(f"{_path(name)}/rollups", **query)
    ]


def _path(name: str) -> str:
    return f"/monitors/{quoted(name)}"


def _signal(data: Mapping[str, Any]) -> Signal:
    return Signal(
        data["key"], data["slice"], Estimate.from_json(data["estimate"]), data["verdict"], data["reason"],
        tuple(data["samples"]),
    )  # fmt: skip


def _monitor(data: Mapping[str, Any]) -> MonitorRecord:
    return made(MonitorRecord, {"source_digest": "", "watermark": {}, "reads": 0, **data})


def _window(data: Mapping[str, Any]) -> WindowRecord:
    return made(WindowRecord, {"newest": True, **data})
