"""After the windows of a run: every signal with an alert rule goes to its detector, and episodes to people.

Detectors, readings, episodes and what shall be told are written in one transaction. A run that died before it is made
good by the next one, since detectors go on from the last window that they have seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from evalkit.monitoring.cadence import Cadence
from evalkit.monitoring.checks.base import Check
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.detectors import AlertRule, DetectorState, FalseAlarmBudget, Reading, SignalDetector
from evalkit.monitoring.episodes import Mark, settle, settle_removed
from evalkit.monitoring.followed import horizon_of, is_about, observed, rules_of, source_key
from evalkit.monitoring.records import EMPTY, OK
from metrics.base import Estimate
from metrics.errors import InputError
from metrics.statistics.change_detection import Observation
from registry.database import reading, writing
from registry.digests import digest, new_id, now_ms
from registry.leases import check_token
from registry.tables_monitoring import DetectorRow, MonitorRow, ReadingRow, SignalRow, WindowRow

CHANCE = 0.05
"""Probability of any false alarm of a monitor within 90 days."""
WINDOW = "window"
CONTRACT = "contract"
"""Status of a window that broke its data contract, and the rule about it."""

_UNREAD = frozenset({"insufficient data", "failed", "no data", "learning", "no previous window"})


class Name(NamedTuple):
    """A rule of a signal."""

    check: str
    key: str
    slice: str
    rule: str


@dataclass(frozen=True, slots=True)
class _Window:
    id: str
    start: int
    end: int
    status: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a rule makes of one window."""

    window: _Window
    observation: Observation | None
    estimate: Estimate | None
    why: str
    samples: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Followed:
    """A rule after the windows that are new to it; `replayed` where it started from the first one."""

    name: Name
    cadence: Cadence
    identity: str
    digest: str
    state: DetectorState
    seen: Sequence[_Seen]
    readings: Sequence[Reading]
    replayed: bool


def follow(
    engine: Engine, monitor_id: str, definition: Definition, *, learnt: Callable[[Cadence], int | None], token: str
) -> int:
    """Feed what is new to the detectors, and write down what people shall be told.

    Args:
        engine: the database of our tables.
        monitor_id: whose windows; the caller holds its lease.
        definition: what the monitor says now.
        learnt: where, in event time, the first windows end, which teach and page nobody.
        token: of the lease.

    Returns how many alerts were announced.
    """
    with reading(engine) as session:
        # Thresholds are simulated here: the database must not be locked for that
        follower = _Follower(session, monitor_id, definition)
        found = follower.advance()
    with writing(engine) as session:
        check_token(session, token)
        monitor = session.get_one(MonitorRow, monitor_id)
        for one in found:
            _store(session, monitor, one)
        removed = _forget(session, monitor_id, follower.names)
        settled = [settle_removed(session, monitor, name) for name in removed]
        for one in found:
            marks = [_mark(seen, made) for seen, made in zip(one.seen, one.readings, strict=True)]
            settled.append(settle(session, monitor, one.cadence.text, one.name, marks, again=one.replayed))
        for cadence, windows in follower.windows.items():
            for status in (CONTRACT, EMPTY):
                name = Name(WINDOW, status, "", status)
                marks = _of_windows(windows, status)
                settled.append(settle(session, monitor, cadence.text, name, marks, again=True))
        from evalkit.monitoring.announcing import announce

        newest = {c.text: windows[-1].start for c, windows in follower.windows.items() if windows}
        paging = {
            cadence.text
            for cadence in follower.windows
            if (end := learnt(cadence)) is not None and newest.get(cadence.text, -1) >= end
        }
        return announce(session, monitor, definition, [row for rows in settled for row in rows], paging)


