"""``evalkit dataset add | list``."""

from __future__ import annotations

import click

from evalkit.cli.output import console, json_option, note, print_json
from evalkit.remote import server_url


@click.group(short_help="Name and version the data that suites use.")
def dataset() -> None:
    """Name and version the data that suites use."""


@dataset.command()
@click.argument("name")
@click.argument("path", type=click.Path(exists=True))
@click.option("--split", default="test", show_default=True, help="train, validation, test, …")
@click.option("--licence", default="", help="Licence of the data.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Labels for people.")
@json_option
def add(name: str, path: str, split: str, licence: str, label: tuple[str, ...], as_json: bool) -> None:
    """Register the file or folder at PATH as NAME; the digest of its content is its version."""
    from evalkit import named_datasets
    from evalkit.reports.serialise import to_json

    if server_url() is not None:
        raise click.UsageError("a dataset is registered where it lies: run this on the server's machine")
    labels = {}
    for given in label:
        key, equals, value = given.partition("=")
        if not equals:
            raise click.BadParameter(f"expected KEY=VALUE, got '{given}'", param_hint="--label")
        labels[key] = value
    record = named_datasets.add_dataset(name, path, split=split, licence=licence, labels=labels)
    if as_json:
        print_json(to_json(record))
        return
    click.echo(f"{record.name}@{record.split}: {record.rows} rows, {record.digest[:19]}…")
    note(f"suites and --trained-on call it {record.name}@{record.split}")


@dataset.command(name="list")
@json_option
def list_datasets(as_json: bool) -> None:
    """List registered datasets."""
    from evalkit.reports.serialise import to_json

    if server_url() is None:
        from evalkit import named_datasets

        records = named_datasets.list_datasets()
    else:
        from evalkit.remote import catalogues

        records = catalogues.list_datasets()
    if as_json:
        print_json(to_json(records))
        return
    from evalkit.reports import terminal

    terminal.datasets(records, console())
