"""``evalkit monitor``: what a model says in production."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evalkit.cli.monitor_files import apply, contract, new, schema
from evalkit.cli.monitor_shown import show_queued, show_report, show_signals, span
from evalkit.cli.output import console, json_option, note, print_json, progress_bar
from evalkit.remote import chosen_monitors, server_url

if TYPE_CHECKING:
    from evalkit.monitoring.checks.base import Signal

_SLICE = click.option("--slice", "slice_", default="", help="A slice such as language=de; 'all' for every slice.")


@click.group(short_help="Watch what a model says in production.")
def monitor() -> None:
    """Watch what a model says in production: windows of its generations, each with its checks and their estimates."""


for command in (new, schema, apply, contract):
    monitor.add_command(command)


@monitor.command(name="list", short_help="Monitors with their newest windows.")
@json_option
def list_(as_json: bool) -> None:
    """List the monitors with their newest windows."""
    from dataclasses import asdict

    from rich.table import Table

    from evalkit.monitoring.records import window_json

    found = chosen_monitors().list_monitors()
    if as_json:
        print_json([{**asdict(m), "window": None if w is None else window_json(w)} for m, w in found])
        return
    if not found:
        note("no monitors; `evalkit monitor new` writes a file to start from")
        return
    table = Table("monitor", "status", "model", "newest window", "state", "rows", box=None)
    for one, window in found:
        newest = ("", "", "") if window is None else (span(window), window.status, f"{window.rows:,}")
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
        show_queued(chosen_monitors().run(name), as_json)
        return

    with progress_bar(quiet=as_json) as progress:
        report = api.run(name, window=window, progress=progress)
    show_report(report, as_json)


@monitor.command()
@click.argument("name")
def pause(name: str) -> None:
    """Stop running the monitor NAME by itself; `evalkit monitor run` still does."""
    chosen_monitors().pause(name)
    click.echo(f"paused: {name}")


@monitor.command()
@click.argument("name")
def resume(name: str) -> None:
    """Run the monitor NAME by itself again; windows of the pause are computed with the next run."""
    chosen_monitors().resume(name)
    click.echo(f"active: {name}")


@monitor.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove the monitor NAME with its schedule, rows, windows and signals; the source stays as it is."""
    if not yes:
        click.confirm(f"Remove '{name}' and all that was found with it?", abort=True, err=True)
    chosen_monitors().remove(name)
    click.echo(f"removed: {name}")
    if server_url() is not None:
        note(f"removed from {server_url()}")


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
        show_queued(chosen_monitors().backfill(name, start, end, again=again), as_json)
        return

    with progress_bar(quiet=as_json) as progress:
        report = api.backfill(name, start, end, again=again, progress=progress)
    show_report(report, as_json)


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

    from evalkit.monitoring.cadence import utc_text
    from evalkit.monitoring.records import signal_json

    chosen = None if slice_ == "all" else slice_
    rows: list[tuple[str, str, str, Signal]] = []
    if level is None:
        stored = chosen_monitors().history(name, check=check, key=key, slice_=chosen, since=since, until=until)
        rows = [(utc_text(s.window.start), utc_text(s.window.end), s.check, s.signal) for s in stored]
    else:
        address = check or "operational"
        for rolled in chosen_monitors().roll(name, level, check=address, since=since, until=until):
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
    from evalkit.monitoring.records import signal_json, window_json

    found = chosen_monitors().explain(name, window)
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
            click.echo(f"{span(one)}  revision {one.revision}: {one.status}, {one.rows:,} rows{late}")
            for line in one.notes:
                click.echo(f"  {line}")
        show_signals([(stored.check, stored.signal) for stored in part.signals], reasons=True)


@monitor.command()
@click.argument("name", required=False)
@click.option("--dry-run", is_flag=True, help="Say what would be dropped; nothing changes.")
@json_option
def prune(name: str | None, dry_run: bool, as_json: bool) -> None:
    """Drop raw rows and states older than the retention of the monitor NAME, or of all; their signals stay."""
    from dataclasses import asdict

    found = chosen_monitors().prune(name, dry_run=dry_run)
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
