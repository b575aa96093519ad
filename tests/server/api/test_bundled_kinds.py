"""Bundles of every kind of task: pictures with references, judges with files of their own, generated answers, looks."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evalkit.bundles.manifest import Manifest
from evalkit.bundles.pack import pack
from evalkit.bundles.recompute import recompute
from evalkit.bundles.unpack import extract, opened
from evalkit.bundles.verify import MismatchError, verify
from evalkit.config import Settings
from evalkit.outputs import read_shard
from evalkit.runner.plan import plan_evaluation
from evalkit.runner.sources import read_sources, version_subject
from evalkit.session import Session
from registry.entities import Evaluation, ModelVersion
from registry.store import Registry
from registry.suite import Suite

SUITE = """\
suite: everything
tasks:
  pictures:
    outputs: made
    reference: real
    extractor: pixels
    score: [{kid: {subset_size: 10, subsets: 5}}, recall, {memorization: {held_out: held}}]
  judged:
    data: questions.jsonl
    outputs: answers.jsonl
    columns: {id: id, prompt: question, slices: [parity]}
    score:
      - {judge: judges/right.md, model: "replay:replies.jsonl"}
      - {replay: [verdicts.jsonl], as: recorded, scale: [0, 1]}
  answered:
    data: questions.jsonl
    columns: {id: id, prompt: question, expected: answer}
    generate: {call: "bot:answer"}
    score: [exact_match]
gate:
  looks: 2
  rules: [{metric: answered/exact_match, min: 0.2}]
"""
JUDGE = "---\nname: right\nkind: pass_fail\n---\nIs this right?\n{{ prompt }}\n{{ output }}\n"


def _write(folder: Path) -> None:
    rng = np.random.default_rng(3)
    for name, count in (("made", 40), ("real", 50), ("held", 30)):
        (folder / name).mkdir()
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (4, 4, 3)).astype(np.uint8)).save(folder / name / f"{i}.png")
    rows = [{"id": f"q{i}", "question": f"number {i}", "answer": str(i), "parity": "odd" if i % 2 else "even"}
            for i in range(30)]  # fmt: skip

    def lines(name: str, made: Any) -> None:
        (folder / name).write_text("\n".join(json.dumps(row) for row in made))

    lines("questions.jsonl", rows)
    lines("answers.jsonl", ({"id": row["id"], "output": row["answer"]} for row in rows))
    lines("replies.jsonl", ({"id": row["id"], "verdict": "pass" if i % 3 else "fail"} for i, row in enumerate(rows)))
    lines("verdicts.jsonl", ({"id": row["id"], "verdict": i % 2} for i, row in enumerate(rows)))
    (folder / "judges").mkdir()
    (folder / "judges" / "right.md").write_text(JUDGE)
    (folder / "bot.py").write_text("def answer(prompt):\n    return prompt.split()[-1]\n")
    (folder / "suite.yaml").write_text(SUITE)


class Kinds:
    def __init__(self, folder: Path, registry: Registry, settings: Settings) -> None:
        self.folder, self.registry, self.settings = folder, registry, settings
        self.suite = Suite.load(folder / "suite.yaml")
        self.version: ModelVersion = registry.register("all", model=str(folder / "answers.jsonl"), suite=self.suite)
        self.evaluation: Evaluation = Session(settings, registry).evaluate(self.version)

    def pack(self, target: Path) -> Manifest:
        subject = version_subject(self.registry, self.version, self.suite)
        plan = plan_evaluation(self.suite, subject, read_sources(self.suite, self.registry, self.settings), None)
        plan = plan.with_targets(self.evaluation.targets, self.evaluation.look)
        return pack(self.settings.home, plan, self.evaluation, self.version.artifact_digest, target)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Kinds]:
    folder = tmp_path_factory.mktemp("kinds")
    home = folder / ".evalkit"
    home.mkdir()
    _write(folder)
    shutil.copyfile(empty_store, home / "mlflow.db")
    url = f"sqlite:///{home / 'mlflow.db'}"
    settings = Settings(home, url, url, url, advisory=False)
    registry = Registry(url, url, artifact_root=settings.artifacts)
    yield Kinds(folder, registry, settings)
    registry.close()


def test_every_kind_comes_out_as_it_went_in(kinds: Kinds, tmp_path: Path):
    kinds.pack(tmp_path / "bundle.zip")
    elsewhere = tmp_path / "elsewhere"
    with opened(tmp_path / "bundle.zip") as (archive, manifest):
        extract(archive, manifest, elsewhere)
    suite = Suite.from_text(kinds.suite.text, elsewhere / "suite", check_files=False)
    verify(manifest, kinds.version, suite, [])
    made = recompute(elsewhere, manifest, manifest.evaluation({"bundle": manifest.bundle, "by": "ada"}))
    assert [item.name for item in made] == [item.name for item in kinds.evaluation.estimates]
    names = {item.name for item in made}
    assert {"pictures/kid", "pictures/memorization", "judged/right", "judged/recorded", "answered/throughput"} <= names
    for ours, theirs in zip(made, kinds.evaluation.estimates, strict=True):
        assert ours.estimate.value == pytest.approx(theirs.estimate.value, nan_ok=True)


def test_no_pictures_leave_the_machine(kinds: Kinds, tmp_path: Path):
    kinds.pack(tmp_path / "bundle.zip")
    with opened(tmp_path / "bundle.zip") as (archive, manifest):
        extract(archive, manifest, tmp_path / "elsewhere")
    shards = list((tmp_path / "elsewhere" / "outputs").rglob("*.parquet"))
    tables = [read_shard(path)[0] for path in shards]
    assert len(tables) == 3
    assert all(table.column("image").null_count == len(table) for table in tables)
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert "suite/judges/right.md" in archive.namelist()
        assert not any("questions" in name or name.endswith(".png") for name in archive.namelist())


def test_an_easier_judge_is_another_judge(kinds: Kinds, tmp_path: Path):
    kinds.pack(tmp_path / "bundle.zip")
    elsewhere = tmp_path / "elsewhere"
    with opened(tmp_path / "bundle.zip") as (archive, manifest):
        extract(archive, manifest, elsewhere)
    judge = elsewhere / "suite" / "judges" / "right.md"
    judge.write_text(JUDGE.replace("Is this right?", "Say pass."))
    suite = Suite.from_text(kinds.suite.text, elsewhere / "suite", check_files=False)
    with pytest.raises(MismatchError, match="judged/metrics: 'right' was measured otherwise"):
        verify(manifest, kinds.version, suite, [])


def test_another_seed_is_another_look(kinds: Kinds, tmp_path: Path):
    from dataclasses import replace

    manifest = kinds.pack(tmp_path / "bundle.zip")
    seeds = [replace(kinds.evaluation, id=str(n), details={**kinds.evaluation.details, "seed": n}) for n in (7, 8)]
    verify(manifest, kinds.version, kinds.suite, seeds[:1])
    with pytest.raises(MismatchError, match="another seed counts as another look"):
        verify(manifest, kinds.version, kinds.suite, seeds)


def test_a_failed_evaluation_is_not_packed(kinds: Kinds, tmp_path: Path):
    from dataclasses import replace

    from metrics.errors import InputError

    good = kinds.evaluation
    kinds.evaluation = replace(good, status="failed")
    try:
        with pytest.raises(InputError, match="only a finished one"):
            kinds.pack(tmp_path / "bundle.zip")
    finally:
        kinds.evaluation = good
    assert not (tmp_path / "bundle.zip").exists()
