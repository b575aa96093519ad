"""``evalkit monitor``: what a model says in production; ``evalkit run-due`` for other schedulers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.output import console, json_option, note, print_json, progress_bar
from evalkit.remote import server_url
from metrics.errors import InputError

if TYPE_CHECKING:
    from evalkit.monitoring.checks.base import Signal
    from evalkit.monitoring.records import RunReport, WindowRecord

_SLICE = click.option("--slice", "slice_", default="", help="A slice such as language=de; 'all' for every slice.")


@click.group(short_help="Watch what a model says in production.")
def monitor() -> None:
    """Watch what a model says in production: windows of its generations, each with its checks and their estimates."""


@monitor.command()
@click.argument("path", type=click.Path(dir_okay=False), default="monitor.yaml")
def new(path: str) -> None:
    """Write a commented monitor to PATH; an existing file is left alone."""
    from evalkit.monitoring.template import TEMPLATE

    target = Path(path)
    if target.exists():
        raise InputError(f"{path} exists already; name another file or remove it")
    target.write_text(TEMPLATE, encoding="utf-8")
    note(f"wrote {path}; next: evalkit monitor apply {path}")


@monitor.command()
def schema() -> None:
    """Print the JSON Schema of monitors, for completion in editors."""
    from evalkit.monitoring.schema import monitor_schema

    print_json(monitor_schema())


@monitor.command()
@click.argument("path", type=click.Path(dir_okay=False))
@json_option
def apply(path: str, as_json: bool) -> None:
    """Make a monitor from the file at PATH, or change the one of its name."""
    from dataclasses import asdict

    from evalkit.monitoring import api

    applied = api.apply(path)
    when = applied.schedule
    if as_json:
        shown = None if when is None else {"cron": when.cron, "timezone": when.timezone, "catch_up": when.catch_up}
        facts = {"change": applied.change, "checks": list(applied.checks), "schedule": shown}
        print_json({**asdict(applied.monitor), **facts})
        return
    click.echo(f"{applied.change}: {applied.monitor.name} checks {', '.join(applied.checks)}")
    if when is not None:
        state = ", paused" if when.paused else ""
        note(f"workers run it at '{when.cron}' {when.timezone}{state}; `evalkit worker` starts one")
    note(f"next: evalkit monitor run {applied.monitor.name}")


@monitor.command(short_help="Derive a data contract.")
@click.argument("name", required=False)
@click.option("--from", "file", type=click.Path(dir_okay=False), help="Reference rows: a Parquet, CSV or JSONL file.")
@click.option("--out", type=click.Path(dir_okay=False), default="contract.yaml", show_default=True)
def contract(name: str | None, file: str | None, out: str) -> None:
    """Write down what windows look like: from the baseline of the monitor NAME, or from the rows of a file.

    Name the file in the monitor (contract: contract.yaml), and each window is checked against it before its checks run.
    With NAME and --from the file is read as the monitor reads its source.
    """
    from evalkit.monitoring import contracts
    from evalkit.monitoring.api import open_store

    target = Path(out)
    if target.exists():
        raise InputError(f"{out} exists already; name another file with --out, or remove it")
    if name is None and file is None:
        raise InputError("name a monitor, or a file of reference rows with --from")
    if name is None:
        made = contracts.from_file(Path(str(file)), Path(str(file)).stem)
    else:
        with open_store() as (_, store):
            columns = store.definition(store.monitor(name)).spec.source.columns
            made = (
                contracts.from_baseline(store, name) if file is None else contracts.from_file(Path(file), name, columns)
            )
    target.write_text(made.text(), encoding="utf-8")
    note(f"wrote {out} with {len(made.expectations)} expectations; add `contract: {out}` to the monitor, and apply it")


@monitor.command(name="list", short_help="Monitors with their newest windows.")
@json_option
def list_(as_json: bool) -> None:
    """List the monitors with their newest windows."""
    from dataclasses import asdict

    from rich.table import Table

    from evalkit.monitoring.records import window_json

    found = _monitors().list_monitors()
    if as_json:
        print_json([{**asdict(m), "window": None if w is None else window_json(w)} for m, w in found])
        return
    if not found:
        note("no monitors; `evalkit monitor new` writes a file to start from")
        return
    table = Table("monitor", "status", "model", "newest window", "state", "rows", box=None)
    for one, window in found:
        newest = ("", "", "") if window is None else (_span(window), window.status, f"{window.rows:,}")
        table.add_row(one.name, one.status, one.model or "", *newest)
    console().print(table)


@monitor.command()
@click.argument("name")
@click.option("--window", metavar="TIME", help="Compute the windows that hold this moment (2026-05-01T06:00Z) again.")
@json_option
def run(name: str, window: str | None, as_json: bool) -> None:
    """Read what is new for the monitor NAME, and compute the windows that are due; on a server, its workers do."""
    from evalkit.monitoring import api

    if server_url() is not None:
        if window is not None:
            raise click.UsageError(
                "a server computes a window by `backfill`; leave --window out, or unset EVALKIT_SERVER"
            )
        _queued(_monitors().run(name), as_json)
        return

    with progress_bar(quiet=as_json) as progress:
        report = api.run(name, window=window, progress=progress)
    _show(report, as_json)


@monitor.command()
@click.argument("name")
def pause(name: str) -> None:
    """Stop running the monitor NAME by itself; `evalkit monitor run` still does."""
    _monitors().pause(name)
    click.echo(f"paused: {name}")


@monitor.command()
@click.argument("name")
def resume(name: str) -> None:
    """Run the monitor NAME by itself again; windows of the pause are computed with the next run."""
    _monitors().resume(name)
    click.echo(f"active: {name}")


@monitor.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove the monitor NAME with its schedule, rows, windows and signals; the source stays as it is."""
    from evalkit.monitoring import api

    if not yes:
        click.confirm(f"Remove '{name}' and all that was found with it?", abort=True, err=True)
    api.remove(name)
    click.echo(f"removed: {name}")


