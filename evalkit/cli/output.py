"""Printing: tables for people on a console, JSON for machines, one line for errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evalkit.generators.redaction import redacted

if TYPE_CHECKING:
    from rich.console import Console, RenderHook

    from evalkit.runner.progress import Report

F = TypeVar("F", bound=Callable[..., Any])
_STEERING = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
_LONGEST = 1500


def json_option(function: F) -> F:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(function)


def console() -> Console:
    """Standard output for people."""
    from rich.console import Console

    made = Console(highlight=False, soft_wrap=False)
    made.push_render_hook(_printable_hook())
    return made


def _printable_hook() -> RenderHook:
    """What models and data say is printed, never obeyed: their texts cannot steer the terminal."""
    from rich.console import ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
    from rich.segment import Segment

    class Printable:
        def __init__(self, inner: ConsoleRenderable) -> None:
            self.inner = inner

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for segment in console.render(self.inner, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    class Hook(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            return [Printable(one) for one in renderables]

    return Hook()


def print_json(data: Any) -> None:
    """Print one JSON document."""
    click.echo(_STEERING.sub(lambda found: json.dumps(found[0])[1:-1], json.dumps(data, indent=2, ensure_ascii=False)))


def fail_line(message: str, *, as_json: bool) -> None:
    """Tell what went wrong: one line on standard error, and as JSON on standard output where asked for."""
    told = _shortened(printable(redacted(" ".join(message.split()))))
    if as_json:
        print_json({"error": told})
    click.echo(f"error: {told}", err=True)


def note(message: str) -> None:
    """A remark beside the result, on standard error so that pipes stay clean."""
    click.echo(printable(redacted(message)), err=True)


def printable(text: str) -> str:
    """The text with what would steer a terminal, turn its direction, or cannot be encoded, as escapes."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Report]:
    """A progress bar on standard error while long work runs; nothing where it is not a terminal or `quiet`."""
    from rich.console import Console

    from evalkit.reports.progress_bars import follow, progress_bars

    with progress_bars(Console(stderr=True), quiet=quiet) as bars:
        yield follow(bars)
