"""Forgetting a person: their rows everywhere in the project, and the windows that held them computed again.

Order matters: what is to be done is written down first (`Journal`), so that an erasure that was interrupted is
continued by calling it again, whatever was gone by then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from evalkit.config import Settings
from evalkit.monitoring import erasure_files as files
from evalkit.monitoring import erasure_rows as stored
from evalkit.monitoring.api import open_store
from evalkit.monitoring.cadence import DAY_MS
from evalkit.monitoring.definition import Definition
from evalkit.monitoring.engine import Run, Span, run_monitor
from evalkit.monitoring.erasure_journal import Journal, journal_file, read_journal, subject_of, write_journal
from evalkit.monitoring.erasure_space import wipe
from evalkit.monitoring.erasure_traces import TraceStore
from evalkit.monitoring.fields import utc_now
from evalkit.monitoring.lease import held
from evalkit.monitoring.records import MonitorRecord, WindowRecord
from evalkit.monitoring.spec import Source
from evalkit.monitoring.store import MonitorStore
from evalkit.own_database import SCHEMAS, own_url
from metrics.errors import InputError
from registry.database import parse_url, reading, writing
from registry.leases import Leases
from registry.tables import DEFAULT_WORKSPACE, AuditRow

LONGEST = 200
"""Characters of an id."""
_OWN = ("evalkit_windows", "evalkit_window_states", "evalkit_signals", "evalkit_alerts")
_MLFLOW = ("trace_info", "trace_tags", "trace_request_metadata", "spans")


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was found of a person, or erased.

    Attributes:
        id: of the erasure; empty for a dry run.
        subject: the person in the audit: a keyed digest.
        counts: place to what was erased there.
        left: what could not be erased; running it again tries again.
        notes: what lies elsewhere, where evalkit does not reach.
        receipt: hash of the audit's entry; empty for a dry run.
    """

    id: str
    subject: str
    counts: Mapping[str, int]
    left: Sequence[str]
    notes: Sequence[str]
    receipt: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"counts": dict(self.counts), "left": list(self.left), "notes": list(self.notes)}


def forget(
    user: str, *, dry_run: bool = False, labels: Sequence[Path] = (), settings: Settings | None = None,
    now: int | None = None,
) -> Erasure:  # fmt: skip
    """Erase a person's rows, compute the windows that held them again, and leave a receipt in the audit.

    Args:
        user: the person's id, as applications tell it (`user` of generations, `columns.user` of monitors).
        dry_run: count only; nothing changes.
        labels: files of labels to look through, besides ``labels.jsonl`` of the project.
        settings: of another project.
        now: what time it is, UTC milliseconds.

    Raises:
        InputError: an empty or overlong id, a file that holds no labels, another process that runs a monitor.
    """
    if not user.strip() or len(user) > LONGEST or "\0" in user:
        raise InputError(f"a person's id has 1 to {LONGEST} characters and no zero byte; got {len(user)}")
    with open_store(settings) as (resolved, store):
        found = [file for file in (resolved.home.parent / "labels.jsonl",) if file.is_file() and file not in labels]
        return _Forgetting(resolved, store, user, [*labels, *found], utc_now() if now is None else now).run(dry_run)


