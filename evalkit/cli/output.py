"""Printing: tables for people on a console, JSON for machines, one line for errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.runner.progress import Report

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(function)


def console() -> Console:
    """Standard output for people."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def print_json(data: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def fail_line(message: str, *, as_json: bool) -> None:
    """Tell what went wrong: one line on standard error, and as JSON on standard output where asked for."""
    if as_json:
        print_json({"error": message})
    click.echo(f"error: {message}", err=True)


def note(message: str) -> None:
    """A remark beside the result, on standard error so that pipes stay clean."""
    click.echo(message, err=True)


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Report]:
    """A progress bar on standard error while long work runs; nothing where it is not a terminal or `quiet`."""
    from rich.console import Console

    from evalkit.reports.progress_bars import follow, progress_bars

    with progress_bars(Console(stderr=True), quiet=quiet) as bars:
        yield follow(bars)