@monitor.command(short_help="Schedules of monitors, and what came of them.")
@click.argument("name", required=False)
@json_option
def jobs(name: str | None, as_json: bool) -> None:
    """Show when monitors run, when they ran last and what came of it; of all monitors, or of NAME."""
    from rich.table import Table
    from rich.text import Text

    from evalkit.monitoring import api
    from evalkit.monitoring.scheduling import job_json

    if server_url() is not None:
        from evalkit.remote import monitors

        found = monitors.jobs(name)
    else:
        found = [job_json(job) for job in api.jobs(name)]
    if as_json:
        print_json(found)
        return
    if not found:
        note("no monitors; `evalkit monitor new` writes a file to start from")
        return
    table = Table("monitor", "status", "schedule", "next", "last", "outcome", box=None)
    for job in found:
        latest = job["latest"]
        outcome = "" if latest is None else latest["error"] or latest["outcome"] or "under way"
        when = "none" if job["cron"] is None else f"{job['cron']} {job['timezone']}"
        table.add_row(job["monitor"], job["status"], when, job["next"] or "", job["last"] or "", Text(outcome))
    console().print(table)


@click.command(name="run-due", short_help="Run all monitors once, for cron, Airflow and Kubernetes.")
@click.option("--monitor", "names", multiple=True, metavar="NAME", help="This one only; repeat for more.")
@json_option
def run_due(names: tuple[str, ...], as_json: bool) -> int:
    """Read what is new for each monitor that is not paused, and compute the windows that are due.

    Exit 1 where a monitor or a window of one failed; the others are done nevertheless.
    """
    from evalkit.cli.app import EXIT_FAIL, EXIT_OK
    from evalkit.monitoring import api
    from evalkit.monitoring.records import report_json

    outcomes = api.run_due(names)
    if as_json:
        print_json(
            [
                {"monitor": one.monitor, "error": one.error, "report": one.report and report_json(one.report)}
                for one in outcomes
            ]
        )
    else:
        for one in outcomes:
            done = "" if one.report is None else f"read {one.report.read:,} rows, {len(one.report.windows)} windows"
            click.echo(f"{one.monitor}: {'; '.join(filter(None, (done, one.error)))}")
        if not outcomes:
            note("no monitor that is not paused")
    return EXIT_FAIL if any(one.error for one in outcomes) else EXIT_OK


@monitor.command()
@click.argument("name")
@click.option("--from", "start", required=True, metavar="TIME", help="First moment, as 2026-05-01 (UTC).")
@click.option("--to", "end", required=True, metavar="TIME", help="First moment after the range.")
@click.option("--again", is_flag=True, help="Compute windows that are there already, too.")
@json_option
def backfill(name: str, start: str, end: str, again: bool, as_json: bool) -> None:
    """Compute windows of a range that are missing, or that an older version of the monitor NAME computed."""
    from evalkit.monitoring import api

    if server_url() is not None:
        _queued(_monitors().backfill(name, start, end, again=again), as_json)
        return

    with progress_bar(quiet=as_json) as progress:
        report = api.backfill(name, start, end, again=again, progress=progress)
    _show(report, as_json)


