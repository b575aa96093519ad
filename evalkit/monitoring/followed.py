"""Which signals a check's `alert` is about, by which rules, and what a detector reads of them."""

from __future__ import annotations

import math
from dataclasses import replace

from evalkit.monitoring.cadence import DAY_MS
from evalkit.monitoring.checks.base import Check
from evalkit.monitoring.checks.scorers import EITHER, SCORERS
from evalkit.monitoring.detectors import AlertRule, alert_rules, drift_observation, observation
from evalkit.monitoring.spec import Alert
from metrics.base import Direction as Better
from metrics.base import Estimate
from metrics.errors import InputError
from metrics.statistics.change_detection import Observation

HORIZON_MS = 90 * DAY_MS
"""The monitor's false-alarm budget is for so long."""

_HEADLINES = {
    "toxicity": "toxicity",
    "refusal": "refusal",
    "hallucination": "hallucination",
    "stereotypes": "stereotypes",
}
_RATES = frozenset({"hallucination", "embedded", "judge"})
_DRIFT, _WORST = ".baseline", ".gap"
_TESTS = frozenset({"drift", "images"})
"""Checks whose main numbers are effects of a test against other windows."""
_OF_MANY = frozenset({"drift", "groups", "images", "probes"})
"""Checks whose alert follows several numbers where it names none."""


def is_about(check: Check, key: str) -> bool:
    """Whether the check's alert is about one of its numbers."""
    alert = _alert(check)
    if alert.key is not None:
        return key == alert.key
    if check.kind in _TESTS:
        return key.endswith(_DRIFT)
    if check.kind == "probes":
        return key.endswith(_WORST)
    return ".gap." in key if check.kind == "groups" else key == _HEADLINES.get(check.kind)


def source_key(check: Check, key: str) -> str:
    """The number that the detector reads.

    The hallucination rate is pooled over a trailing window, so that it hangs together from one window to the next;
    its detector reads what the best judge found in the window's own rows.
    """
    if check.kind == "hallucination" and key == "hallucination":
        settings = check.spec.settings
        return "judge" if isinstance(settings, dict) and settings.get("judge") else "embedded"
    return key


def is_rate(check: Check, key: str) -> bool:
    """Whether a number is a share of rows: its noise follows from its size."""
    if check.kind == "hallucination":
        return key in _RATES
    found = SCORERS.get(key)
    return found is not None and (found.quantity.low, found.quantity.high) == (0.0, 1.0)


def rules_of(check: Check) -> dict[str, AlertRule]:
    """The check's alert rules under ``max``, ``min`` and ``baseline``; none where it has no `alert`.

    Raises:
        InputError: the alert cannot work: no number is named, or the detector cannot read it.
    """
    alert = check.spec.alert
    if alert is None:
        return {}
    key = alert.key or _HEADLINES.get(check.kind)
    if key is None and check.kind not in _OF_MANY:
        raise InputError(f"an alert on `{check.kind}` needs `key:`, the number that it is about, such as latency.p95")
    limits = [limit for limit in (alert.max, alert.min) if limit is not None]
    if alert.detector != "threshold":
        if limits and _is_tested(check, key or _DRIFT):
            raise InputError("a limit on a drift's effect needs `detector: threshold`; else `versus: baseline`")
        if key is not None and is_rate(check, key) and any(not 0 < limit < 1 for limit in limits):
            raise InputError("the limit of a rate lies between 0 and 1; for 0 or 1 itself take `detector: threshold`")
    if alert.smallest is not None and _is_tested(check, key or _DRIFT):
        raise InputError(f"an alert on `{check.kind}` reads its test; give the effect that matters as `floors:`")
    if alert.demote and "@" not in (check.monitor.model or ""):
        raise InputError("`demote` takes an alias away: name it in `model: models:/<name>@<alias>`")
    found = alert_rules(
        maximum=alert.max,
        minimum=alert.min,
        versus=alert.versus,
        better=_better(check, key),
        method=alert.detector,
        smallest=alert.smallest or 0.0,
    )
    learning = max(2, round(check.monitor.baseline / check.cadence.length()))
    return {name: replace(rule, learning=learning) for name, rule in found.items()}


def horizon_of(check: Check) -> int:
    """The budget's 90 days in windows of the check."""
    return max(1, round(HORIZON_MS / check.cadence.length()))


def observed(
    check: Check, rule: AlertRule, key: str, estimate: Estimate, p_value: float | None
) -> tuple[Observation | None, str]:
    """What a detector reads of a window's number, and why where it reads nothing."""
    if rule.limit is None and _is_tested(check, key):
        return drift_observation(p_value), "no test of drift in this window"
    if not math.isfinite(estimate.value) or estimate.n == 0:
        return None, "the number has no value in this window"
    rate = is_rate(check, key)
    if rule.method == "threshold" and not rate:
        return Observation(estimate.value, max(1, estimate.n), 1.0), ""
    found = observation(estimate, rate=rate)
    return found, "" if found is not None else "the number has no interval; only `detector: threshold` reads it"


def _is_tested(check: Check, key: str) -> bool:
    """Whether a number is the effect of a test against other windows."""
    return check.kind == "drift" or (check.kind in _TESTS and key.endswith((_DRIFT, ".previous")))


def _alert(check: Check) -> Alert:
    if check.spec.alert is None:
        raise InputError(f"`{check.address}` has no alert")
    return check.spec.alert


def _better(check: Check, key: str | None) -> Better:
    if check.kind in {"groups", "probes"}:
        return "higher" if key is not None and ".ratio" in key else "lower"
    if check.kind in {"suite", "stereotypes"} or (key is not None and key.split(".")[0] in EITHER):
        return "none"
    return "lower"
