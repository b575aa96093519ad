"""``evalkit export | results``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.cli.output import json_option, note, print_json

if TYPE_CHECKING:
    from evalkit.portable.formats import Format
    from evalkit.portable.results import Results
    from evalkit.session import Session
    from registry.entities import ModelVersion

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
    from evalkit.remote import server_url
    from evalkit.reports.serialise import to_json

    if server_url() is not None:
        from evalkit.remote import exports

        written = exports.export(version, target, outputs=not without_outputs, withhold=withhold_others)
    else:
        from evalkit.portable.export import export as write
        from evalkit.session import open_session

        with open_session() as session:
            found = session.registry.version(version)
            written = write(session, found, target, outputs=not without_outputs, withhold=withhold_others)
    manifest = written.manifest
    if as_json:
        print_json(
            {
                "version": manifest.version.reference,
                "file": str(target),
                "bytes": written.size,
                "digest": manifest.digest,
                "evaluations": list(manifest.evaluations),
                "files": len(manifest.files),
                "audit": to_json(manifest.audit.model_dump()) if manifest.audit else None,
            }
        )
        return
    click.echo(
        f"{target}: {manifest.version.reference}, {len(manifest.evaluations)} evaluations, {written.size:,} bytes"
    )
    click.echo(f"  {manifest.digest}")
    if written.others and not withhold_others:
        note(f"its audit excerpt has {written.others} entries of other models; --withhold-others leaves them out")
    if written.missing:
        note(f"{written.missing} files of judges that its suites name are not in it; scores stand without them")


@click.command(short_help="A version's results as CSV, Parquet, JSON, Markdown, JUnit, or Inspect's log.")
@click.argument("version")
@click.option("--format", "form", type=click.Choice(_FORMATS), default="csv", show_default=True)
@click.option("--to", "target", type=click.Path(path_type=Path), help="A file, or for inspect a folder.")
@click.option("--samples", is_flag=True, help="csv, parquet, json: a row for each sample instead of each estimate.")
@click.option("--preset", type=click.Choice(["quick", "full"]), help="Size of the evaluation.")
def results(version: str, form: Format, target: Path | None, samples: bool, preset: str | None) -> None:
    """Write the stored results of VERSION (NAME/N or NAME@ALIAS) in the format of another tool; nothing is run.

    \b
      evalkit results bot/7 > estimates.csv
      evalkit results bot/7 --samples --format parquet --to samples.parquet
      evalkit results bot/7 --format inspect --to logs/     then: inspect view --log-dir logs
    """
    from evalkit.portable.formats import check_samples
    from evalkit.remote import server_url

    if target is None and form in _BINARY:
        raise click.UsageError(f"--format {form} needs --to: {_BINARY[form]}")
    check_samples(form, samples)
    if server_url() is not None:
        from evalkit.remote import exports

        found, files = exports.results(version, form, samples=samples, preset=preset)
    else:
        found, files = _here(version, form, samples, preset)
    if target is None:
        click.echo(files[""], nl=False)
        return
    for name, content in files.items():
        _write(target / name if name else target, content)
    note(f"{found.reference}: written to {target}")


def _here(version: str, form: Format, samples: bool, preset: str | None) -> tuple[ModelVersion, dict[str, bytes]]:
    from evalkit.portable.formats import document
    from evalkit.portable.results import results_of
    from evalkit.session import open_session

    with open_session() as session:
        found = results_of(session, session.registry.version(version), preset)
        if form == "inspect":
            return found.version, _inspect(session, found)
        return found.version, {"": document(session, found, form, samples=samples)}


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
