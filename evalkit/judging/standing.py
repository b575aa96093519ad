"""How every judge stands: its newest calibration, what it cost lately, and whether somebody demands more of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Engine

from evalkit.config import Settings
from evalkit.judging.calibrations import Calibration, Calibrations
from evalkit.judging.ledger import Part, SqlLedger, Total
from evalkit.judging.uses import Use, uses
from evalkit.own_database import own_url
from registry.digests import now_ms

DAYS = 30
"""Days of costs that are shown."""
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A judge.

    Attributes:
        name: its name.
        newest, count: its newest calibration in any version, and how many there are.
        cost: what it was asked in the last `DAYS`; None for nothing.
        uses: how many models' newest versions rely on it; `short` of them demand more than it has shown.
    """

    name: str
    newest: Calibration | None
    count: int
    cost: Total | None
    uses: int
    short: int

    @property
    def state(self) -> tuple[str, str]:
        """Class and text of its chip."""
        if self.short:
            return "inconclusive", "uncalibrated"
        return ("", "not calibrated") if self.newest is None else ("pass", "calibrated")


def recent_costs(settings: Settings, by: tuple[Part, ...], judge: str | None = None) -> list[Total]:
    """What replies of the last `DAYS` cost, per group, at most a minute old: a long ledger takes a while to sum."""
    return _costs(own_url(settings, "judges"), by, judge, now_ms() // _MINUTE_MS)


@lru_cache(maxsize=64)
def _costs(url: str, by: tuple[Part, ...], judge: str | None, minute: int) -> list[Total]:
    ledger = SqlLedger(url)
    try:
        return ledger.totals(by, judge=judge, since=minute * _MINUTE_MS - DAYS * _DAY_MS)
    finally:
        ledger.close()


def standings(engine: Engine, settings: Settings) -> list[Standing]:
    """Every judge that was calibrated, that a model's newest version relies on, or that was asked lately.

    Those that fall short of a suite's demand come first.
    """
    kept = Calibrations.of(settings)
    try:
        newest = kept.newest()
    finally:
        kept.close()
    costs = {total.group["judge"]: total for total in recent_costs(settings, ("judge",))}
    used: dict[str, list[Use]] = {}
    for use in uses(engine, settings):
        used.setdefault(use.metric, []).append(use)
    found = []
    for name in sorted({*newest, *costs, *used}):
        calibration, count = newest.get(name, (None, 0))
        own = used.get(name, [])
        short = sum(use.why is not None for use in own)
        found.append(Standing(name, calibration, count, costs.get(name), len(own), short))
    return sorted(found, key=lambda one: not one.short)
