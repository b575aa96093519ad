"""How the commands on monitors print what they found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.output import console, note, print_json
from evalkit.remote import server_url

if TYPE_CHECKING:
    from evalkit.monitoring.records import RunReport, WindowRecord


def show_queued(told: dict[str, Any], as_json: bool) -> None:
    """What waits for a worker of the server."""
    if as_json:
        print_json(told)
        return
    click.echo(f"queued: {told['key']}")
    note(f"{told['workers']} workers of {server_url()} live; without one it waits")


def show_report(report: RunReport, as_json: bool) -> None:
    """What a run did, and the numbers of its newest window."""
    from evalkit.monitoring.records import report_json

    if as_json:
        print_json(report_json(report))
        return
    refused = "".join(f"; {rows:,} refused: {reason}" for reason, rows in report.refused.items())
    click.echo(f"{report.monitor}: read {report.read:,} rows{refused}")
    for result in report.windows:
        window = result.window
        state = f"revision {window.revision}" if result.changed else "as it was"
        click.echo(f"{span(window)}  {window.status}, {window.rows:,} rows, {state}")
        for line in window.notes:
            click.echo(f"  {line}")
    if report.alerts:
        note(f"{report.alerts} new alerts; see `evalkit alerts list`")
    if not report.windows:
        note("no window is due")
        return
    newest = report.windows[-1]
    overall = [(check, signal) for check, found in newest.signals.items() for signal in found if not signal.slice]
    show_signals(overall, reasons=False)


def show_signals(rows: Sequence[tuple[str, Any]], *, reasons: bool) -> None:
    """A table of signals, each with the address of its check."""
    from rich.table import Table

    if not rows:
        return
    table = Table("check", "number", "slice", "estimate", "verdict", *(["because"] if reasons else []), box=None)
    for check, signal in rows:
        more = [signal.reason] if reasons else []
        table.add_row(check, signal.key, signal.slice, str(signal.estimate), signal.verdict, *more)
    console().print(table)


def span(window: WindowRecord) -> str:
    """Beginning and end of a window."""
    from evalkit.monitoring.cadence import utc_text

    return f"{utc_text(window.start)} to {utc_text(window.end)}"
