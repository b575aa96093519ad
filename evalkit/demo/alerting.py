"""When the signals of the demo's monitor alerted: the monitor's rules, followed over its stored windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.config import Settings
from evalkit.demo import traffic
from evalkit.monitoring import api
from evalkit.monitoring.alert_rules import AlertRule, alert_rules
from evalkit.monitoring.detectors import Reading, detectors, observation
from evalkit.monitoring.records import EMPTY, StoredSignal, WindowRecord
from evalkit.monitoring.spec import CheckSpec
from evalkit.reports.contract import Contract, check_contract
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
    broken = _broken(windows, definition.folder)
    days = {window.start: traffic.number_of(window.start) for window in windows}
    found = [Episode(EMPTY, days[w.start], days[w.start], "no rows") for w in windows if w.status == EMPTY]
    found += [Episode("contract", days[start], days[start], reason) for start, reason in broken.items()]
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
        observed = [None if w.start in broken else _observation(check.kind, own.get(w.start)) for w in windows]
        _, readings = follow[signal].replay(observed)
        found += _runs(check.address, [days[w.start] for w in windows], readings)
    return sorted(found, key=lambda one: (one.opened, one.signal))


def _broken(windows: Sequence[WindowRecord], folder: Path) -> dict[int, str]:
    """Start of each window whose rows break the contract, with the first breach."""
    import pyarrow.parquet as pq

    contract = Contract.load(folder / "docs-bot-contract.yaml")
    found = {}
    for window in windows:
        if window.status != EMPTY:
            rows = pq.read_table(folder / "traffic" / f"day-{traffic.number_of(window.start):02}.parquet").to_pandas()
            breaches = check_contract(contract, rows).breaches
            if breaches:
                found[window.start] = f"{breaches[0].column}: {breaches[0].reason}"
    return found


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
