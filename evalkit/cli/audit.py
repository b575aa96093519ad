"""``evalkit audit verify | export | anchor``: whether the books are as they were written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.cli.output import json_option, note, print_json
from evalkit.remote import server_url

if TYPE_CHECKING:
    from registry.audit import AuditReport


@click.group()
def audit() -> None:
    """Verify, export and anchor the audit: who registered, judged, approved and promoted what."""


@audit.command(short_help="Find and locate every change to the audit and what it witnessed.")
@click.option("--anchor", "anchors", multiple=True, type=click.Path(dir_okay=False), help="A file of anchors; repeat.")
@json_option
def verify(anchors: tuple[str, ...], as_json: bool) -> int:
    """Follow the chain; exit 1 where an entry, a decision, an approval, a policy or an alias was tampered with.

    Anchors are what finds a chain that was cut or rewritten as a whole: those of the project (.evalkit/anchors.jsonl)
    and of MLflow's experiment tag are read by themselves.
    """
    from dataclasses import asdict

    from evalkit.cli.app import EXIT_FAIL, EXIT_OK

    report = _followed([Path(file) for file in anchors])
    if as_json:
        print_json({**asdict(report), "intact": report.intact})
        return EXIT_OK if report.intact else EXIT_FAIL
    for finding in report.findings:
        click.echo(f"entry {finding.seq}: {finding.what}")
    state = "intact" if report.intact else f"{len(report.findings)} finding{'s' if len(report.findings) > 1 else ''}"
    click.echo(f"{report.entries} entries, {report.anchors} anchors: {state}")
    if report.intact and report.entries and not report.anchors:
        note("without an anchor a chain that was rewritten as a whole is not found; see `evalkit audit anchor`")
    return EXIT_OK if report.intact else EXIT_FAIL


@audit.command(short_help="Write all entries as JSON Lines.")
@click.option("--to", "target", type=click.Path(dir_okay=False), help="A file; standard output by default.")
def export(target: str | None) -> None:
    """Write all entries with their hashes as JSON Lines, oldest first."""
    import os

    with _entries() as entries:
        lines = (json.dumps(entry, ensure_ascii=False, sort_keys=True) for entry in entries)
        if target is None:
            for line in lines:
                click.echo(line)
            return
        part = Path(f"{target}.part")
        with part.open("w", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
        os.replace(part, target)
    note(f"written to {target}")


@audit.command(short_help="Tell the chain's end to places outside the database.")
@click.option("--to", "target", type=click.Path(dir_okay=False), help="A file to append to, beside the project's own.")
@json_option
def anchor(target: str | None, as_json: bool) -> None:
    """Append the chain's end to .evalkit/anchors.jsonl and to MLflow's experiment 'evalkit' as a tag.

    With EVALKIT_SERVER the server does so, as an admin.
    """
    from dataclasses import asdict

    if server_url() is not None:
        from evalkit.remote import books

        if target is not None:
            raise click.UsageError("a server writes to its own places alone; leave --to out, or unset EVALKIT_SERVER")
        made = books.drop_anchor()
    else:
        from evalkit.anchors import drop_anchor

        made = drop_anchor(Path(target) if target else None)
    if as_json:
        print_json(asdict(made))
        return
    click.echo(f"entry {made.seq}: {made.hash}")


def _followed(anchors: list[Path]) -> AuditReport:
    if server_url() is not None:
        from evalkit.remote import books

        if anchors:
            raise click.UsageError("a server reads its own anchors; leave --anchor out, or unset EVALKIT_SERVER")
        return books.verify()
    from evalkit.anchors import known_anchors
    from evalkit.session import open_database
    from registry.audit import verify as follow

    found = known_anchors(anchors)
    with open_database() as engine:
        return follow(engine, anchors=found)


@contextmanager
def _entries() -> Iterator[Iterator[dict[str, Any]]]:
    """The entries, oldest first, for as long as the context lasts."""
    if server_url() is not None:
        from evalkit.remote import books

        yield books.export()
        return
    from evalkit.session import open_database
    from registry.audit import export as stored

    with open_database() as engine:
        yield stored(engine)


__all__: list[Any] = ["audit"]
