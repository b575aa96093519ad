"""``evalkit check | evaluate | gate | compare | show``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evalkit.ci import ReportFiles
from evalkit.cli.output import console, json_option, note, print_json, progress_bar

if TYPE_CHECKING:
    from evalkit.reports.scorecard import Scorecard
    from evalkit.runner.profile import Profiler
    from registry.entities import Decision

SUITE = click.option(
    "--suite", type=click.Path(dir_okay=False), help="Judge by this suite from now on (the version is bound to it)."
)
PRESET = click.option("--preset", type=click.Choice(["quick", "full"]), help="Size of the evaluation.")
TRUST = click.option("--trust-pickle", is_flag=True, help="Allow models that run code when they are loaded.")
ON_SERVER = click.option("--on-server", is_flag=True, help="Let the server's worker evaluate, and wait for it.")


F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False, path_type=Path)


def report_options(function: F) -> F:
    """Add ``--junit`` and ``--markdown``."""
    function = click.option("--markdown", type=_FILE, help="Write a scorecard for a comment to this file.")(function)
    return click.option("--junit", type=_FILE, help="Write JUnit XML, a test case for each rule, to this file.")(
        function
    )


EXIT_CODES = {None: 0, "pass": 0, "fail": 1, "inconclusive": 3}


def _is_file(target: str) -> bool:
    return not target.startswith(("models:/", "runs:/"))


@click.command(short_help="Evaluate, then gate; or compare two files of outputs.")
@click.argument("target")
@click.option("--baseline", help="Outputs to compare with (a file), paired by id or by order.")
@click.option("--margin", type=float, help="Decide: the main score may be worse than the baseline's by at most this.")
@click.option("--write-suite", type=click.Path(dir_okay=False), help="Write a suite that repeats this comparison.")
@click.option("--worst", default=5, show_default=True, help="How many of the worst samples to show.")
@SUITE
@PRESET
@TRUST
@ON_SERVER
@report_options
@json_option
def check(
    target: str,
    baseline: str | None,
    margin: float | None,
    write_suite: str | None,
    worst: int,
    suite: str | None,
    preset: str | None,
    trust_pickle: bool,
    on_server: bool,
    junit: Path | None,
    markdown: Path | None,
    as_json: bool,
) -> int:
    """Evaluate, then gate: TARGET is a registered version, or a file of outputs.

    \b
      evalkit check models:/digits-gan/2                  exit 0 pass, 1 fail, 3 inconclusive
      evalkit check outputs.jsonl --baseline old.jsonl    differences with intervals, worst samples
    """
    reports = ReportFiles(junit, markdown)
    if _is_file(target):
        return _check_file(target, baseline, margin, write_suite, worst, reports, as_json)
    for option, given in (("--baseline", baseline), ("--margin", margin), ("--write-suite", write_suite)):
        if given is not None:
            raise click.UsageError(f"{option} goes with a file of outputs; {target} is judged by its suite")
    api, more = _where(on_server)
    with progress_bar(quiet=as_json) as progress:
        decision = api.check(target, suite=suite, preset=preset, trust_pickle=trust_pickle, progress=progress, **more)
    return _tell(decision, reports, as_json)


def _check_file(
    target: str,
    baseline: str | None,
    margin: float | None,
    write_suite: str | None,
    worst: int,
    reports: ReportFiles,
    as_json: bool,
) -> int:
    from evalkit import quick

    comparison = quick.compare_files(Path(target), Path(baseline) if baseline else None, margin=margin, worst=worst)
    reports.write_comparison(comparison)
    if as_json:
        print_json(comparison.to_json())
    else:
        quick.render(comparison, console())
    wanted = Path(write_suite) if write_suite else None
    if wanted is None and not as_json and console().is_terminal:
        wanted = Path("suite.yaml") if click.confirm("Write suite.yaml with these metrics and limits?") else None
    if wanted is not None:
        quick.write_suite(comparison, wanted)
        note(f"wrote {wanted}")
    elif not as_json:
        note("--write-suite suite.yaml keeps these metrics and limits as a suite")
    return EXIT_CODES[comparison.outcome]


@click.command(short_help="Generate, score, store and log a version.")
@click.argument("version")
@SUITE
@PRESET
@click.option("--more", type=click.IntRange(min=1), help="The next declared look, with this many more samples.")
@click.option(
    "--profile", is_flag=True, help="Tell where the time went: each task and stage, its share, rows a second."
)
@TRUST
@ON_SERVER
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="What generates and extracts.")
@click.option("--address", help="A running Ray cluster: auto or host:port; without it Ray is started here.")
@click.option("--workers", type=click.IntRange(min=1), help="How many Ray workers; by default one for each GPU.")
@json_option
def evaluate(
    version: str,
    suite: str | None,
    preset: str | None,
    more: int | None,
    profile: bool,
    trust_pickle: bool,
    on_server: bool,
    engine: str,
    address: str | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Generate, score, store and log VERSION (models:/NAME/N or models:/NAME@ALIAS).

    A run that was cut off continues where it stopped; a finished one is answered from the store.
    """
    from evalkit.runner.profile import recording

    api, there = _where(on_server)
    if profile and on_server:
        raise click.UsageError("--profile tells about work on this machine; leave --on-server out")
    there |= _engine(engine, address, workers)
    with contextlib.ExitStack() as open_:
        profiler = open_.enter_context(recording()) if profile else None
        progress = open_.enter_context(progress_bar(quiet=as_json))
        scorecard = api.scorecard(
            version, suite=suite, preset=preset, more=more, trust_pickle=trust_pickle, progress=progress, **there
        )
    _print_scorecard(scorecard, as_json, profiler)


