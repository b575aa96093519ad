"""A project with a suite of every kind of score, its evaluation, and the bundle of that."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from evalkit.bundles.manifest import Manifest
from evalkit.bundles.pack import pack
from evalkit.config import Settings
from evalkit.runner.plan import EvaluationPlan, plan_evaluation
from evalkit.runner.sources import read_sources, version_subject
from evalkit.session import Session
from registry.entities import Evaluation, ModelVersion
from registry.store import Registry
from registry.suite import Suite

SUITE = """\
suite: answers
presets: {quick: {n: 20}}
tasks:
  golden:
    data: golden.jsonl
    outputs: outputs.jsonl
    columns: {id: id, prompt: question, expected: expected, slices: [language]}
    score: [exact_match, token_f1, distinct_n]
gate:
  looks: 2
  rules:
    - {metric: golden/exact_match, min: 0.5}
"""


def write_project(folder: Path, correct: float = 0.9, count: int = 60) -> None:
    rng = random.Random(7)
    data, outputs = [], []
    for i in range(count):
        language = "en" if i % 2 else "de"
        data.append({"id": f"q{i}", "question": f"number {i}", "expected": [str(i)], "language": language})
        outputs.append({"id": f"q{i}", "output": str(i) if rng.random() < correct else "wrong", "latency": 0.01 * i})
    for name, rows in (("golden.jsonl", data), ("outputs.jsonl", outputs)):
        (folder / name).write_text("\n".join(json.dumps(row) for row in rows))
    (folder / "suite.yaml").write_text(SUITE)


@dataclass
class Bundled:
    """An evaluation, and the bundle of it."""

    folder: Path
    session: Session
    version: ModelVersion
    suite: Suite
    plan: EvaluationPlan
    evaluation: Evaluation
    path: Path
    manifest: Manifest


@pytest.fixture
def bundled(tmp_path: Path, empty_store: Path) -> Iterator[Bundled]:
    folder = tmp_path / "project"
    home = folder / ".evalkit"
    home.mkdir(parents=True)
    write_project(folder)
    shutil.copyfile(empty_store, home / "mlflow.db")
    url = f"sqlite:///{home / 'mlflow.db'}"
    settings = Settings(home, url, url, url, advisory=False)
    registry = Registry(url, url, artifact_root=settings.artifacts)
    session = Session(settings, registry)
    suite = Suite.load(folder / "suite.yaml")
    version = registry.register("bot", model=str(folder / "outputs.jsonl"), suite=suite)
    evaluation = session.evaluate(version)
    plan = plan_evaluation(
        suite, version_subject(registry, version, suite), read_sources(suite, registry, settings), None
    )
    path = tmp_path / "bundle.zip"
    manifest = pack(home, plan, evaluation, version.artifact_digest, path)
    yield Bundled(folder, session, version, suite, plan, evaluation, path, manifest)
    registry.close()
