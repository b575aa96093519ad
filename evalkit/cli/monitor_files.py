"""``evalkit monitor new | schema | apply | contract``: the files of monitors."""

from __future__ import annotations

from pathlib import Path

import click

from evalkit.cli.output import json_option, note, print_json
from evalkit.remote import chosen_monitors, server_url
from metrics.errors import InputError


@click.command()
@click.argument("path", type=click.Path(dir_okay=False), default="monitor.yaml")
def new(path: str) -> None:
    """Write a commented monitor to PATH; an existing file is left alone."""
    from evalkit.monitoring.template import TEMPLATE

    target = Path(path)
    if target.exists():
        raise InputError(f"{path} exists already; name another file or remove it")
    target.write_text(TEMPLATE, encoding="utf-8")
    note(f"wrote {path}; next: evalkit monitor apply {path}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of monitors, for completion in editors."""
    from evalkit.monitoring.schema import monitor_schema

    print_json(monitor_schema())


@click.command()
@click.argument("path", type=click.Path(dir_okay=False))
@json_option
def apply(path: str, as_json: bool) -> None:
    """Make a monitor from the file at PATH, or change the one of its name."""
    from dataclasses import asdict

    applied = chosen_monitors().apply(path)
    when = applied.schedule
    if as_json:
        shown = None if when is None else {"cron": when.cron, "timezone": when.timezone, "catch_up": when.catch_up}
        facts = {"change": applied.change, "checks": list(applied.checks), "schedule": shown}
        print_json({**asdict(applied.monitor), **facts})
        return
    click.echo(f"{applied.change}: {applied.monitor.name} checks {', '.join(applied.checks)}")
    if when is not None:
        state = ", paused" if when.paused else ""
        note(f"workers run it at '{when.cron}' {when.timezone}{state}; `evalkit worker` starts one")
    if server_url() is not None:
        note(f"stored in {server_url()}")
    note(f"next: evalkit monitor run {applied.monitor.name}")


@click.command(short_help="Derive a data contract.")
@click.argument("name", required=False)
@click.option("--from", "file", type=click.Path(dir_okay=False), help="Reference rows: a Parquet, CSV or JSONL file.")
@click.option("--out", type=click.Path(dir_okay=False), default="contract.yaml", show_default=True)
def contract(name: str | None, file: str | None, out: str) -> None:
    """Write down what windows look like: from the baseline of the monitor NAME, or from the rows of a file.

    Name the file in the monitor (contract: contract.yaml), and each window is checked against it before its checks run.
    With NAME and --from the file is read as the monitor reads its source.
    """
    from evalkit.monitoring import contracts

    target = Path(out)
    if target.exists():
        raise InputError(f"{out} exists already; name another file with --out, or remove it")
    if name is None and file is None:
        raise InputError("name a monitor, or a file of reference rows with --from")
    if name is None:
        made = contracts.from_file(Path(str(file)), Path(str(file)).stem)
    elif file is None:
        made = chosen_monitors().contract(name)
    else:
        made = contracts.from_file(Path(file), name, chosen_monitors().definition(name).spec.source.columns)
    target.write_text(made.text(), encoding="utf-8")
    note(f"wrote {out} with {len(made.expectations)} expectations; add `contract: {out}` to the monitor, and apply it")
