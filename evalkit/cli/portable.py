"""``evalkit export | results``."""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli.output import json_option, note, print_json


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
