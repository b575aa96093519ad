"""The main job from the command line: register, check, gate, promote, compare, show, and what repeats cost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import SUITE, Project


def counts(project: Project, reference: str) -> dict[str, int]:
    """What the newest evaluation newly made."""
    import evalkit
    from evalkit.session import open_session

    assert evalkit.__name__ == "evalkit"
    with open_session() as session:
        newest = session.registry.evaluations(session.version(reference))[0]
    return dict(newest.details["counts"])


def test_from_registration_to_promotion(project: Project) -> None:
    call = project.call
    registered = call("register", "sums", "--model", "bad.jsonl", "--suite", "suite.yaml", "--json")
    assert registered.code == 0
    assert registered.json()["reference"] == "models:/sums/1"  # type: ignore[index]

    failed = call("check", "models:/sums/1")
    assert failed.code == 1
    assert failed.out.startswith("FAIL  sums version 1")
    refused = call("promote", "models:/sums/1")
    assert refused.code == 1
    assert "golden/exact_match" in refused.err

    assert call("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml").code == 0
    assert call("gate", "models:/sums/2").code == 2  # not evaluated yet
    assert call("evaluate", "models:/sums/2").code == 0
    passed: Any = call("gate", "models:/sums/2", "--json")
    assert passed.code == 0
    assert passed.json()["outcome"] == "pass"
    assert call("promote", "models:/sums/2", "--to", "champion").out.startswith("champion of sums is now version 2")
    assert call("show", "models:/sums@champion").out.startswith("PASS  sums version 2")

    compared: Any = call("compare", "models:/sums/1", "models:/sums/2", "--json").json()
    row = next(row for row in compared["rows"] if row["name"] == "golden/exact_match")
    assert row["paired"]
    assert row["difference"]["value"] == pytest.approx(-0.5)
    listed: Any = call("list", "--json").json()
    assert [(row["reference"], row["outcome"]) for row in listed] == [
        ("models:/sums/1", "fail"),
        ("models:/sums/2", "pass"),
    ]


def test_a_champion_without_results_on_the_suite_is_evaluated_first(project: Project) -> None:
    project.call("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml")
    project.call("check", "models:/sums/1")
    assert project.call("promote", "models:/sums/1").code == 0
    newer = (
        SUITE.replace("token_f1", "word_count") + "    - {metric: golden/exact_match, versus: champion, margin: 0.05}\n"
    )
    project.write("newer.yaml", newer.replace("refusal]", "{distinct_n: {order: 1}}, refusal]"))
    project.call("register", "sums", "--model", "bad.jsonl", "--suite", "newer.yaml")
    decision: Any = project.call("check", "models:/sums/2", "--json").json()
    versus = next(rule for rule in decision["rules"] if "champion" in rule["rule"])
    assert versus["outcome"] == "fail"
    assert versus["difference"]["value"] == pytest.approx(-0.5)
    compared: Any = project.call("compare", "models:/sums/2", "models:/sums/1", "--json").json()
    assert {"golden/word_count", "golden/distinct_n"} <= {row["name"] for row in compared["rows"] if row["right"]}


def test_a_pass_on_an_older_suite_does_not_promote(project: Project) -> None:
    project.call("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml")
    assert project.call("check", "models:/sums/1").code == 0
    project.write("stricter.yaml", SUITE.replace("min: 0.8", "min: 0.999"))
    assert project.call("gate", "models:/sums/1", "--suite", "stricter.yaml").code == 3
    refused = project.call("promote", "models:/sums/1")
    assert refused.code == 1
    assert "inconclusive" in refused.err


def test_override_is_recorded(project: Project) -> None:
    project.call("register", "sums", "--model", "bad.jsonl", "--suite", "suite.yaml")
    project.call("check", "models:/sums/1")
    promoted: Any = project.call("promote", "models:/sums/1", "--override", "a demonstration", "--json").json()
    assert promoted["override"] == "a demonstration"


def test_an_edited_limit_generates_and_scores_nothing(project: Project) -> None:
    project.call("register", "sums", "--model", "bad.jsonl", "--suite", "suite.yaml")
    assert project.call("check", "models:/sums/1").code == 1
    before = counts(project, "models:/sums/1")
    project.write("suite.yaml", SUITE.replace("min: 0.8", "min: 0.3").replace("max: 0.2", "max: 0.7"))
    assert project.call("check", "models:/sums/1").code == 1, "the registered suite still judges"
    assert project.call("check", "models:/sums/1", "--suite", "suite.yaml").code == 0
    assert counts(project, "models:/sums/1") == before, "nothing was run again"


def test_an_added_metric_is_the_only_one_computed(project: Project) -> None:
    project.call("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml")
    assert project.call("check", "models:/sums/1").code == 0
    project.write("suite.yaml", SUITE.replace("[exact_match,", "[word_count, exact_match,"))
    assert project.call("check", "models:/sums/1", "--suite", "suite.yaml").code == 0
    made = counts(project, "models:/sums/1")
    assert made.get("generated_shards", 0) == 0
    assert {name for name in made if name.startswith("scored:")} == {"scored:golden/word_count"}


def test_a_quick_look_does_not_promote(project: Project) -> None:
    presets = "presets: {quick: {n: 30}, full: {n: 60}}\n"
    project.write("suite.yaml", SUITE.replace("tasks:", presets + "tasks:"))
    project.call("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml")
    quick: Any = project.call("check", "models:/sums/1", "--preset", "quick", "--json")
    assert quick.code == 0
    assert "does not count for promotion" in " ".join(quick.json()["notes"])
    assert project.call("promote", "models:/sums/1").code != 0
    assert project.call("check", "models:/sums/1").code == 0
    assert project.call("promote", "models:/sums/1").code == 0


def test_declared_looks_are_served_and_no_more(project: Project) -> None:
    project.write(
        "suite.yaml", SUITE.replace("golden:\n", "golden:\n    n: 20\n").replace("gate:", "gate:\n  looks: 2")
    )
    project.call("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml")
    first: Any = project.call("check", "models:/sums/1", "--json").json()
    assert (first["look"], first["looks"]) == (1, 2)
    assert project.call("evaluate", "models:/sums/1", "--more", "40").code == 0
    second: Any = project.call("gate", "models:/sums/1", "--json").json()
    assert second["look"] == 2
    assert second["rules"][0]["estimate"]["n"] == 60
    third = project.call("evaluate", "models:/sums/1", "--more", "10")
    assert third.code == 2
    assert "declares 2 looks" in third.err


def test_training_data_is_flagged(project: Project) -> None:
    assert project.call("dataset", "add", "questions", "questions.jsonl", "--split", "train").code == 0
    arguments = ["--model", "good.jsonl", "--suite", "suite.yaml", "--trained-on", "questions@train"]
    project.call("register", "sums", *arguments)
    shown = project.call("evaluate", "models:/sums/1")
    assert "training data" in " ".join(shown.out.split())


def test_state_lives_beside_the_project(project: Project) -> None:
    project.call("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml")
    with sqlite3.connect(project.folder / ".evalkit" / "mlflow.db") as database:
        tables = {name for (name,) in database.execute("select name from sqlite_master where type = 'table'")}
    assert {"evalkit_model_versions", "registered_models"} <= tables
    assert not (project.folder / "mlruns").exists()


def test_help_is_quick_and_light() -> None:
    code = (
        "import sys\nfrom evalkit.cli.app import run\nassert run(['--help']) == 0\n"
        "heavy = {'torch', 'mlflow', 'pandas', 'scipy', 'sqlalchemy', 'dbos', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_evalkit_is_light() -> None:
    code = (
        "import sys, evalkit\n"
        "heavy = {'torch', 'mlflow', 'evidently', 'great_expectations', 'dbos', 'ray', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_doctor_finds_another_owner_of_our_names(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    assert project.call("doctor").code == 0
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"metrics": ["some-other-metrics"]})
    found = project.call("doctor")
    assert found.code == 1
    assert "some-other-metrics" in found.out


def test_suite_new_then_check(project: Project) -> None:
    assert project.call("suite", "new", "fresh.yaml", "--kind", "llm").code == 0
    again = project.call("suite", "new", "fresh.yaml")
    assert again.code == 2
    assert "exists already" in again.err


def test_suite_check_predicts_before_anything_is_spent(project: Project) -> None:
    plan: Any = project.call("suite", "check", "suite.yaml", "--json").json()
    power = plan["rules"][0]
    assert power["n"] == 60
    assert 0 < power["power"] < 1
    assert power["needed"] > 60


@pytest.mark.parametrize(
    "command", ["check", "compare", "dataset", "evaluate", "gate", "list", "promote", "register", "suite"]
)
def test_every_command_has_help(project: Project, command: str) -> None:
    shown = project.call(command, "--help")
    assert shown.code == 0
    assert "Usage: evalkit" in shown.out


def test_tables_fit_a_narrow_terminal(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shown = project.call("check", "bad.jsonl", "--baseline", "good.jsonl")
    assert shown.code == 0
    assert max(map(len, shown.out.splitlines())) <= 60


def test_write_suite_keeps_the_comparison(project: Project) -> None:
    written = project.call("check", "bad.jsonl", "--baseline", "good.jsonl", "--write-suite", "kept.yaml")
    assert written.code == 0
    plan = project.call("suite", "check", "kept.yaml")
    assert plan.code == 0, plan.err
    assert Path("kept.yaml").exists()
