"""A series: the workload runs, fault after fault strikes, then everything must come to rest and be right."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from benchmarks.faults import checks
from benchmarks.faults.kinds import kind_of
from benchmarks.faults.processes import wait_until
from benchmarks.faults.project import Size
from benchmarks.faults.site import Site, running
from benchmarks.faults.workload import FLOWS

_STUCK = "does not go on after"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fault, or (with the kind ``end of series``) what was found when everything had come to rest.

    Attributes:
        number: of the fault.
        kind, detail: what was done.
        seconds: until all flows went on; None where they did not.
        violations: what did not hold.
    """

    number: int
    kind: str
    detail: str
    seconds: float | None
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """How much runs beside the faults, and after how many seconds something that does not go on counts as stuck."""

    size: Size = field(default_factory=Size)
    workers: int = 2
    versions: int = 8
    releases: int = 2
    patience: float = 60.0


def run_series(
    database: str, seed: int, faults: range, *, load: Load, reference: Mapping[str, Mapping[str, Any]],
    tell: Callable[[Outcome], None], only: tuple[str, ...] = (),
    logs: Path | None = None, look: Callable[[Site], None] | None = None,
) -> None:  # fmt: skip
    """Run the faults with these numbers over one workload.

    Args:
        database: ``sqlite`` or ``postgresql``.
        seed: with the number of a fault it says all about the fault.
        faults: numbers of the faults.
        load: what runs beside them.
        reference: the estimates of an undisturbed run, as `benchmarks.faults.site.undisturbed` gives them.
        tell: told what came of each fault, and of the end.
        only: names of the only kinds of faults.
        logs: a folder for what the processes said.
        look: called at the very end, with everything at rest.
    """
    with running(
        database, seed=seed * 1000 + faults.start, size=load.size, workers=load.workers, versions=load.versions,
        releases=load.releases,
        logs=logs,
    ) as site:  # fmt: skip
        begun = time.monotonic()
        if not wait_until(lambda: _going_on(site, begun), 2 * load.patience):
            raise RuntimeError(f"the workload did not start: {site.told.last}")
        seen: set[str] = set()
        for number in faults:
            outcome = _one(site, seed, number, only, load.patience)
            new = tuple(one for one in outcome.violations if one not in seen)
            seen |= {one for one in new if not one.startswith(_STUCK)}
            tell(Outcome(outcome.number, outcome.kind, outcome.detail, outcome.seconds, new))
        started = time.monotonic()
        stuck = _settle(site, load.patience)
        took = time.monotonic() - started
        found = [*stuck, *checks.thorough(site, reference)]
        told = f"{len(site.told.acknowledged)} rows, {sum(site.told.moves.values())} moves, "
        told += f"{len(site.finished())} firings, {len(site.evaluations.done) if site.evaluations else 0} evaluations, "
        told += f"{len(site.told.versions)} releases"
        new = tuple(one for one in found if one not in seen)
        if look is not None:
            look(site)
        tell(Outcome(faults[-1], "end of series", told, None if stuck else took, new))


def _one(site: Site, seed: int, number: int, only: tuple[str, ...], patience: float) -> Outcome:
    chance = random.Random(f"{seed}:{site.database.kind}:{number}")
    kind = kind_of(seed, number, site.database.kind, only)
    time.sleep(chance.uniform(0.0, 1.0))
    detail = kind.strike(site, chance)
    healed = time.monotonic()
    recovered = wait_until(lambda: _going_on(site, healed), patience)
    seconds = time.monotonic() - healed if recovered else None
    violations = [] if recovered else [f"{_STUCK} {patience:g} s: {_silent(site, healed)}"]
    return Outcome(number, kind.name, detail, seconds, (*violations, *_patiently(site, patience)))


def _patiently(site: Site, patience: float) -> list[str]:
    """The quick checks; a database that is slow to answer is asked again."""
    found: list[list[str]] = []
    wait_until(lambda: found.append(checks.quick(site)) or True, patience, 0.5)
    return found[0] if found else ["the database did not answer the checks"]


def _going_on(site: Site, since: float) -> bool:
    return not _silent(site, since)


def _silent(site: Site, since: float) -> list[str]:
    idle = site.evaluations is None or site.evaluations.finished()
    flows = [flow for flow in FLOWS if not (flow == "evaluation" and idle)]
    return [flow for flow in flows if site.told.last.get(flow, 0.0) < since]


def _settle(site: Site, patience: float) -> list[str]:
    """Let everything end that has begun; what does not end within its time is told."""
    stuck = []
    assert site.evaluations is not None and site.drivers is not None and site.releases is not None
    site.evaluations.enough()
    site.releases.stop()
    while not site.evaluations.finished():
        before = time.monotonic()
        if not wait_until(
            lambda since=before: site.evaluations.finished() or site.told.last.get("evaluation", 0.0) > since, patience
        ):
            stuck.append(f"the evaluation did not get on within {patience:g} s: {site.told.commands[-1:]}")
            break
    site.drivers.stop()
    if not wait_until(lambda: _hasten(site) or not _unfinished(site), patience, 1.0):
        stuck.append(f"after {patience:g} s these are not done: {_unfinished(site)[:5]}")
    url = f"{site.url}/evalkit/api/v1/monitors/prod/run"
    keys: list[str] = []
    asked = wait_until(lambda: keys.append(requests.post(url, timeout=10).json()["key"]) or True, patience, 0.5)
    if not asked or not wait_until(lambda: keys[0] in site.finished(), patience, 0.3):
        stuck.append("the last run of the monitor was not done")
    return stuck


def _hasten(site: Site) -> None:
    """Let what is to be tried again later be tried now: its waits (30 s, 2 min, 10 min) are meant to be long."""
    from sqlalchemy import text

    with site.engine.begin() as connection:
        connection.execute(text("UPDATE evalkit_outbox SET due_at = 0 WHERE done_at IS NULL AND token IS NULL"))


def _unfinished(site: Site) -> list[str]:
    from sqlalchemy import text

    firings = site.firings()
    left = [key for key in site.told.firings if key not in firings or firings[key].finished_at is None]
    with site.engine.connect().execution_options(evalkit_reading=True) as connection:
        items = connection.execute(text("SELECT id, kind, log FROM evalkit_outbox WHERE done_at IS NULL")).all()
    return left + [str(tuple(item)) for item in items]
