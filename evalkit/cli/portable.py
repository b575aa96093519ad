"""``evalkit export | results``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.output import json_option, note, print_json

if TYPE_CHECKING:
    from evalkit.portable.results import Results
    from evalkit.session import Session

_FORMATS = ("csv", "parquet", "json", "markdown", "junit", "inspect")
_BINARY = {"parquet": "a file", "inspect": "a folder, in which Inspect's viewer finds its logs"}


@click.command(short_help="Write a version with all that was measured of it into one file.")
@click.argument("version")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--without-outputs", is_flag=True, help="Leave out stored outputs and judges' verdicts; scores remain.")
@click.option("--withhold-others", is_flag=True, help="Leave out of the audit excerpt what it says of other models.")
@json_option
def export(version: str, target: Path, without_outputs: bool, withhold_others: bool, as_json: bool) -> None:
    """Write VERSION (NAME/N or NAME@ALIAS) to the file TARGET, which `evalkit import` reads.

    Inside are its suites, evaluations with estimates and per-sample scores, stored outputs, decisions, and the part of
    the audit that tells of it; the model's files are not. The same content gives the same bytes.
    """
    from evalkit.portable.export import export as write
    from evalkit.remote import server_url
    from evalkit.reports.serialise import to_json
    from evalkit.session import open_session

    if server_url() is not None:
        raise click.UsageError("an export reads the store's own tables: run it on the server's machine")
    with open_session() as session:
        found = session.registry.version(version)
        written = write(session, found, target, outputs=not without_outputs, withhold=withhold_others)
    manifest = written.manifest
    if as_json:
        print_json(
            {
                "version": found.reference,
                "file": str(target),
                "bytes": written.size,
                "digest": manifest.digest,
                "evaluations": list(manifest.evaluations),
                "files": len(manifest.files),
                "audit": to_json(manifest.audit.model_dump()) if manifest.audit else None,
            }
        )
        return
    click.echo(f"{target}: {found.reference}, {len(manifest.evaluations)} evaluations, {written.size:,} bytes")
    click.echo(f"  {manifest.digest}")
    if written.others and not withhold_others:
        note(f"its audit excerpt has {written.others} entries of other models; --withhold-others leaves them out")


@click.command(short_help="A version's results as CSV, Parquet, JSON, Markdown, JUnit, or Inspect's log.")
@click.argument("version")
@click.option("--format", "form", type=click.Choice(_FORMATS), default="csv", show_default=True)
@click.option("--to", "target", type=click.Path(path_type=Path), help="A file, or for inspect a folder.")
@click.option("--samples", is_flag=True, help="csv, parquet, json: a row for each sample instead of each estimate.")
@click.option("--preset", type=click.Choice(["quick", "full"]), help="Size of the evaluation.")
def results(version: str, form: str, target: Path | None, samples: bool, preset: str | None) -> None:
    """Write the stored results of VERSION (NAME/N or NAME@ALIAS) in the format of another tool; nothing is run.

    \b
      evalkit results bot/7 > estimates.csv
      evalkit results bot/7 --samples --format parquet --to samples.parquet
      evalkit results bot/7 --format inspect --to logs/     then: inspect view --log-dir logs
    """
    from evalkit.portable.results import results_of
    from evalkit.remote import server_url
    from evalkit.session import open_session

    if server_url() is not None:
        raise click.UsageError("results are read from the store itself: run it on the server's machine")
    if target is None and form in _BINARY:
        raise click.UsageError(f"--format {form} needs --to: {_BINARY[form]}")
    if samples and form not in {"csv", "parquet", "json"}:
        raise click.UsageError(f"--samples goes with csv, parquet and json; {form} has its own place for samples")
    with open_session() as session:
        found = results_of(session, session.registry.version(version), preset)
        files = _inspect(session, found) if form == "inspect" else {"": _document(found, form, samples, session)}
    if target is None:
        click.echo(files[""], nl=False)
        return
    for name, content in files.items():
        _write(target / name if name else target, content)
    note(f"{found.version.reference}: written to {target}")


def _document(found: Results, form: str, samples: bool, session: Session) -> bytes:
    from evalkit.ci import decided_card
    from evalkit.portable import results as tables
    from evalkit.reports import junit, markdown
    from metrics.errors import InputError

    if form in {"junit", "markdown"}:
        if found.decision is None:
            raise InputError(
                f"{found.version.reference}: no gate has decided on these results; run `evalkit gate "
                f"{found.version.reference}`"
            )
        card, differences = decided_card(found.decision, session.settings, compared=form == "markdown")
        if form == "junit":
            return junit.render(found.decision, card.suite)
        return markdown.render(found.decision, card, differences).encode()
    table = tables.samples_table(found) if samples else tables.estimates_table(found)
    if form == "parquet":
        return tables.to_parquet(table)
    return tables.to_csv(table) if form == "csv" else tables.to_rows(table)


def _inspect(session: Session, found: Results) -> dict[str, bytes]:
    from evalkit.portable.inspect_log import inspect_logs
    from evalkit.runner.publish import expected_answers

    suite = session.registry.suite(found.version)
    return dict(inspect_logs(found, expected_answers(suite, session.registry, session.settings)))


def _write(target: Path, content: bytes) -> None:
    from evalkit.runner.shards import write_atomically
    from metrics.errors import InputError

    try:
        write_atomically(target.resolve(), content)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})") from None
