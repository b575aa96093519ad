"""The model's own suite as a check of its monitor: a real registry, a real model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.cli.app import run
from metrics.errors import InputError

SUITE = """\
suite: capitals
tasks:
  golden:
    data: golden.jsonl
    columns: {prompt: question, expected: answer}
    score: [exact_match]
gate:
  rules: [{metric: golden/exact_match, min: 0.5}]
"""
MONITOR = """\
monitor: capitals-prod
model: models:/capitals/1
source: {files: log.jsonl, columns: {id: id, time: time, output: answer}}
retention: {raw: 9000d}
checks: [{suite: capitals}, {hallucination: {judge: suite}, as: grounded}]
"""


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, day_rows: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evalkit.toml").write_text("")
    (tmp_path / ".evalkit").mkdir()
    shutil.copyfile(empty_store, tmp_path / ".evalkit" / "mlflow.db")
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "capitals_of.py").write_text(
        "def answer(prompt):\n    return {'France?': 'Paris'}.get(prompt, 'Rome')\n"
    )
    golden = [{"question": f"{k}?", "answer": "Rome" if k % 4 else "Oslo"} for k in range(40)]
    (tmp_path / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in golden))
    rows = [{**row, "context": "Rome is the capital."} for row in day_rows(0)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    return tmp_path


def test_estimates_of_the_suite_are_signals(project: Path):
    evalkit.register("capitals", model="call:capitals_of:answer", suite="suite.yaml")
    evalkit.monitor.apply("monitor.yaml")
    assert run(["monitor", "backfill", "capitals-prod", "--from", "2026-05-01", "--to", "2026-05-02"]) == 0
    found = evalkit.monitor.history("capitals-prod", check="suite", key="golden/exact_match")
    assert [one.signal.estimate.value for one in found] == [0.75]
    assert found[0].signal.estimate.has_interval
    (judged,) = evalkit.monitor.history("capitals-prod", check="grounded", key="judge")
    assert judged.signal.verdict == "failed"
    assert "judges no groundedness by a model" in judged.signal.reason
    (rate,) = evalkit.monitor.history("capitals-prod", check="grounded", key="embedded")
    assert rate.signal.estimate.n == 100


def test_a_model_that_is_not_there_fails_its_check_and_no_other(project: Path):
    evalkit.monitor.apply("monitor.yaml")
    report = evalkit.monitor.backfill("capitals-prod", "2026-05-01", "2026-05-02")
    (result,) = report.windows
    assert result.window.status == "ok"
    assert [signal.verdict for signal in result.signals["suite"]] == ["failed"]
    assert "capitals" in result.signals["suite"][0].reason
    with pytest.raises(InputError):
        evalkit.monitor.history("capitals-prod", check="suites")
