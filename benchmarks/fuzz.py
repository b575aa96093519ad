"""Mutated suites, monitors, data sets and archives through the real commands: no traceback, no hang, nothing lost.

    python -m benchmarks.fuzz [--cases 2000] [--seed 0] [--only suite|monitor|dataset|archive] [--file NAME] [--case N]

Every case is a number: with the same seed it makes the same file and runs the same command, in this process. Expected
are an exit status of the command line, at most five seconds of computing, and on refusal one printable line that starts
with ``error:``; a command that refuses has changed nothing, no command runs code of a file that it only reads, and the
files from before the run are as they were. `--case` repeats one, and `--keep` leaves its files in a folder. Exit status
1 where a case went wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import os
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType

from benchmarks import fuzz_targets as targets
from benchmarks.fuzz_targets import TARGETS, Target
from metrics.errors import InputError

SECONDS = 5.0
"""Of computing, for one case."""
_WALL = 60.0
MEMORY = 1536 * 2**20
"""Bytes that the process may grow by while a case runs."""
_STATUSES = {0, 1, 2, 3}
_LONGEST = 2500


@dataclass(frozen=True)
class Finding:
    """A case that went wrong, and how."""

    number: int
    target: Target
    command: tuple[str, ...]
    what: str


class TooLongError(BaseException):
    """A case is over its time; no `except Exception` keeps it."""


class Project:
    """A project with a data set, a monitor and a version of before, and a folder for the files of a case."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.case, self.keep = folder, folder / "case", folder / "keep"
        self.database = folder / ".evalkit" / "mlflow.db"

    def make(self) -> None:
        """Make the records from before."""
        from evalkit.cli.app import run

        (self.folder / "evalkit.toml").write_bytes(
            targets.SETTINGS.replace(b".evalkit", str(self.folder / ".evalkit").encode())
        )
        _write(self.keep, targets.BESIDE)
        before = (
            ("dataset", "add", "kept", "rows.jsonl"), ("monitor", "apply", "monitor.yaml"),
            ("monitor", "run", "fuzzed"), ("register", "kept", "--model", "rows.jsonl", "--suite", "suite.yaml"),
        )  # fmt: skip
        with _inside(self.keep):
            for command in before:
                status, told = _captured(partial(run, command))
                if status != 0:
                    raise RuntimeError(f"the project cannot be made: {' '.join(command)}: {told}")

    def state(self) -> str:
        """What the registry's database says."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return hashlib.sha256("\n".join(connection.iterdump()).encode("utf-8", "surrogatepass")).hexdigest()

    def kept(self) -> dict[str, str]:
        """Digests of all files outside the case's folder and the project's state."""
        files = [file for file in self.folder.rglob("*") if file.is_file() and not file.is_relative_to(self.case)]
        outside = [file for file in files if ".evalkit" not in file.relative_to(self.folder).parts]
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in outside}


def case(
    seed: int, number: int, chosen: tuple[Target, ...] = TARGETS
) -> tuple[Target, dict[str, bytes], tuple[str, ...]]:
    """The target, the files and the command of a case; `chosen` are gone through in turn."""
    random = Random(f"{seed}:{number}")
    target = chosen[number % len(chosen)]
    files = target.files(random)
    command = random.choice(target.commands)
    return target, files, tuple(part.replace("{n}", str(number)) for part in command)


def run_case(
    project: Project, number: int, target: Target, files: Mapping[str, bytes], command: tuple[str, ...]
) -> str | None:
    """Run one case; returns what is wrong, or None."""
    shutil.rmtree(project.case, ignore_errors=True)
    _write(project.case, files)
    state, kept = project.state(), project.kept()
    before = _resident()
    start = time.process_time()
    try:
        with _inside(project.case), _limited():
            status, told = _captured(partial(_run, command))
    except TooLongError:
        return f"more than {SECONDS:g} s:\n{traceback.format_exc(limit=-6)}"
    except BaseException:
        return f"a traceback:\n{traceback.format_exc(limit=-8)}"
    return (
        _complaint(status, told)
        or (f"{time.process_time() - start:.1f} s of computing" if time.process_time() - start > SECONDS else None)
        or (f"{(_resident() - before) // 2**20} MiB more memory" if _resident() - before > MEMORY else None)
        or ("a file from before was changed" if project.kept() != kept else None)
        or (
            "it refused, and changed the database"
            if status == 2 and not target.keeps_rows and project.state() != state
            else None
        )
    )


def _complaint(status: object, told: str) -> str | None:
    if status not in _STATUSES:
        return f"exit status {status!r}"
    if "Traceback (most recent call last)" in told:
        return f"a traceback was told:\n{told[-2000:]}"
    if status != 2:
        return None
    lines = [line for line in told.splitlines() if line.startswith("error: ")]
    if len(lines) != 1 or len(lines[0]) < 15:
        return f"no one clear line: {told[:1500]!r}"
    if len(told) > _LONGEST:
        return f"an error of {len(told)} characters: {told[:300]!r}…"
    odd = [char for char in told if not (char.isprintable() or char == "\n")]
    return f"unprintable characters {odd[:5]} in {lines[0][:300]!r}" if odd else None


def _run(command: tuple[str, ...]) -> int:
    from evalkit.cli.app import run

    function = _FUNCTIONS.get(command[0])
    if function is None:
        return run(command)
    try:
        function(Path(command[1]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _check_exported(path: Path) -> None:
    from evalkit.exported import check_exported

    check_exported(path)


def _open_bundle(path: Path) -> None:
    from evalkit.bundles.unpack import extract, opened

    with opened(path) as (archive, manifest):
        extract(archive, manifest, Path("unpacked"))


def _read_contract(path: Path) -> None:
    from evalkit.reports.contract import Contract

    Contract.load(path)


_FUNCTIONS = {targets.EXPORTED: _check_exported, targets.BUNDLE: _open_bundle, targets.CONTRACTED: _read_contract}


def _captured(function: Callable[[], int]) -> tuple[object, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status: object = function()
        except SystemExit as ended:
            status = f"SystemExit({ended.code})"
    return status, err.getvalue()


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TooLongError

    before = [(name, signal.signal(name, stop)) for name in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, _WALL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for name, handler in before:
            signal.signal(name, handler)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _resident() -> int:
    """The most memory that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_cases(
    project: Project, seed: int, numbers: range, chosen: tuple[Target, ...] = TARGETS, told: Counter[str] | None = None
) -> list[Finding]:
    """Run cases; returns those that went wrong, and counts in `told` the kinds of files that were mutated."""
    found = []
    for number in numbers:
        target, files, command = case(seed, number, chosen)
        what = run_case(project, number, target, files, command)
        if told is not None:
            told[target.group] += 1
        if what is not None:
            found.append(Finding(number, target, command, what))
    return found


def main() -> int:
    """Run cases from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted({target.group for target in TARGETS}))
    parser.add_argument("--file", help="only targets whose file has this name")
    parser.add_argument("--case", type=int)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    chosen = tuple(
        t for t in TARGETS if (not given.only or t.group == given.only) and (not given.file or t.file == given.file)
    )
    numbers = range(given.cases) if given.case is None else range(given.case, given.case + 1)
    with tempfile.TemporaryDirectory() as place:
        project = Project(Path(place).resolve())
        project.make()
        start, told = time.process_time(), Counter[str]()
        wrong = 0
        for number in numbers:
            for finding in run_cases(project, given.seed, range(number, number + 1), chosen, told):
                wrong += 1
                print(f"case {finding.number}: {finding.target.file}: {' '.join(finding.command)}\n{finding.what}\n")
        if given.keep:
            shutil.copytree(project.case, given.keep)
        groups = ", ".join(f"{count} {group}" for group, count in sorted(told.items()))
        print(f"{sum(told.values())} cases ({groups}), {wrong} wrong, {time.process_time() - start:.0f} s of computing")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
