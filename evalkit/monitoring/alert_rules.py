"""When a signal alerts, and how often a monitor may be wrong: what the `alert` part of its checks means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metrics.base import Direction as Better
from metrics.errors import InputError
from metrics.statistics.change_detection import Direction

Method = Literal["e-detector", "3-sigma", "threshold"]


@dataclass(frozen=True, slots=True)
class FalseAlarmBudget:
    """How often a monitor may raise a false alarm, shared evenly over its signals.

    Attributes:
        chance: probability of any false alarm of the whole monitor within the horizon.
        horizon: the horizon in windows: 90 for daily windows and 90 days.
        signals: signals with an alert rule, slices counted one by one.
    """

    chance: float = 0.05
    horizon: int = 90
    signals: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.chance < 1 or self.horizon < 1 or self.signals < 1:
            raise InputError(
                f"a false-alarm budget of {self.chance} over {self.horizon} windows and {self.signals} signals; "
                "expected a chance between 0 and 1, and at least 1 of each"
            )

    @property
    def per_signal(self) -> float:
        """Each signal's share (Bonferroni, so that signals may depend on each other in any way)."""
        return self.chance / self.signals


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When one signal alerts.

    Attributes:
        max, min: a limit of the value; neither: against the learned baseline.
        direction: the change that is bad; read only where there is no limit.
        method: ``e-detector`` (evidence gathered over windows, within the false-alarm budget), ``3-sigma`` (one window
            three standard errors beyond the level) or ``threshold`` (one value beyond the limit).
        learning: windows with data that give the baseline, and for a limit the typical size of a window.
        recovery: windows in a row below the warning level that end an alert.
        smallest: a change from the baseline that matters, in the signal's unit; much smaller ones do not alert.
    """

    max: float | None = None
    min: float | None = None
    direction: Direction | Literal["both"] = "up"
    method: Method = "e-detector"
    learning: int = 14
    recovery: int = 2
    smallest: float = 0.0

    def __post_init__(self) -> None:
        if self.max is not None and self.min is not None:
            raise InputError("an alert rule has `max` and `min`; write two rules, each with its own state")
        if self.method not in {"e-detector", "3-sigma", "threshold"}:
            raise InputError(f"detector {self.method!r}; expected 'e-detector', '3-sigma' or 'threshold'")
        if self.direction not in {"up", "down", "both"}:
            raise InputError(f"direction {self.direction!r}; expected 'up', 'down' or 'both'")
        if self.method == "threshold" and self.limit is None:
            raise InputError("the detector 'threshold' needs `max` or `min`; a baseline needs e-detector or 3-sigma")
        if self.learning < 2 or self.recovery < 1 or not self.smallest >= 0:
            raise InputError("an alert rule needs 2 or more learning windows, 1 or more to recover, no negative change")

    @property
    def limit(self) -> float | None:
        """The limit, whichever end it is; None against the baseline."""
        return self.min if self.max is None else self.max

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The changes to look for."""
        if self.limit is not None:
            return ("up",) if self.max is not None else ("down",)
        return ("up", "down") if self.direction == "both" else (self.direction,)


def alert_rules(
    *,
    maximum: float | None = None,
    minimum: float | None = None,
    versus: Literal["baseline"] | None = None,
    better: Better = "none",
    method: Method = "e-detector",
    smallest: float = 0.0,
) -> dict[str, AlertRule]:
    """The rules of a check's `alert`: each limit and the baseline, under ``max``, ``min`` and ``baseline``.

    Args:
        maximum, minimum: limits.
        minimum: see `maximum`.
        versus: ``baseline`` compares with the learning windows.
        better: direction of the metric; against the baseline the other direction alerts, or both.
        method: of all of them.
        smallest: smallest change from the baseline that matters, in the signal's unit.

    Each rule is a signal of its own: it has its own state and its share of the false-alarm budget.
    """
    if versus not in {None, "baseline"}:
        raise InputError(f"an alert is versus {versus!r}; expected 'baseline'")
    found: dict[str, AlertRule] = {}
    if maximum is not None:
        found["max"] = AlertRule(max=maximum, method=method)
    if minimum is not None:
        found["min"] = AlertRule(min=minimum, method=method)
    if versus is not None:
        bad: dict[Better, Direction | Literal["both"]] = {"lower": "up", "higher": "down", "none": "both"}
        found["baseline"] = AlertRule(direction=bad[better], method=method, smallest=smallest)
    if not found:
        raise InputError("an alert has no limit; expected `max`, `min` or `versus: baseline`")
    return found
