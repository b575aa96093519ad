from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.runner import plan
from evalkit.runner.engine import run
from registry.entities import ModelVersion
from registry.suite import Suite

from .conftest import QUESTIONS, Project
from .test_engine import numbers

SCRIPT = Path(__file__).with_name("crashing_run.py")
REPOSITORY = Path(plan.__file__).parents[2]
SHARD = 32
COUNT = 400


def attempt(project: Project, version: ModelVersion, where: str, after: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(project.root), version.reference, where, str(after)]
    return subprocess.run(
        command,
        cwd=project.root,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def finished_questions(project: Project) -> set[str]:
    """Prompts whose output shard is on disk."""
    found = set()
    for path in (project.settings.home / "outputs").rglob("rows-*.parquet"):
        start, stop = map(int, re.findall(r"\d{9}", path.name))
        found.update(f"number {i}" for i in range(start, stop))
    return found


@pytest.mark.slow
def test_ten_kills_change_no_number_and_repeat_no_finished_shard(
    project: Project, counting: Callable[..., ModelVersion], monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    version = counting(QUESTIONS.replace("score: [exact_match]", "score: [exact_match, distinct_n]"), count=COUNT)
    chance = random.Random(20)
    kills = [("generate", chance.randrange(5, 120)) for _ in range(3)]
    kills += [("anywhere", chance.uniform(0.05, 0.6)) for _ in range(2)]
    kills += [("score", chance.randrange(1, 7) + chance.uniform(0, 0.02)) for _ in range(3)]
    kills += [("log", chance.uniform(0.01, 0.3)) for _ in range(2)]
    stored: list[tuple[set[str], int]] = []
    for where, after in kills:
        done = attempt(project, version, where, after)
        assert done.returncode == -signal.SIGKILL, (where, after, done.stdout, done.stderr)
        time.sleep(0.1)
        rows = project.registry.evaluations(version)
        if where == "score":
            assert len(finished_questions(project)) == COUNT and rows[0].status == "running"
        if where == "log":
            assert rows[0].status == "finished" and rows[0].run_id is None
        stored.append((finished_questions(project), len(project.calls())))
    last = attempt(project, version, "nowhere", 0)
    assert last.returncode == 0, last.stderr
    for kept, calls in stored:
        assert not kept & set(project.calls()[calls:])
    killed = project.registry.evaluation(version)
    assert killed is not None and killed.run_id is not None
    assert killed.status == "finished"

    undisturbed = Project(project.root / "undisturbed", empty_store)
    for name in ("bot.py", "suite.yaml", "questions.jsonl"):
        undisturbed.write(name, (project.root / name).read_text())
    monkeypatch.setattr(plan, "GENERATED_SHARD", SHARD)
    again = undisturbed.registry.register(
        "bot", model="call: bot:answer", suite=Suite.load(undisturbed.root / "suite.yaml")
    )
    assert numbers(run(undisturbed.registry, undisturbed.settings, again)) == numbers(killed)
    undisturbed.registry.close()
    client = project.registry.mlflow.client
    runs = client.search_runs([client.get_run(killed.run_id).info.experiment_id])
    assert [r.info.run_id for r in runs] == [killed.run_id]
    assert len(client.get_metric_history(killed.run_id, "questions/exact_match")) == 1