@monitor.command()
@click.argument("name")
@click.option("--check", help="Signals of one check only.")
@click.option("--key", help="One number of it, such as latency.p95.")
@_SLICE
@click.option("--since", metavar="TIME", help="Windows that begin at this moment or later.")
@click.option("--until", metavar="TIME", help="Windows that begin before this moment.")
@click.option("--level", metavar="SPAN", help="Rolled up to day, week or month from the windows' states.")
@json_option
def history(
    name: str, check: str | None, key: str | None, slice_: str, since: str | None, until: str | None,
    level: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Show the signals of the monitor NAME over time."""
    from rich.table import Table

    from evalkit.monitoring import api
    from evalkit.monitoring.cadence import utc_text
    from evalkit.monitoring.records import signal_json

    chosen = None if slice_ == "all" else slice_
    rows: list[tuple[str, str, str, Signal]] = []
    if level is None:
        stored = _monitors().history(name, check=check, key=key, slice_=chosen, since=since, until=until)
        rows = [(utc_text(s.window.start), utc_text(s.window.end), s.check, s.signal) for s in stored]
    elif server_url() is not None:
        raise click.UsageError("a server rolls nothing up for others; leave --level out, or unset EVALKIT_SERVER")
    else:
        address = check or "operational"
        for rolled in api.roll(name, level, check=address, since=since, until=until):
            for signal in rolled.signals:
                if (key is None or signal.key == key) and chosen in (None, signal.slice):
                    rows.append((utc_text(rolled.start), utc_text(rolled.end), address, signal))
    if as_json:
        print_json([{"start": s, "end": e, **signal_json(address, found)} for s, e, address, found in rows])
        return
    if not rows:
        note("no signals; `evalkit monitor run` computes the windows that are due")
        return
    table = Table("window", "check", "number", "slice", "estimate", "verdict", box=None)
    for start, _, address, found in rows:
        table.add_row(start, address, found.key, found.slice, str(found.estimate), found.verdict)
    console().print(table)


@monitor.command()
@click.argument("name")
@click.argument("window", metavar="TIME")
@json_option
def explain(name: str, window: str, as_json: bool) -> None:
    """Show everything behind the window of the monitor NAME that holds TIME: revisions, notes, signals, rows."""
    from evalkit.monitoring import api
    from evalkit.monitoring.records import signal_json, window_json

    found = api.explain(name, window)
    if as_json:
        print_json(
            [
                {
                    "revisions": [window_json(one) for one in part.revisions],
                    "signals": [signal_json(stored.check, stored.signal) for stored in part.signals],
                }
                for part in found
            ]
        )
        return
    for part in found:
        for one in part.revisions:
            late = f", {one.late} late rows wait" if one.late else ""
            click.echo(f"{_span(one)}  revision {one.revision}: {one.status}, {one.rows:,} rows{late}")
            for line in one.notes:
                click.echo(f"  {line}")
        _signals([(stored.check, stored.signal) for stored in part.signals], reasons=True)


@monitor.command()
@click.argument("name", required=False)
@click.option("--dry-run", is_flag=True, help="Say what would be dropped; nothing changes.")
@json_option
def prune(name: str | None, dry_run: bool, as_json: bool) -> None:
    """Drop raw rows and states older than the retention of the monitor NAME, or of all; their signals stay."""
    from dataclasses import asdict

    from evalkit.monitoring import api

    found = api.prune(name, dry_run=dry_run)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    would = "would drop" if dry_run else "dropped"
    for one in found:
        days = f" ({one.days[0]} to {one.days[-1]})" if one.days else ""
        click.echo(
            f"{one.monitor}: {would} raw rows of {len(one.days):,} days{days} and states of {one.windows:,} windows; "
            f"longer windows stored in their place: {one.rolled:,}"
        )
    if not found:
        note("no monitors")


def _monitors() -> ModuleType:
    """What the commands call: `evalkit.monitoring.api`, or its like for the server that the environment names."""
    if server_url() is not None:
        from evalkit.remote import monitors

        return monitors
    from evalkit.monitoring import api

    return api


def _queued(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    click.echo(f"queued: {told['key']}")
    note(f"{told['workers']} workers of {server_url()} live; without one it waits")


def _show(report: RunReport, as_json: bool) -> None:
    from evalkit.monitoring.records import report_json

    if as_json:
        print_json(report_json(report))
        return
    refused = "".join(f"; {rows:,} refused: {reason}" for reason, rows in report.refused.items())
    click.echo(f"{report.monitor}: read {report.read:,} rows{refused}")
    for result in report.windows:
        window = result.window
        state = f"revision {window.revision}" if result.changed else "as it was"
        click.echo(f"{_span(window)}  {window.status}, {window.rows:,} rows, {state}")
        for line in window.notes:
            click.echo(f"  {line}")
    if report.alerts:
        note(f"{report.alerts} new alerts; see `evalkit alerts list`")
    if not report.windows:
        note("no window is due")
        return
    newest = report.windows[-1]
    overall = [(check, signal) for check, found in newest.signals.items() for signal in found if not signal.slice]
    _signals(overall, reasons=False)


def _signals(rows: Sequence[tuple[str, Any]], *, reasons: bool) -> None:
    from rich.table import Table

    if not rows:
        return
    table = Table("check", "number", "slice", "estimate", "verdict", *(["because"] if reasons else []), box=None)
    for check, signal in rows:
        more = [signal.reason] if reasons else []
        table.add_row(check, signal.key, signal.slice, str(signal.estimate), signal.verdict, *more)
    console().print(table)


def _span(window: WindowRecord) -> str:
    from evalkit.monitoring.cadence import utc_text

    return f"{utc_text(window.start)} to {utc_text(window.end)}"