@click.command(short_help="Decide: exit 0 pass, 1 fail, 3 inconclusive.")
@click.argument("version")
@SUITE
@PRESET
@report_options
@json_option
def gate(
    version: str, suite: str | None, preset: str | None, junit: Path | None, markdown: Path | None, as_json: bool
) -> int:
    """Decide on the stored evaluation of VERSION: exit 0 pass, 1 fail, 3 inconclusive, 2 usage error."""
    from evalkit.remote import chosen

    reports = ReportFiles(junit, markdown)
    decision = chosen().gate(version, suite=suite, preset=preset)
    return _tell(decision, reports, as_json)


@click.command(short_help="Differences of two versions with intervals.")
@click.argument("candidate")
@click.argument("other")
@json_option
def compare(candidate: str, other: str, as_json: bool) -> None:
    """Compare two evaluated versions: OTHER is the baseline, differences are CANDIDATE minus OTHER."""
    from evalkit.remote import chosen
    from evalkit.reports import terminal
    from evalkit.reports.serialise import to_json

    comparison = chosen().compare(candidate, other)
    if as_json:
        print_json(to_json(comparison))
    else:
        terminal.compare(comparison.candidate.reference, comparison.other.reference, comparison.rows, console())


@click.command(short_help="The scorecard of a version.")
@click.argument("version")
@json_option
def show(version: str, as_json: bool) -> None:
    """Show the scorecard of VERSION as it is stored; nothing is run."""
    from evalkit.remote import chosen

    _print_scorecard(chosen().show(version), as_json)


def _engine(engine: str, address: str | None, workers: int | None) -> dict[str, Any]:
    """What the options say about the engine; nothing where none was chosen."""
    from evalkit.remote import SERVER, server_url

    if engine == "local":
        for option, given in (("--address", address), ("--workers", workers)):
            if given is not None:
                raise click.UsageError(f"{option} goes with --engine ray")
        return {}
    if server_url() is not None:
        raise click.UsageError(f"--engine ray works on a store of its own, not for a server; unset {SERVER}")
    return {"engine": engine, "address": address, "workers": workers}


def _where(on_server: bool) -> tuple[ModuleType, dict[str, Any]]:
    """What evaluates: this machine for itself, this machine for a server, or the server's worker."""
    from evalkit.remote import SERVER, chosen, server_url

    if server_url() is None:
        if on_server:
            raise click.UsageError(f"--on-server needs a server; set {SERVER}=http://host:port")
        return chosen(), {}
    return chosen(), {"on_server": on_server}


def _print_scorecard(card: Scorecard, as_json: bool, profiler: Profiler | None = None) -> None:
    from evalkit.reports import terminal
    from evalkit.reports.serialise import to_json

    if as_json:
        print_json(to_json(card) | ({"profile": profiler.to_json()} if profiler is not None else {}))
        return
    terminal.show(card, console())
    if profiler is not None:
        from evalkit.cli.profile import profile_table

        console().print(profile_table(profiler))


def _tell(decision: Decision, reports: ReportFiles, as_json: bool) -> int:
    from evalkit.reports import terminal
    from evalkit.reports.serialise import to_json

    reports.write(decision)
    if as_json:
        print_json(to_json(decision))
    else:
        terminal.decision(decision, console())
    return EXIT_CODES[decision.outcome]
