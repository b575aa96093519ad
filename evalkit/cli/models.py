"""``evalkit register | promote | list``."""

from __future__ import annotations

import json
from typing import Any

import click

from evalkit.cli.output import console, json_option, note, print_json


def _parse_json(_ctx: click.Context, _param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"not valid JSON ({error.msg} at character {error.pos})") from None
    if not isinstance(parsed, dict):
        raise click.BadParameter("expected a JSON object, e.g. '{\"latent\": [16]}'")
    return parsed


@click.command(short_help="Register a model version with its suite.")
@click.argument("name")
@click.option("--model", required=True, help="runs:/…, models:/…, a folder or file, openai:/model@URL, call:module:fn.")
@click.option("--suite", required=True, type=click.Path(dir_okay=False), help="The suite that judges this version.")
@click.option("--kind", help="gan, vae, diffusion, llm, …; inferred where it can be.")
@click.option("--trained-on", multiple=True, metavar="NAME@SPLIT", help="Training data, so that overlap is flagged.")
@click.option("--generator", callback=_parse_json, help="Settings of the generator as JSON, e.g. '{\"latent\": [16]}'.")
@click.option("--description", help="A sentence for people.")
@click.option("--new-version", is_flag=True, help="Make a new version even where model and suite are unchanged.")
@json_option
def register(
    name: str,
    model: str,
    suite: str,
    kind: str | None,
    trained_on: tuple[str, ...],
    generator: dict[str, Any] | None,
    description: str | None,
    new_version: bool,
    as_json: bool,
) -> None:
    """Register a model version NAME together with the suite that judges it."""
    from evalkit.remote import chosen
    from evalkit.reports.serialise import to_json

    api = chosen()
    version = api.register(
        name,
        model=model,
        suite=suite,
        kind=kind,
        trained_on=trained_on,
        generator=generator,
        description=description,
        new_version=new_version,
    )
    if as_json:
        print_json(to_json(version))
        return
    click.echo(f"{version.reference} ({version.kind}), judged by the suite {version.suite_digest[:19]}…")
    note(f"stored in {api.store()}; next: evalkit check {version.reference}")


@click.command(short_help="Move an alias; refused without a pass.")
@click.argument("version")
@click.option("--to", "alias", default="champion", show_default=True, help="The alias to move.")
@click.option("--override", metavar="REASON", help="Promote without a passing decision; the reason is recorded.")
@json_option
def promote(version: str, alias: str, override: str | None, as_json: bool) -> None:
    """Move an alias to VERSION; refused without a passing decision on its current suite (exit 1)."""
    from evalkit.config import load_settings
    from evalkit.remote import chosen, server_url
    from evalkit.reports.serialise import to_json
    from evalkit.session import ADVISORY

    api = chosen()
    found = api.find(version)
    moved = api.promote(found, to=alias, override=override)
    if as_json:
        print_json(to_json(moved))
        return
    before = f" (before: version {moved.previous_version})" if moved.previous_version else ""
    click.echo(f"{alias} of {moved.name} is now version {found.version}{before}")
    if server_url() is not None:
        note(f"stored in {api.store()}")
    elif load_settings().advisory:
        note(ADVISORY)


@click.command(name="list", short_help="Models and versions with their verdicts.")
@click.argument("name", required=False)
@json_option
def list_models(name: str | None, as_json: bool) -> None:
    """List registered models, or the versions of the model NAME, with their verdicts."""
    from evalkit.remote import chosen
    from evalkit.reports import terminal
    from evalkit.reports.serialise import to_json

    rows = chosen().list_versions(name)
    if as_json:
        print_json([{**to_json(row.version), "outcome": row.outcome} for row in rows])
        return
    verdicts = {row.version.id: row.outcome for row in rows if row.outcome}
    terminal.versions([row.version for row in rows], verdicts, console())
