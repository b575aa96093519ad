"""``evalkit approve | demote``: what people decide beside the numbers."""

from __future__ import annotations

import click

from evalkit.cli.output import json_option, note, print_json

ALIAS = click.option("--alias", default="champion", show_default=True, help="The alias it is about.")


@click.command(short_help="Approve the decision that counts now, as a person.")
@click.argument("version")
@ALIAS
@click.option("--comment", default="", help="What others should know; it is recorded.")
@json_option
def approve(version: str, alias: str, comment: str, as_json: bool) -> None:
    """Approve the passing decision on VERSION, for a policy that asks for approvals; exit 1 where none has passed.

    An approval is of one decision: after a new one, people approve again. Whether the author of a version may be
    among them is the policy's to say.
    """
    from evalkit.remote import chosen
    from evalkit.reports.serialise import to_json

    api = chosen()
    decision = api.approve(version, alias, comment=comment)
    if as_json:
        print_json(to_json(decision))
        return
    click.echo(f"approved: models:/{decision.model}/{decision.version} as {alias}, on its decision {decision.id}")
    note(f"stored in {api.store()}")


@click.command(short_help="Take an alias away from a version.")
@click.argument("version")
@ALIAS
@json_option
def demote(version: str, alias: str, as_json: bool) -> None:
    """Take an alias away from VERSION; a protected one needs an approver.

    Where VERSION does not hold the alias, nothing is changed (exit 2).
    """
    from evalkit.remote import chosen

    api = chosen()
    gone = api.demote(version, alias)
    if as_json:
        print_json({"name": gone.name, "alias": alias, "version": gone.version})
        return
    click.echo(f"{alias} of {gone.name} was taken away from version {gone.version}")
    note(f"stored in {api.store()}")
