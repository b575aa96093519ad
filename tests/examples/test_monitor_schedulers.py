"""The Airflow DAG and the Kubernetes CronJob: what they hold, and that their commands are those of evalkit."""

from __future__ import annotations

import runpy
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from croniter import croniter

from evalkit.cli.app import app

EXAMPLES = Path(__file__).parents[2] / "examples"


class _Dag:
    """Stands in for Airflow's DAG."""

    open: _Dag | None = None

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.tasks: list[dict[str, Any]] = []

    def __enter__(self) -> _Dag:
        _Dag.open = self
        return self

    def __exit__(self, *_: object) -> None:
        _Dag.open = None


def _operator(**arguments: Any) -> None:
    assert _Dag.open is not None, "a task belongs to a DAG"
    _Dag.open.tasks.append(arguments)


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch) -> _Dag:
    values = {"evalkit_project": "/projects/a b", "evalkit_monitors": ["prod", "shop.de"]}

    class Variable:
        @staticmethod
        def get(name: str, *, deserialize_json: bool = False) -> Any:
            assert deserialize_json == (name == "evalkit_monitors")
            return values[name]

    for name, content in {
        "airflow": {"DAG": _Dag},
        "airflow.models": {"Variable": Variable},
        "airflow.operators": {},
        "airflow.operators.bash": {"BashOperator": _operator},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    found = runpy.run_path(str(EXAMPLES / "airflow" / "evalkit_monitors.py"))["dag"]
    assert isinstance(found, _Dag)
    return found


def _is_a_command(words: list[str]) -> None:
    assert words[0] == "evalkit"
    with app.make_context("evalkit", words[1:]) as context:
        name, command, rest = app.resolve_command(context, words[1:])
        assert name == "run-due" and command is not None
        command.make_context(name, rest, parent=context)


def test_the_dag_runs_each_monitor_by_itself(dag: _Dag):
    assert croniter.is_valid(dag.arguments["schedule"])
    assert (dag.arguments["catchup"], dag.arguments["max_active_runs"]) == (False, 1)
    assert dag.arguments["start_date"].tzinfo is not None
    assert [task["task_id"] for task in dag.tasks] == ["run_prod", "run_shop.de"]
    for task in dag.tasks:
        _is_a_command(shlex.split(task["bash_command"]))
        assert task["cwd"] == "/projects/a b"


def test_the_cronjob_runs_what_is_due():
    made = yaml.safe_load((EXAMPLES / "cronjob" / "monitors.yaml").read_text(encoding="utf-8"))
    assert (made["apiVersion"], made["kind"]) == ("batch/v1", "CronJob")
    assert croniter.is_valid(made["spec"]["schedule"])
    assert made["spec"]["concurrencyPolicy"] == "Forbid"
    pod = made["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never", "a Job's pods may not restart Always"
    (container,) = pod["containers"]
    _is_a_command(container["command"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
