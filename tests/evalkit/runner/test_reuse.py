"""What is found again, and what is made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.runner import run
from metrics.errors import InputError
from registry.entities import ModelVersion

from .conftest import QUESTIONS, Project
from .test_engine import numbers

Register = Callable[..., ModelVersion]
WITH_ONE_MORE = QUESTIONS.replace("score: [exact_match]", "score: [exact_match, distinct_n]")


def made(evaluation: object, name: str) -> int:
    return int(evaluation.details["counts"].get(name, 0))  # type: ignore[attr-defined]


def test_an_edited_limit_makes_nothing_anew(project: Project, counting: Register) -> None:
    version = counting()
    first = run(project.registry, project.settings, version)
    calls = len(project.calls())
    edited = project.suite(QUESTIONS.replace("min: 0.2", "min: 0.6"))
    bound = project.registry.bind_suite(version, edited)
    assert run(project.registry, project.settings, bound).id == first.id
    other = project.registry.register("bot", model="call: bot:answer", suite=project.suite(QUESTIONS + "# 3\n"))
    fresh = project.registry.register("copy", model="call: bot:answer", suite=edited)
    again = run(project.registry, project.settings, fresh)
    assert again.id != first.id
    assert other.id != fresh.id
    assert (made(again, "generated_shards"), made(again, "scored_shards")) == (0, 0)
    assert numbers(again) == numbers(first)
    assert len(project.calls()) == calls


def test_an_added_metric_computes_only_itself(project: Project, counting: Register) -> None:
    version = counting()
    run(project.registry, project.settings, version)
    calls = len(project.calls())
    bound = project.registry.bind_suite(version, project.suite(WITH_ONE_MORE))
    evaluation = run(project.registry, project.settings, bound)
    assert made(evaluation, "generated_shards") == 0
    assert made(evaluation, "scored_shards") == made(evaluation, "scored:questions/distinct_n") == 2
    assert {"questions/distinct_n", "questions/exact_match"} <= {e.name for e in evaluation.estimates}
    assert len(project.calls()) == calls


def test_an_edited_answer_scores_again_and_generates_nothing(project: Project, counting: Register) -> None:
    version = counting()
    first = run(project.registry, project.settings, version)
    calls = len(project.calls())
    questions = project.root / "questions.jsonl"
    questions.write_text(questions.read_text().replace('"answer": "1"', '"answer": "one"'))
    second = run(project.registry, project.settings, version)
    assert len(project.calls()) == calls
    assert (made(second, "generated_shards"), made(second, "scored:questions/exact_match")) == (0, 2)
    accuracy = "questions", "exact_match", "value", ""
    assert numbers(second)[accuracy].value == pytest.approx(numbers(first)[accuracy].value - 1 / 273)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"question": "number 1"', '"question": "the number 1"'),
        ('"id": "q1"', '"id": "question 1"'),
        ('"answer": "1"', '"answer": "1", "hint": "odd"'),
    ],
    ids=["prompt", "sample id", "column handed to the generator"],
)
def test_what_the_generator_sees_generates_again(project: Project, counting: Register, old: str, new: str) -> None:
    version = counting()
    run(project.registry, project.settings, version)
    questions = project.root / "questions.jsonl"
    questions.write_text(questions.read_text().replace(old, new, 1))
    assert made(run(project.registry, project.settings, version), "generated_shards") == 2


def test_the_order_of_rows_generates_again(project: Project, counting: Register) -> None:
    version = counting()
    run(project.registry, project.settings, version)
    questions = project.root / "questions.jsonl"
    questions.write_text("\n".join(reversed(questions.read_text().split("\n"))))
    assert made(run(project.registry, project.settings, version), "generated_shards") == 2


def shards(project: Project, kind: str, suffix: str) -> list[Path]:
    return sorted((project.settings.home / kind).rglob(f"rows-*.{suffix}"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "unsealed and cut", "emptied"])
def test_damaged_outputs_are_made_again(project: Project, counting: Register, damage: str) -> None:
    version = counting()
    first = run(project.registry, project.settings, version)
    victim = shards(project, "outputs", "parquet")[1]
    data = bytearray(victim.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 0xFF
    victim.write_bytes(b"" if damage == "emptied" else data if damage == "flipped" else data[: len(data) // 2])
    if damage == "unsealed and cut":
        victim.with_name(victim.name + ".seal").unlink()
    calls = len(project.calls())
    bound = project.registry.bind_suite(version, project.suite(WITH_ONE_MORE))
    evaluation = run(project.registry, project.settings, bound)
    assert made(evaluation, "generated_shards") == 1
    assert sorted(set(project.calls()[calls:])) == sorted(f"number {i}" for i in range(256, 300))
    assert numbers(first).items() <= numbers(evaluation).items()


def test_a_whole_shard_without_its_seal_is_adopted(project: Project, counting: Register) -> None:
    version = counting()
    run(project.registry, project.settings, version)
    for seal in (project.settings.home / "outputs").rglob("*.seal"):
        seal.unlink()
    bound = project.registry.bind_suite(version, project.suite(WITH_ONE_MORE))
    assert made(run(project.registry, project.settings, bound), "generated_shards") == 0


def test_damaged_scores_are_made_again(project: Project, counting: Register) -> None:
    version = counting()
    first = run(project.registry, project.settings, version)
    scores = project.settings.home / "scores"
    for path in scores.rglob("rows-000000000-*.parquet"):
        path.write_bytes(path.read_bytes()[:-20])
    fresh = project.registry.register("copy", model="call: bot:answer", suite=project.registry.suite(version))
    evaluation = run(project.registry, project.settings, fresh)
    assert made(evaluation, "scored:questions/exact_match") == 1
    assert made(evaluation, "generated_shards") == 0
    assert numbers(evaluation) == numbers(first)


def test_a_live_holder_gives_one_clear_line(project: Project, counting: Register) -> None:
    version = counting()
    run(project.registry, project.settings, version)
    bound = project.registry.bind_suite(version, project.suite(WITH_ONE_MORE))
    from evalkit.runner.plan import plan_evaluation
    from evalkit.runner.sources import read_sources, version_subject

    suite = project.registry.suite(bound)
    subject = version_subject(project.registry, bound, suite)
    plan = plan_evaluation(suite, subject, read_sources(suite, project.registry), None)
    lease = project.registry.acquire(f"evaluate:{plan.digest}")
    with pytest.raises(InputError, match="is being worked on by process"):
        run(project.registry, project.settings, bound)
    project.registry.release(lease)
    assert run(project.registry, project.settings, bound).status == "finished"


LOOKS = QUESTIONS.replace("  rules:", "  looks: 3\n  rules:").replace("    score:", "    n: 100\n    score:")


def test_looks_grow_the_same_evaluation(project: Project, counting: Register) -> None:
    version = counting(LOOKS)
    first = run(project.registry, project.settings, version)
    with pytest.raises(InputError, match="further samples"):
        run(project.registry, project.settings, version, look=2)
    second = run(project.registry, project.settings, version, extra=120)
    assert (first.look, second.look, second.digest) == (1, 2, first.digest)
    assert (first.targets, second.targets) == ({"questions": 100}, {"questions": 220})
    assert sorted(project.calls()) == sorted(f"number {i}" for i in range(220))
    third = run(project.registry, project.settings, version, extra=1000)
    assert third.targets == {"questions": 300}
    assert run(project.registry, project.settings, version).id == third.id
    with pytest.raises(InputError, match="declares 3 looks"):
        run(project.registry, project.settings, version, extra=1)
    fresh = run(project.registry, project.settings, counting(QUESTIONS, name="whole"))
    assert numbers(fresh) == numbers(third)


def test_another_seed_is_another_look(project: Project, counting: Register) -> None:
    version = counting()
    run(project.registry, project.settings, version)
    other = project.suite(QUESTIONS.replace("gate:", "gate:\n  seed: 8"))
    bound = project.registry.bind_suite(version, other)
    with pytest.raises(InputError, match="another seed counts as another look"):
        run(project.registry, project.settings, bound)
