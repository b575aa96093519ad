"""One run of a monitor: read the source, compute the windows that are due, restate those that late rows touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit.config import Settings
from evalkit.generators.redaction import Redactor, one_line
from evalkit.monitoring.alerting import follow
from evalkit.monitoring.cadence import DAY_MS, Cadence, parse_moment, utc_text
from evalkit.monitoring.checks.base import Beside, Check, Measured, Signal
from evalkit.monitoring.fields import schema, utc_now
from evalkit.monitoring.ingest import Ingested, ingest
from evalkit.monitoring.lease import held
from evalkit.monitoring.raw import RawStore
from evalkit.monitoring.records import BROKEN, EMPTY, FAILED, OK, MonitorRecord, RunReport, WindowRecord, WindowResult
from evalkit.monitoring.retention import Pruned, Retention
from evalkit.monitoring.rows import WindowRows
from evalkit.monitoring.sources import open_source
from evalkit.monitoring.states import States, merge_all
from evalkit.monitoring.store import MonitorStore, states_digest
from evalkit.monitoring.tools import ProjectTools
from evalkit.runner.memory import give_back
from evalkit.runner.progress import Progress, Report
from judges.base import Usage
from metrics.base import Estimate
from metrics.errors import InputError
from registry.leases import Leases
from registry.tables import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from evalkit.reports.contract import Contract

MOST_WINDOWS = 20_000
"""Windows that one run computes at most: a row of a wrong year would otherwise ask for millions."""


@dataclass(frozen=True, slots=True)
class Span:
    """One window to compute; `known` is its newest revision."""

    cadence: Cadence
    start: int
    end: int
    known: WindowRecord | None = None


class Run:
    """One run of one monitor, under its lease.

    Args:
        settings: of the project.
        store: where monitors are kept.
        monitor: which one.
        token: of the lease.
        now: what time it is, UTC milliseconds.
        progress: told after each window.
    """

    def __init__(
        self, settings: Settings, store: MonitorStore, monitor: MonitorRecord, *, token: str, now: int, progress: Report
    ) -> None:
        self._settings, self._store, self._monitor = settings, store, monitor
        self._token, self._now, self._progress = token, now, progress
        self.definition = store.definition(monitor)
        spec = self.definition.spec
        self._raw = RawStore(store.folder(monitor) / "raw", schema(spec.source.columns))
        self._baselines: dict[tuple[str, str], States | None] = {}
        self._contract: Contract | None = None
        midnight = now - now % DAY_MS
        self._tools = ProjectTools(settings, self.definition, store.spent_since(monitor, midnight), now)

    def __call__(self, choose: Callable[[Run], Sequence[Span]], *, read: bool = True) -> RunReport:
        """Read the source unless told not to, then compute the windows that `choose` names."""
        try:
            brought = self._ingest() if read else Ingested(self._monitor, 0, {})
            self._monitor = brought.monitor
            spans = choose(self)
            if len(spans) > MOST_WINDOWS:
                raise InputError(
                    f"{len(spans):,} windows are due since {utc_text(spans[0].start)}; give the monitor a `start:`, or "
                    f"a longer `every:` (at most {MOST_WINDOWS:,} windows in a run)"
                )
            results = []
            for done, span in enumerate(spans):
                self._progress(Progress("", "windows", done, len(spans)))
                results.append(self._compute(span))
            alerts = follow(
                self._store.engine, self._monitor.id, self.definition, learnt=self._learnt, token=self._token
            )
            self.prune()
        finally:
            self._tools.close()
        late = sum(1 for span in spans if span.known is not None and span.known.late)
        return RunReport(self.definition.name, brought.rows, late, results, brought.refused, alerts)

    def _ingest(self) -> Ingested:
        return ingest(
            self._store, self._monitor, self.definition, open_source(self.definition, self._settings), self._raw,
            token=self._token, now=self._now, tell=self._tell_rows,
        )  # fmt: skip

    def _tell_rows(self, rows: int) -> None:
        self._progress(Progress("", "rows read", rows, rows))

    def cadences(self) -> list[Cadence]:
        """The different cadences of the monitor's checks, the monitor's own first."""
        found = {check.cadence.text: check.cadence for check in self.definition.checks}
        return list(found.values())

    def first(self) -> int | None:
        """Where the first window may begin; None before any row."""
        start = self.definition.spec.start
        return self._monitor.first_event if start is None else parse_moment(start)

    def due(self) -> list[Span]:
        """Windows that are over and not computed, and those that late rows touched; oldest first."""
        until = self._now - self.definition.spec.lateness
        return [
            span
            for span in self._between(self.first(), until)
            if span.known is None or (span.known.late and self._has_raw(span))
        ]

    def within(self, start: int, end: int, *, again: bool) -> list[Span]:
        """Windows that are over and lie in ``[start, end)``: those missing or of another version, or `again` all."""
        first = self.first()
        if first is None:
            return []
        found = self._between(max(start, first), min(end, self._now))
        kept = []
        for span in found:
            if span.start < start and span.cadence.window(start)[0] != span.start:
                continue
            stale = span.known is None or span.known.late or span.known.version_digest != self._monitor.digest
            if (stale or again) and (span.known is None or self._has_raw(span)):
                kept.append(span)
        return kept

    def holding(self, moment: int) -> list[Span]:
        """The windows, one for each cadence, that hold a moment; `InputError` where none of them is over."""
        spans = []
        for cadence in self.cadences():
            start, end = cadence.window(moment)
            known = self._store.windows(self._monitor, cadence=cadence.text, since=start, until=start + 1)
            if end <= self._now:
                spans.append(Span(cadence, start, end, known[0] if known else None))
        if not spans:
            raise InputError(f"the window that holds {utc_text(moment)} is not over yet")
        gone = [span for span in spans if span.known is not None and not self._has_raw(span)]
        if gone:
            raise InputError(f"the raw rows of the window {utc_text(gone[0].start)} are gone; its signals stay")
        return spans

    def _between(self, first: int | None, until: int) -> list[Span]:
        if first is None:
            return []
        found: list[Span] = []
        for cadence in self.cadences():
            known = {w.start: w for w in self._store.windows(self._monitor, cadence=cadence.text)}
            for start, end in _limited(cadence.windows(first, until)):
                found.append(Span(cadence, start, end, known.get(start)))
        return sorted(found, key=lambda span: (span.end, span.start, span.cadence.text))

    def _has_raw(self, span: Span) -> bool:
        horizon = self._now - self.definition.spec.retention.raw
        return span.start >= horizon - horizon % DAY_MS

    def _compute(self, span: Span) -> WindowResult:
        table = self._raw.read(span.start, span.end)
        rows = WindowRows(table, span.start, span.end, salt=self.definition.name)
        checks = [check for check in self.definition.checks if check.cadence.text == span.cadence.text]
        notes: list[str] = []
        usage = Usage()
        states: dict[str, tuple[str, States]] = {}
        signals: dict[str, list[Signal]] = {}
        met = self._meet(rows, notes)
        give_back()
        broken = met is not None and bool(met["breaches"])
        for check in checks if len(rows) and not broken else ():
            measured, error = self._measure(check, rows)
            if error is not None:
                notes.append(f"{check.address} failed: {error}")
                nothing = Estimate(math.nan, coverage=0.0, method="not computed: the check failed")
                signals[check.address] = [Signal(check.kind, "", nothing, "failed", error)]
                continue
            usage += measured.usage
            notes += measured.notes
            states[check.address] = check.identity, measured.states
            signals[check.address] = self._signals(check, measured, span)
            give_back()  # of a large window each check leaves holes, which would add up
        status = EMPTY if not len(rows) else BROKEN if broken else FAILED if checks and not states else OK
        window = WindowRecord(
            "", span.cadence.text, span.start, span.end, 0, status, len(rows), 0, self._monitor.digest,
            notes, {} if usage == Usage() else asdict(usage), met, 0,
        )  # fmt: skip
        if self._same(span.known, window, states):
            assert span.known is not None
            self._store.settle(span.known, token=self._token)
            return WindowResult(span.known, signals, changed=False)
        window = self._with_report(window, rows)
        stored = self._store.add_window(self._monitor, window, states, signals, token=self._token)
        self._baselines.clear()
        return WindowResult(stored, signals)

    def _meet(self, rows: WindowRows, notes: list[str]) -> Mapping[str, Any] | None:
        """How a window meets the contract; None where there is none, or no row."""
        if self.definition.spec.contract is None or not len(rows):
            return None
        from evalkit.monitoring.contracts import explain, load_contract, meet

        if self._contract is None:
            self._contract = load_contract(self.definition)
        assert self._contract is not None
        met = meet(self._contract, rows)
        if met["breaches"]:
            notes += [*explain(met), "the checks were left out: the window breaks the contract"]
        return met

    def _with_report(self, window: WindowRecord, rows: WindowRows) -> WindowRecord:
        """The window with a note on Evidently's report of it, which is written where the monitor asks for one."""
        first, cadence = self.first(), Cadence.parse(window.cadence)
        learnt = self._learnt(cadence)
        if not self.definition.spec.reports.evidently or not len(rows) or first is None or learnt is None:
            return window
        if window.start < learnt:
            return window
        from evalkit.monitoring.window_reports import report_path, write_report

        folder = self._store.folder(self._monitor)
        path = report_path(folder, window.cadence, window.start)
        try:
            write_report(
                self.definition, folder, self._raw, rows.table, baseline=(cadence.window(first)[0], learnt), path=path
            )
            told = f"Evidently's report: {path.relative_to(self._settings.home)}"
        except Exception as error:  # another library's report; the window's own signals do not depend on it
            path.unlink(missing_ok=True)
            told = f"no report of Evidently: {error if isinstance(error, InputError) else one_line(error)}"
        return replace(window, notes=[*window.notes, told])

    def _measure(self, check: Check, rows: WindowRows) -> tuple[Measured, str | None]:
        try:
            return check.measure(rows, self._tools), None
        except Exception as error:  # one broken check leaves the others their window; the note says which and why
            told = str(error) if isinstance(error, InputError) else one_line(error)
            return Measured(), Redactor()(told)

    def _signals(self, check: Check, measured: Measured, span: Span) -> list[Signal]:
        found = [*check.signals(measured.states, self._beside(check, span)), *measured.signals]
        finished = []
        for signal in found:
            verdict, reason = measured.limits.get(signal.key, (signal.verdict, signal.reason))
            samples = signal.samples or measured.samples.get((signal.key, signal.slice), ())
            finished.append(replace(signal, verdict=verdict, reason=reason, samples=tuple(samples)))
        return finished

    def _beside(self, check: Check, span: Span) -> Beside:
        trailing = self._trailing(check, span) if check.trailing else None
        if not check.uses_others:
            return Beside(trailing=trailing)
        baseline = previous = None
        learnt = self._learnt(span.cadence)
        if "baseline" in check.against and learnt is not None and span.start >= learnt:
            baseline = self._baseline(check, span.cadence, learnt)
        if "previous" in check.against:
            before = self._store.windows(self._monitor, cadence=span.cadence.text, until=span.start)
            before = [window for window in before if window.status == OK][-1:]
            previous = next(self._store.states(before, check.address, check.identity), None)
        return Beside(baseline, previous, trailing)

    def _trailing(self, check: Check, span: Span) -> States | None:
        since = span.start - check.trailing
        before = self._store.windows(self._monitor, cadence=span.cadence.text, since=since, until=span.start)
        good = [window for window in before if window.status == OK]
        return merge_all(list(self._store.states(good, check.address, check.identity))) or None

    def _learnt(self, cadence: Cadence) -> int | None:
        """When the baseline is complete: the end of the last window that began in its span."""
        first = self.first()
        if first is None:
            return None
        start, _ = cadence.window(first)
        return cadence.window(start + self.definition.spec.baseline - 1)[1]

    def _baseline(self, check: Check, cadence: Cadence, learnt: int) -> States | None:
        key = cadence.text, check.address
        if key not in self._baselines:
            windows = self._store.windows(self._monitor, cadence=cadence.text, until=learnt)
            good = [window for window in windows if window.status == OK]
            merged = merge_all(list(self._store.states(good, check.address, check.identity)))
            self._baselines[key] = merged or None
        return self._baselines[key]

    def _same(self, known: WindowRecord | None, window: WindowRecord, states: dict[str, tuple[str, Any]]) -> bool:
        """Whether a window came out as it was: no new revision then."""
        if known is None or (known.status, known.rows, known.version_digest, known.contract) != (
            window.status, window.rows, window.version_digest, window.contract,
        ):  # fmt: skip
            return False
        made = {check: states_digest(found) for check, (_, found) in states.items() if found}
        return made == self._store.state_digests(known)

    def retention(self) -> Retention:
        """What is to be dropped now; rows of windows that are still to be computed are not."""
        return Retention(
            self._store, self._monitor, self.definition, self._raw, now=self._now,
            waiting=[span.start for span in self.due() if span.known is None],
            learnt={cadence.text: self._learnt(cadence) or 0 for cadence in self.cadences()},
        )  # fmt: skip

    def prune(self) -> Pruned:
        """Drop what is older than it is kept."""
        dropped = self.retention().prune(token=self._token)
        if self.definition.spec.reports.evidently:
            from evalkit.monitoring.window_reports import forget_reports

            forget_reports(self._store.folder(self._monitor), self._now - self.definition.spec.retention.states)
        self._prune_stream()
        return dropped

    def _prune_stream(self) -> None:
        """Empty the ingest buffer of what every monitor of the stream has read and none keeps any more."""
        stream = self.definition.spec.source.stream
        if stream is None:
            return
        from evalkit.monitoring.sources.stream import prune

        readers = [(one, self._store.definition(one).spec) for one in self._store.monitors()]
        mine = [(one.watermark, spec.retention.raw) for one, spec in readers if spec.source.stream == stream]
        prune(self._settings, stream, [mark for mark, _ in mine], self._now - max(kept for _, kept in mine))


