"""``evalkit db backup | restore | move``: everything that a project's databases hold, somewhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from evalkit.cli.output import json_option, note, print_json
from evalkit.remote import only_here

HERE = "databases are kept where they are: run this on the server's machine"


@click.command(short_help="Copy everything to an empty PostgreSQL database, and verify it.")
@click.option("--to", "target", metavar="URL", required=True, help="postgresql://user@host/name, an empty database.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@json_option
def move(target: str, quiet: bool, as_json: bool) -> None:
    """Copy MLflow's tables, evalkit's, durable steps, ingest buffer and judges' ledger from SQLite to PostgreSQL.

    One transaction, which is committed once every table holds the same rows on both sides; the SQLite files stay as
    they are. End server and workers before. A password belongs into ~/.pgpass or PGPASSWORD.
    """
    only_here(HERE)
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


@click.command(short_help="Write everything to a folder or a .zip, while it is at work.")
@click.argument("target", type=click.Path(path_type=Path), metavar="FOLDER|FILE.zip")
@click.option(
    "--artifacts", is_flag=True, help="Also models, run files, outputs, scores, labels, verdicts, states of monitors."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@json_option
def backup(target: Path, artifacts: bool, quiet: bool, as_json: bool) -> None:
    """Copy all databases as they are at one moment, with a digest of every file; whatever is at work goes on.

    What has that name already is left alone, and a backup that is interrupted leaves nothing under it.
    """
    only_here(HERE)
    from evalkit.config import load_settings
    from evalkit.databases.backup import backup as write

    settings = load_settings()
    with _bar(quiet=quiet or as_json) as follow:
        manifest = write(settings, target, artifacts=artifacts, follow=follow)
    size = sum(file.bytes for file in manifest.files.values())
    if as_json:
        print_json(
            {"backup": str(target), "bytes": size, "files": len(manifest.files), "revisions": manifest.revisions}
        )
        return
    click.echo(f"{target}: {len(manifest.files):,} files, {size / 2**20:,.1f} MiB")
    for end in manifest.audit:
        click.echo(f"audit of workspace '{end.workspace}': {end.entries} entries, head {end.head}")
    if not artifacts:
        note("databases only; --artifacts adds the files that they tell of")


@click.command(short_help="Put a backup in the place of what is there.")
@click.argument("source", type=click.Path(path_type=Path, exists=True), metavar="FOLDER|FILE.zip")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@json_option
def restore(source: Path, force: bool, quiet: bool, as_json: bool) -> int:
    """Verify a backup, write it beside what is there, and then exchange the two; exit 1 where its audit has findings.

    End server and workers before. A backup of SQLite goes into a project on SQLite, one of PostgreSQL into PostgreSQL.
    """
    only_here(HERE)
    from evalkit.cli.app import EXIT_FAIL, EXIT_OK
    from evalkit.config import load_settings
    from evalkit.databases.restore import restore as put_back

    settings = load_settings()
    with _bar(quiet=quiet or as_json) as follow:
        restored = put_back(settings, source, force=force, follow=follow)
    intact = all(report.intact for report in restored.audits)
    if as_json:
        audits = [{"workspace": one.workspace, "entries": one.entries, "intact": one.intact} for one in restored.audits]
        print_json({"restored": len(restored.manifest.files), "audit": audits, "intact": intact})
        return EXIT_OK if intact else EXIT_FAIL
    click.echo(f"{len(restored.manifest.files):,} files restored, as of {_when(restored.manifest.made_at)}")
    for one in restored.audits:
        click.echo(
            f"audit of workspace '{one.workspace}': {one.entries} entries, {'intact' if one.intact else 'broken'}"
        )
        for finding in one.findings:
            click.echo(f"  {finding.what}")
    if not restored.audits:
        note("run `evalkit db upgrade`, then `evalkit audit verify`")
    return EXIT_OK if intact else EXIT_FAIL


def _when(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
