"""How every judge stands: its newest calibration, what it cost lately, and whether somebody demands more of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from evalkit.config import Settings
from evalkit.judging.calibrations import Calibration, Calibrations
from evalkit.judging.ledger import Total, open_ledger
from evalkit.judging.uses import Use, uses
from registry.digests import now_ms

DAYS = 90
"""Days of costs that are shown."""
_DAY_MS = 86_400_000


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


def since() -> int:
    """From when on costs are shown, in UTC milliseconds."""
    return now_ms() - DAYS * _DAY_MS


def standings(engine: Engine, settings: Settings) -> list[Standing]:
    """Every judge that was calibrated, that a model's newest version relies on, or that was asked lately.

    Those that fall short of a suite's demand come first.
    """
    kept = Calibrations.of(settings)
    try:
        newest = kept.newest()
    finally:
        kept.close()
    ledger = open_ledger(settings)
    try:
        costs = {total.group["judge"]: total for total in ledger.totals(("judge",), since=since())}
    finally:
        ledger.close()
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