Choose = Callable[[Run], Sequence[Span]]
"""Says which windows a run computes."""


def run_monitor(
    settings: Settings, store: MonitorStore, name: str, choose: Choose,
    *, now: int | None = None, progress: Report | None = None, workspace: str = DEFAULT_WORKSPACE, read: bool = True,
) -> RunReport:  # fmt: skip
    """Run a monitor under its lease; another process that runs it is waited for a moment.

    Without `read` its source is left alone: windows are computed from the rows that are there.

    Raises:
        InputError: no such monitor, a source that cannot be read, or another process at work.
    """
    monitor = store.monitor(name)
    with held(Leases(store.engine, workspace), monitor.lease_key, f"the monitor '{name}'") as lease:
        monitor = store.monitor(name)
        moment = utc_now() if now is None else now
        run = Run(settings, store, monitor, token=lease.token, now=moment, progress=progress or (lambda step: None))
        return run(choose, read=read)


def prune_monitor(
    settings: Settings, store: MonitorStore, name: str, *, dry_run: bool = False, now: int | None = None,
    workspace: str = DEFAULT_WORKSPACE,
) -> Pruned:  # fmt: skip
    """Drop what a monitor has kept longer than its retention says; its source is not read.

    Raises:
        InputError: no such monitor, or another process at work.
    """
    monitor = store.monitor(name)
    with held(Leases(store.engine, workspace), f"monitor:{monitor.id}", f"the monitor '{name}'") as lease:
        moment = utc_now() if now is None else now
        run = Run(settings, store, store.monitor(name), token=lease.token, now=moment, progress=lambda step: None)
        return run.retention().preview() if dry_run else run.prune()


def _limited(windows: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for place, window in enumerate(windows):
        if place > MOST_WINDOWS:
            return
        yield window