class _Follower:
    """Reads what is stored, and works out what follows from it."""

    def __init__(self, session: Session, monitor_id: str, definition: Definition) -> None:
        self._session, self._monitor_id = session, monitor_id
        self._checks = {check.address: check for check in definition.checks}
        self._rules: dict[str, dict[str, AlertRule]] = {
            check.address: rules for check in definition.checks if (rules := rules_of(check))
        }
        cadences = {check.cadence.text: check.cadence for check in definition.checks}
        self.windows = {cadence: self._windows(cadence) for cadence in cadences.values()}
        self._kept = {
            Name(row.check, row.key, row.slice, row.rule): row
            for row in session.scalars(select(DetectorRow).where(DetectorRow.monitor_id == monitor_id))
        }
        self._digests: dict[tuple[Cadence, int], str] = {}
        self.names = self._names()

    def advance(self) -> list[_Followed]:
        """Every rule that has windows to see."""
        family = sum(self._rule(name).method == "e-detector" for name in self.names)
        found = [self._follow(name, max(1, family)) for name in self.names]
        return [one for one in found if one is not None]

    def _windows(self, cadence: Cadence) -> list[_Window]:
        query = select(WindowRow.id, WindowRow.start, WindowRow.end, WindowRow.status).where(
            WindowRow.monitor_id == self._monitor_id, WindowRow.cadence == cadence.text, WindowRow.newest
        )
        return [_Window(*row) for row in self._session.execute(query.order_by(WindowRow.start))]

    def _names(self) -> list[Name]:
        """Rules of signals that have had a value at least once: those share the budget."""
        known = {
            name for name in self._kept
            if name.rule in self._rules.get(name.check, {}) and is_about(self._checks[name.check], name.key)
        }  # fmt: skip
        found = set(known)
        for address, rules in self._rules.items():
            kept = [self._kept[name] for name in known if name.check == address]
            # Windows that were restated may have signals that they did not have before
            as_seen = all(self._as_seen(self._checks[address].cadence, row) for row in kept)
            complete = as_seen and {row.rule for row in kept} == set(rules)
            query = (
                select(SignalRow.key, SignalRow.slice)
                .join(WindowRow, WindowRow.id == SignalRow.window_id)
                .where(
                    SignalRow.monitor_id == self._monitor_id, SignalRow.check == address, WindowRow.newest,
                    SignalRow.value.is_not(None), SignalRow.verdict.not_in(_UNREAD - {"insufficient data"}),
                )
                .distinct()
            )  # fmt: skip
            if self._checks[address].kind != "drift":
                query = query.where(SignalRow.verdict != "insufficient data")
            if complete:
                query = query.where(SignalRow.start > min(row.through for row in kept))
            for key, slice_ in self._session.execute(query):
                if is_about(self._checks[address], key):
                    found |= {Name(address, key, slice_, rule) for rule in rules}
        return sorted(found)

    def _rule(self, name: Name) -> AlertRule:
        return self._rules[name.check][name.rule]

    def _follow(self, name: Name, family: int) -> _Followed | None:
        check, rule = self._checks[name.check], self._rule(name)
        budget = FalseAlarmBudget(CHANCE, horizon_of(check), family)
        shared = budget if rule.method == "e-detector" else None
        identity = digest({"rule": asdict(rule), "budget": None if shared is None else asdict(shared)})
        windows = self.windows[check.cadence]
        kept = self._kept.get(name)
        replayed = kept is None or kept.identity != identity or not self._as_seen(check.cadence, kept)
        new = windows if replayed or kept is None else windows[self._count(check.cadence, kept) :]
        if not new:
            return None
        seen = self._seen(check, rule, name, new)
        state = DetectorState() if replayed or kept is None else DetectorState.from_json(kept.state)
        detector, made = SignalDetector(rule, budget), []
        for one in seen:
            observation, why = one.observation, one.why
            try:
                state, said = detector.update(state, observation)
            except InputError as error:  # one number that cannot be followed leaves the others their alerts
                observation, why = None, str(error)
                state, said = detector.update(state, None)
            made.append(said if observation is not None else _with_reason(said, why))
        everything = self._digest(check.cadence, len(windows))
        return _Followed(name, check.cadence, identity, everything, state, seen, made, replayed)

    def _count(self, cadence: Cadence, row: DetectorRow) -> int:
        return sum(window.start <= row.through for window in self.windows[cadence])

    def _as_seen(self, cadence: Cadence, row: DetectorRow) -> bool:
        """Whether the windows that a detector has seen are still what they were."""
        return row.windows == self._digest(cadence, self._count(cadence, row))

    def _digest(self, cadence: Cadence, count: int) -> str:
        """Of the revisions of the first windows, which a detector has seen."""
        key = cadence, count
        if key not in self._digests:
            ids = "\n".join(window.id for window in self.windows[cadence][:count])
            self._digests[key] = "sha256:" + hashlib.sha256(ids.encode()).hexdigest()
        return self._digests[key]

    def _seen(self, check: Check, rule: AlertRule, name: Name, windows: Sequence[_Window]) -> list[_Seen]:
        source = source_key(check, name.key)
        query = (
            select(SignalRow)
            .join(WindowRow, WindowRow.id == SignalRow.window_id)
            .where(
                SignalRow.monitor_id == self._monitor_id, SignalRow.check == name.check,
                SignalRow.key.in_({source, name.key}), SignalRow.slice == name.slice,
                SignalRow.start >= windows[0].start, WindowRow.newest,
            )
        )  # fmt: skip
        rows = {(row.window_id, row.key): row for row in self._session.scalars(query)}
        found = []
        for window in windows:
            row = rows.get((window.id, source))
            shown = rows.get((window.id, name.key))
            samples = list(shown.samples) if shown is not None else []
            if window.status != OK:
                why = "no rows" if window.status == EMPTY else f"the window is '{window.status}' and is not read"
                found.append(_Seen(window, None, None, why, samples))
            elif row is None:
                found.append(_Seen(window, None, None, "the window has no such number", samples))
            else:
                estimate = Estimate.from_json(row.record)
                if check.kind != "drift" and row.verdict in _UNREAD:
                    observation, why = None, row.reason or row.verdict
                else:
                    observation, why = observed(check, rule, name.key, estimate, row.p_value)
                found.append(_Seen(window, observation, estimate, why, samples))
        return found


