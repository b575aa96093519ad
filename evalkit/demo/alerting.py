"""When the signals of the demo's monitor alerted: the monitor's rules, followed over its stored windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalkit.config import Settings
from evalkit.demo import traffic
from evalkit.monitoring import api
from evalkit.monitoring.alert_rules import AlertRule, alert_rules
from evalkit.monitoring.detectors import Reading, detectors, observation
from evalkit.monitoring.records import OK, StoredSignal
from evalkit.monitoring.spec import CheckSpec
from metrics.statistics.change_detection import Observation

_RATES = frozenset({"hallucination", "refusal", "toxicity"})


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert: `signal` is the check, or the state of a window; `closed` is None while it lasts."""

    signal: str
    opened: int
    closed: int | None
    reason: str


def episodes(name: str, settings: Settings) -> list[Episode]:
    """All alerts of a monitor by the day on which they began."""
    with api.open_store(settings) as (_, store):
        monitor = store.monitor(name)
        definition = store.definition(monitor)
        windows = store.windows(monitor)
        signals = store.signals(monitor, slice_="")
    days = {window.start: traffic.number_of(window.start) for window in windows}
    found = [
        Episode(w.status, days[w.start], days[w.start] + 1, "; ".join(w.notes) or "no rows")
        for w in windows
        if w.status != OK
    ]
    rules: dict[str, tuple[CheckSpec, AlertRule]] = {}
    for check in definition.spec.checks:
        if check.alert is not None:
            written = check.alert
            made = alert_rules(maximum=written.max, minimum=written.min, versus=written.versus)
            rules |= {f"{check.address}/{kind}": (check, rule) for kind, rule in made.items()}
    follow = detectors({signal: rule for signal, (_, rule) in rules.items()})
    for signal, (check, _) in rules.items():
        key = (check.alert and check.alert.key) or check.kind
        own = {s.window.start: s for s in signals if s.check == check.address and s.signal.key == key}
        _, readings = follow[signal].replay(_observation(check.kind, own.get(window.start)) for window in windows)
        found += _runs(check.address, [days[w.start] for w in windows], readings)
    return sorted(found, key=lambda one: (one.opened, one.signal))


def _observation(kind: str, stored: StoredSignal | None) -> Observation | None:
    return None if stored is None else observation(stored.signal.estimate, rate=kind in _RATES)


def _runs(signal: str, days: Sequence[int], readings: Sequence[Reading]) -> Iterator[Episode]:
    opened: int | None = None
    reason = ""
    for day, reading in zip(days, readings, strict=True):
        if reading.alerting and opened is None:
            opened, reason = day, reading.reason
        elif opened is not None and not reading.alerting:
            yield Episode(signal, opened, day, reason)
            opened = None
    if opened is not None:
        yield Episode(signal, opened, None, reason)
