"""Two hundred mutated files through the real commands, and whether the harness would notice what it looks for."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.fuzz import TARGETS, Project, case, run_case, run_cases

SEED, CASES = 8, 50
"""Of each group; `python -m benchmarks.fuzz` runs more."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("fuzz").resolve())
    made.make()
    return made


@pytest.mark.parametrize("group", ["suite", "monitor", "dataset", "archive"])
def test_mutated_files_are_refused_in_one_line_or_read(project: Project, group: str) -> None:
    chosen = tuple(target for target in TARGETS if target.group == group)
    told: Counter[str] = Counter()
    found = run_cases(project, SEED, range(CASES), chosen, told)
    assert told[group] == CASES
    assert not found, "\n\n".join(f"case {f.number}: {f.target.file}: {' '.join(f.command)}\n{f.what}" for f in found)


def test_cases_repeat() -> None:
    for number in range(len(TARGETS)):
        assert case(3, number) == case(3, number)
    assert case(3, 1) != case(4, 1)


def _raise(_command: tuple[str, ...]) -> int:
    raise KeyError("planted")


def _spin(_command: tuple[str, ...]) -> int:
    while True:
        time.sleep(0)


def _swallow(_command: tuple[str, ...]) -> int:
    try:
        _spin(_command)
    except Exception:
        return 0
    return 0


def _tell(text: str, status: int = 2) -> Callable[[tuple[str, ...]], int]:
    def function(_command: tuple[str, ...]) -> int:
        print(text, file=sys.stderr)
        return status

    return function


def _change(_command: tuple[str, ...]) -> int:
    Path("../keep/rows.jsonl").write_text("lost")
    return 0


FAULTS = [
    (_raise, "traceback"), (_spin, "more than"), (_swallow, "more than"), (_tell(""), "no one clear line"),
    (_tell("error: no\nerror: twice"), "no one clear line"), (_tell("error: a name with \x1b[2J in it"), "unprintable"),
    (_tell("error: " + "x" * 5000), "5008 characters"), (_tell("fine", 7), "exit status 7"), (_change, "was changed"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "said"), FAULTS, ids=[f"{n}" for n in range(len(FAULTS))])
def test_what_goes_wrong_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[[tuple[str, ...]], int], said: str
) -> None:
    monkeypatch.setattr(fuzz, "_run", command)
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    made = Project(tmp_path)
    monkeypatch.setattr(made, "state", lambda: "as it was")
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "rows.jsonl").write_text("kept")
    what = run_case(made, 0, TARGETS[0], {"suite.yaml": b""}, ("suite", "check"))
    assert what is not None and said in what


def test_a_refusal_that_changes_the_database_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "_run", _tell("error: refused, it says here"))
    made = Project(tmp_path)
    states = iter(["before", "after", "same", "same"])
    monkeypatch.setattr(made, "state", lambda: next(states))
    assert "changed the database" in str(run_case(made, 0, TARGETS[0], {"x": b""}, ("x",)))
    assert run_case(made, 0, TARGETS[0], {"x": b""}, ("x",)) is None
