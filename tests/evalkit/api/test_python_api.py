"""What the command line does is a Python call too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import pytest

import evalkit as ek
from evalkit.config import load_settings
from metrics.errors import InputError
from registry.promotion import PromotionRefusedError

SUITE = """\
suite: capitals
tasks:
  facts:
    data: facts.jsonl
    columns: {prompt: question, expected: answers}
    score: [exact_match]
gate:
  rules:
    - {metric: facts/exact_match, min: 0.7}
"""
FACTS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Path:
    """A project whose questions have one-word answers, and a module with two models."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evalkit.toml").touch()
    shutil.copyfile(empty_store, tmp_path / "runs.db")
    rows = [{"question": f"{i}: capital of {c}?", "answers": [a]} for i in range(10) for c, a in FACTS.items()]
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "models.py").write_text(
        f"FACTS = {FACTS!r}\n"
        "def knows(prompt):\n    return next(a for c, a in FACTS.items() if c in prompt)\n"
        "def guesses(prompt):\n    return 'Paris'\n"
    )
    return tmp_path


def knows(prompt: str) -> str:
    """Answer right."""
    return next(answer for country, answer in FACTS.items() if country in prompt)


def test_register_check_promote(folder: Path, empty_store: Path) -> None:
    (folder / ".evalkit").mkdir()
    shutil.copyfile(empty_store, folder / ".evalkit" / "mlflow.db")
    version = ek.register("capitals", model="call:models:knows", suite="suite.yaml")
    decision = ek.check(version)
    assert decision.passed
    with pytest.raises(TypeError, match="pass, fail or inconclusive"):
        bool(decision)
    assert decision.promote().alias == "champion"

    guessing = ek.register("capitals", model="call:models:guesses", suite="suite.yaml")
    handle = ek.check(guessing, wait=False)
    refused = handle.result(timeout=120)
    assert refused.failed
    with pytest.raises(PromotionRefusedError, match="exact_match"):
        refused.promote()
    assert ek.gate(guessing).digest == refused.digest
    compared = ek.compare(guessing, version)
    row = next(row for row in compared.rows if row.name == "facts/exact_match")
    assert row.difference is not None
    assert row.difference.value == pytest.approx(-0.75)
    assert ek.show(version).verdict == "pass"


def test_score_an_object_at_hand_into_the_active_run(folder: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'runs.db'}")
    try:
        with mlflow.start_run() as run:
            evaluation = ek.score(knows, "suite.yaml")
        logged = mlflow.get_run(run.info.run_id).data
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    found = {stored.name: stored.estimate for stored in evaluation.estimates}
    assert found["facts/exact_match"].value == 1.0
    assert logged.metrics["facts/exact_match"] == 1.0
    assert logged.metrics["facts/exact_match/low"] < 1.0
    assert not (load_settings().home / "mlflow.db").exists(), "nothing is registered"


def test_an_empty_model_is_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match="empty output"):
        ek.score(lambda prompt: "", "suite.yaml")


def test_register_needs_one_model(folder: Path) -> None:
    with pytest.raises(InputError, match="either `model` or `run`"):
        ek.register("x", suite="suite.yaml")
