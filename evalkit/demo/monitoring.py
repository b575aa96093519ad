"""The docs bot in production: 60 days replayed day by day under its monitor, and what alerted when."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from evalkit.config import Settings
from evalkit.demo import traffic
from evalkit.monitoring import api
from evalkit.monitoring.alerting import WINDOW
from evalkit.monitoring.cadence import HOUR_MS
from evalkit.session import open_database
from registry.alerts import Alert, Alerts

MONITOR = "docs-bot-prod"
SOON = 3
"""Days after a change within which what must alert has to: by day 43 where it comes on day 40."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert, in days.

    Attributes:
        signal: check of the monitor; of its drift check the column; or the state of a window.
        opened: the day whose rows opened it.
        closed: the day whose rows ended it; None while it lasts.
        reason: what the monitor says.
    """

    signal: str
    opened: int
    closed: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must alert, and in which days it must begin.

    Attributes:
        signal: as of an episode.
        first: the earliest day that is right.
        last: the latest day that is soon enough; None where it may stay away.
        why: in words.
    """

    signal: str
    first: int
    last: int | None
    why: str


_SWAP = "the careless bot answers everybody from day 40 on"
_MIX = "other people ask from day 50 on"
EXPECTED = (
    Expectation("no data", traffic.EMPTY_DAY, traffic.EMPTY_DAY, "the log of the day was lost"),
    Expectation("contract", traffic.BROKEN_DAY, traffic.BROKEN_DAY, "latency came in milliseconds"),
    *(
        Expectation(signal, traffic.SWAP_DAY, traffic.SWAP_DAY + SOON, _SWAP)
        for signal in ("hallucination", "refusal", "length", "latency", "output")
    ),
    *(Expectation(signal, traffic.DRIFT_DAY, traffic.DRIFT_DAY + SOON, _MIX) for signal in ("kind", "area")),
    Expectation("prompt", traffic.DRIFT_DAY, None, _MIX),
)
"""Everything that may alert; anything else is a false alarm."""


def lay_out(folder: Path) -> Path:
    """Write the monitor and its contract into the demo's folder; return the monitor's file."""
    (folder / "traffic").mkdir(parents=True, exist_ok=True)
    for name in ("docs-bot-monitor.yaml", "docs-bot-contract.yaml"):
        with as_file(files("evalkit.demo") / "monitors" / name) as shipped:
            shutil.copyfile(shipped, folder / name)
    return folder / "docs-bot-monitor.yaml"


def replay(folder: Path, seed: int, settings: Settings, *, until: int = traffic.DAYS) -> Iterator[int]:
    """Live through the days up to `until`: each evening its rows are written and the monitor runs. Yields each day.

    Labels come later, in files of their own, and restate their days. Days that were lived through are not again.
    """
    api.apply(lay_out(folder), schedule=False, settings=settings)  # the replay is the clock
    for number in range(_lived(settings) + 1, until + 1):
        _write(folder / "traffic" / f"day-{number:02}.parquet", traffic.day(seed, number))
        for before in traffic.labelled_on(number):
            _write(folder / "traffic" / f"labels-{before:02}.parquet", traffic.labels(seed, before))
        api.run(MONITOR, now=traffic.START + number * traffic.DAY_MS + HOUR_MS, settings=settings)
        yield number


def alerted(settings: Settings) -> list[Episode]:
    """Everything that alerted so far, oldest first."""
    with open_database(settings) as engine:
        found = Alerts(engine).find(MONITOR, closed=True, limit=1000)
    episodes = [
        Episode(
            _signal(alert),
            traffic.number_of(alert.opened_at),
            None if alert.closed_at is None else traffic.number_of(alert.closed_at),
            alert.reason,
        )
        for alert in found
    ]
    return sorted(episodes, key=lambda one: (one.opened, one.signal))


def surprises(found: Sequence[Episode], *, until: int = traffic.DAYS) -> list[str]:
    """What is not as `EXPECTED` after the days up to `until`, a line each: false alarms, late ones, missing ones."""
    wanted: Mapping[str, Expectation] = {one.signal: one for one in EXPECTED}
    told = []
    begun: dict[str, int] = {}
    for episode in found:
        expectation = wanted.get(episode.signal)
        begun.setdefault(episode.signal, episode.opened)
        if expectation is None or episode.opened < expectation.first:
            told.append(f"{episode.signal} alerted on day {episode.opened} without cause: {episode.reason}")
        elif expectation.first == expectation.last and episode.opened != expectation.first:
            told.append(f"{episode.signal} was seen on day {episode.opened}; expected on day {expectation.first} only")
    for expectation in EXPECTED:
        if expectation.last is None or expectation.last > until:
            continue
        day = begun.get(expectation.signal)
        if day is None:
            told.append(f"{expectation.signal} never alerted, though {expectation.why}")
        elif day > expectation.last:
            told.append(f"{expectation.signal} alerted on day {day}, after day {expectation.last}")
    return told


def reasons(found: Iterable[Episode]) -> list[tuple[Episode, str]]:
    """Each episode with why it was to be expected; empty where it was not."""
    wanted = {one.signal: one for one in EXPECTED}
    return [
        (one, wanted[one.signal].why if one.signal in wanted and one.opened >= wanted[one.signal].first else "")
        for one in found
    ]


def _signal(alert: Alert) -> str:
    if alert.check == WINDOW:
        return alert.rule
    return alert.key.partition(".")[0] if alert.check == "drift" else alert.check


def _lived(settings: Settings) -> int:
    """The last day whose window is known, 0 before the first."""
    newest = next((window for monitor, window in api.list_monitors(settings=settings) if monitor.name == MONITOR), None)
    return 0 if newest is None else traffic.number_of(newest.start)


def _write(path: Path, table: object) -> None:
    """Write a day's rows, whole or not at all; a day without rows has no file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert isinstance(table, pa.Table)
    if table.num_rows:
        part = path.with_suffix(".part")
        pq.write_table(table, part)
        os.replace(part, path)
