"""``evalkit suite check | new | schema``."""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli.output import console, json_option, note, print_json
from evalkit.remote import server_url
from metrics.errors import InputError


@click.group(short_help="Check a suite before spending; start a new one.")
def suite() -> None:
    """Work on suites: check one before anything is spent, start a new one."""


@suite.command()
@click.argument("path", type=click.Path(dir_okay=False))
@click.option("--preset", type=click.Choice(["quick", "full"]), help="Size of the evaluation.")
@click.option("--model", help="Plan against the champion of this registered model (its values, speed and cost).")
@json_option
def check(path: str, preset: str | None, model: str | None, as_json: bool) -> None:
    """Tell power, cost and time of the suite at PATH before anything is spent."""
    from evalkit import planning
    from evalkit.reports.serialise import to_json

    if server_url() is None:
        plan = planning.plan(Path(path), preset=preset, model=model)
    else:
        from evalkit.remote import catalogues

        plan = catalogues.plan(Path(path), preset=preset, model=model)
    if as_json:
        print_json(to_json(plan))
    else:
        planning.render(plan, console())


@suite.command()
@click.argument("path", type=click.Path(dir_okay=False), default="suite.yaml")
@click.option("--kind", default="llm", show_default=True, help="What kind of model: gan, diffusion, llm, …")
def new(path: str, kind: str) -> None:
    """Write a commented suite to PATH; an existing file is left alone."""
    from registry.templates import template

    target = Path(path)
    if target.exists():
        raise InputError(f"{path} exists already; name another file or remove it")
    target.write_text(template(kind), encoding="utf-8")
    note(f"wrote {path}; next: evalkit suite check {path}")


@suite.command()
def schema() -> None:
    """Print the JSON Schema of suites, for completion in editors."""
    from registry.schema import suite_schema

    print_json(suite_schema())
