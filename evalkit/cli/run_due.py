"""``evalkit run-due``: monitors for other schedulers."""

from __future__ import annotations

import click

from evalkit.cli.output import json_option, note, print_json
from evalkit.remote import server_url


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

    if server_url() is not None:
        raise click.UsageError("a server's workers run its monitors; `evalkit monitor run NAME` queues a run")
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
