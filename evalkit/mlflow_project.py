"""What the entry points of ``mlflow_project/MLproject`` run: a command of evalkit inside a run of MLflow Projects.

``mlflow run`` makes a run, starts the command and turns every status but 0 into 1. So the outcome is kept in the run:
the tag ``evalkit.verdict``, the status, and the reports of the gate. The run is ended here and not left to
``mlflow run``, so that it does not stay RUNNING where that process was killed.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from evalkit.cli.app import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_OK, EXIT_USAGE
from evalkit.cli.app import run as run_command
from evalkit.cli.output import fail_line
from metrics.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID = "MLFLOW_RUN_ID"
TAG_VERDICT = "evalkit.verdict"
UNDECIDED, NOT_APPLICABLE, ERROR = "undecided", "not applicable", "error"
_INTERRUPTED = 130
_VERDICTS = {EXIT_OK: "pass", EXIT_FAIL: "fail", EXIT_INCONCLUSIVE: "inconclusive"}
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ProjectRun:
    """The run that ``mlflow run`` made for this process."""

    client: MlflowClient
    run_id: str

    @classmethod
    def current(cls) -> ProjectRun | None:
        """The run named by the environment, which is cleared of it: what evalkit logs goes into runs of its own.

        Raises:
            InputError: the run is not in the store that the environment names.
        """
        run_id = os.environ.pop(RUN_ID, None)
        if run_id is None:
            return None
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if uri.startswith("sqlite:") and not _is_absolute(uri):
            raise InputError(
                f"the tracking URI {uri} is relative to another folder than this one; set MLFLOW_TRACKING_URI to an "
                "absolute one, such as sqlite:///$PWD/.evalkit/mlflow.db"
            )
        client = MlflowClient()
        try:
            client.get_run(run_id)
        except MlflowException as error:
            raise InputError(f"the run {run_id} that `mlflow run` made is not in {uri}: {error.message}") from None
        return cls(client, run_id)

    def end(self, verdict: str, status: str, tags: Mapping[str, str] | None = None, files: Path | None = None) -> None:
        """Say what came out, keep the reports, and end the run."""
        try:
            for name, value in {TAG_VERDICT: verdict, **(tags or {})}.items():
                self.client.set_tag(self.run_id, name, value)
            if files is not None and any(files.iterdir()):
                self.client.log_artifacts(self.run_id, str(files))
        finally:
            self.client.set_terminated(self.run_id, status)


@click.group()
def entry_points() -> None:
    """Entry points of mlflow_project/MLproject; an empty value stands for an option that is not given."""


def folder_option(function: F) -> F:
    """Add ``--folder``."""
    return click.option("--folder", default="..", help="Where relative paths start.")(function)


@entry_points.command()
@folder_option
@click.option("--version", required=True)
@click.option("--suite", default="")
@click.option("--preset", default="")
@click.option("--more", default="")
def evaluate(folder: str, version: str, **options: str) -> int:
    """Run `evalkit evaluate`."""
    return perform(folder, lambda _: ["evaluate", *_given(options), "--", version], decides=False, version=version)


@entry_points.command()
@folder_option
@click.option("--version", required=True)
@click.option("--suite", default="")
@click.option("--preset", default="")
@click.option("--inconclusive", type=click.Choice(["fail", "finish"]), default="fail")
def gate(folder: str, version: str, inconclusive: str, **options: str) -> int:
    """Run `evalkit gate`; `inconclusive` says whether that ends the run as FAILED or FINISHED."""

    def arguments(files: Path) -> list[str]:
        reports = ["--junit", str(files / "junit.xml"), "--markdown", str(files / "scorecard.md")]
        return ["gate", *_given(options), *reports, "--", version]

    neutral = (EXIT_INCONCLUSIVE,) if inconclusive == "finish" else ()
    return perform(folder, arguments, decides=True, version=version, also_fine=neutral)


@entry_points.command()
@folder_option
@click.option("--judge", required=True)
@click.option("--labels", required=True)
@click.option("--metric", default="")
@click.option("--verdicts", default="")
@click.option("--samples", default="")
@click.option("--cluster", default="")
@click.option("--by", default="")
@click.option("--word", default="")
@click.option("--threshold", default="")
@click.option("--own-family", default="")
@click.option("--judge-version", default="")
@click.option("--unscored-wrong", type=click.Choice(["", "false", "true"]), default="")
def calibrate(folder: str, judge: str, by: str, word: str, unscored_wrong: str, **options: str) -> int:
    """Run `evalkit judge calibrate`; `by` and `word` take several values, separated by commas."""
    several = [part for name, listed in (("--by", by), ("--word", word)) for part in _each(name, listed)]
    flags = ["--unscored-wrong"] if unscored_wrong == "true" else []
    command = ["judge", "calibrate", *_given(options), *several, *flags, "--", judge]
    return perform(folder, lambda _: command, decides=False)


@entry_points.command(name="monitor")
@folder_option
@click.option("--monitor", required=True)
@click.option("--window", default="")
def run_monitor(folder: str, monitor: str, **options: str) -> int:
    """Run `evalkit run-due` for one monitor, or `evalkit monitor run` for one `window` of it."""
    windowed = ["monitor", "run", *_given(options), "--", monitor]
    return perform(
        folder, lambda _: windowed if options["window"] else ["run-due", f"--monitor={monitor}"], decides=False
    )


def perform(
    folder: str,
    arguments: Callable[[Path], list[str]],
    *,
    decides: bool,
    version: str | None = None,
    also_fine: Sequence[int] = (),
) -> int:
    """Run one command in `folder` and tell the MLflow run what came of it.

    Args:
        folder: the working folder of the command.
        arguments: the command line, given a folder whose files are kept as artifacts of the run.
        decides: whether the status is a verdict.
        version: the model version that it is about, as it was given.
        also_fine: statuses beside 0 with which the run is FINISHED and this process ends with 0.

    Returns:
        The exit status.
    """
    try:
        project = ProjectRun.current()
    except InputError as error:
        fail_line(str(error), as_json=False)
        return EXIT_USAGE
    signal.signal(signal.SIGTERM, _interrupt)
    code: int | None = None
    tags: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="evalkit-") as made:
        files = Path(made)
        try:
            code = _run_in(folder, arguments(files))
            if project is not None and version is not None and code in _VERDICTS:
                tags = _links(project, version)
        finally:
            fine = code == EXIT_OK or code in also_fine
            if project is not None:
                status = "FINISHED" if fine else "KILLED" if code == _INTERRUPTED else "FAILED"
                verdict = _verdict(code, decides=decides, about_version=version is not None)
                project.end(verdict, status, tags, files)
    return EXIT_OK if fine else code


def _run_in(folder: str, arguments: list[str]) -> int:
    try:
        os.chdir(folder)
    except OSError as error:
        fail_line(f"the folder '{folder}' cannot be used ({error.strerror}); give its absolute path", as_json=False)
        return EXIT_USAGE
    return run_command(arguments)


def _verdict(code: int | None, *, decides: bool, about_version: bool) -> str:
    if decides:
        return _VERDICTS.get(code, ERROR) if code is not None else ERROR
    if code != EXIT_OK:
        return ERROR
    return UNDECIDED if about_version else NOT_APPLICABLE


def _links(project: ProjectRun, version: str) -> dict[str, str]:
    """Tags that lead to the version and to the run of its evaluation."""
    from evalkit import api

    found = api.find(version)
    tags = project.client.get_model_version(found.name, str(found.version)).tags
    linked = {"evalkit.model": found.reference, "evalkit.run": tags.get("evalkit.run", "")}
    return {name: value for name, value in linked.items() if value}


def _given(options: Mapping[str, str]) -> list[str]:
    return [part for name, value in options.items() if value for part in (f"--{name.replace('_', '-')}", value)]


def _each(option: str, listed: str) -> list[str]:
    return [part for value in listed.split(",") if value.strip() for part in (option, value.strip())]


def _is_absolute(uri: str) -> bool:
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or "").is_absolute()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run an entry point and end with its status."""
    try:
        sys.exit(entry_points.main(standalone_mode=False) or EXIT_OK)
    except click.ClickException as error:
        fail_line(error.format_message(), as_json=False)
        project = ProjectRun.current()
        if project is not None:
            project.end(ERROR, "FAILED")
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
