"""Bad input: one clear line, exit code 2, and nothing that was there before changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import SUITE, Project

GENERATORS = """
import numpy as np

def not_finite(prompt):
    return np.full((8, 8, 3), np.nan)

def wrong_shape(prompt):
    return np.zeros((3, 8), np.uint8)

def empty(prompt):
    return ""

def crash(prompt):
    import os
    os._exit(7)
"""


@dataclass(frozen=True)
class Case:
    """A command that cannot work; `says` must be in its one line."""

    name: str
    arguments: tuple[str, ...]
    says: tuple[str, ...]
    prepare: Callable[[Project], object] = lambda project: None


def with_suite(text: str) -> Callable[[Project], object]:
    return lambda project: project.write("broken.yaml", text)


def suite_case(name: str, text: str, *says: str) -> Case:
    return Case(name, ("suite", "check", "broken.yaml"), says, with_suite(text))


def generator_case(name: str, function: str, *says: str, score: str = "empty") -> Case:
    def prepare(project: Project) -> None:
        project.write("generators.py", GENERATORS)
        image = "n: 4\n    generate: {range: unit}\n    extractor: pixels\n    score: [inception_score]"
        task = image if score == "image" else f"data: questions.jsonl\n    score: [{score}]"
        project.write("generated.yaml", f"suite: s\ntasks:\n  t:\n    {task}\n")
        model = f"call:generators:{function}"
        registered = project.call("register", function, "--model", model, "--suite", "generated.yaml")
        assert registered.code == 0, registered.err

    return Case(name, ("evaluate", f"models:/{function}/1"), says, prepare)


def pickled_model(project: Project) -> None:
    import pickle

    model = project.folder / "pickled"
    model.mkdir()
    (model / "python_model.pkl").write_bytes(pickle.dumps({"any": "object"}))
    mlmodel = (
        "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n    python_model: python_model.pkl\n"
    )
    (model / "MLmodel").write_text(mlmodel)
    registered = project.call("register", "pickled", "--model", "pickled", "--suite", "suite.yaml")
    assert registered.code == 0, registered.err


def registered_only(project: Project) -> None:
    project.call("register", "fresh", "--model", "bad.jsonl", "--suite", "suite.yaml")


TWO_KINDS = SUITE.replace("min: 0.8", "min: 0.8, versus: champion, margin: 0")
REGISTER = ("register", "x", "--model", "good.jsonl", "--suite", "suite.yaml")


CASES = [
    suite_case("broken YAML", "suite: s\ntasks: [unclosed\n", "broken.yaml:"),
    suite_case("unknown metric", SUITE.replace("token_f1", "token_f2"), "broken.yaml:6", "did you mean 'token_f1'"),
    suite_case("unknown key", SUITE.replace("columns:", "colums:"), "broken.yaml:", "did you mean 'columns'"),
    suite_case("duplicate key", SUITE + "suite: again\n", "broken.yaml:", "suite"),
    suite_case("path that climbs out", SUITE.replace("questions.jsonl", "../questions.jsonl"), "broken.yaml:4", ".."),
    suite_case("absolute path", SUITE.replace("questions.jsonl", "/etc/passwd"), "broken.yaml:4", "/etc/passwd"),
    suite_case("missing data", SUITE.replace("questions.jsonl", "nothing.jsonl"), "broken.yaml:4", "nothing.jsonl"),
    suite_case("rule without task", SUITE.replace("golden/refusal", "silver/refusal"), "broken.yaml:10", "silver"),
    suite_case("rule with two kinds", TWO_KINDS, "broken.yaml:9"),
    suite_case("unknown unit", SUITE.replace("max: 0.2", "max: 2 parsecs"), "broken.yaml:10", "parsecs"),
    suite_case("wrong type", SUITE.replace("gate:", "gate:\n  looks: many"), "broken.yaml:8", "many"),
    suite_case("unknown setting", SUITE.replace("refusal]", "{distinct_n: {ordre: 2}}]"), "did you mean 'order'"),
    Case("missing suite", ("suite", "check", "nowhere.yaml"), ("nowhere.yaml",)),
    Case("no such version", ("check", "models:/sums/99"), ("models:/sums/99",)),
    Case("not a reference", ("gate", "sums"), ("models:/name/2",)),
    Case("unknown command", ("evaluat", "models:/sums/1"), ("did you mean 'evaluate'",)),
    Case("unknown option", ("gate", "models:/sums/1", "--prset", "quick"), ("--prset",)),
    Case("missing outputs", ("check", "nothing.jsonl"), ("nothing.jsonl",)),
    Case("not JSON", ("check", "broken.jsonl"), ("broken.jsonl", "2"),
         lambda p: p.write("broken.jsonl", '{"output": "x"}\n{oops\n')),
    Case("no outputs in the file", ("check", "questions.jsonl"), ("no column of outputs",)),
    Case("empty file", ("check", "empty.jsonl"), ("empty.jsonl",), lambda p: p.write("empty.jsonl", "")),
    Case("no shared sample", ("check", "good.jsonl", "--baseline", "other.jsonl"), ("share no sample",),
         lambda p: p.jsonl("other.jsonl", [{"id": "x", "output": "1"}])),
    Case("duplicate ids", ("check", "twice.jsonl"), ("twice.jsonl",),
         lambda p: p.jsonl("twice.jsonl", [{"id": "x", "output": "1"}, {"id": "x", "output": "2"}])),
    Case("margin without baseline", ("check", "good.jsonl", "--margin", "0.1"), ("--baseline",)),
    Case("gate before evaluation", ("gate", "models:/fresh/1"), ("evalkit evaluate models:/fresh/1",), registered_only),
    Case("unknown preset in suite", ("evaluate", "models:/sums/1", "--preset", "full"), ("preset",)),
    Case("look beyond the declared", ("evaluate", "models:/sums/1", "--more", "5"), ("declares 1 look",)),
    Case("missing model", ("register", "x", "--model", "nowhere", "--suite", "suite.yaml"), ("nowhere",)),
    Case("bad name", ("register", "a/b", "--model", "good.jsonl", "--suite", "suite.yaml"), ("a/b",)),
    Case("bad settings", (*REGISTER, "--generator", "{"), ("JSON",)),
    Case("bad configuration", ("list",), ("evalkit.toml",), lambda p: p.write("evalkit.toml", "tracking_uri = [")),
    generator_case("NaN outputs", "not_finite", "not finite", score="image"),
    generator_case("wrong image shape", "wrong_shape", "[3, 8]", score="image"),
    generator_case("empty outputs", "empty", "empty output", score="exact_match"),
    generator_case("crashing generator", "crash", "models:/crash/1"),
    generator_case("missing function", "not_there", "not_there"),
    Case("pickled model", ("evaluate", "models:/pickled/1"), ("--trust-pickle",), pickled_model),
]  # fmt: skip


def state(folder: Path) -> dict[str, object]:
    """What must not change: versions, aliases, finished evaluations and decisions."""
    with sqlite3.connect(folder / ".evalkit" / "mlflow.db") as database:
        return {
            query: database.execute(query).fetchall()
            for query in (
                "select name, version, source from model_versions order by 1, 2",
                "select name, alias, version from registered_model_aliases order by 1, 2",
                "select id, outcome from evalkit_decisions order by 1",
                "select id, status from evalkit_evaluations where status = 'finished' order by 1",
                "select id, value from evalkit_estimates order by 1",
            )
        }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_changes_nothing(case: Case, promoted: Project) -> None:
    project = promoted
    case.prepare(project)
    before = state(project.folder)
    files = {path: path.read_bytes() for path in project.folder.glob("*.*") if path.is_file()}
    result = project.call(*case.arguments)
    assert result.code == 2, (result.out, result.err)
    lines = [line for line in result.err.splitlines() if line]
    assert len(lines) == 1, result.err
    assert lines[0].startswith("error: ")
    for part in case.says:
        assert part in lines[0]
    assert "Traceback" not in result.out + result.err
    assert state(project.folder) == before
    assert {path: path.read_bytes() for path in files} == files


def test_errors_are_json_for_machines(promoted: Project) -> None:
    result = promoted.call("check", "nothing.jsonl", "--json")
    assert result.code == 2
    assert "nothing.jsonl" in result.json()["error"]  # type: ignore[index]
