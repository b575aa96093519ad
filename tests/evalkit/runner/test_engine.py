from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from evalkit.runner.engine import run
from evalkit.runner.progress import Progress
from evalkit.runner.publish import logger_for
from metrics.base import Estimate
from metrics.errors import InputError
from registry.entities import Evaluation, ModelVersion

from .conftest import Project

Register = Callable[..., ModelVersion]


def numbers(evaluation: Evaluation) -> dict[tuple[str, str, str, str], Estimate]:
    """Everything but cost and speed."""
    return {
        (e.task, e.metric, e.key, e.slice): e.estimate
        for e in evaluation.estimates
        if e.metric not in {"latency", "throughput", "peak_memory"}
    }


def test_an_evaluation_from_start_to_store(project: Project, counting: Register) -> None:
    version = counting()
    evaluation = run(project.registry, project.settings, version)
    assert evaluation.status == "finished"
    found = numbers(evaluation)
    usable = [i for i in range(300) if i % 11 != 5]
    right = [i for i in usable if i % 3]
    main = found["questions", "exact_match", "value", ""]
    assert main.value == pytest.approx(len(right) / len(usable))
    assert main.n == len(usable)
    assert main.coverage == pytest.approx(len(usable) / 300)
    odd = found["questions", "exact_match", "value", "parity=odd"]
    assert odd.value == pytest.approx(sum(i % 2 for i in right) / sum(i % 2 for i in usable))
    names = {e.name for e in evaluation.estimates}
    assert {"questions/latency.p95", "questions/throughput", "questions/peak_memory"} <= names
    assert evaluation.details["counts"]["generated_shards"] == 2
    assert any("27 of 300 outputs are unusable" in warning for warning in evaluation.warnings)


def test_logged_and_repeated_from_the_store(project: Project, counting: Register) -> None:
    version = counting()
    suite = project.registry.suite(version)
    log = logger_for(project.settings, project.registry, version, suite)
    first = run(project.registry, project.settings, version, log=log)
    assert first.run_id is not None
    calls = len(project.calls())
    started = time.perf_counter()
    again = run(project.registry, project.settings, version, log=log)
    assert time.perf_counter() - started < 1
    assert (again.id, again.run_id, numbers(again)) == (first.id, first.run_id, numbers(first))
    assert len(project.calls()) == calls


def test_a_model_that_only_fails_is_recorded_and_logged(project: Project, counting: Register) -> None:
    project.write("broken.py", "def answer(prompt):\n    return float('nan')\n")
    suite = project.registry.suite(counting())
    version = project.registry.register("broken", model="call: broken:answer", suite=suite)
    log = logger_for(project.settings, project.registry, version, suite)
    evaluation = run(project.registry, project.settings, version, log=log)
    assert evaluation.status == "failed"
    assert len(evaluation.warnings) == 1
    assert "first 256 outputs failed in the same way" in evaluation.warnings[0]
    assert project.registry.mlflow.client.get_run(evaluation.run_id).info.status == "FINISHED"
    assert run(project.registry, project.settings, version, log=log).status == "failed"


def test_a_generator_that_cannot_be_run_is_one_line(project: Project, counting: Register) -> None:
    suite = project.registry.suite(counting())
    version = project.registry.register("gone", model="call: bot:no_such_function", suite=suite)
    with pytest.raises(InputError, match="has no 'no_such_function'"):
        run(project.registry, project.settings, version)
    assert [e.status for e in project.registry.evaluations(version)] == ["failed"]


def test_an_interrupted_evaluation_continues(project: Project, counting: Register) -> None:
    version = counting()

    def interrupt(progress: Progress) -> None:
        if progress.stage == "generate" and progress.done == 1:
            raise RuntimeError("stopped here")

    with pytest.raises(RuntimeError, match="stopped here"):
        run(project.registry, project.settings, version, progress=interrupt)
    calls = len(project.calls())
    evaluation = run(project.registry, project.settings, version)
    assert evaluation.status == "finished"
    assert project.calls()[calls:] == [f"number {i}" for i in range(256, 300)]


def test_a_version_that_is_a_file_of_outputs(project: Project, counting: Register) -> None:
    suite = project.registry.suite(counting(count=40))
    rows = "\n".join(f'{{"id": "q{i}", "output": "{i if i < 30 else "no"}"}}' for i in range(40))
    version = project.registry.register("file", model=str(project.write("outputs.jsonl", rows)), suite=suite)
    evaluation = run(project.registry, project.settings, version)
    assert evaluation.status == "finished", evaluation.warnings
    assert numbers(evaluation)["questions", "exact_match", "value", ""].value == pytest.approx(0.75)
