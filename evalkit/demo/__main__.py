"""``python -m evalkit.demo --seed 0 --out demo-output``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from metrics.errors import InputError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**31 - 1), help="Another seed, other data."
)
@click.option("--out", default="demo-output", show_default=True, type=click.Path(path_type=Path, file_okay=False))
def main(seed: int, out: Path) -> None:
    """Train, register, gate, promote and monitor on real data, offline; exit 1 where anything is unexpected."""
    from rich.console import Console

    from evalkit.demo.run import run

    try:
        found = run(out, seed, Console(highlight=False))
    except InputError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    sys.exit(0 if found.as_expected else 1)


if __name__ == "__main__":
    main()