class _Forgetting:
    def __init__(self, settings: Settings, store: MonitorStore, user: str, labels: Sequence[Path], now: int) -> None:
        self._settings, self._store, self._user, self._labels, self._now = settings, store, user, labels, now
        self._home = settings.home
        self._traces = TraceStore(settings.tracking_uri)
        self._left: list[str] = []
        self._notes: list[str] = []
        self._journal = Journal()

    def run(self, dry_run: bool) -> Erasure:
        subject = subject_of(self._home, self._user, make=not dry_run)
        file = journal_file(self._home, subject)
        self._journal = read_journal(file) or Journal()
        self._journal.merge(self._find())
        if dry_run:
            return Erasure("", subject, self._counted(), self._left, self._notes)
        write_journal(file, self._journal)
        for step in (self._ledger, self._files, self._delete_traces, self._buffer, self._monitors):
            self._journal.add(step(False))
            write_journal(file, self._journal)
        self._wipe()
        receipt = self._receipt(subject)
        if not self._left:
            file.unlink(missing_ok=True)
        counts = {place: number for place, number in self._journal.counts.items() if number}
        return Erasure(self._journal.id, subject, counts, self._left, self._notes, receipt)

    def _counted(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for step in (self._ledger, self._files, self._delete_traces, self._buffer, self._monitors):
            for place, number in step(True).items():
                counts[place] = counts.get(place, 0) + number
        return {place: number for place, number in counts.items() if number}

    def _find(self) -> Journal:
        found = Journal()
        times: dict[str, int] = {}
        if self._traces.there:
            found.traces, times, left = self._traces.of_person(self._user)
            self._left += left
        streams: dict[str, list[int]] = {}
        if self._has("ingest"):
            from evalkit.ingest.buffer import Buffer

            buffer = Buffer.of(self._settings)
            for stream, key, moment in buffer.of_person(self._user):
                found.buffered.setdefault(stream, []).append(key)
                streams.setdefault(stream, []).append(moment)
            buffer.close()
        for monitor in self._store.monitors():
            definition = self._store.definition(monitor)
            source = definition.spec.source
            rows = stored.find_rows(self._store.folder(monitor) / "raw", self._user)
            ids, moments = set(rows.ids), set(rows.moments)
            if source.traces is not None:
                ids |= times.keys()
                moments |= set(times.values())
                self._trace_rows(definition, rows.ids, found)
            fed_by = _stream_of(source)
            if fed_by is not None:
                moments |= set(streams.get(fed_by, ()))
            elif source.traces is None:
                self._notes.append(
                    f"monitor '{monitor.name}': its source is yours; erase the person's rows there too, or they come "
                    "back when it is read again"
                )
            if not rows.named and (self._store.folder(monitor) / "raw").is_dir():
                self._notes.append(
                    f"monitor '{monitor.name}': no row names a person; map `columns.user` for rows to come"
                )
            moments |= stored.moments_of_slices(self._store, monitor, stored.slices_of(source.columns, self._user))
            found.rows[monitor.id], found.moments[monitor.id] = sorted(ids), sorted(moments)
        return found

    def _trace_rows(self, definition: Definition, ids: frozenset[str], found: Journal) -> None:
        """Rows whose user is elsewhere in the trace than where MLflow keeps users: their traces go too."""
        from mlflow import MlflowClient

        assert definition.spec.source.traces is not None
        if not ids or not self._traces.there:
            return
        client = MlflowClient(tracking_uri=self._settings.tracking_uri)
        experiment = client.get_experiment_by_name(definition.spec.source.traces.experiment)
        if experiment is not None:
            known = found.traces.setdefault(str(experiment.experiment_id), [])
            known += sorted(ids - set(known))

    def _has(self, name: str) -> bool:
        """Whether one of our own databases is there: asking does not make it."""
        url = parse_url(own_url(self._settings, name))
        return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()

    def _ledger(self, dry_run: bool) -> dict[str, int]:
        if not self._has("judges") or not self._journal.sample_ids:
            return {}
        from evalkit.judging.ledger import open_ledger

        ledger = open_ledger(self._settings)
        try:
            ids = self._journal.sample_ids
            return {"judges' replies": ledger.count(ids) if dry_run else ledger.erase(ids)}
        finally:
            ledger.close()

    def _files(self, dry_run: bool) -> dict[str, int]:
        ids = self._journal.trace_ids
        counts = {
            "snapshots of traces": files.erase_snapshots(self._home / "traces", self._user, ids, dry_run=dry_run),
            "stored outputs": files.erase_outputs(self._home, ids, dry_run=dry_run),
            "labels": sum(files.erase_labels(file, self._journal.sample_ids, dry_run=dry_run) for file in self._labels),
        }
        if counts["stored outputs"]:
            self._notes.append(
                "evaluations on the person's traces: what they logged to MLflow (samples.json, scorecard.html) is not "
                "changed; delete those runs or their artifacts"
            )
        return counts

    def _delete_traces(self, dry_run: bool) -> dict[str, int]:
        if dry_run or not self._journal.trace_ids:
            return {"MLflow traces": len(self._journal.trace_ids)}
        deleted, left = self._traces.delete(self._journal.traces)
        self._left += left
        return {"MLflow traces": deleted}

    def _buffer(self, dry_run: bool) -> dict[str, int]:
        if dry_run:
            return {"buffered records": sum(map(len, self._journal.buffered.values()))}
        if not self._journal.buffered:
            return {}
        from evalkit.ingest.buffer import Buffer

        buffer = Buffer.of(self._settings)
        try:
            erased = sum(buffer.erase(stream, keys) for stream, keys in self._journal.buffered.items())
        finally:
            buffer.close()
        return {"buffered records": erased}

    def _monitors(self, dry_run: bool) -> dict[str, int]:
        counts: dict[str, int] = {}
        for monitor in self._store.monitors():
            for place, number in self._monitor(monitor, dry_run).items():
                counts[place] = counts.get(place, 0) + number
        return counts

    def _monitor(self, monitor: MonitorRecord, dry_run: bool) -> dict[str, int]:
        store, folder = self._store, self._store.folder(monitor)
        ids, moments = set(self._journal.rows.get(monitor.id, ())), self._journal.moments.get(monitor.id, ())
        windows = stored.held_by(store, monitor, moments)
        definition = store.definition(monitor)
        horizon = self._now - definition.spec.retention.raw
        again = [window for window in windows if window.start >= horizon - horizon % DAY_MS]
        lost = [window for window in windows if window not in again]
        reports = files.report_files(folder / "reports", windows, store.windows(monitor, revisions=True))
        present = stored.erase_rows(folder / "raw", self._user, ids, dry_run=True)
        if dry_run:
            return {"raw rows": present, "windows to restate": len(again), "windows that lose their states": len(lost),
                    "reports": len(reports)}  # fmt: skip
        if not ids and not windows:
            return {}
        lease_key, what = f"monitor:{monitor.id}", f"the monitor '{monitor.name}'"
        with held(Leases(store.engine, DEFAULT_WORKSPACE), lease_key, what) as lease:
            if present:
                stored.mark(store, again, token=lease.token)
            dropped = stored.drop_states(store, lost, token=lease.token)
            erased = stored.erase_rows(folder / "raw", self._user, ids)
            for report in reports:
                report.unlink(missing_ok=True)
        # Those that an erasure which was killed had marked are among them
        marked = [window for window in stored.held_by(store, monitor, moments) if window.late and window not in lost]
        self._restate(monitor, marked)
        with held(Leases(store.engine, DEFAULT_WORKSPACE), lease_key, what) as lease:
            person = stored.Person(self._user, ids, stored.slices_of(definition.spec.source.columns, self._user))
            stored.scrub(store, monitor, windows, person, token=lease.token)
        return {"raw rows": erased, "windows restated": len(marked), "windows that lost their states": dropped,
                "reports": len(reports)}  # fmt: skip

    def _restate(self, monitor: MonitorRecord, windows: Sequence[WindowRecord]) -> None:
        if not windows:
            return
        wanted = {(window.cadence, window.start) for window in windows}

        def choose(run: Run) -> list[Span]:
            spans = run.within(min(w.start for w in windows), max(w.end for w in windows), again=True)
            return [span for span in spans if (span.cadence.text, span.start) in wanted]

        # What has come in since is read by the monitor's next run, not on this occasion
        run_monitor(self._settings, self._store, monitor.name, choose, now=self._now, read=False)

    def _wipe(self) -> None:
        own = self._settings.database_url
        found = [wipe(own, _OWN)]
        for name, table in (("ingest", "evalkit_ingested"), ("judges", "evalkit_judge_replies")):
            if self._has(name):
                found.append(wipe(own_url(self._settings, name), [table], schema=SCHEMAS[name]))
        uri = self._settings.tracking_uri
        if uri != own and uri.startswith(("sqlite", "postgresql")) and self._journal.trace_ids:
            found.append(wipe(uri, _MLFLOW))
        self._left += [problem for problem in found if problem is not None]

    def _receipt(self, subject: str) -> str:
        """Tell the audit once: digests and counts, never the person's id."""
        from registry import audit
        from registry.actors import intent

        counts = {place: number for place, number in self._journal.counts.items() if number}
        facts = {"erasure": self._journal.id, "subject": subject, "left": len(self._left), "counts": counts}
        with reading(self._store.engine) as session:
            for row in session.scalars(select(AuditRow).where(AuditRow.kind == "erasure")):
                if json.loads(row.entry)["facts"] == facts:
                    return row.hash  # told, and killed before the journal was removed
        with writing(self._store.engine) as session:
            return audit.append(session, "erasure", actor=intent().actor.name, facts=facts)


def _stream_of(source: Source) -> str | None:
    """The stream of the buffer that a monitor reads; None for other sources."""
    named: str | None = getattr(source, "stream", None)
    return named
