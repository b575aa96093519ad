"""``evalkit db backup | restore | move``: everything that a project's databases hold, somewhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from evalkit.cli.output import json_option, note, print_json


@click.command(short_help="Copy everything to an empty PostgreSQL database, and verify it.")
@click.option("--to", "target", metavar="URL", required=True, help="postgresql://user@host/name, an empty database.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@json_option
def move(target: str, quiet: bool, as_json: bool) -> None:
    """Copy MLflow's tables, evalkit's, durable steps, ingest buffer and judges' ledger from SQLite to PostgreSQL.

    One transaction, which is committed once every table holds the same rows on both sides; the SQLite files stay as
    they are. End server and workers before. A password belongs into ~/.pgpass or PGPASSWORD.
    """
    from evalkit.config import load_settings, without_password
    from evalkit.databases.move import move as move_to
    from evalkit.databases.places import check_no_password

    check_no_password(target)
    settings = load_settings()
    with _bar(quiet=quiet or as_json) as follow:
        report = move_to(settings, target, follow)
    shown = without_password(target)
    lines = _settings_lines(shown, settings.registry_uri)
    if as_json:
        tables = [
            {"database": one.database, "table": one.table, "rows": one.content.rows, "digest": one.content.digest}
            for one in report.tables
        ]
        audits = [{"workspace": one.workspace, "entries": one.entries, "intact": one.intact} for one in report.audits]
        print_json({"to": shown, "rows": report.rows, "tables": tables, "audit": audits, "settings": lines})
        return
    click.echo(f"{report.rows:,} rows of {len(report.tables)} tables are the same in {shown}")
    for one in report.audits:
        state = "intact" if one.intact else "not intact, as before; see `evalkit audit verify`"
        click.echo(f"audit of workspace '{one.workspace}': {one.entries} entries, {state}")
    click.echo("\nNow use it: put this into evalkit.toml, and start the server again with the same --artifacts")
    for line in lines:
        click.echo(f"  {line}")
    note("SQLite's files were left as they are; keep them until you have seen that all is there")


def _settings_lines(shown: str, registry_uri: str) -> list[str]:
    lines = [f'tracking_uri = "{shown}"']
    if registry_uri.startswith("evalkit+"):
        lines.append(f'registry_uri = "evalkit+{shown}"')
    return lines


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console

    from evalkit.reports.progress_bars import progress_bars

    with progress_bars(Console(stderr=True), quiet=quiet) as bars:
        task = bars.add_task("looking", total=None)

        def follow(what: str, done: int, total: int) -> None:
            bars.update(task, description=what, completed=done, total=total)

        yield follow
