"""``evalkit metrics``: what can be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evalkit.cli.output import console, json_option, print_json
from evalkit.remote import server_url

if TYPE_CHECKING:
    from metrics.base import MetricSpec


@click.command(short_help="What can be measured.")
@click.argument("name", required=False)
@json_option
def metrics(name: str | None, as_json: bool) -> None:
    """List the metrics, or tell all about the one called NAME, its interval among it."""
    from dataclasses import asdict

    from evalkit.reports.serialise import to_json

    specs = _specs(name)
    if as_json:
        print_json(to_json(specs))
        return
    from rich.table import Table

    if name:
        table = Table("field", "value", show_header=False, box=None)
        for field, value in asdict(specs[0]).items():
            shown = ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else value
            shown = ", ".join(shown) if isinstance(shown, tuple) else shown
            table.add_row(field, "" if shown is None else str(shown))
    else:
        wide = console().width >= 100
        columns = ["metric", "measures", "range", "better", *(["interval"] if wide else [])]
        table = Table(*columns, box=None, header_style="bold")
        for spec in specs:
            low = "-∞" if spec.low is None else f"{spec.low:g}"
            high = "∞" if spec.high is None else f"{spec.high:g}"
            cells = [spec.name, spec.measures, f"{low} to {high}", spec.direction]
            table.add_row(*cells, *([spec.interval] if wide else []))
    console().print(table)


def _specs(name: str | None) -> list[MetricSpec]:
    if server_url() is not None:
        from evalkit.remote import catalogues

        return catalogues.metrics(name)
    import judges
    from metrics.catalogue import catalogue, metric_class

    judges.register_metrics()
    return [metric_class(name).spec] if name else catalogue()
