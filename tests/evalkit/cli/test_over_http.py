"""The main job against an MLflow server of which only the address is known: it works, and says it is advisory."""

from __future__ import annotations

from typing import Any

import mlflow
import pytest

from .conftest import Project


@pytest.mark.slow
def test_main_job_over_http(project: Project, mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    assert project.call("register", "sums", "--model", "good.jsonl", "--suite", "suite.yaml").code == 0
    decision: Any = project.call("check", "models:/sums/1", "--json")
    assert decision.code == 0
    assert any(note.startswith("advisory") for note in decision.json()["notes"])
    promoted = project.call("promote", "models:/sums/1")
    assert promoted.code == 0
    assert "advisory" in promoted.err
    client = mlflow.MlflowClient(mlflow_server)
    version = client.get_model_version_by_alias("sums", "champion")
    assert version.tags["evalkit.verdict"] == "pass"
    run = client.get_run(version.tags["evalkit.run"])
    assert run.data.metrics["golden/exact_match"] == 1.0
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"scorecard.html", "suite.yaml", "outputs"}