def _with_reason(said: Reading, why: str) -> Reading:
    return replace(said, reason=f"no data: {why}" + ("; the alert stays open" if said.alerting else ""))


def _mark(seen: _Seen, made: Reading) -> Mark:
    value = None if seen.estimate is None else seen.estimate.to_json()["value"]
    window = seen.window
    return Mark(
        window.id, window.start, window.end, made.alerting, made.statistic, made.threshold, value, made.reason,
        tuple(seen.samples),
    )  # fmt: skip


def _of_windows(windows: Sequence[_Window], status: str) -> list[Mark]:
    """Windows of a status as one episode; one without rows neither begins nor ends a broken contract."""
    found: list[Mark] = []
    said = {EMPTY: "the window has no rows", CONTRACT: "the rows of the window broke the data contract"}[status]
    for window in windows:
        lasts = bool(found) and found[-1].alerting and window.status == EMPTY
        alerting = window.status == status or lasts
        found.append(Mark(window.id, window.start, window.end, alerting, None, None, None, said, ()))
    return found


def _store(session: Session, monitor: MonitorRow, one: _Followed) -> None:
    named = one.name._asdict()
    at: Mapping[str, Any] = {"workspace": monitor.workspace, "created_at": now_ms(), "monitor_id": monitor.id}
    of_detector = select(DetectorRow).where(
        DetectorRow.monitor_id == monitor.id, *(getattr(DetectorRow, part) == value for part, value in named.items())
    )
    row = session.scalar(of_detector)
    if row is None:
        row = DetectorRow(id=new_id(), **at, **named)
        session.add(row)
    row.identity, row.windows, row.through = one.identity, one.digest, one.seen[-1].window.start
    row.state = one.state.to_json()
    session.execute(
        delete(ReadingRow)
        .where(
            ReadingRow.monitor_id == monitor.id,
            *(getattr(ReadingRow, part) == value for part, value in named.items()),
            ReadingRow.start >= (0 if one.replayed else one.seen[0].window.start),
        )
        .execution_options(synchronize_session=False)
    )
    for seen, made in zip(one.seen, one.readings, strict=True):
        record = {} if seen.estimate is None else seen.estimate.to_json()
        session.add(
            ReadingRow(
                id=new_id(), **at, **named, window_id=seen.window.id, start=seen.window.start, status=made.status,
                alerting=made.alerting, statistic=made.statistic, threshold=made.threshold, warning=made.warning,
                level=made.level, value=record.get("value"), low=record.get("low"), high=record.get("high"),
                n=0 if seen.estimate is None else seen.estimate.n, reason=made.reason,
            )
        )  # fmt: skip


def _forget(session: Session, monitor_id: str, names: Sequence[Name]) -> list[Name]:
    """Remove detectors whose rule is gone; returns their names."""
    gone = []
    for row in session.scalars(select(DetectorRow).where(DetectorRow.monitor_id == monitor_id)).all():
        name = Name(row.check, row.key, row.slice, row.rule)
        if name not in names:
            gone.append(name)
            session.delete(row)
    return gone
