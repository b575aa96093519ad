"""``mlflow run mlflow_project -e monitor``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import ExecutionException

from evalkit.monitoring import api

ROOT = Path(__file__).parents[2]
MONITOR = """\
monitor: prod
source: {files: rows.jsonl, columns: {id: id, time: time, output: output}}
every: month
retention: {raw: 9000d}
"""


def test_a_monitor_is_run(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / ".evalkit").mkdir()
    (tmp_path / "evalkit.toml").touch()
    shutil.copyfile(empty_store, tmp_path / ".evalkit" / "mlflow.db")
    rows = [{"id": str(i), "time": "2026-05-01T00:00:00Z", "output": "x"} for i in range(30)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "monitor.yaml").write_text(MONITOR)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    uri = f"sqlite:///{tmp_path / '.evalkit' / 'mlflow.db'}"
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": uri,
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    client.create_experiment("projects", (tmp_path / ".evalkit" / "artifacts").as_uri())
    api.apply("monitor.yaml", schedule=False)

    def launch(**parameters: str) -> str:
        try:
            mlflow.projects.run(
                str(ROOT / "mlflow_project"), entry_point="monitor", env_manager="local", experiment_name="projects",
                parameters={"folder": str(tmp_path), **parameters},
            )  # fmt: skip
        except ExecutionException:
            return "failed"
        return "finished"

    try:
        assert launch(monitor="prod") == "finished"
        assert api.history("prod", key="rows")[0].signal.estimate.n == 30
        (tmp_path / "rows.jsonl").unlink()
        assert launch(monitor="prod") == "failed"
    finally:
        mlflow.set_tracking_uri(None)
    experiment = client.get_experiment_by_name("projects")
    verdicts = [run.data.tags["evalkit.verdict"] for run in client.search_runs([experiment.experiment_id])]
    assert sorted(verdicts) == ["error", "not applicable"]
