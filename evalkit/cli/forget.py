"""``evalkit forget``: erase what is stored about a person."""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli.output import json_option, note, print_json
from evalkit.remote import server_url


@click.command(short_help="Erase a person's rows everywhere, and restate the windows that held them.")
@click.option("--user", required=True, metavar="ID", help="The person's id, as applications tell it.")
@click.option("--labels", multiple=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="A file of labels to look through, besides the project's labels.jsonl; repeat.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Count what would be erased; nothing changes.")
@json_option
def forget(user: str, labels: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Erase the rows of a person: buffer, raw rows, judges' replies, labels, traces, stored outputs and reports.

    The windows of monitors that held them are computed again from the rows that remain; where those are gone, their
    states are dropped. The audit gets a receipt with a keyed digest and counts. An erasure that was interrupted is
    continued by the same command. Exit status 1 where something could not be erased.
    """
    from evalkit.cli.app import EXIT_FAIL, EXIT_OK
    from evalkit.monitoring.erasure import Erasure
    from evalkit.monitoring.erasure import forget as erase

    if server_url() is None:
        made = erase(user, dry_run=dry_run, labels=[Path(file) for file in labels])
    else:
        if labels:
            raise click.UsageError("a server looks through its own labels; leave --labels out, or unset EVALKIT_SERVER")
        from evalkit.remote.client import Client

        told = Client.from_environment().send("POST", "/erasures", {"user": user, "dry_run": dry_run})
        made = Erasure(**told)
    status = EXIT_FAIL if made.left else EXIT_OK
    if as_json:
        print_json(made.to_json())
        return status
    if not made.counts:
        click.echo("nothing of this person was found")
    for place, number in made.counts.items():
        click.echo(f"{place}: {number:,}")
    for problem in made.left:
        click.echo(f"left: {problem}")
    for elsewhere in made.notes:
        note(elsewhere)
    if dry_run:
        note("nothing was changed; without --dry-run these are erased for good")
    else:
        click.echo(f"receipt in the audit: {made.receipt}")
    return status
